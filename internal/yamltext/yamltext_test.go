package yamltext_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/whimbrel-db/whimbrel/internal/yamltext"
)

var limits = yamltext.Limits{Bytes: 1 << 20, Signs: 1 << 16}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"\tdatabase: x\n":                        "a tab indents this line; indent it with spaces",
		"environments:\n  a:\n\t\tdatabase: x\n": "a tab indents this line; indent it with spaces",
		"a: b\n  c: d\n":                         "the indentation is wrong around this line; keys of one level begin in the same column",
		" a: b\nc: d\n":                          "the indentation is wrong around this line; keys of one level begin in the same column",
		"database: sqlite: app.db\n":             "a value that contains a colon and a space needs quotes",
		"a: b\ndir migrations\n":                 `this line is not "key: value"; a colon and a space follow the key`,
		"a: [b\n":                                "sequence end token ']' not found",
	} {
		_, err := yamltext.Parse(text)
		var e yaml.Error
		if !errors.As(err, &e) {
			t.Errorf("the error of %q is %v, want a yaml.Error", text, err)
			continue
		}
		if got := yamltext.Plain(text, e.GetToken().Position.Line, e.GetMessage()); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := yamltext.Plain("a", 2, "other"); got != "other" {
		t.Errorf("beyond the last line: got %q, want %q", got, "other")
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"an ordinary text", "a:\n  - b: {c: [1, 2]}\n", ""},
		{"a long line of words and dashes", "a: " + strings.Repeat("x - ", 5000), ""},
		{"many keys in one line", "{" + strings.Repeat("a: 1, ", 1000) + "}", ""},
		{"brackets beside one another", strings.Repeat("[],", 5000), ""},
		{"brackets in brackets", "a: " + strings.Repeat("[", 50_000), "1:104: this is nested too deep"},
		{"braces in braces", strings.Repeat("{a: ", 50_000), "1:401: this is nested too deep"},
		{"keys behind keys", "x: 1\n" + strings.Repeat("a: ", 50_000), "2:302: this is nested too deep"},
		{"lists of lists", strings.Repeat("- ", 50_000), "1:1001: this is nested too deep"},
		{"keys that are keys", strings.Repeat("? ", 50_000), "1:1001: this is nested too deep"},
		{"too long", strings.Repeat("x", 1<<20+1), "1:1: the file has 1048577 bytes; the most that is read is 1048576"},
		{"too many values", "[" + strings.Repeat("1,", 1<<16) + "]", "1:131073: the file has more values than can be read: over 65536 commas"},
		{"not UTF-8", "a:\n  \xff", "2:3: the file is not UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if p := yamltext.Check(tt.text, limits); p != nil {
				got = fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Msg)
			}
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want a text beginning with %q", got, tt.want)
			}
			if got, want := (tt.want == ""), (got == ""); got != want {
				t.Errorf("(tt.want == \"\") = %v, want %v", got, want)
			}
		})
	}
}

// Aliases that stand for aliases are counted without being written out.
func TestExpanded(t *testing.T) {
	bomb := "a0: &a0 {x: y}\n"
	for i := 1; i < 60; i++ {
		bomb += fmt.Sprintf("a%d: &a%d {<<: [*a%d, *a%d]}\n", i, i, i-1, i-1)
	}
	for _, tt := range []struct {
		name, text string
		over       bool
	}{
		{"no alias", "a: 1\nb: [2, 3]\n", false},
		{"an anchor and a few aliases", "a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n", false},
		{"an alias of nothing", "a: *b\n", false},
		{"an alias of itself", "a: &a [*a]\n", false},
		{"one that is used often", "a: &a " + strings.Repeat("x", 1000) + "\nb: [" + strings.Repeat("*a, ", 100) + "]\n", true},
		{"aliases of aliases", bomb, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := yamltext.Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			const limit = 50_000
			if got := yamltext.Expanded(f, limit); got > limit != tt.over {
				t.Errorf("yamltext.Expanded(f, limit): got > limit = %v, want %v", got > limit, tt.over)
			} else if got > limit+1 {
				t.Errorf("yamltext.Expanded(f, limit): got = %v, want at most %v", got, limit+1)
			}
		})
	}
}

func TestParseMakesAnErrorOfWhatIsNoYAML(t *testing.T) {
	if _, err := yamltext.Parse("{a"); err == nil {
		t.Error("it was parsed")
	}
}
