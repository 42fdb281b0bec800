package fence

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fileRules hold within a package, where the rules for packages don't apply. Tests are exempt.
var fileRules = []struct {
	files     string   // a pattern, relative to the module
	forbidden []string // packages that they must not import
	why       string
}{
	{
		files:     "plan*.go",
		forbidden: []string{"context", "time", "sync"},
		why:       "planning is pure: it asks no database and waits for nothing",
	},
}

func TestTheFiles(t *testing.T) {
	for _, r := range fileRules {
		files, err := filepath.Glob(filepath.Join("..", "..", r.files))
		if err != nil {
			t.Fatal(err)
		}
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
		if len(files) < 5 {
			t.Errorf("only %d files match %s", len(files), r.files)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, broken := range brokenImports(t, filepath.Base(f), string(text), r.forbidden) {
				t.Errorf("%s: %s", broken, r.why)
			}
		}
	}
}

// TestTheFilesFence shows that the rule finds an import.
func TestTheFilesFence(t *testing.T) {
	got := brokenImports(t, "plan.go", "package p\nimport (\n\"fmt\"\nc \"context\"\n)", []string{"context"})
	if want := []string{"plan.go must not import context"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// brokenImports returns a sentence for each forbidden import of a file.
func brokenImports(t *testing.T, name, text string, forbidden []string) (sentences []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(forbidden, path) {
			sentences = append(sentences, fmt.Sprintf("%s must not import %s", name, path))
		}
	}
	return sentences
}
