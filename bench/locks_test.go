package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The course of a measurement: the application runs, a long transaction reads its table, a
// migration starts, and the application runs on.
const (
	readerStarts    = 1 * time.Second
	migrationStarts = 2 * time.Second
	readerEnds      = 8 * time.Second
	measured        = 14 * time.Second
)

// The application: clients that send a query every period, readers and some writers.
const (
	clients = 12
	writers = 4
	period  = 50 * time.Millisecond
	rows    = 200_000
)

// change is a migration of a table that the application uses.
type change struct {
	title string
	files []migration
	check string // a query that returns 1 after it
}

var changes = []change{
	{
		"`ADD COLUMN`",
		[]migration{{version: 1, up: "ALTER TABLE orders ADD COLUMN email text;\n", down: "ALTER TABLE orders DROP COLUMN email;\n"}},
		"SELECT count(*) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'email'",
	},
	{
		"`NOT NULL` in three migrations",
		[]migration{
			{version: 1, up: "ALTER TABLE orders ADD CONSTRAINT noted CHECK (note IS NOT NULL) NOT VALID;\n", down: "ALTER TABLE orders DROP CONSTRAINT noted;\n"},
			{version: 2, up: "ALTER TABLE orders VALIDATE CONSTRAINT noted;\n", down: "SELECT 1;\n"},
			{version: 3, up: "ALTER TABLE orders ALTER COLUMN note SET NOT NULL;\n", down: "ALTER TABLE orders ALTER COLUMN note DROP NOT NULL;\n"},
		},
		"SELECT count(*) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'note' AND attnotnull",
	},
}

// contender is a tool, with a comment that is the first line of its scripts.
type contender struct{ name, tool, directive string }

var contenders = []contender{
	{"psql", "`psql -f`", ""},
	{"golang-migrate", "golang-migrate", ""},
	{"whimbrel", "whimbrel", ""},
	{"whimbrel, lock timeout 200 ms", "whimbrel", "-- whimbrel: lock-timeout 200ms\n"},
}

// TestLocks measures how long the queries of an application take while a tool migrates its table
// behind a long reader. It asserts only that each tool did its work: run.sh calls it.
func TestLocks(t *testing.T) {
	programs := os.Getenv("WHIMBREL_BENCH_PROGRAMS")
	if programs == "" || os.Getenv("WHIMBREL_BENCH_SVG") == "" {
		t.Skip("this is a benchmark: run `make bench BENCH=--locks`")
	}
	server := newPostgres(t)
	var text strings.Builder
	fmt.Fprintf(&text, "%s. The reader takes %s.\n\n", server.version(), readerEnds-readerStarts)
	for i, ch := range changes {
		var results []latencies
		for _, c := range contenders {
			results = append(results, measureLocks(t, server, c, ch, programs))
		}
		text.WriteString("### " + ch.title + "\n\n")
		writeTable(&text, latencyTable(results))
		if i == 0 {
			drawLatencies(t, os.Getenv("WHIMBREL_BENCH_SVG"), results, measured)
		}
	}
	if err := os.WriteFile(os.Getenv("WHIMBREL_BENCH_OUT"), []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func toolNamed(name string) tool {
	return tools[slices.IndexFunc(tools, func(t tool) bool { return t.name == name })]
}

// writeChange writes a change as a contender reads it.
func writeChange(t *testing.T, c contender, ch change) (folder string) {
	t.Helper()
	folder = t.TempDir()
	var files []migration
	for _, m := range ch.files {
		files = append(files, migration{version: m.version, up: c.directive + m.up, down: m.down})
	}
	for file, text := range formats[toolNamed(c.tool).format](postgres, folder, files) {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// latencies are those of the application's queries while a tool migrated.
type latencies struct {
	name      string
	queries   []queryLatency
	began     time.Duration // when the tool was started
	migration time.Duration // how long the tool took
}

// queryLatency is one query.
type queryLatency struct {
	due time.Duration // when the client had to send it
	// late is the time from then to the answer. A client that is stuck in one query is late with the
	// next ones, too.
	late time.Duration
	took time.Duration // from sending it to the answer
}

// measureLocks runs the application and one contender in a new database.
func measureLocks(t *testing.T, server *server, c contender, ch change, programs string) latencies {
	t.Helper()
	db := server.copyOf("locks", false, func(db string) { fillOrders(t, db) })
	defer server.drop(db)
	tool := toolNamed(c.tool)
	program := filepath.Join(programs, tool.program)
	if tool.floor {
		program = tool.program // the installed one
	}
	args := tool.args(call{program: program, kind: postgres, verb: up, db: db, folder: writeChange(t, c, ch)})
	result := latencies{name: c.name, began: migrationStarts}
	start := time.Now()
	app := runApplication(t, db, start)
	go readLong(t, db, start)
	time.Sleep(time.Until(start.Add(migrationStarts)))
	cmd := command(postgres, db, args)
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %s: %v\n%s", c.name, ch.title, err, cmd.said())
	}
	result.migration = time.Since(start) - migrationStarts
	result.queries = app()
	if got := server.ask(db, ch.check); got != 1 {
		t.Errorf("%s: %s: %q is %d, want 1", c.name, ch.title, ch.check, got)
	}
	fmt.Fprintf(os.Stderr, "%-30s %-32s %s\n", ch.title, c.name, result.migration.Round(time.Millisecond))
	return result
}

func fillOrders(t *testing.T, db string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range []string{
		"CREATE TABLE orders (id bigint PRIMARY KEY, total bigint NOT NULL, note text)",
		fmt.Sprintf("INSERT INTO orders SELECT n, n, 'the note of order ' || n FROM generate_series(0, %d) n", rows-1),
		"VACUUM ANALYZE orders",
	} {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

// readLong is the transaction that is in the way.
func readLong(t *testing.T, db string, start time.Time) {
	conn, err := pgx.Connect(context.Background(), db)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	time.Sleep(time.Until(start.Add(readerStarts)))
	sql := fmt.Sprintf("BEGIN; SELECT count(*) FROM orders; SELECT pg_sleep_until('%s'); COMMIT", start.Add(readerEnds).Format(time.RFC3339Nano))
	if _, err := conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
		t.Error(err)
	}
}

// runApplication starts the clients. The function that it returns waits for them.
func runApplication(t *testing.T, db string, start time.Time) (wait func() []queryLatency) {
	t.Helper()
	perClient := make([][]queryLatency, clients)
	var all sync.WaitGroup
	for i := range clients {
		conn, err := pgx.Connect(context.Background(), db)
		if err != nil {
			t.Fatal(err)
		}
		query := "SELECT total FROM orders WHERE id = $1"
		if i < writers {
			query = "UPDATE orders SET total = total + 1 WHERE id = $1"
		}
		all.Add(1)
		go func() {
			defer all.Done()
			defer conn.Close(context.Background())
			for due := time.Duration(i) * period / clients; due <= measured; due += period {
				time.Sleep(time.Until(start.Add(due)))
				sent := time.Now()
				if _, err := conn.Exec(context.Background(), query, rand.IntN(rows)); err != nil {
					t.Errorf("the application: %v", err)
					return
				}
				perClient[i] = append(perClient[i], queryLatency{due, time.Since(start) - due, time.Since(sent)})
			}
		}()
	}
	return func() []queryLatency {
		all.Wait()
		return slices.Concat(perClient...)
	}
}

// duringMigration returns a time of each query that was due after the migration's start, in
// ascending order.
func (l latencies) duringMigration(of func(queryLatency) time.Duration) []time.Duration {
	var times []time.Duration
	for _, q := range l.queries {
		if q.due >= l.began {
			times = append(times, of(q))
		}
	}
	slices.Sort(times)
	return times
}

func latencyTable(results []latencies) [][]string {
	const slow = 100 * time.Millisecond
	table := [][]string{{"", "longest query, ms", "latest, ms", "p99, ms", "median, ms", "over 100 ms", "migration, s"}}
	for _, r := range results {
		took := r.duringMigration(func(q queryLatency) time.Duration { return q.took })
		late := r.duringMigration(func(q queryLatency) time.Duration { return q.late })
		over := 0
		for _, d := range late {
			if d > slow {
				over++
			}
		}
		table = append(table, []string{
			r.name,
			fmt.Sprintf("%.0f", milliseconds(took[len(took)-1])),
			fmt.Sprintf("%.0f", milliseconds(late[len(late)-1])),
			fmt.Sprintf("%.0f", milliseconds(late[len(late)*99/100])),
			fmt.Sprintf("%.1f", milliseconds(late[len(late)/2])),
			fmt.Sprintf("%.0f %%", 100*float64(over)/float64(len(late))),
			fmt.Sprintf("%.1f", r.migration.Seconds()),
		})
	}
	return table
}
