package sqltext

import "bytes"

// psqlCommand handles the command of psql that begins with the backslash at i. Only psql itself can
// execute most of them.
func (s *Scanner) psqlCommand(st *Statement, p *piece, i int) error {
	l := &s.lex
	z := i + 1
	for c := l.at(z); c > ' ' && c != '\\' && c != ';' && z-i < 40; c = l.at(z) {
		z++
	}
	name := string(l.b[i:z])
	if p.text < 0 && (name == `\restrict` || name == `\unrestrict`) {
		end := s.lineEnd(z)
		if bytes.IndexByte(l.b[z:end], '\\') < 0 {
			s.emit(st, Client, i, end, end)
			return nil
		}
	}
	return s.errorAt(i, psqlRefusal(name))
}

// lineEnd returns the end of the line that contains i, after the LF.
func (s *Scanner) lineEnd(i int) int {
	if j := s.lex.find(i, '\n'); j >= 0 {
		return j + 1
	}
	return len(s.lex.b)
}

// psqlRefusal returns why a command is refused, and what to write instead.
func psqlRefusal(name string) string {
	do := "take it out, and write what it does in SQL"
	switch name {
	case `\.`:
		return `\. ends the data of COPY … FROM stdin, and there is none here: take the line out, or put the COPY before its data`
	case `\restrict`, `\unrestrict`:
		do = "put it on a line of its own, between statements"
	case `\`, `\;`:
		do = "end each statement with a semicolon alone"
	case `\connect`, `\c`:
		do = "take it out: a script runs in the database it is opened for, so give each database its own scripts"
	case `\copy`:
		do = `write COPY … FROM stdin with the data below it and a line \. at the end; \copy reads files of the client, and "from program" would run a program`
	case `\i`, `\ir`, `\include`, `\include_relative`:
		do = "put the other file's text here, or make it a migration of its own"
	case `\set`, `\unset`, `\gset`, `\prompt`, `\getenv`, `\bind`:
		do = "write the values out: psql's variables are not known here"
	case `\if`, `\elif`, `\else`, `\endif`:
		do = "write the condition in SQL, in a DO block for instance"
	case `\gexec`:
		do = "run the generated statements with EXECUTE in a DO block"
	case `\g`, `\gx`, `\gdesc`, `\crosstabview`, `\watch`:
		do = "end the statement with a semicolon"
	case `\!`, `\setenv`, `\cd`, `\o`, `\out`, `\w`, `\write`:
		do = "take it out: a script cannot reach the computer that runs it"
	case `\echo`, `\qecho`, `\warn`, `\timing`, `\pset`, `\x`, `\t`, `\a`, `\encoding`, `\q`, `\quit`:
		do = "take it out"
	}
	return name + " is a command of psql, not SQL: " + do
}

// copyIn emits the piece of a COPY … FROM stdin, whose terminator is from … to. In psql the data
// begins on the next line, so nothing else may follow on this one.
func (s *Scanner) copyIn(st *Statement, p *piece, from, to int) error {
	n, stray := s.restOfLine(to)
	if stray {
		return s.errorAt(n, "the data of COPY … FROM stdin begins on the next line: move what follows the semicolon below the line \\. that ends the data")
	}
	s.copyAt = s.positionOf(p.text)
	s.sql(st, CopyIn, p, from, n)
	s.state = inCopy
	return nil
}

// restOfLine returns where the next line begins if only white space and comments are before it.
// Otherwise stray is true, and at is the first other byte.
func (s *Scanner) restOfLine(i int) (at int, stray bool) {
	l := &s.lex
	for ; ; i++ {
		switch c := l.at(i); {
		case c == '\n':
			return i + 1, false
		case c < 0:
			return i, false
		case c == ' ' || c >= '\t' && c <= '\r':
		case c == '-' && l.at(i+1) == '-':
			return s.lineEnd(i), false
		case c == '/' && l.at(i+1) == '*':
			if k, _, _ := l.blockComment(i); k == TokenBroken || bytes.IndexByte(l.b[i:l.i], '\n') >= 0 {
				return i, true
			}
			i = l.i - 1
		default:
			return i, true
		}
	}
}

// copyData emits the next piece of COPY data: as many whole lines as fit, the line that ends the
// data, or a part of a line that does not fit.
func (s *Scanner) copyData(st *Statement) error {
	l := &s.lex
	l.at(windowSize - 1)
	b := l.b[:min(len(l.b), windowSize)]
	if len(b) == 0 {
		return &Error{Pos: s.copyAt, Msg: `the data of this COPY … FROM stdin has no end: a line \. is missing`}
	}
	end, n := endOfData(b, s.state == inCopy)
	if end == 0 {
		s.state = inSQL
		s.emit(st, CopyEnd, 0, n, n)
		return nil
	}
	if end < 0 {
		end = len(b)
		if len(l.b) >= windowSize {
			end = cutLines(b)
		}
	}
	s.state = inCopy
	if b[end-1] != '\n' {
		s.state = inCopyLine
	}
	s.emit(st, CopyData, 0, end, end)
	return nil
}

// endOfData returns where the line "\." begins and where it ends, -1 if b does not contain it.
func endOfData(b []byte, atLineStart bool) (at, to int) {
	i := 0
	if !atLineStart {
		i = bytes.IndexByte(b, '\n') + 1
		if i == 0 {
			return -1, -1
		}
	}
	for {
		if rest, ok := bytes.CutPrefix(b[i:], []byte(`\.`)); ok {
			n := len(rest) - len(bytes.TrimPrefix(rest, []byte("\r")))
			switch {
			case n == len(rest):
				return i, len(b)
			case rest[n] == '\n':
				return i, i + 2 + n + 1
			}
		}
		j := bytes.Index(b[i:], []byte("\n\\."))
		if j < 0 {
			return -1, -1
		}
		i += j + 1
	}
}

// cutLines returns the end of the last whole line of b, or an offset between characters if there is
// no line end.
func cutLines(b []byte) int {
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	n := len(b)
	for n > len(b)-4 && b[n-1]&0xc0 == 0x80 {
		n--
	}
	if b[n-1] >= 0xc0 {
		n--
	}
	return n
}
