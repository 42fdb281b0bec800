package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "whimbrel.yaml")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// resolveWith says which database is meant, with some flags, variables and a file.
func resolveWith(flags globalFlags, env map[string]string) (string, error) {
	a := &app{Process: Process{LookupEnv: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}}, global: flags}
	return a.databaseURL()
}

func TestWhichDatabase(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "database: top\nenvironments:\n  prod:\n    database: section-${A}-${A}\n  none: {}\n")
	both := map[string]string{envURL: "own", envURLToo: "common", "A": "a"}
	for _, c := range []struct {
		name  string
		flags globalFlags
		env   map[string]string
		want  string
	}{
		{"a flag comes first", globalFlags{database: "flag", config: file, env: "prod"}, both, "flag"},
		{"then the environment that is asked for", globalFlags{config: file, env: "prod"}, both, "section-a-a"},
		{"then Whimbrel's variable", globalFlags{config: file}, both, "own"},
		{"also where the section says none", globalFlags{config: file, env: "none"}, both, "own"},
		{"then the common one", globalFlags{config: file}, map[string]string{envURL: "", envURLToo: "common"}, "common"},
		{"then the top of the file", globalFlags{config: file, env: "none"}, nil, "top"},
	} {
		got, err := resolveWith(c.flags, c.env)
		noError(t, c.name, err)
		wantEqual(t, c.name, got, c.want)
	}
}

// A section inherits from the top what it does not set. Values that are not used are not expanded.
func TestSectionsInheritFromTheTop(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, `
database: ${NOT_SET_AND_NOT_USED}
set: app
atomic: true
migration_lock_timeout: 1m
environments:
  prod: &prod
    database: x
    schema: tools
    atomic: false
  staging:
    <<: *prod
    set: other
`)
	noEnv := func(string) (string, bool) { return "", false }
	r, err := (&app{Process: Process{LookupEnv: noEnv}, global: globalFlags{config: file, env: "staging"}}).resolve()
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "set", r.set, "other")
	wantEqual(t, "schema", r.schema, "tools")
	wantEqual(t, "atomic", r.atomic, false)
	wantEqual(t, "lock timeout", r.migrationLockTimeout, time.Minute)
	url, err := resolveWith(globalFlags{config: file, env: "prod"}, nil)
	noError(t, "URL", err)
	wantEqual(t, "URL", url, "x")
}

// Everything wrong in a file is an error with its place; none shows a secret.
func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, env    string
		line, column int
		msg          string
	}{
		{"dir: x\ndatabse: geheim\n", "", 2, 1, `unknown key "databse"`},
		{"environments:\n  prod:\n    Dir: geheim\n", "", 3, 5, `unknown key "Dir"`},
		{"environments:\n  prod:\n    environments: {}\n", "", 3, 5, `unknown key "environments"`},
		{"dir: [geheim]\n", "", 1, 6, "single value"},
		{"environments: geheim\n", "", 1, 15, "expected names of environments"},
		{"dir: x\ndir: geheim\n", "", 2, 1, "already defined"},
		{"a: b: geheim\n", "", 1, 0, ""},
		{"dir: x\n---\ndir: geheim\n", "", 1, 1, "more than one YAML document"},
		{"database: geheim-${NOT_SET}-x\n", "", 1, 18, "environment variable NOT_SET is not set"},
		{"database: \"geheim-${NOT_SET}\"\n", "", 1, 19, "environment variable NOT_SET is not set"},
	} {
		_, err := resolveWith(globalFlags{config: writeConfig(t, c.text), env: c.env}, nil)
		var u *usageError
		if !errors.As(err, &u) {
			t.Errorf("%q: got %v", c.text, err)
			continue
		}
		wantEqual(t, "line in "+c.text, u.line, c.line)
		if c.column != 0 {
			wantEqual(t, "column in "+c.text, u.column, c.column)
		}
		wantContains(t, c.text, u.msg, c.msg)
		if strings.Contains(u.msg+u.hint, "geheim") {
			t.Errorf("%q: the message shows a value: %s %s", c.text, u.msg, u.hint)
		}
	}
}

// A file of a few kilobytes can stand for gigabytes: what it costs is known before it is decoded.
func TestConfigThatWouldCostTooMuch(t *testing.T) {
	t.Parallel()
	bomb := "environments:\n  e0: &e0 {dir: x}\n"
	for i := 1; i < 60; i++ {
		bomb += fmt.Sprintf("  e%d: &e%d {<<: [*e%d, *e%d]}\n", i, i, i-1, i-1)
	}
	for _, c := range []struct{ name, text, want string }{
		{"nested too deep", "x: " + strings.Repeat("[", 50_000), "nested too deep"},
		{"aliases of aliases", bomb, "with its aliases expanded, the file would be longer than 1 MiB"},
		{"large", "dir: " + strings.Repeat("x", maxConfig), "larger than the limit of 262144 bytes"},
		{"not UTF-8", "dir: \xff\n", "not UTF-8"},
	} {
		_, err := resolveWith(globalFlags{config: writeConfig(t, c.text)}, nil)
		u, ok := asType[*usageError](err)
		if !ok {
			t.Errorf("%s: got %v, want a usage error", c.name, err)
			continue
		}
		wantContains(t, c.name, u.msg, c.want)
	}
}

func TestEmptyConfigIsFine(t *testing.T) {
	t.Parallel()
	noEnv := func(string) (string, bool) { return "", false }
	for _, text := range []string{"", "# nothing\n", "dir:\n", "environments:\n  prod:\n"} {
		r, err := (&app{Process: Process{LookupEnv: noEnv}, global: globalFlags{config: writeConfig(t, text)}}).resolve()
		noError(t, text, err)
		wantEqual(t, text, r.dir, defaultDir)
	}
}
