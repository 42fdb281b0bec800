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

// TestTheProgramOfThePage executes the program of docs/jobs.md, and compares its output with the
// page's.
func TestTheProgramOfThePage(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	page, err := os.ReadFile("../../docs/jobs.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile("(?s)```go\n(.*?)```.*?```console\n\\$ go run \\.\n(.*?)```").FindSubmatch(page)
	if parts == nil {
		t.Fatal("docs/jobs.md has no program with its output")
	}
	out, err := goRun(t, parts[1], "DATABASE_URL="+url)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if diff := cmp.Diff(string(parts[2]), out); diff != "" {
		t.Errorf("output (-page +program):\n%s", diff)
	}
}

// goRun runs a main package inside this module, without writing into its folder.
func goRun(t *testing.T, program []byte, env string) (string, error) {
	t.Helper()
	module, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(module, "internal", "jobspage", "main.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{file: program, overlay: text} {
		if err := os.WriteFile(name, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "-overlay", overlay, "./internal/jobspage")
	cmd.Dir = module
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
