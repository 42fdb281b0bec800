package database

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// The forms are the regular expressions that their comments name.
func TestFormsOfURLs(t *testing.T) {
	t.Parallel()
	forms := map[string]struct {
		is      func(string) bool
		pattern string
	}{
		"scheme":      {isScheme, `^[A-Za-z][A-Za-z0-9+.-]*$`},
		"file path":   {isFilePath, `^(/*[A-Za-z]:[\\/])?[^:@]*$|^:memory:$`},
		"param name":  {isParamName, `^[A-Za-z_][A-Za-z0-9_.-]{0,40}$`},
		"plain value": {isPlainValue, `^[A-Za-z0-9_.,-]{0,40}$`},
		"host, port":  {isHostPort, `^(\[[0-9A-Fa-f:.]*(%25[A-Za-z0-9]+)?\]|[\pL\pN._~%-]*)(:[0-9]*)?$`},
		"userinfo":    {isUserinfo, `^([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*$`},
		"path":        {isPath, `^(/[^:@#?]*)?$`},
		"controls":    {hasControls, `[\s\x00-\x20\x7f]`},
	}
	texts := []string{
		"", ":memory:", "C:/app.db", "//c:\\x", "/C:x", "a:", "[::1]", "[::1]:5432", "[fe80::1%25eth0]:1", "[fe80::1%25]", "[::1", "[]", "[]x", "[%25%25]",
		"[::1]]", "müller.example:1", "٣:٣", "a:b", "a:1:2", "%41", "%4", "%", "%zz", "a%2Fb%", "\xff", "a\xff:1", "/", "//", "/a#b", "x/", "\u2028", "\u00a0", "\x7f",
		strings.Repeat("a", 40), strings.Repeat("a", 41), strings.Repeat("a", 42), "_" + strings.Repeat("é", 30), "a\n", "/a\nb",
	}
	pieces := []string{"a", "Z", "f", "g", "0", "9", ":", "/", "\\", "@", "#", "?", "%", "%25", "%4a", "[", "]", ".", "-", "_", "~", "+", ",", "=", "'", " ", "\n", "\x00", "é", "٣", "\xff", "²", ":memory:", "C:/"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		texts = append(texts, b.String())
	}
	for name, form := range forms {
		pattern := regexp.MustCompile(form.pattern)
		for _, text := range texts {
			if got, want := form.is(text), pattern.MatchString(text); got != want {
				t.Errorf("%s: %q is %v, want %v", name, text, got, want)
			}
		}
	}
}
