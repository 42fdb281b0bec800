package sqltext

import (
	"bytes"
	"strings"
)

// mysqlCommand handles a statement's first word if the mysql client would not send it to the
// server. done is false for an ordinary word.
func (s *Scanner) mysqlCommand(st *Statement, from, to int) (done bool, err error) {
	if n := to - from; n != len("DELIMITER") && n != len("SOURCE") || s.lex.version > 0 {
		return false, nil
	}
	switch known(s.lex.b[from:to]) {
	case "DELIMITER":
		return true, s.delimiter(st, from, to)
	case "SOURCE":
		return true, s.errorAt(from, "SOURCE is a command of the mysql client, not SQL: put the other file's text here, or make it a migration of its own")
	case "SYSTEM":
		return true, s.errorAt(from, "SYSTEM is a command of the mysql client, not SQL: take it out, a script cannot reach the computer that runs it")
	}
	return false, nil
}

// delimiter executes a DELIMITER line.
func (s *Scanner) delimiter(st *Statement, from, to int) error {
	end := s.lineEnd(to)
	d, rest := delimiterArgument(s.lex.b[to:end])
	switch {
	case d == "":
		return s.errorAt(from, "DELIMITER needs the new delimiter after it, as in DELIMITER //")
	case strings.Contains(d, `\`):
		return s.errorAt(from, "DELIMITER cannot contain a backslash: choose another, as in DELIMITER //")
	case len(rest) > 0 && rest[0] != '#' && !bytes.HasPrefix(rest, []byte("--")) && !bytes.HasPrefix(rest, []byte("/*")):
		return s.errorAt(from, "nothing but the delimiter can be on a DELIMITER line (the mysql client would ignore it): move it to the next line")
	}
	s.emit(st, Client, from, end, end)
	s.lex.rules = withDelimiter(d)
	return nil
}

// delimiterArgument returns the first word of a line, which may be quoted, and the text after it.
func delimiterArgument(line []byte) (string, []byte) {
	line = bytes.TrimSpace(line)
	if len(line) > 1 && (line[0] == '\'' || line[0] == '"' || line[0] == '`') {
		if i := bytes.IndexByte(line[1:], line[0]); i >= 0 {
			return string(line[1 : i+1]), bytes.TrimSpace(line[i+2:])
		}
	}
	if i := bytes.IndexAny(line, " \t"); i >= 0 {
		return string(line[:i]), bytes.TrimSpace(line[i:])
	}
	return string(line), nil
}
