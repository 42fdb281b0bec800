package sqltext

// longestKeyword is the length from which a word is no keyword that matters here.
const longestKeyword = 20

// otherWord stands for a word that is none of those that known knows. No text can contain it.
const otherWord = "\x00"

// keyword returns a word in upper case, and "" if it is too long for a keyword that matters here.
func keyword(tok []byte) string {
	w := known(tok)
	if w != otherWord {
		return w
	}
	b := make([]byte, len(tok))
	for i, c := range tok {
		b[i] = upper(c)
	}
	return string(b)
}

// known returns the keyword that a word is, in upper case. It returns otherWord if this package has
// nothing to do with the word, and "" if the word is too long. It allocates nothing.
func known(tok []byte) string {
	if len(tok) > longestKeyword {
		return ""
	}
	var buf [longestKeyword]byte
	for i, c := range tok {
		if c = upper(c); (c < 'A' || c > 'Z') && c != '_' {
			return otherWord
		}
		buf[i] = c
	}
	return constant(buf[:len(tok)])
}
