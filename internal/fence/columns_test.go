package fence

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const lastColumn = 100

// TestProseEndsByColumn100 checks the comment lines of Go files and the prose lines of Markdown
// files.
func TestProseEndsByColumn100(t *testing.T) {
	err := filepath.WalkDir("../..", func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == ".git" {
			return filepath.SkipDir
		}
		check := map[string]func(text string) []int{".go": longComments, ".md": longProse}[filepath.Ext(file)]
		if e.IsDir() || check == nil {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		file = filepath.ToSlash(strings.TrimPrefix(file, "../../"))
		for _, line := range check(string(text)) {
			t.Errorf("%s:%d: a line of prose ends after column %d", file, line, lastColumn)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// longComments returns the numbers of the comment lines of a Go file that are too long. It accepts
// URLs, directives, code, tables, and the output of examples.
func longComments(text string) (numbers []int) {
	output, n := false, 0
	for line := range strings.Lines(text) {
		n++
		comment, ok := strings.CutPrefix(strings.TrimSpace(line), "//")
		output = ok && (output || strings.TrimSpace(comment) == "Output:")
		switch {
		case !ok, output, !tooLong(line):
		case slices.ContainsFunc([]string{"go:", "\t", "    ", " |"}, func(start string) bool { return strings.HasPrefix(comment, start) }):
		default:
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// longProse returns the numbers of the lines of a Markdown file that are too long. It accepts URLs,
// code blocks, and tables.
func longProse(text string) (numbers []int) {
	code, n := false, 0
	for line := range strings.Lines(text) {
		n++
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "```") {
			code = !code
			continue
		}
		if !code && !strings.HasPrefix(trimmed, "|") && tooLong(line) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// tooLong counts characters: a tab is one.
func tooLong(line string) bool {
	line = strings.TrimRight(line, "\r\n")
	return utf8.RuneCountInString(line) > lastColumn && !strings.Contains(line, "://")
}

// TestTheColumnsFence shows which lines the rule finds.
func TestTheColumnsFence(t *testing.T) {
	fits, long := strings.Repeat("ä", 96), strings.Repeat("x", 98)
	for _, tt := range []struct {
		name  string
		check func(string) []int
		lines []string
		want  []int
	}{
		{"comments", longComments, []string{"// " + long, "// " + fits, "\t// " + fits, "\t// ä" + fits, "x // " + long}, []int{1, 4}},
		{"what is no prose in comments", longComments, []string{"// https://" + long, "//go:x" + long, "//\tcode" + long, "// | table" + long}, nil},
		{"the output of an example", longComments, []string{"\t// Output:", "\t// " + long, "}", "// " + long}, []int{4}},
		{"prose", longProse, []string{long + "xx", long + "xxx", "- https://" + long, "| " + long + " |"}, []int{2}},
		{"code in prose", longProse, []string{"```sh", long + "xxx", "```", long + "xxx"}, []int{4}},
	} {
		if diff := cmp.Diff(tt.want, tt.check(strings.Join(tt.lines, "\n"))); diff != "" {
			t.Errorf("%s: numbers of long lines (-want +got):\n%s", tt.name, diff)
		}
	}
}
