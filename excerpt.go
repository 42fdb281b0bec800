package whimbrel

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Lines around the place, and the length above which a line is cut.
const (
	excerptAround = 2
	excerptWidth  = 160
)

// excerpt returns the lines of a script around a place, numbered, with a mark
// under the place; "" where the script can't be read or has no such line.
func excerpt(s *migration.Script, pos sqltext.Position) string {
	r, err := s.Open()
	if err != nil {
		return ""
	}
	defer r.Close()
	var b strings.Builder
	sc := bufio.NewReader(r)
	for n := max(s.Line, 1); n <= pos.Line+excerptAround; n++ {
		line, err := sc.ReadString('\n')
		if n >= pos.Line-excerptAround && line != "" {
			writeExcerptLine(&b, n, strings.TrimRight(line, "\r\n"), pos)
		}
		if err != nil {
			break
		}
	}
	return b.String()
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
