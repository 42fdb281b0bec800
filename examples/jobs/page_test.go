package jobs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestTheProgramsOfThePages executes the first program of the pages about jobs and backfills, and
// compares its output with the page's.
func TestTheProgramsOfThePages(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"jobs", "backfill"} {
		page, err := os.ReadFile("../../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		parts := regexp.MustCompile("(?s)```go\n(.*?)```.*?```console\n\\$ go run \\.\n(.*?)```").FindSubmatch(page)
		script := regexp.MustCompile(`(?s)fill_email.backfill.sql <<'SQL'\n(.*?)\nSQL`).FindSubmatch(page)
		if parts == nil || (name == "backfill" && script == nil) {
			t.Errorf("docs/%s.md has no program with its output, or no script", name)
			continue
		}
		files := map[string][]byte{"main.go": parts[1]}
		if name == "backfill" { // the script of its first example
			files["migrations/0001_users.up.sql"] = []byte(`
				CREATE TABLE users (id int PRIMARY KEY, name text, email text);
				INSERT INTO users (id, name) SELECT i, 'User' || i FROM generate_series(1, 1000) i;`)
			files["migrations/0002_fill_email.backfill.sql"] = script[1]
		}
		out, err := goRun(t, name+"page", files, "DATABASE_URL="+testdb.Postgres(t))
		if err != nil {
			t.Errorf("docs/%s.md: %v\n%s", name, err, out)
		}
		if diff := cmp.Diff(string(parts[2]), out); diff != "" {
			t.Errorf("docs/%s.md: output (-page +program):\n%s", name, diff)
		}
	}
}

// goRun runs a main package inside this module, without writing into its folder.
func goRun(t *testing.T, name string, files map[string][]byte, env string) (string, error) {
	t.Helper()
	module, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	write := func(file string, text []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range files {
		write(filepath.Join(dir, file), text)
		replace[filepath.Join(module, "internal", name, file)] = filepath.Join(dir, file)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, "overlay.json"), overlay)
	cmd := exec.CommandContext(t.Context(), "go", "run", "-overlay", filepath.Join(dir, "overlay.json"), "./internal/"+name)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
