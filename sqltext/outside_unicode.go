package sqltext

import (
	"bytes"
	"strings"
)

// plainQuotes returns a PostgreSQL text with U&"…" and U&'…' written as "…" and '…', and with
// strings that continue on a later line joined. It fills gaps with spaces, so all other tokens keep
// their places. If it can't decode a token, ok is false and at is the place of the first such
// token.
func plainQuotes(text []byte) (plain []byte, at int, ok bool) {
	plain, ok = text, true
	for c := newCursor(text, PostgreSQL, postgresRules); c.kind != tEOF; c.next() {
		if c.kind != TokenString && c.kind != TokenName {
			continue
		}
		unicode := c.token()[0]|0x20 == 'u'
		if !unicode && c.token()[0] != '\'' {
			continue
		}
		from := c.from
		value, to := joined(&c)
		if unicode {
			escape := byte('\\')
			if ahead := c.ahead(); ahead.take("UESCAPE") {
				escape, to = ahead.escapeCharacter(), ahead.to
				c = ahead
			}
			var valid bool
			if value, valid = unescapeUnicode(value, escape); !valid {
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
func joined(c *cursor) (value string, to int) {
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

// escapeCharacter returns the character in the current string, which follows UESCAPE, 0 if that
// character is not allowed.
func (c *cursor) escapeCharacter() byte {
	s := c.asToken().Value()
	if len(s) != 1 || strings.ContainsAny(s, "+'\" \t\n\r\f\v") || digits(s, 1, 16) == 1 {
		return 0
	}
	return s[0]
}
