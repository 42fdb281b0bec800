package sqltext

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestKeywordsAreKnown checks that constant has every word that the package compares with. A word
// that it lacks would never be found.
func TestKeywordsAreKnown(t *testing.T) {
	t.Parallel()
	inMessages := map[string]bool{"NUL": true, "UTF": true, "SQL": true, "NO_BACKSLASH_ESCAPES": true, "ORACLE": true}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range regexp.MustCompile(`\b[A-Z][A-Z_]+\b`).FindAllString(text, -1) {
				found++
				if known([]byte(word)) == otherWord && !inMessages[word] {
					t.Errorf("%s has %q, which keywords.go lacks", name, word)
				}
			}
			return true
		})
	}
	if found < 500 {
		t.Errorf("found only %d words", found)
	}
}

func TestKnown(t *testing.T) {
	for word, want := range map[string]string{
		"select": "SELECT", "Two_Phase": "TWO_PHASE", "x": otherWord, "créer": otherWord, "select1": otherWord, "@elect": otherWord, "": otherWord,
		"abcdefghijklmnopqrst": otherWord, "abcdefghijklmnopqrstu": "",
	} {
		if got := known([]byte(word)); got != want {
			t.Errorf("known(%q) = %q, want %q", word, got, want)
		}
	}
	if got := keyword([]byte("Créer1")); got != "CRéER1" {
		t.Errorf("keyword: %q", got)
	}
	word := []byte("an_identifier")
	if n := testing.AllocsPerRun(10, func() { known(word) }); n > 0 {
		t.Errorf("known allocates %v times", n)
	}
}
