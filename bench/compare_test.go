package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// task is a piece of work for every tool.
type task struct {
	title  string
	short  string // for the chart
	verb   verb
	folder string // of the migrations
	before string // the folder to apply first, if any
	light  bool   // it takes milliseconds
	check  string // a query, and its expected answer
	want   int
}

// nothing reports whether nothing is pending.
func (tk task) nothing() bool { return tk.verb == up && tk.folder == tk.before }

// readOnly reports whether the task changes nothing.
func (tk task) readOnly() bool { return tk.verb == status || tk.nothing() }

// The folders of migrations.
const (
	many        = "many"         // 1,000 migrations of one table each
	oneMore     = "one-more"     // one more migration
	changedRows = "changed-rows" // 1,000 migrations, all but the first of one INSERT each
	statements  = "statements"   // one file of 5,000 statements
	data        = "data"         // one file of 20 MB
	plain       = "plain"        // one table
	indexes     = "indexes"      // plain, and 40 migrations that build an index CONCURRENTLY
	history     = "history"      // like those of real projects; some migrations can't be in a transaction
)

// outside reports whether a folder has migrations that can't be in a transaction.
func outside(folder string) bool { return folder == indexes || folder == history }

func tasks(s sizes, k kind) []task {
	tables := map[kind]string{
		postgres: `SELECT count(*) FROM pg_class WHERE relname ~ '^t[0-9]{4}$'`,
		mariadb:  `SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name REGEXP '^t[0-9]{4}$'`,
		sqlite:   `SELECT count(*) FROM sqlite_master WHERE name GLOB 't[0-9][0-9][0-9][0-9]'`,
	}[k]
	rows := "SELECT count(*) FROM bench_rows"
	n := count(s.migrations)
	all := []task{
		{n + " migrations, each on its own", "each on its own", up, many, "", false, tables, s.migrations},
		{n + " migrations, all or nothing", "all or nothing", upAtomic, many, "", false, tables, s.migrations},
		{n + " migrations that change rows", "change rows", up, changedRows, "", false, rows, s.migrations - 1},
		{"nothing to do, " + n + " applied", "nothing to do", up, many, many, true, tables, s.migrations},
		{"one more, " + n + " applied", "one more", up, oneMore, many, true, tables, s.migrations + 1},
		{"status, " + n + " applied", "status", status, many, many, true, tables, s.migrations},
		{n + " rolled back", "rolled back", down, many, many, false, tables, 0},
		{"one file of " + count(s.statements) + " statements", count(s.statements) + " statements", up, statements, "", false, rows, s.statements - 1},
		{fmt.Sprintf("one file of %d MB", s.dataBytes>>20), fmt.Sprintf("%d MB", s.dataBytes>>20), up, data, "", false, rows, s.dataRows()},
	}
	if k == postgres {
		valid := "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid::regclass::text ~ '^concurrent'"
		all = append(all,
			task{count(s.indexes) + " files with one `CREATE INDEX CONCURRENTLY` each", count(s.indexes) + " CONCURRENTLY", up, indexes, plain, false, valid, s.indexes},
			task{fmt.Sprintf("a history of %d migrations, %d not transactional", s.history, s.outside()), "real history", up, history, "", false, valid, (s.outside() + 1) / 2},
		)
	}
	return all
}

// TestCompare runs every tool on every task and writes the tables. It asserts nothing: run.sh calls
// it.
func TestCompare(t *testing.T) {
	programs := os.Getenv("WHIMBREL_BENCH_PROGRAMS")
	if programs == "" {
		t.Skip("this is a benchmark: run `make bench`")
	}
	size, rounds := full, 3
	if os.Getenv("WHIMBREL_BENCH_QUICK") != "" {
		size, rounds = quick, 1
	}
	folders, err := generate(filepath.Join(os.Getenv("WHIMBREL_BENCH_WORK"), "folders"), size)
	if err != nil {
		t.Fatal(err)
	}
	only, err := regexp.Compile(os.Getenv("WHIMBREL_BENCH_ONLY"))
	if err != nil {
		t.Fatal(err)
	}
	var report report
	for _, k := range kinds {
		chosen := slices.DeleteFunc(tasks(size, k), func(tk task) bool { return !only.MatchString(string(k) + ": " + tk.title) })
		if len(chosen) == 0 {
			continue
		}
		t.Run(string(k), func(t *testing.T) { // which ends the server
			c := &comparison{t: t, target: newTarget(t, k), programs: programs, folders: folders}
			for _, tk := range chosen {
				report.add(c.target, tk, c.run(tk, rounds))
			}
		})
	}
	if only.MatchString(startTitle) {
		report.start = measureStart(t, programs, 20*rounds)
	}
	if t.Failed() {
		return
	}
	if err := os.WriteFile(os.Getenv("WHIMBREL_BENCH_OUT"), report.markdown(), 0o644); err != nil {
		t.Fatal(err)
	}
	if file := os.Getenv("WHIMBREL_BENCH_SVG"); file != "" {
		drawTimes(t, file, &report)
	}
}

func newTarget(t *testing.T, k kind) target {
	switch k {
	case postgres:
		return newPostgres(t)
	case mariadb:
		return newMariaDB(t)
	}
	return newSQLite(t)
}

// comparison runs tasks on one kind of database.
type comparison struct {
	t                 *testing.T
	target            target
	programs, folders string
}

// result is the cost of a task with a tool.
type result struct {
	tool   tool
	walls  []time.Duration // of all rounds
	cpus   []time.Duration
	memory int // in bytes
	turns  int
}

func (r *result) wall() time.Duration { return median(r.walls) }
func (r *result) cpu() time.Duration  { return median(r.cpus) }

// run runs a task with all tools in turns, so that a busy moment affects all of them.
func (c *comparison) run(tk task, rounds int) []*result {
	switch {
	case tk.readOnly():
		rounds *= 10
	case tk.light && c.target.kind() != mariadb: // which copies databases slowly
		rounds *= 4
	}
	var results []*result
	for _, tool := range tools {
		if tool.args(c.call(tool, tk, "")) != nil {
			results = append(results, &result{tool: tool})
		}
	}
	for round := range rounds {
		for _, r := range results {
			db := c.database(r.tool, tk)
			wall, cpu := c.measure(r.tool, tk, db)
			r.walls, r.cpus = append(r.walls, wall), append(r.cpus, cpu)
			c.check(r.tool, tk, db)
			c.target.drop(db)
			if round == 0 {
				c.count(r, tk)
			}
		}
	}
	for _, r := range results {
		fmt.Fprintf(os.Stderr, "%-10s %-40s %-15s %8.1f ms\n", c.target.kind(), tk.title, r.tool.name, milliseconds(r.wall()))
	}
	return results
}

// database returns a new database with the task's preconditions.
func (c *comparison) database(tool tool, tk task) string {
	if tk.before == "" {
		return c.target.create()
	}
	return c.target.copyOf(tool.name+" "+tk.before, tk.readOnly(), func(db string) {
		before := task{verb: up, folder: tk.before}
		if cmd := command(c.target.kind(), db, tool.args(c.call(tool, before, db))); cmd.Run() != nil {
			c.t.Fatalf("%s: preparing %q:\n%s", tool.name, tk.title, cmd.said())
		}
	})
}

func (c *comparison) call(tool tool, tk task, db string) call {
	program := filepath.Join(c.programs, tool.program)
	if tool.floor {
		program = tool.program // the installed one
	}
	return call{
		program: program, kind: c.target.kind(), db: db, verb: tk.verb, nothing: tk.nothing(), outside: outside(tk.folder),
		folder: filepath.Join(c.folders, tool.format, string(c.target.kind()), tk.folder),
	}
}

// measure runs a tool once, without counting.
func (c *comparison) measure(tool tool, tk task, db string) (wall, cpu time.Duration) {
	cmd := command(c.target.kind(), db, tool.args(c.call(tool, tk, db)))
	start := time.Now()
	err := cmd.Run()
	wall = time.Since(start)
	if err != nil {
		c.t.Fatalf("%s: %s: %v\n%s", tool.name, tk.title, err, cmd.said())
	}
	return wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// count runs a tool once more, to count what would slow down a measurement.
func (c *comparison) count(r *result, tk task) {
	db := c.database(r.tool, tk)
	defer c.target.drop(db)
	through, turns := c.target.counting(db, tk.light)
	memory := filepath.Join(c.t.TempDir(), "memory")
	cmd := command(c.target.kind(), through, append([]string{"/usr/bin/time", "-q", "-f", "%M", "-o", memory}, r.tool.args(c.call(r.tool, tk, through))...))
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("%s: %s: %v\n%s", r.tool.name, tk.title, err, cmd.said())
	}
	r.turns = turns()
	said, err := os.ReadFile(memory)
	if err != nil {
		c.t.Fatal(err)
	}
	var kib int
	if _, err := fmt.Sscan(string(said), &kib); err != nil {
		c.t.Fatalf("time said %q", said)
	}
	r.memory = kib << 10
}

// check fails the test unless the tool did its work.
func (c *comparison) check(tool tool, tk task, db string) {
	if got := c.target.ask(db, tk.check); got != tk.want {
		c.t.Fatalf("%s: %s: %q is %d, want %d", tool.name, tk.title, tk.check, got, tk.want)
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	n := len(d)
	return (d[(n-1)/2] + d[n/2]) / 2
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
