package sqltext

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestContainsFold(t *testing.T) {
	t.Parallel()
	words := []string{"dblink", "conflict", "sql_mode", "replace(", "no_backslash_escapes", "key", "://", "aa"}
	r := rand.New(rand.NewPCG(1, 2))
	for range scale(20000) {
		var b strings.Builder
		for range r.IntN(12) {
			w := words[r.IntN(len(words))]
			w = w[:r.IntN(len(w)+1)]
			if r.IntN(2) == 0 {
				w = strings.ToUpper(w)
			}
			b.WriteString(w)
		}
		text := b.String()
		for _, w := range words {
			want := strings.Contains(strings.ToLower(text), w)
			if got := containsFold(text, w); got != want {
				t.Fatalf("containsFold(%q, %q) = %v", text, w, got)
			}
			if got := bytesContainFold([]byte(text), w); got != want {
				t.Fatalf("bytesContainFold(%q, %q) = %v", text, w, got)
			}
		}
	}
}

func TestMaySecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, "pas": false, "Pass": true, "xPWD": true, "pw": false, "wd": false, "IDENTIFIED": true, "fied": false, "secreT": true, "ecret": false,
		"tokeN": true, "oken": false, "CREDENTIAL": true, "PRAGMA kEY": true, "attach key": true, "PRIMARY KEY (x)": false, "api_key": true, "apiKEY": true, ":/": false, "a://": true, "//": false, "a:://": true, "cCredential": true, "papasS": true, "ppwd": true, "identifIDENTIFIED": true, "sesecret": true, "toktoken": true, "pragma kkEy": true, "c r k e p a f i : /": false, "crkepawfi:/": false, "CREATE TABLE t (x int, y text)": false,
	} {
		if got := maySecret(text); got != want {
			t.Errorf("maySecret(%q) = %v", text, got)
		}
	}
}
