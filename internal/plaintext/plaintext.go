// Package plaintext makes texts of files, servers and people fit to be shown on a terminal or in a
// document.
package plaintext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line returns a text for one line: white space is one space. See Lines.
func Line(text string) string { return Lines(strings.Join(strings.Fields(text), " ")) }

// Lines returns a text in which control characters, characters that change the writing direction or
// have no width, and invalid bytes are escapes such as \x1b or <U+202E>. Line ends and tabs remain.
func Lines(text string) string {
	if isFit(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == utf8.RuneError || !Unfit(r):
			b.WriteString(text[i : i+n])
		case r < 0xa0:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, "<U+%04X>", r)
		}
		i += n
	}
	return b.String()
}

// isFit reports whether a text has no character that is unfit. Most are of ASCII only.
func isFit(text string) bool {
	for i := range len(text) {
		if c := text[i]; c >= 0x7f || c < ' ' && c != '\n' && c != '\t' {
			return strings.IndexFunc(text[i:], Unfit) < 0
		}
	}
	return true
}

// Unfit reports whether a character must not reach a terminal or a document: controls other than
// line end and tab, format characters such as those that change the writing direction or have no
// width, other line ends, and what XML has no place for (U+FFFE, U+FFFF). utf8.RuneError may be an
// invalid byte.
func Unfit(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r&0xfffe == 0xfffe:
		return true
	}
	return r > 0xa0 && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}
