package render

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/internal/plaintext"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain Ünïcödé 渡り鳥 🐦": "plain Ünïcödé 渡り鳥 🐦",
		"tab\tand\nline":      "tab\tand\\nline",
		"\x1b[31m\x00\r\x7f":  `\x1b[31m\x00\x0d\x7f`,
		"\u009b":              `\x9b`,
		"\u202e\u2066\u200b":  "<U+202E><U+2066><U+200B>",
		"\u2028\ufeff\u00ad":  "<U+2028><U+FEFF><U+00AD>",
		"\U000e0041":          "<U+E0041>",
		"bad\xffbyte":         `bad\xffbyte`,
		"kept \ufffd":         "kept \ufffd",
	} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}

// Only the escape sequences of our own are left.
func TestPrintable(t *testing.T) {
	t.Parallel()
	p := palette{on: true}
	got := printable(p.bold("a\x1b[31mb") + "\x1b[123;1mc")
	if want := "\x1b[1ma\\x1b[31mb\x1b[m\\x1b[123;1mc"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEscapedJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\u202e\u009b\x7f\x1b\u2028", "\U000e0041 \ufffd", "plain"} {
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		document, back := escaped(string(b)), ""
		if err := json.Unmarshal([]byte(document), &back); err != nil {
			t.Errorf("json.Unmarshal([]byte(document), &back): %v", err)
		} else if back != text {
			t.Errorf("json.Unmarshal([]byte(document), &back): back = %v, want %v", back, text)
		}
		for _, r := range document {
			if r != '\ufffd' && plaintext.Unfit(r) {
				t.Errorf("%q has %U", document, r)
			}
		}
	}
}

// What a drift shows of a definition has no password.
func TestChangesHaveNoPassword(t *testing.T) {
	t.Parallel()
	changes := NewChanges([]catalog.Change{{Kind: "server", Name: "s", Change: catalog.Changed, Detail: "options", Expected: "password 'hunter1'", Found: "user 'u', password 'hunter2'"}})
	b, err := json.Marshal(changes)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(append(b, changes[0].words...), []byte("hunter")) {
		t.Error("bytes.Contains(append(b, changes[0].words...), []byte(\"hunter\")) = true, want false")
	}
	if !bytes.Contains(b, []byte("user 'u', password 'xxxxx'")) {
		t.Error("bytes.Contains(b, []byte(\"user 'u', password 'xxxxx'\")) = false, want true")
	}
}

// A snapshot in a pipe is data. On a terminal it is text.
func TestSnapshotIsExactInAPipe(t *testing.T) {
	t.Parallel()
	const sql = "CREATE TABLE \"a\x1b[31m\u202e\" (x integer);\n"
	for terminal, want := range map[bool]string{false: sql, true: "CREATE TABLE \"a\\x1b[31m<U+202E>\" (x integer);\n"} {
		var out bytes.Buffer
		p := New(Options{Out: Stream{Writer: &out, Terminal: terminal}, Err: Stream{Writer: &out}})
		p.Show(&Snapshot{Text: sql})
		if err := p.Close(); err != nil {
			t.Errorf("terminal %v: %v", terminal, err)
		} else if got, want := out.String(), want; got != want {
			t.Errorf("terminal %v: out.String() = %v, want %v", terminal, got, want)
		}
	}
}
