package sqltext

// keyword returns a word in upper case, and "" if it is too long for a keyword that matters here.
// It allocates nothing for the common ones.
func keyword(tok []byte) string {
	var buf [20]byte
	if len(tok) > len(buf) {
		return ""
	}
	for i, c := range tok {
		if c >= 'a' && c <= 'z' {
			c &^= 0x20
		}
		buf[i] = c
	}
	for _, w := range common {
		if string(buf[:len(tok)]) == w {
			return w
		}
	}
	return string(buf[:len(tok)])
}

// common are keywords that begin nearly all statements.
var common = [...]string{
	"INSERT", "UPDATE", "DELETE", "REPLACE", "SELECT", "WITH", "COPY", "CREATE", "ALTER", "DROP", "SET", "TABLE", "INDEX", "COMMENT", "GRANT", "INTO", "UNIQUE",
}
