package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// A database in an encoding other than UTF8 can't store most characters, and no database stores NUL
// or bytes that aren't UTF-8. Whimbrel's tables must store all of them, because a script that the
// server accepts can have any character in a comment. Such a text is escaped like PostgreSQL's
// Unicode strings: "U&" in front, then \20AC or \+01F426 for a character, \xFF for a byte, and \\
// for a backslash.

const escapedPrefix = "U&"

// escape returns s as the tables store it; narrow means that they store only ASCII.
func escape(s string, narrow bool) string {
	if !needsEscape(s, narrow) {
		return s
	}
	var b strings.Builder
	b.WriteString(escapedPrefix)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02X`, s[i])
		case r == '\\':
			b.WriteString(`\\`)
		case r > 0xffff && narrow:
			fmt.Fprintf(&b, `\+%06X`, r)
		case r == 0, r > 0x7f && narrow:
			fmt.Fprintf(&b, `\%04X`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

func needsEscape(s string, narrow bool) bool {
	if strings.HasPrefix(s, escapedPrefix) || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return true
	}
	return narrow && strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) >= 0
}

// unescape reverses escape. It returns any other text unchanged.
func unescape(stored string) string {
	rest, ok := strings.CutPrefix(stored, escapedPrefix)
	if !ok {
		return stored
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(rest, `\`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if after == "" {
			return stored
		}
		digits := 4
		switch after[0] {
		case '\\':
			b.WriteByte('\\')
			rest = after[1:]
			continue
		case 'x':
			after, digits = after[1:], 2
		case '+':
			after, digits = after[1:], 6
		}
		if len(after) < digits {
			return stored
		}
		n, err := strconv.ParseUint(after[:digits], 16, 32)
		if err != nil || n > utf8.MaxRune {
			return stored
		}
		if digits == 2 {
			b.WriteByte(byte(n))
		} else {
			b.WriteRune(rune(n))
		}
		rest = after[digits:]
	}
}

// narrow reports whether a connection's database can't store every character. SQL_ASCII stores any
// bytes.
func narrow(pc *pgconn.PgConn) bool {
	switch pc.ParameterStatus("server_encoding") {
	case "UTF8", "SQL_ASCII", "":
		return false
	}
	return true
}

// kept returns a text in the form in which this database's tables store it.
func (db *Database) kept(s string) arg { return text(escape(s, db.narrow.Load())) }

// keptAsASCII returns an escaped text for the journal, which is also written after a script changed
// client_encoding, and for a set's name, which must be found after a dump was restored in another
// encoding.
func keptAsASCII(s string) arg { return text(escape(s, true)) }

// kept reads a text written by Database.kept or keptAsASCII.
func (r *row) kept() string { return unescape(r.text()) }

// ascii returns a name in the form in which the server stores an application_name.
func ascii(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
}
