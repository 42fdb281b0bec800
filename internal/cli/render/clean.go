package render

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/internal/plaintext"
)

// Texts from files, databases and people can contain control characters that move the cursor, forge
// lines or change the writing direction. They are shown as escapes such as \x1b or <U+202E>. Two
// places do this: clean and cleanLines for texts that become part of an answer, and printable for
// everything that is written.

// clean returns a text for one line, with line ends and control characters escaped.
func clean(text string) string {
	return strings.ReplaceAll(cleanLines(text), "\n", `\n`)
}

// cleanLines escapes the control characters of a text of several lines.
func cleanLines(text string) string { return plaintext.Lines(text) }

// oneLine joins the words of a text into one clean line.
func oneLine(text string) string { return clean(strings.Join(strings.Fields(text), " ")) }

// signature starts Whimbrel's own escape sequences. It is random, so that no text can forge it.
var signature = sync.OnceValue(func() string {
	var b [8]byte
	rand.Read(b[:])
	signs.Store(true)
	return "\x1b[" + strconv.FormatUint(binary.LittleEndian.Uint64(b[:])|1<<63, 10) + ";"
})

// signs says that there is a signature. Without colours there never is.
var signs atomic.Bool

// signed marks an escape sequence as Whimbrel's own, for printable.
func signed(sequence string) string {
	return signature() + strings.TrimPrefix(sequence, "\x1b[")
}

// printable returns a text with Whimbrel's own escape sequences and without any others.
func printable(text string) string {
	if !signs.Load() {
		return cleanLines(text)
	}
	parts := strings.Split(text, signature())
	var b strings.Builder
	b.WriteString(cleanLines(parts[0]))
	for _, part := range parts[1:] {
		end := strings.IndexByte(part, 'm') + 1
		b.WriteString("\x1b[" + part[:end] + cleanLines(part[end:]))
	}
	return b.String()
}

// escaped escapes the unfit characters of a JSON document. They can only occur in its strings.
func escaped(document string) string {
	if strings.IndexFunc(document, plaintext.Unfit) < 0 {
		return document
	}
	var b strings.Builder
	for _, r := range document {
		switch {
		case r == utf8.RuneError || !plaintext.Unfit(r):
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
