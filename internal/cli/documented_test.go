package cli

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// docs/cli.md lists every kind of error with its exit code, and every field of one.
func TestErrorsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("explain.go")
	if err != nil {
		t.Fatal(err)
	}
	_, errors, found := strings.Cut(string(page), "\n### Errors\n")
	if !found {
		t.Fatal("docs/cli.md has no section about errors")
	}
	have := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\tkind\w+ +render\.Kind = "(\w+)"$`).FindAllStringSubmatch(string(source), -1) {
		have[m[1]] = strconv.Itoa(exitCode(render.Kind(m[1])))
		if m[1] == string(kindInterrupted) {
			have[m[1]] = "128+"
		}
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([0-9+]+) \\|").FindAllStringSubmatch(errors, -1) {
		documented[m[1]] = m[2]
	}
	if diff := cmp.Diff(have, documented); diff != "" {
		t.Errorf("the kinds of errors differ (-code +docs/cli.md):\n%s", diff)
	}
	if len(have) < 20 {
		t.Errorf("the code has the kinds %q; want 20 or more", slices.Sorted(maps.Keys(have)))
	}
	fields := reflect.TypeFor[render.Failure]()
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
		if name != "-" && !strings.Contains(errors, "`"+name+"`") && !strings.Contains(errors, `"`+name+`"`) {
			t.Errorf("docs/cli.md does not explain the field %s of an error", name)
		}
	}
}
