package sqltext

import (
	"bytes"
	"strings"
)

// containsFold reports whether a text has a word of lower-case letters, in any case.
func containsFold(text, word string) bool { return findFold(text, word, strings.IndexByte) }

// bytesContainFold is containsFold for bytes.
func bytesContainFold(text []byte, word string) bool { return findFold(text, word, bytes.IndexByte) }

// findFold finds the rarest letter of the word, with index, and compares the others only there.
func findFold[T string | []byte](text T, word string, index func(T, byte) int) bool {
	at := rarest(word)
	low, high := -1, -1 // where the letter is next, in lower and upper case
	for i := at; i < len(text); i++ {
		if low < i {
			low = nextByte(text, i, word[at], index)
		}
		if high < i {
			high = nextByte(text, i, upper(word[at]), index)
		}
		i = min(low, high)
		if from := i - at; from+len(word) > len(text) {
			return false
		} else if foldEqual(text[from:from+len(word)], word) {
			return true
		}
	}
	return false
}

// nextByte returns the offset of a byte from i on, the length of the text if there is none.
func nextByte[T string | []byte](text T, i int, c byte, index func(T, byte) int) int {
	if j := index(text[i:], c); j >= 0 {
		return i + j
	}
	return len(text)
}

// rarest returns the offset of the letter of a word that is probably the rarest in a text. Those of
// hexadecimal digits are not rare in data.
func rarest(word string) int {
	const byRarity = "qjzxvkwypgmhulrsntioabcdfe"
	best, at := len(byRarity), 0
	for i := range len(word) {
		if n := strings.IndexByte(byRarity, word[i]); n < best {
			best, at = n, i
		}
	}
	return at
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c &^ 0x20
	}
	return c
}
