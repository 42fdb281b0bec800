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
			if got := h.sum(); got != Sum(text) || h.sum() != got {
				t.Errorf("%q in pieces of %d: another checksum", text, size)
			}
		}
		s, err := Stream("x", func() (io.ReadCloser, error) {
			return io.NopCloser(iotest.OneByteReader(strings.NewReader(text))), nil
		})
		if text == "\xef" {
			continue // Stream wants UTF-8
		}
		if err != nil || s.Checksum != Sum(text) {
			t.Errorf("Stream of %q: %v, %v", text, s, err)
		}
	}
}

func TestChecksumText(t *testing.T) {
	t.Parallel()
	c := Sum("SELECT 1;")
	if got, err := ParseChecksum(c.String()); got != c || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "abc", strings.Repeat("z", 64), strings.Repeat("a", 66)} {
		if _, err := ParseChecksum(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if (Checksum{}).IsZero() != true || c.IsZero() {
		t.Error("IsZero is wrong")
	}
	type row struct{ Up, Down Checksum }
	b, err := json.Marshal(row{Up: c})
	if err != nil || string(b) != `{"Up":"`+c.String()+`","Down":""}` {
		t.Errorf("got %s, %v", b, err)
	}
	got := row{Down: c}
	if err := json.Unmarshal(b, &got); err != nil || got != (row{Up: c}) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"Up":"x"}`), &got); err == nil {
		t.Error("a wrong checksum was taken")
	}
}
