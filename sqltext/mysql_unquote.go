package sqltext

import "strings"

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
