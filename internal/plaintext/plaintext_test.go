package plaintext_test

import (
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/plaintext"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                     "",
		" a\n\tb ":             "a b",
		"漢字 é":                 "漢字 é",
		"a\u202eb":             "a<U+202E>b",
		"\x1b[31m\x00":         `\x1b[31m\x00`,
		"\xff":                 `\xff`,
		"\u0085x\u009b":        `x\x9b`,
		"zero\u200bwidth":      "zero<U+200B>width",
		"no\ufffe, \U0001fffe": "no<U+FFFE>, <U+1FFFE>",
		"\ufffd":               "\ufffd",
	} {
		if got := plaintext.Line(text); got != want {
			t.Errorf("Line(%q) = %q, want %q", text, got, want)
		}
	}
	if got, want := plaintext.Lines("a\n\tb\r\x07"), "a\n\tb\\x0d\\x07"; got != want {
		t.Errorf("Lines = %q, want %q", got, want)
	}
}
