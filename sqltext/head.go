package sqltext

import "bytes"

// Comment is a line comment.
type Comment struct {
	Text string // without its mark and the white space around it
	Pos  Position
}

// Head returns the line comments before the first statement of a text. Block comments between them
// are skipped.
func Head(text string, d Dialect, opts Options) []Comment {
	var all []Comment
	l := lexer{rules: rulesOf(d), b: []byte(text)}
	at := place{line: max(opts.Line, 1), column: 1}
	i := 0
	if bytes.HasPrefix(l.b, []byte(byteOrderMark)) {
		i = len(byteOrderMark)
	}
	for known := 0; i < len(l.b); {
		from, line := i, false
		switch c := l.rules.fine[l.b[i]]; {
		case c == cSkip || c == cSemi:
			i++
			continue
		case c == cHash:
			l.lineComment(i)
			line = true
		case c == cDash:
			k, _, _ := l.dash(i)
			line = k == TokenPunct && l.i > i+1
		case c == cSlash && l.at(i+1) == '*':
			if k, _, _ := l.slash(i); k != TokenPunct {
				return all // code in a versioned comment, or one without an end
			}
		default:
			return all
		}
		if !line && l.b[from] != '/' {
			return all
		}
		if i = l.i; line {
			at.advance(l.b[known:from])
			known = from
			comment := bytes.TrimSpace(bytes.TrimLeft(l.b[from:i], "-#"))
			all = append(all, Comment{Text: string(comment), Pos: at.in(opts.File)})
		}
	}
	return all
}
