package bench

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// sample is the cost of one start of whimbrel.
type sample struct {
	wall, cpu time.Duration
	memory    int // in bytes
}

// scaling is one kind of database, on which the same is done with more and more of something.
type scaling struct {
	t       *testing.T
	kind    string
	version string
	create  func() (db string)          // returns the URL of a new database
	run     func(db, statements string) // executes statements, each on its own

	key    string // the type and options of a primary key
	series string // the query that counts to %d: its column is n
	rows   []*scaleRow
	only   *regexp.Regexp
	work   string
}

// scaleRow has the costs of one task for each size.
type scaleRow struct {
	title   string
	sizes   []int
	samples []sample
}

// TestScale measures how the costs of whimbrel grow with the number of migrations, tables and
// history entries, and appends the tables to a file. It asserts nothing: run.sh calls it.
func TestScale(t *testing.T) {
	if os.Getenv("WHIMBREL_BENCH_SCALE") == "" {
		t.Skip("this is a benchmark: run `make bench BENCH=--scale`")
	}
	only, err := regexp.Compile(os.Getenv("WHIMBREL_BENCH_ONLY"))
	if err != nil {
		t.Fatal(err)
	}
	most := 10_000
	if os.Getenv("WHIMBREL_BENCH_QUICK") != "" {
		most = 1000
	}
	var b strings.Builder
	for _, begin := range []func(*testing.T) *scaling{scaleSQLite, scalePostgres, scaleMariaDB} {
		s := begin(t)
		s.t, s.only, s.work = t, only, t.TempDir()
		for n := 100; n <= most; n *= 10 {
			s.migrations(n)
			s.proofs(n/10, n)
			s.tables(n)
			s.history(n * 10)
		}
		s.write(&b)
	}
	out, err := os.OpenFile(os.Getenv("WHIMBREL_BENCH_OUT"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = out.WriteString(b.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// migrations measures what depends on the number of migrations. Each tenth creates a table; the
// others change rows.
func (s *scaling) migrations(n int) {
	if !s.wanted("migrations") {
		return
	}
	dir := s.folder(n, func(i int) (up, down string) {
		table := fmt.Sprintf("t%05d", i/10)
		if i%10 > 0 {
			return fmt.Sprintf("INSERT INTO %s (id, name) VALUES (%d, 'the name of row %d')", table, i, i), fmt.Sprintf("DELETE FROM %s WHERE id = %d", table, i)
		}
		return s.table(table), "DROP TABLE " + table
	})
	db := s.create()
	at := []string{"--database", db, "--dir", dir}
	for _, task := range []struct {
		title string
		args  []string
	}{
		{"plan", []string{"plan"}},
		{"up", []string{"up"}},
		{"up, nothing to do", []string{"up"}},
		{"status", []string{"status"}},
		{"verify", []string{"verify"}},
		{"drift", []string{"drift"}},
		{"squash", []string{"squash", "--from", "1", "--to", fmt.Sprint(n), "--name", "all"}},
	} {
		s.measure(task.title, n, append(task.args, at...)...)
	}
}

// proofs measures a proof of migrations with right and with wrong down scripts.
func (s *scaling) proofs(n, title int) {
	if !s.wanted("verify --scratch") || title > 1000 {
		return
	}
	for _, down := range []struct{ title, format string }{{"right", "DROP TABLE %s"}, {"wrong", "DELETE FROM %s"}} {
		dir := s.folder(n, func(i int) (string, string) {
			table := fmt.Sprintf("t%05d", i)
			return s.table(table), fmt.Sprintf(down.format, table)
		})
		s.measure("verify --scratch auto, "+down.title+" down scripts", n, "verify", "--scratch", "auto", "--database", s.create(), "--dir", dir)
	}
}

// tables measures what depends on the number of tables.
func (s *scaling) tables(n int) {
	if !s.wanted("snapshot") {
		return
	}
	db := s.create()
	var b strings.Builder
	for i := range n {
		name := fmt.Sprintf("t%05d", i)
		b.WriteString(s.table(name) + ";\n")
		if i > 0 {
			fmt.Fprintf(&b, "CREATE INDEX %s_name ON %s (name);\n", name, name)
		}
	}
	s.run(db, b.String())
	s.measure("snapshot, by tables", n, "snapshot", "--database", db)
}

// history measures what depends on the length of a history.
func (s *scaling) history(n int) {
	if !s.wanted("history") {
		return
	}
	db := s.create()
	dir := s.folder(1, func(int) (string, string) { return s.table("t"), "DROP TABLE t" })
	s.once("up", "--database", db, "--dir", dir)
	columns := "set_name, name, direction, checksum, down_checksum, up_directives, down_directives, has_down_text, started_at, duration_us, tried, error, retries, " +
		"lock_wait_us, db_user, os_user, host, app, actor, tool_version, reason, remark, up_text, down_text"
	s.run(db, "INSERT INTO whimbrel_history (version, "+columns+") SELECT n + 1, "+columns+" FROM whimbrel_history, "+fmt.Sprintf(s.series, n)+
		" WHERE version = 1 AND set_name <> 'whimbrel';\n")
	s.measure("history --limit 20, by entries", n, "history", "--limit", "20", "--database", db)
	s.measure("history, by entries", n, "history", "--database", db)
}

func (s *scaling) table(name string) string {
	return "CREATE TABLE " + name + " (id " + s.key + ", name varchar(100) NOT NULL, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)"
}

// folder writes a folder of migrations.
func (s *scaling) folder(n int, text func(i int) (up, down string)) string {
	dir, err := os.MkdirTemp(s.work, "migrations")
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range n {
		up, down := text(i)
		for file, text := range map[string]string{"up": up, "down": down} {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d_m.%s.sql", i+1, file)), []byte(text+";\n"), 0o644); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return dir
}

func (s *scaling) wanted(title string) bool { return s.only.MatchString(s.kind + ": " + title) }

// measure runs whimbrel twice, or more often if that takes little time, and keeps the least cost:
// the first run after a change can find the server busy with it.
func (s *scaling) measure(title string, n int, args ...string) {
	repeatable := args[0] != "squash" && title != "up"
	least := s.once(args...)
	for spent, again := least.wall, 0; repeatable && (again == 0 || spent < 2*time.Second && again < 4); again++ {
		next := s.once(args...)
		spent += next.wall
		least = sample{min(least.wall, next.wall), min(least.cpu, next.cpu), max(least.memory, next.memory)}
	}
	i := slices.IndexFunc(s.rows, func(r *scaleRow) bool { return r.title == title })
	if i < 0 {
		i, s.rows = len(s.rows), append(s.rows, &scaleRow{title: title})
	}
	r := s.rows[i]
	r.sizes, r.samples = append(r.sizes, n), append(r.samples, least)
	fmt.Fprintf(os.Stderr, "%-10s %-45s %7s %9.1f ms, CPU %9.1f ms, %6.1f MB\n", s.kind, title, count(n), milliseconds(least.wall), milliseconds(least.cpu), megabytes(least.memory))
}

func megabytes(n int) float64 { return float64(n) / (1 << 20) }

// once runs whimbrel.
func (s *scaling) once(args ...string) sample {
	memory := filepath.Join(s.work, "memory")
	program := filepath.Join(os.Getenv("WHIMBREL_BENCH_PROGRAMS"), "whimbrel")
	cmd := exec.Command("/usr/bin/time", append([]string{"-q", "-f", "%M", "-o", memory, program}, args...)...)
	var failure strings.Builder
	cmd.Dir, cmd.Stderr = s.work, &failure
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	const found = 1 // a proof that finds something
	if err != nil && (args[0] != "verify" || cmd.ProcessState.ExitCode() != found) {
		s.t.Fatalf("%s: whimbrel %s: %v\n%s", s.kind, args[0], err, failure.String())
	}
	said, err := os.ReadFile(memory)
	if err != nil {
		s.t.Fatal(err)
	}
	var kib int
	lines := strings.Fields(string(said))
	if _, err := fmt.Sscan(lines[len(lines)-1], &kib); err != nil {
		s.t.Fatalf("time said %q", said)
	}
	return sample{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), kib << 10}
}

// write writes the table. The exponent tells how the cost grows from the second largest size to
// the largest: 1 is linear.
func (s *scaling) write(b *strings.Builder) {
	fmt.Fprintf(b, "## How cost grows: %s\n\n%s.\n\n", s.kind, s.version)
	rows := [][]string{{"", "sizes", "wall ms", "CPU ms", "memory MB", "exponent (wall)", "exponent (CPU)"}}
	for _, r := range s.rows {
		cell := func(value func(sample) string) string {
			var all []string
			for _, one := range r.samples {
				all = append(all, value(one))
			}
			return strings.Join(all, " / ")
		}
		var sizes []string
		for _, n := range r.sizes {
			sizes = append(sizes, count(n))
		}
		rows = append(rows, []string{
			r.title, strings.Join(sizes, " / "),
			cell(func(c sample) string { return fmt.Sprintf("%.0f", milliseconds(c.wall)) }),
			cell(func(c sample) string { return fmt.Sprintf("%.0f", milliseconds(c.cpu)) }),
			cell(func(c sample) string { return fmt.Sprintf("%.0f", megabytes(c.memory)) }),
			r.exponent(func(c sample) time.Duration { return c.wall }),
			r.exponent(func(c sample) time.Duration { return c.cpu }),
		})
	}
	writeTable(b, rows)
}

func (r *scaleRow) exponent(cost func(sample) time.Duration) string {
	last := len(r.samples) - 1
	if last < 1 {
		return "–"
	}
	growth := float64(cost(r.samples[last])) / float64(cost(r.samples[last-1]))
	return fmt.Sprintf("%.2f", math.Log(growth)/math.Log(float64(r.sizes[last])/float64(r.sizes[last-1])))
}

func scaleSQLite(t *testing.T) *scaling {
	f := newSQLite(t)
	return &scaling{
		kind: string(sqlite), version: f.version(), key: "integer PRIMARY KEY",
		create: func() string { return "sqlite:" + f.create() },
		run: func(db, statements string) {
			cmd := exec.Command("sqlite3", "-batch", "-bail", strings.TrimPrefix(db, "sqlite:"))
			cmd.Stdin = strings.NewReader("BEGIN;\n" + statements + "COMMIT;\n")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		},
		series: "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) SELECT n FROM s)",
	}
}

func scalePostgres(t *testing.T) *scaling {
	s := newPostgres(t)
	return &scaling{
		kind: string(postgres), version: s.version(), key: "bigint PRIMARY KEY", create: s.create,
		run: func(db, statements string) {
			cmd := exec.Command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", os.DevNull, "-d", db)
			cmd.Stdin = strings.NewReader(statements)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		},
		series: "generate_series(1, %d) AS s (n)",
	}
}

func scaleMariaDB(t *testing.T) *scaling {
	server := testdb.PrivateMariaDB(t, "innodb-buffer-pool-size=256M", "innodb-log-file-size=256M", "innodb-flush-log-at-trx-commit=0", "table-definition-cache=20000", "table-open-cache=4000")
	config := func(db string) *mysql.Config {
		u, err := url.Parse(db)
		if err != nil {
			t.Fatal(err)
		}
		c := mysql.NewConfig()
		c.User, c.Net, c.Addr, c.DBName, c.MultiStatements = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/"), true
		return c
	}
	run := func(db, statements string) {
		connector, err := mysql.NewConnector(config(db))
		if err != nil {
			t.Fatal(err)
		}
		pool := sql.OpenDB(connector)
		defer pool.Close()
		if _, err := pool.ExecContext(context.Background(), statements); err != nil {
			t.Fatal(err)
		}
	}
	var version string
	connector, err := mysql.NewConnector(config(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	defer pool.Close()
	if err := pool.QueryRowContext(context.Background(), "SELECT version()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	return &scaling{
		kind: "MariaDB", version: version, key: "bigint PRIMARY KEY", create: server.New, run: run,
		series: "(SELECT seq AS n FROM seq_1_to_%d) AS s",
	}
}
