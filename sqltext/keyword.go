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
	if w := common(buf[:len(tok)]); w != "" {
		return w
	}
	return string(buf[:len(tok)])
}

// common returns the keywords that begin nearly all statements, for which keyword
// then allocates nothing.
func common(upper []byte) string {
	switch string(upper) {
	case "INSERT":
		return "INSERT"
	case "UPDATE":
		return "UPDATE"
	case "DELETE":
		return "DELETE"
	case "REPLACE":
		return "REPLACE"
	case "SELECT":
		return "SELECT"
	case "WITH":
		return "WITH"
	case "COPY":
		return "COPY"
	case "CREATE":
		return "CREATE"
	case "ALTER":
		return "ALTER"
	case "DROP":
		return "DROP"
	case "SET":
		return "SET"
	case "TABLE":
		return "TABLE"
	case "INDEX":
		return "INDEX"
	case "COMMENT":
		return "COMMENT"
	case "GRANT":
		return "GRANT"
	case "INTO":
		return "INTO"
	case "UNIQUE":
		return "UNIQUE"
	}
	return ""
}
