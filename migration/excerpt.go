package migration

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The number of lines around the place, and the length above which a line is shortened.
const (
	excerptAround = 2
	excerptWidth  = 160
)

// Excerpt returns the numbered lines of a script around a place, with a mark below the place. It
// returns "" if the script can't be read or has no such line.
func (s *Script) Excerpt(pos sqltext.Position, d sqltext.Dialect) string {
	r, pos, err := openMasked(s, pos, d)
	if err != nil {
		return ""
	}
	defer r.Close()
	var b strings.Builder
	sc := bufio.NewReader(r)
	for n := max(s.Line, 1); n <= pos.Line+excerptAround; n++ {
		line, err := sc.ReadString('\n')
		if n >= pos.Line-excerptAround && line != "" {
			writeExcerptLine(&b, n, strings.TrimRight(s.Mask(line, d), "\r\n"), pos)
		}
		if err != nil {
			break
		}
	}
	return b.String()
}

// openMasked returns the text of a script without its passwords, and the position of a place in it.
// It masks each line of a long script separately.
func openMasked(s *Script, pos sqltext.Position, d sqltext.Dialect) (io.ReadCloser, sqltext.Position, error) {
	text, ok, err := s.Text(KeepInMemory)
	if err != nil {
		return nil, pos, err
	}
	if !ok {
		r, err := s.Open()
		return r, pos, err
	}
	hidden := s.Hidden(text, d)
	if len(hidden) == 0 {
		return io.NopCloser(strings.NewReader(text)), pos, nil
	}
	before := textBefore(text, pos.Line-max(s.Line, 1), pos.Column-1)
	var until []sqltext.Span
	for _, span := range hidden {
		if span.From < len(before) {
			until = append(until, sqltext.Span{From: span.From, To: min(span.To, len(before))})
		}
	}
	line := sqltext.MaskSpans(before, until)
	pos.Column = utf8.RuneCountInString(line[strings.LastIndexByte(line, '\n')+1:]) + 1
	return io.NopCloser(strings.NewReader(sqltext.MaskSpans(text, hidden))), pos, nil
}

// textBefore returns the text before a place: a number of lines, and of characters in the next one.
func textBefore(text string, lines, column int) string {
	at := 0
	for ; lines > 0; lines-- {
		n := strings.IndexByte(text[at:], '\n')
		if n < 0 {
			return text
		}
		at += n + 1
	}
	for ; column > 0 && at < len(text) && text[at] != '\n'; column-- {
		_, n := utf8.DecodeRuneInString(text[at:])
		at += n
	}
	return text[:at]
}

func writeExcerptLine(b *strings.Builder, n int, line string, pos sqltext.Position) {
	runes, from := []rune(line), 0
	if n == pos.Line && pos.Column > excerptWidth/2 && len(runes) > excerptWidth {
		from = min(pos.Column-excerptWidth/2, len(runes))
	}
	shown := runes[from:min(from+excerptWidth, len(runes))]
	fmt.Fprintf(b, "%6d | %s\n", n, string(shown))
	if n != pos.Line {
		return
	}
	mark := []rune{}
	for _, r := range shown[:min(max(pos.Column-1-from, 0), len(shown))] {
		if r != '\t' {
			r = ' '
		}
		mark = append(mark, r)
	}
	fmt.Fprintf(b, "       | %s^\n", string(mark))
}
