package render

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Texts from files, databases and people can have control characters, which move the cursor, forge lines or turn the
// direction of writing. They are shown as what they are, \x1b or <U+202E>, at two places: clean and cleanLines where a
// text becomes part of an answer, and printable, through which everything goes that is written.

// clean makes a text fit for one line.
func clean(text string) string {
	return strings.ReplaceAll(cleanLines(text), "\n", `\n`)
}

// cleanLines makes a text of several lines fit to be shown.
func cleanLines(text string) string {
	if strings.IndexFunc(text, unfit) < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !unfit(r) || n > 1 && r == utf8.RuneError:
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

// unfit reports whether a character must not reach a terminal: controls but for line end and tab, formats such as
// those that turn the direction of writing or have no width, and other line ends. utf8.RuneError may be a byte that is
// no character.
func unfit(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError:
		return true
	}
	return r > 0xa0 && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// oneLine is clean text on one line.
func oneLine(text string) string { return clean(strings.Join(strings.Fields(text), " ")) }

// signature begins the escape sequences of our own. Nobody can know it who writes a text that is shown.
var signature = func() string {
	var b [8]byte
	rand.Read(b[:])
	return "\x1b[" + strconv.FormatUint(binary.LittleEndian.Uint64(b[:])|1<<63, 10) + ";"
}()

// signed is one of our own escape sequences on its way to printable.
func signed(sequence string) string {
	return signature + strings.TrimPrefix(sequence, "\x1b[")
}

// printable is a text as it is written: with our own escape sequences, and without any other.
func printable(text string) string {
	parts := strings.Split(text, signature)
	var b strings.Builder
	b.WriteString(cleanLines(parts[0]))
	for _, part := range parts[1:] {
		end := strings.IndexByte(part, 'm') + 1
		b.WriteString("\x1b[" + part[:end] + cleanLines(part[end:]))
	}
	return b.String()
}

// escaped makes a JSON document fit to be shown: what is unfit stands in its strings, where it has another form.
func escaped(document string) string {
	if strings.IndexFunc(document, unfit) < 0 {
		return document
	}
	var b strings.Builder
	for _, r := range document {
		switch {
		case r == utf8.RuneError || !unfit(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
