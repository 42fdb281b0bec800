package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestReadmeOnSQLite runs a tour of the README and compares its output with the README's.
func TestReadmeOnSQLite(t *testing.T) {
	t.Parallel()
	tour := section(t, "Five minutes, on SQLite")
	sh := newShell(t, t.TempDir())
	sh.follow(tour)
	sh.run("sed -i 's/TABLE user /TABLE users /' migrations/0002_add_email.up.sql && whimbrel up")
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(tour, -1) {
		sh.run(row[1])
	}
}

func TestReadmeOnPostgres(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	tour, _, _ := strings.Cut(section(t, "The same on PostgreSQL"), "```yaml")
	const example = "postgres://me@localhost/app?sslmode=disable"
	if !strings.Contains(tour, example) {
		t.Fatalf("the tour has another URL than %s", example)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "examples/shop"), os.DirFS("../../examples/shop")); err != nil {
		t.Fatal(err)
	}
	sh := newShell(t, dir)
	sh.follow(strings.ReplaceAll(tour, example, url))
	sh.run("whimbrel plan --dir examples/shop | grep run && whimbrel up --dir examples/shop")
}

// These pages of docs can be followed from an empty folder too.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"settings.md", "reset.md", "baseline.md", "inspect.md", "squash.md", "cli.md", "files.md", "sqlite.md"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("../../docs", name))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "\n$ whimbrel ") {
				t.Fatal("there is nothing to follow")
			}
			newShell(t, t.TempDir()).follow(string(text))
		})
	}
}

// section returns the text under a heading of the README.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("the README has no section %q", heading)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	return body
}

// shell remembers what commands export.
type shell struct {
	t   *testing.T
	dir string
	env []string
}

func newShell(t *testing.T, dir string) *shell {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	return &shell{t: t, dir: dir, env: env}
}

// follow runs the blocks of a tour; what a console block shows below a command is its answer.
func (s *shell) follow(tour string) {
	s.t.Helper()
	for _, block := range regexp.MustCompile("(?s)```(sh|console)\n(.*?)```").FindAllStringSubmatch(tour, -1) {
		if block[1] == "sh" {
			s.run(block[2])
			continue
		}
		for _, part := range strings.Split("\n"+block[2], "\n$ ")[1:] {
			command, want, _ := strings.Cut(part, "\n")
			if got := s.answer(command); settle(got) != settle(want) {
				s.t.Errorf("%s\nanswers\n%s\nthe page has\n%s", command, got, want)
			}
		}
	}
}

// run runs commands that have to succeed.
func (s *shell) run(commands string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "sh", "-ec", commands)
	cmd.Dir, cmd.Env = s.dir, s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Errorf("%s: %v\n%s", commands, err, out)
	}
}

// answer returns all that a command prints, whether it fails or not.
func (s *shell) answer(command string) string {
	if setting, ok := strings.CutPrefix(command, "export "); ok {
		s.env = append(s.env, strings.ReplaceAll(setting, "'", ""))
		return ""
	}
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, _ := cmd.CombinedOutput()
	return string(out)
}

var (
	moments = regexp.MustCompile(`\d{4}[-/]\d\d[-/]\d\d \d\d:\d\d:\d\d`)
	lengths = regexp.MustCompile(`\d+(\.\d+)?(µs|ms|s)\b`)
	folders = regexp.MustCompile(`\S*(whimbrel-scratch-\d+|whimbrel_scratch_\w+)`)
	servers = regexp.MustCompile(`\S+ on \S+:\d+\b`)
	blanks  = regexp.MustCompile(`  +`)
	// slow is the line that a pipe gets for a migration that takes longer than a second.
	slow = regexp.MustCompile(`(?m)^(up|down|run|base|fill) .* …\n`)
)

// settle removes the values that differ between two executions, and the column widths that depend
// on them.
func settle(text string) string {
	text = moments.ReplaceAllString(text, "WHEN")
	text = lengths.ReplaceAllString(text, "TIME")
	text = folders.ReplaceAllString(text, "FOLDER")
	text = servers.ReplaceAllString(text, "DATABASE")
	text = slow.ReplaceAllString(text, "")
	return strings.TrimSpace(blanks.ReplaceAllString(text, " "))
}
