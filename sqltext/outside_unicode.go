package sqltext

import (
	"bytes"
	"strings"
)

// plainQuotes returns a PostgreSQL text with U&"…" and U&'…' written as "…" and '…', and with
// strings that continue on a later line joined. It fills gaps with spaces, so all other tokens keep
// their places. If it can't decode a token, ok is false and at is the place of the first such
// token.
func (o *outside) plainQuotes(text []byte) (plain []byte, at int, ok bool) {
	plain, ok = text, true
	for c := o.tokens(text); c.kind != tEOF; c.next() {
		if c.kind != TokenString && c.kind != TokenName {
			continue
		}
		unicode := c.token()[0]|0x20 == 'u'
		if !unicode && c.token()[0] != '\'' {
			continue
		}
		from := c.from
		value, to := joined(c)
		if unicode {
			escape := byte('\\')
			if ahead := *c; ahead.nextWord("UESCAPE") {
				escape, to = ahead.uescape(), ahead.to
				*c = ahead
			}
			var valid bool
			if value, valid = decodeUnicode(value, escape); !valid {
				if ok {
					at, ok = from, false
				}
				continue
			}
		} else if c.from == from { // nothing continues it
			continue
		}
		quote := "'"
		if text[from]|0x20 == 'u' && text[from+2] == '"' {
			quote = `"`
		}
		value = quote + strings.ReplaceAll(value, quote, quote+quote) + quote
		if &plain[0] == &text[0] {
			plain = bytes.Clone(text)
		}
		n := copy(plain[from:to], value)
		for i := from + n; i < to; i++ {
			plain[i] = ' '
		}
	}
	return plain, at, ok
}

// joined returns the content of the current quoted token and those that continue it, and where they
// end. It moves to the last of them.
func joined(c *classifier) (value string, to int) {
	tok := c.token()
	open := bytes.IndexAny(tok, `'"`)
	quote := tok[open : open+1]
	value = string(tok[open+1 : len(tok)-1])
	if quote[0] == '\'' {
		for c.lex.continuation(c.to) >= 0 {
			c.next()
			tok = c.token()
			if c.kind != TokenString || tok[0] != '\'' {
				break
			}
			value += string(tok[1 : len(tok)-1])
		}
	}
	return strings.ReplaceAll(value, string(quote)+string(quote), string(quote)), c.to
}

// nextWord moves to the next token, and reports whether it is the keyword w.
func (c *classifier) nextWord(w string) bool {
	c.next()
	return c.word == w
}

// uescape moves to the string after UESCAPE and returns the character in it, 0 if that character is
// not allowed.
func (c *classifier) uescape() byte {
	c.next()
	if c.kind != TokenString {
		return 0
	}
	s := unquotePostgres(c.token())
	if len(s) != 1 || strings.ContainsAny(s, "+'\" \t\n\r\f\v") || digits(s, 1, 16) == 1 {
		return 0
	}
	return s[0]
}

// decodeUnicode decodes the content of a U&"…" or a U&'…', and reports whether it is valid.
func decodeUnicode(s string, escape byte) (string, bool) {
	if escape == 0 {
		return s, false
	}
	if escape != '\\' { // a backslash means itself then
		double := string([]byte{escape, escape})
		s = strings.ReplaceAll(s, `\`, `\\`)
		parts := strings.Split(s, double)
		for i := range parts {
			parts[i] = strings.ReplaceAll(parts[i], double[:1], `\`)
		}
		s = strings.Join(parts, escapedUnicode(escape))
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		switch rest := s[i+1:]; {
		case strings.HasPrefix(rest, `\`):
			i++
		case strings.HasPrefix(rest, "+") && digits(rest[1:], 6, 16) == 6:
		case digits(rest, 4, 16) == 4:
		default:
			return s, false
		}
	}
	value := unescapeUnicode(s)
	return value, !strings.ContainsRune(value, 0)
}

// escapedUnicode returns an ASCII character as an escape.
func escapedUnicode(c byte) string {
	const hex = "0123456789abcdef"
	return `\00` + string([]byte{hex[c>>4], hex[c&15]})
}
