package source

import (
	"fmt"
	"strings"
	"unicode"
)

// Two names can look the same and differ: é is one character, or an e followed by an accent.
// Systems write file names either way (Unicode's normal forms NFC and NFD).

// lookAlike says how two names differ that look the same, "" for names that don't.
func lookAlike(a, b string) string {
	x, y := []rune(a), []rune(b)
	first := ""
	for len(x) > 0 && len(y) > 0 {
		n, m := 1, 1
		if x[0] != y[0] {
			if n, m = composed(x, y); n == 0 {
				return ""
			}
			if first == "" {
				first = fmt.Sprintf(": they look alike, but %s is %s in one and %s in the other, which is a matter of Unicode normalization", string(x[:n]), points(x[:n]), points(y[:m]))
			}
		}
		x, y = x[n:], y[m:]
	}
	if len(x)+len(y) > 0 {
		return ""
	}
	return first
}

// composed returns how many characters at the beginning of x and y are the same letter, written as
// one character in one of them and as letter and accent in the other.
func composed(x, y []rune) (n, m int) {
	if n := parts(x[0], y); n > 0 {
		return 1, n
	}
	if n := parts(y[0], x); n > 0 {
		return n, 1
	}
	return 0, 0
}

// parts returns how many characters of y a composed character may have been taken apart into.
func parts(whole rune, y []rune) int {
	if n := syllable(whole, y); n > 0 {
		return n
	}
	n := 1
	for n < len(y) && unicode.Is(unicode.Mn, y[n]) {
		n++
	}
	if n == 1 || whole < 0x80 || !unicode.IsLetter(whole) || unicode.IsUpper(whole) != unicode.IsUpper(y[0]) {
		return 0
	}
	return n
}

// syllable takes a Hangul syllable apart, as Unicode defines it.
func syllable(whole rune, y []rune) int {
	const first, last, lead, vowel, tail = 0xac00, 0xd7a3, 0x1100, 0x1161, 0x11a7
	if whole < first || whole > last {
		return 0
	}
	s := whole - first
	apart := []rune{lead + s/588, vowel + s%588/28}
	if s%28 > 0 {
		apart = append(apart, tail+s%28)
	}
	if len(y) < len(apart) || string(y[:len(apart)]) != string(apart) {
		return 0
	}
	return len(apart)
}

// points are characters as numbers.
func points(s []rune) string {
	var all []string
	for _, r := range s {
		all = append(all, fmt.Sprintf("%U", r))
	}
	return strings.Join(all, " ")
}
