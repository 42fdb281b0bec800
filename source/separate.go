package source

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Some tools end a statement with something else than a semicolon, or at a marker line. separator
// writes a semicolon there, where none is, and changes neither lines nor columns of anything else
// that runs.
type separator struct {
	text    string
	dialect sqltext.Dialect
	// ends returns the length of what ends a statement at an offset that is in no literal and no
	// comment, 0 for nothing. depth is that of parentheses.
	ends func(at, depth int) int
	// write writes what ended a statement. open tells whether the statement lacks a semicolon.
	write func(out *strings.Builder, at, n int, open bool)
	// cut, if not nil, returns where a line comment ends that would not end with its line.
	cut func(from, to int) int
}

// run returns the text with its semicolons.
func (s *separator) run() string {
	var out strings.Builder
	out.Grow(len(s.text) + 16)
	written, last, depth := 0, byte(';'), 0
	for i := 0; i < len(s.text); {
		if n := s.ends(i, depth); n > 0 {
			out.WriteString(s.text[written:i])
			s.write(&out, i, n, last != ';')
			i += n
			written, last, depth = i, ';', 0
			continue
		}
		end, comment := s.token(i)
		switch c := s.text[end-1]; {
		case comment || strings.IndexByte(blanks, c) >= 0:
		default:
			last = c
		}
		switch s.text[i] {
		case '(':
			depth++
		case ')':
			depth = max(depth-1, 0)
		}
		i = end
	}
	out.WriteString(s.text[written:])
	return out.String()
}

// token returns where the literal, comment or character at i ends.
func (s *separator) token(i int) (end int, comment bool) {
	rest := s.text[i:]
	until := func(from int, closer string) int {
		if n := strings.Index(rest[from:], closer); n >= 0 {
			return i + from + n + len(closer)
		}
		return len(s.text)
	}
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "--"), c == '#' && s.dialect == sqltext.MySQL:
		end := until(0, "\n")
		if s.cut != nil {
			end = s.cut(i, end)
		}
		return end, true
	case strings.HasPrefix(rest, "/*"):
		return until(len("/*"), "*/"), true
	case c == '\'' || c == '"' || c == '`':
		escapes := s.dialect == sqltext.MySQL || c == '\'' && i > 0 && s.text[i-1]|0x20 == 'e' && (i < 2 || !isWord(s.text[i-2]))
		if !escapes {
			return until(1, rest[:1]), false
		}
		for j := 1; j < len(rest); j++ {
			if rest[j] == '\\' {
				j++
			} else if rest[j] == c {
				return i + j + 1, false
			}
		}
		return len(s.text), false
	case c == '$' && (i == 0 || !isWord(s.text[i-1]) && s.text[i-1] != '$'):
		if n := tagEnd([]byte(rest[:min(len(rest), 65)])); n > 0 {
			return until(n, rest[:n]), false
		}
	}
	return i + 1, false
}

// rewritten returns a script of the same file with another text, which keeps everything else: the
// checksum is that of the text in the file.
func rewritten(s *migration.Script, text string) *migration.Script {
	e := migration.Text(s.File, text)
	e.Line, e.Directives, e.Checksum, e.Problem = s.Line, s.Directives, s.Checksum, s.Problem
	return e
}
