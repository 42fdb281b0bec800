package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The table of the backfills, and how many of its rows the application uses.
const (
	createUsers  = "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, email_lower text)"
	fillUsers    = "INSERT INTO users SELECT n, 'User' || n || '@Example.com' FROM generate_series(1, %d) n"
	usersToDo    = "SELECT count(*) FROM users WHERE email_lower IS DISTINCT FROM lower(email)"
	lowerAll     = "UPDATE users SET email_lower = lower(email)"
	speedRows    = 10_000_000
	latencyRows  = 2_000_000
	speedBatch   = 5_000
	quickDivisor = 20
)

// The course of a measurement of latencies: the application runs, and a second change of its table
// starts while it does.
const (
	changeStarts = 3 * time.Second
	appRuns      = 30 * time.Second
	appRate      = 400 // transactions per second
	appClients   = 8
)

// bulkChange is a way to change all rows.
type bulkChange struct {
	name string
	// head are the directives of a backfill; sql is a script for psql instead.
	head string
	sql  func(rows int) string
}

func (b bulkChange) command(t *testing.T, db, programs string, rows int) *exec.Cmd {
	t.Helper()
	folder := t.TempDir()
	if b.sql != nil {
		file := filepath.Join(folder, "change.sql")
		write(t, file, b.sql(rows))
		return exec.Command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", db, "-f", file)
	}
	write(t, filepath.Join(folder, "1_lower.backfill.sql"), "-- whimbrel: backfill users\n"+b.head+
		"-- whimbrel: check "+usersToDo+"\n"+lowerAll+" WHERE id BETWEEN :first AND :last;\n")
	return exec.Command(filepath.Join(programs, ours), "up", "--allow-unrecorded", "--quiet", "--dir", folder, "--database", db)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// loop returns the batches as statements of a script for psql.
func loop(rows int) string {
	var b strings.Builder
	for first := 1; first <= rows; first += speedBatch {
		fmt.Fprintf(&b, "%s WHERE id BETWEEN %d AND %d;\n", lowerAll, first, first+speedBatch-1)
	}
	return b.String()
}

func oneUpdate(int) string { return lowerAll + ";\n" }

var bulkChanges = []bulkChange{
	{name: "one `UPDATE`, with psql", sql: oneUpdate},
	{name: fmt.Sprintf("`UPDATE`s of %d rows, with psql", speedBatch), sql: loop},
	{name: "whimbrel, the same batches, one lane", head: fmt.Sprintf("-- whimbrel: batch %d\n", speedBatch)},
	{name: "whimbrel, the same batches, four lanes", head: fmt.Sprintf("-- whimbrel: batch %d\n-- whimbrel: parallel 4\n", speedBatch)},
	{name: "whimbrel, steered batches, four lanes", head: "-- whimbrel: parallel 4\n"},
}

// TestBackfill measures how long all rows of a table take, and what an application notices. It
// asserts only that all rows were changed: run.sh calls it.
func TestBackfill(t *testing.T) {
	programs := os.Getenv("WHIMBREL_BENCH_PROGRAMS")
	if programs == "" || os.Getenv("WHIMBREL_BENCH_BACKFILL") == "" {
		t.Skip("this is a benchmark: run `make bench BENCH=--backfill`")
	}
	server := newPostgres(t)
	rows, appRows := speedRows, latencyRows
	if os.Getenv("WHIMBREL_BENCH_QUICK") != "" {
		rows, appRows = rows/quickDivisor, appRows/quickDivisor
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s.\n\n### %s rows\n\n", server.version(), thousands(rows))
	writeTable(&text, speedTable(t, server, programs, rows))
	fmt.Fprintf(&text, "\n### An application that writes to %s rows\n\n", thousands(appRows))
	results := []latencies{
		measureApplication(t, server, "no change", nil, programs, appRows),
		measureApplication(t, server, "one UPDATE", &bulkChanges[0], programs, appRows),
		measureApplication(t, server, "whimbrel, one lane", &bulkChange{head: "-- whimbrel: recheck\n"}, programs, appRows),
		measureApplication(t, server, "whimbrel, one lane, pause 50ms", &bulkChange{head: "-- whimbrel: recheck\n-- whimbrel: pause 50ms\n-- whimbrel: target 50ms\n"}, programs, appRows),
	}
	writeTable(&text, applicationTable(results))
	if svg := os.Getenv("WHIMBREL_BENCH_SVG"); svg != "" {
		drawLatencies(t, svg, results, appRuns)
	}
	write(t, os.Getenv("WHIMBREL_BENCH_OUT"), text.String())
}

func speedTable(t *testing.T, server *server, programs string, rows int) [][]string {
	t.Helper()
	table := [][]string{{"", "seconds", "× one `UPDATE`", "rows a second"}}
	var first time.Duration
	for _, c := range bulkChanges {
		db := server.create()
		fill(t, db, createUsers, fmt.Sprintf(fillUsers, rows), "VACUUM ANALYZE users", "CHECKPOINT")
		took := runChange(t, c, db, programs, rows)
		if first == 0 {
			first = took
		}
		requireDone(t, server, db, c)
		server.drop(db)
		table = append(table, []string{
			c.name,
			fmt.Sprintf("%.1f", took.Seconds()),
			fmt.Sprintf("%.2f", took.Seconds()/first.Seconds()),
			thousands(int(float64(rows) / took.Seconds())),
		})
		fmt.Fprintf(os.Stderr, "%-40s %s\n", c.name, took.Round(time.Millisecond))
	}
	return table
}

func runChange(t *testing.T, c bulkChange, db, programs string, rows int) time.Duration {
	t.Helper()
	cmd := c.command(t, db, programs, rows)
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", c.name, err, out)
	}
	return time.Since(start)
}

func requireDone(t *testing.T, server *server, db string, c bulkChange) {
	t.Helper()
	if left := server.ask(db, usersToDo); left != 0 {
		t.Errorf("%s: %d rows were not changed", c.name, left)
	}
}

func fill(t *testing.T, db string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// measureApplication runs pgbench, whose transactions change one row of the table each as a new
// release does, and a change of all rows meanwhile; nil for none.
func measureApplication(t *testing.T, server *server, name string, c *bulkChange, programs string, rows int) latencies {
	t.Helper()
	db := server.copyOf(fmt.Sprint("users ", rows), false, func(db string) {
		fill(t, db, createUsers, fmt.Sprintf(fillUsers, rows), "VACUUM ANALYZE users")
	})
	defer server.drop(db)
	result := latencies{name: name, began: changeStarts}
	folder := t.TempDir()
	script := filepath.Join(folder, "application.sql")
	write(t, script, fmt.Sprintf("\\set id random(1, %d)\nUPDATE users SET email = 'Changed' || :id || '@Example.com', email_lower = 'changed' || :id || '@example.com' WHERE id = :id;\n", rows))
	app := exec.Command(filepath.Join(os.Getenv("WHIMBREL_BENCH_POSTGRES"), "pgbench"), "--no-vacuum", "--file", script, "--rate", strconv.Itoa(appRate),
		"--client", strconv.Itoa(appClients), "--time", strconv.Itoa(int(appRuns.Seconds())), "--log", "--log-prefix", filepath.Join(folder, "log"), db)
	var said bytes.Buffer
	app.Stdout, app.Stderr = &said, &said
	start := time.Now()
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(start.Add(changeStarts)))
	if c != nil {
		result.migration = runChange(t, *c, db, programs, rows)
	}
	if err := app.Wait(); err != nil {
		t.Fatalf("pgbench: %v\n%s", err, &said)
	}
	result.queries = pgbenchLog(t, folder, start)
	if c != nil {
		requireDone(t, server, db, *c)
	}
	fmt.Fprintf(os.Stderr, "%-40s %s\n", name, result.migration.Round(time.Millisecond))
	return result
}

// pgbenchLog reads the transactions: the latency of each counts from the time at which it was due
// (PostgreSQL 15 docs, pgbench, "Per-Transaction Logging").
func pgbenchLog(t *testing.T, folder string, start time.Time) (all []queryLatency) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(folder, "log*"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("pgbench left no log: %v", err)
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			// client, transaction, latency, script, seconds, microseconds, lag
			f := strings.Fields(lines.Text())
			micro := func(i int) time.Duration { return time.Duration(number(t, f[i])) * time.Microsecond }
			end := time.Unix(int64(number(t, f[4])), 0).Add(micro(5)).Sub(start)
			late := micro(2)
			all = append(all, queryLatency{due: max(0, end-late), late: late, took: late - micro(6)})
		}
	}
	return all
}

// applicationTable has the latencies of the transactions that were due while the change ran.
func applicationTable(results []latencies) [][]string {
	table := [][]string{{"", "median, ms", "p99, ms", "latest, ms", "change, s"}}
	for _, r := range results {
		late := r.duringMigration(func(q queryLatency) time.Duration { return q.late })
		took := "–"
		if r.migration > 0 {
			took = fmt.Sprintf("%.1f", r.migration.Seconds())
		}
		table = append(table, []string{
			r.name,
			fmt.Sprintf("%.1f", milliseconds(late[len(late)/2])),
			fmt.Sprintf("%.1f", milliseconds(late[len(late)*99/100])),
			fmt.Sprintf("%.0f", milliseconds(late[len(late)-1])),
			took,
		})
	}
	return table
}

// thousands returns a number with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
