package migration

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSum(t *testing.T) {
	t.Parallel()
	plain := func(text string) Checksum { return sha256.Sum256([]byte(text)) }
	for _, c := range []struct{ name, text, same string }{
		{"nothing", "", ""},
		{"LF", "a\nb\n", "a\nb\n"},
		{"CRLF is LF", "a\r\nb\r\n", "a\nb\n"},
		{"CR alone is a sign like any other", "a\rb\r", "a\rb\r"},
		{"CR before CRLF", "a\r\r\nb", "a\r\nb"},
		{"a byte-order mark is no text", "\ufeffa\n", "a\n"},
		{"only the first one", "\ufeff\ufeffa\n", "\ufeffa\n"},
		{"half a byte-order mark is text", "\xef\xbb", "\xef\xbb"},
		{"a byte-order mark alone", "\ufeff", ""},
		{"a final newline counts", "a", "a"},
	} {
		if got := Sum(c.text); got != plain(c.same) {
			t.Errorf("%s: Sum(%q) is not the SHA-256 of %q", c.name, c.text, c.same)
		}
	}
}

// A checksum doesn't depend on the pieces in which a text comes: CRLF and byte-order
// marks are cut in two.
func TestSumInPieces(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\ufeffa\r\nb\r\n\r", "\ufeff", "\xef", "a", "\r\n", "\ufeff\r\nü"} {
		for size := 1; size < 5; size++ {
			h := newHasher()
			for rest := []byte(text); len(rest) > 0; {
				n := min(size, len(rest))
				h.Write(rest[:n])
				rest = rest[n:]
			}
			h.Write(nil)
			if got := h.sum(); got != Sum(text) {
				t.Errorf("%q in pieces of %d: got %v, want %v", text, size, got, Sum(text))
			} else if got, want := h.sum(), got; got != want {
				t.Errorf("%q in pieces of %d: h.sum() = %v, want %v", text, size, got, want)
			}
		}
		s, err := Stream("x", func() (io.ReadCloser, error) {
			return io.NopCloser(iotest.OneByteReader(strings.NewReader(text))), nil
		})
		if text == "\xef" {
			continue // Stream requires UTF-8
		}
		if err != nil {
			t.Fatalf("Stream of %q: %v", text, err)
		}
		if s.Checksum != Sum(text) {
			t.Errorf("Stream of %q: s.Checksum = %v, want %v", text, s.Checksum, Sum(text))
		}
	}
}

func TestChecksumText(t *testing.T) {
	t.Parallel()
	c := Sum("SELECT 1;")
	if got, err := ParseChecksum(c.String()); got != c {
		t.Errorf("got %v, want %v", got, c)
	} else if err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "abc", strings.Repeat("z", 64), strings.Repeat("a", 66)} {
		if _, err := ParseChecksum(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if got, want := (Checksum{}).IsZero(), true; got != want {
		t.Errorf("(Checksum{}).IsZero() = %v, want %v", got, want)
	}
	if c.IsZero() {
		t.Error("c.IsZero() = true, want false")
	}
	type row struct{ Up, Down Checksum }
	b, err := json.Marshal(row{Up: c})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b), `{"Up":"`+c.String()+`","Down":""}`; got != want {
		t.Errorf("string(b) = %q, want %q", got, want)
	}
	got := row{Down: c}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Error(err)
	} else if got != (row{Up: c}) {
		t.Errorf("got %v, want %v", got, (row{Up: c}))
	}
	if err := json.Unmarshal([]byte(`{"Up":"x"}`), &got); err == nil {
		t.Error("a wrong checksum was taken")
	}
}

// A long text has its checksum whatever the pieces are in which it is written.
func TestSumOfALongText(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 2, asidePart - 1, asidePart, asidePart + 1, 5*asidePart + 7} {
		text := (strings.Repeat("\ufeffINSERT 'ü'\r\n\r", length/10) + strings.Repeat("x", length%10))[:length]
		for _, piece := range []int{1, 1000, 64 << 10, asidePart, 3 * asidePart} {
			h := hasherFor(KeepInMemory + 1)
			buf := make([]byte, piece) // which its caller uses again
			for at := 0; at < length; at += piece {
				h.Write(buf[:copy(buf, text[at:])])
			}
			if got := h.sum(); got != Sum(text) || h.sum() != got {
				t.Errorf("%d bytes in pieces of %d have another checksum", length, piece)
			}
		}
	}
}
