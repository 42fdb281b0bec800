package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// A database whose encoding is not UTF8 has no place for most characters, and no database has one for a NUL or for bytes
// that are not UTF-8. Whimbrel's own tables must hold all of them, because a script that the server executes can have
// any character in a comment. So a text that the database can't hold is escaped, in the form of PostgreSQL's own
// Unicode strings: "U&" in front, then \20AC or \+01F426 for a character, \xFF for a byte, and \\ for a backslash.

const escapedPrefix = "U&"

// escape returns s as the tables hold it. narrow says that they hold ASCII alone.
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

// unescape returns the text that escape was given. What escape has not written is returned as it is.
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

// narrow reports whether a connection leads to a database that does not hold every character. SQL_ASCII holds bytes.
func narrow(pc *pgx.Conn) bool {
	switch pc.PgConn().ParameterStatus("server_encoding") {
	case "UTF8", "SQL_ASCII", "":
		return false
	}
	return true
}

// kept is a text as this database's tables hold it.
func (db *Database) kept(s string) arg { return text(escape(s, db.narrow.Load())) }

// keptAsASCII is a text of the journal, which is also written after a script has changed client_encoding; and a set's name, which
// must be found in a database that was dumped and restored in another encoding.
func keptAsASCII(s string) arg { return text(escape(s, true)) }

// kept reads what Database.kept or keptAsASCII wrote.
func (r *row) kept() string { return unescape(r.text()) }

// ascii is a name as the server keeps an application_name.
func ascii(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
}
