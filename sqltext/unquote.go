package sqltext

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unquotePostgres returns the value of a string constant: '…', E'…', U&'…' or $tag$…$tag$.
func unquotePostgres(tok []byte) string {
	switch {
	case tok[0] == '$':
		n := bytes.IndexByte(tok[1:], '$') + 2
		return string(tok[n : len(tok)-n])
	case tok[0]|0x20 == 'e':
		return unescapePostgres(string(tok[2 : len(tok)-1]))
	case tok[0]|0x20 == 'u':
		value, _ := unescapeUnicode(undouble(string(tok[3:len(tok)-1])), '\\')
		return value
	}
	return undouble(string(tok[1 : len(tok)-1]))
}

func undouble(s string) string { return strings.ReplaceAll(s, "''", "'") }

// unescapePostgres returns the value of the inside of E'…', which may have several parts on several
// lines.
func unescapePostgres(s string) string {
	var b strings.Builder
	for s != "" {
		switch {
		case s[0] == '\\' && len(s) > 1:
			r, n := escape(s[1:])
			b.WriteString(r)
			s = s[1+n:]
		case strings.HasPrefix(s, "''"):
			b.WriteByte('\'')
			s = s[2:]
		case s[0] == '\'': // the gap between two parts
			s = s[1:]
			s = s[strings.IndexByte(s, '\'')+1:]
		default:
			b.WriteByte(s[0])
			s = s[1:]
		}
	}
	return b.String()
}

// escape returns the value of the escape sequence after a backslash, and its length.
func escape(s string) (string, int) {
	switch c := s[0]; c {
	case 'b', 'f', 'n', 'r', 't':
		i := strings.IndexByte("bfnrt", c)
		return "\b\f\n\r\t"[i : i+1], 1
	case 'x':
		if n := digits(s[1:], 2, 16); n > 0 {
			return string([]byte{byte(hexRune(s[1 : 1+n]))}), 1 + n
		}
	case 'u', 'U':
		want := 4
		if c == 'U' {
			want = 8
		}
		if n := digits(s[1:], want, 16); n == want {
			return string(hexRune(s[1 : 1+n])), 1 + n
		}
	case '0', '1', '2', '3', '4', '5', '6', '7':
		n := digits(s, 3, 8)
		v, _ := strconv.ParseUint(s[:n], 8, 16)
		return string([]byte{byte(v)}), n
	}
	_, n := utf8.DecodeRuneInString(s)
	return s[:n], n
}

// unescapeUnicode returns the value of the inside of a U&'…' or U&"…" with an escape character, and
// reports whether it is valid. It keeps invalid escapes as they are.
func unescapeUnicode(s string, escape byte) (value string, ok bool) {
	var units []rune
	for ok = escape != 0; s != ""; {
		r, n := utf8.DecodeRuneInString(s)
		if s[0] == escape {
			switch rest := s[1:]; {
			case rest != "" && rest[0] == escape:
				n = 2
			case strings.HasPrefix(rest, "+") && digits(rest[1:], 6, 16) == 6:
				r, n = hexRune(rest[1:7]), 8
			case digits(rest, 4, 16) == 4:
				r, n = hexRune(rest[:4]), 5
			default:
				ok = false
			}
		}
		if k := len(units) - 1; k >= 0 && utf16.IsSurrogate(units[k]) && utf16.DecodeRune(units[k], r) != utf8.RuneError {
			units[k] = utf16.DecodeRune(units[k], r)
		} else {
			units = append(units, r)
		}
		s = s[n:]
	}
	return string(units), ok && !slices.Contains(units, 0)
}

func hexRune(s string) rune {
	v, _ := strconv.ParseUint(s, 16, 32)
	return rune(v)
}

// digits counts the digits of a base at the beginning of s, up to n.
func digits(s string, n int, base int) int {
	for i := range min(n, len(s)) {
		if _, err := strconv.ParseUint(s[i:i+1], base, 8); err != nil {
			return i
		}
	}
	return min(n, len(s))
}

// unquoteMySQL returns the value of a string.
func unquoteMySQL(tok string) string {
	var b strings.Builder
	inner := tok[1 : len(tok)-1]
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		switch {
		case c == tok[0]:
			i++ // it is doubled
		case c == '\\' && i+1 < len(inner):
			i++
			c = inner[i]
			if at := strings.IndexByte("0nrtbZ", c); at >= 0 {
				c = "\x00\n\r\t\b\x1a"[at]
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}
