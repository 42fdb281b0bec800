package main

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// The README's first recording shows lines that its commands really print: kill, status, resume.
func TestReadmeRecording(t *testing.T) {
	t.Parallel()
	killed, commands := recording(t)
	if want := "whimbrel up & sleep 0.7; kill -9 $!"; killed != want {
		t.Fatalf("the recording begins with %q; this test kills %q", killed, want)
	}
	url := testdb.Postgres(t)
	sh := newShell(t, t.TempDir())
	sh.env = append(sh.env, "DATABASE_URL="+url)
	for name, text := range map[string]string{
		"0001_orders.up.sql":  "CREATE TABLE orders (id bigint, placed_at timestamptz);",
		"0002_by_time.up.sql": "CREATE INDEX CONCURRENTLY orders_by_time ON orders (placed_at);",
	} {
		file := filepath.Join(sh.dir, "migrations", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sh.run("whimbrel up --to 1")
	killInIndex(t, sh, url)
	for i, c := range commands {
		answer := sh.answer(c.command)
		if i == 0 { // the server first notices that its client is gone
			for strings.Contains(answer, ": running at statement ") {
				time.Sleep(50 * time.Millisecond)
				answer = sh.answer(c.command)
			}
		}
		rest := settleRecording(answer)
		for _, line := range c.lines { // a long line of the answer has several here
			_, after, found := strings.Cut(rest, settleRecording(line))
			if !found {
				t.Errorf("%s doesn't print, in this order, the README's line\n%s\nit prints\n%s", c.command, line, answer)
				break
			}
			rest = after
		}
	}
}

type recorded struct {
	command string
	lines   []string
}

// recording returns the README's first recording: the command that is killed, and those after it.
func recording(t *testing.T) (killed string, commands []recorded) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)\n```\n\\$ (.*?)\n```\n").FindSubmatch(text)
	if block == nil {
		t.Fatal("the README has no recording")
	}
	for i, part := range strings.Split(string(block[1]), "\n$ ") {
		lines := strings.Split(part, "\n")
		if i == 0 {
			killed = lines[0]
			continue
		}
		commands = append(commands, recorded{lines[0], lines[1:]})
	}
	if len(commands) != 2 {
		t.Fatalf("the recording has %d commands after the first, want 2", len(commands))
	}
	return killed, commands
}

// killInIndex kills "whimbrel up" while the server builds an index. An open transaction makes the
// build wait until the process is killed, however fast the machine is.
func killInIndex(t *testing.T, sh *shell, url string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	writer, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Rollback()
	if _, err := writer.ExecContext(t.Context(), "INSERT INTO orders VALUES (1, now())"); err != nil {
		t.Fatal(err)
	}
	up := exec.CommandContext(t.Context(), "whimbrel", "up")
	up.Dir, up.Env = sh.dir, sh.env
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	for begun := false; !begun; time.Sleep(20 * time.Millisecond) {
		const query = "SELECT count(*) > 0 FROM pg_index WHERE indexrelid = to_regclass('orders_by_time') AND NOT indisvalid"
		if err := db.QueryRowContext(t.Context(), query).Scan(&begun); err != nil {
			t.Fatal(err)
		}
	}
	if err := up.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = up.Wait() // it was killed
	for working := true; working; time.Sleep(20 * time.Millisecond) {
		const query = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY orders%' AND state = 'active' AND datname = current_database()"
		if err := db.QueryRowContext(t.Context(), query).Scan(&working); err != nil {
			t.Fatal(err)
		}
	}
}

var places = regexp.MustCompile(`\d+ \w+ ago, on host [^,]+, pid \d+|just now, on host [^,]+, pid \d+`)

// settleRecording is settle, also for the place of an interrupted run. It keeps the lines.
func settleRecording(text string) string {
	lines := strings.Split(places.ReplaceAllString(text, "AGO, on host HOST, pid PID"), "\n")
	for i, line := range lines {
		lines[i] = settle(line)
	}
	return strings.Join(lines, "\n")
}
