package database

import (
	"strings"
	"unicode"
)

// The forms of a URL's parts, beside each its regular expression. They are code because each start
// of a program reads a URL, and compiling the expressions takes longer than everything else about
// it.

// only reports whether a text consists of characters of which is returns true.
func only(text string, is func(c byte) bool) bool {
	for i := range len(text) {
		if !is(text[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isAlnum(c byte) bool  { return isDigit(c) || isLetter(c) }
func isHex(c byte) bool    { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// oneOf returns a function that reports whether a byte is a letter, a digit, or one of others.
func oneOf(others string) func(byte) bool {
	return func(c byte) bool { return isAlnum(c) || strings.IndexByte(others, c) >= 0 }
}

// isScheme is ^[A-Za-z][A-Za-z0-9+.-]*$
func isScheme(text string) bool {
	return text != "" && isLetter(text[0]) && only(text, oneOf("+.-"))
}

// isFilePath is ^(/*[A-Za-z]:[\\/])?[^:@]*$|^:memory:$
func isFilePath(text string) bool {
	path := text
	if p := strings.TrimLeft(text, "/"); len(p) > 2 && isLetter(p[0]) && p[1] == ':' && (p[2] == '\\' || p[2] == '/') {
		path = p[3:]
	}
	return !strings.ContainsAny(path, ":@") || text == ":memory:"
}

// maxShown is the maximum length of a parameter's value, and of its name after the first character.
const maxShown = 40

// isParamName is ^[A-Za-z_][A-Za-z0-9_.-]{0,40}$
func isParamName(text string) bool {
	return text != "" && len(text) <= 1+maxShown && (isLetter(text[0]) || text[0] == '_') && only(text, oneOf("_.-"))
}

// isPlainValue is ^[A-Za-z0-9_.,-]{0,40}$
func isPlainValue(text string) bool { return len(text) <= maxShown && only(text, oneOf("_.,-")) }

// isHostPort is ^(\[[0-9A-Fa-f:.]*(%25[A-Za-z0-9]+)?\]|[\pL\pN._~%-]*)(:[0-9]*)?$
func isHostPort(text string) bool {
	var port string
	if address, ok := strings.CutPrefix(text, "["); ok {
		address, port, ok = strings.Cut(address, "]")
		address, zone, zoned := strings.Cut(address, "%25")
		if !ok || zoned && (zone == "" || !only(zone, isAlnum)) || !only(address, func(c byte) bool { return isHex(c) || c == ':' || c == '.' }) {
			return false
		}
		if port == "" {
			return true
		}
		if port, ok = strings.CutPrefix(port, ":"); !ok {
			return false
		}
	} else {
		var host string
		host, port, _ = strings.Cut(text, ":")
		if strings.ContainsFunc(host, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !strings.ContainsRune("._~%-", r)
		}) {
			return false
		}
	}
	return only(port, isDigit)
}

// isUserinfo is ^([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*$
func isUserinfo(text string) bool {
	plain := oneOf("._~!$&'()*+,;=:-")
	for i := 0; i < len(text); i++ {
		switch {
		case plain(text[i]):
		case text[i] == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

// isPath is ^(/[^:@#?]*)?$
func isPath(text string) bool {
	return text == "" || text[0] == '/' && !strings.ContainsAny(text, ":@#?")
}

// hasControls is [\s\x00-\x20\x7f]
func hasControls(text string) bool {
	return !only(text, func(c byte) bool { return c > ' ' && c != 0x7f })
}
