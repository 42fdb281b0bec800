package sqltext

// keyword returns a word in upper case, "" for one that is too long to be a
// keyword that matters here.
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
	if w, ok := commonKeywords[string(buf[:len(tok)])]; ok {
		return w
	}
	return string(buf[:len(tok)])
}

// commonKeywords begin nearly all statements; for them keyword allocates nothing.
var commonKeywords = map[string]string{
	"INSERT": "INSERT", "UPDATE": "UPDATE", "DELETE": "DELETE", "REPLACE": "REPLACE", "SELECT": "SELECT",
	"WITH": "WITH", "COPY": "COPY", "CREATE": "CREATE", "ALTER": "ALTER", "DROP": "DROP", "SET": "SET",
	"TABLE": "TABLE", "INDEX": "INDEX", "COMMENT": "COMMENT", "GRANT": "GRANT", "CALL": "CALL",
}
