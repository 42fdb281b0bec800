package pgcatalog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgcatalog"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// corpus returns the files of DDL that a major version supports: since15.sql needs 15. For 14 and
// 16 these are only the since files; four versions test the others.
func corpus(t testing.TB, major int) []string {
	t.Helper()
	files, err := filepath.Glob("../../testdata/catalog/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("len(files) is 0")
	}
	var fit []string
	for _, f := range files {
		since, ok := strings.CutPrefix(filepath.Base(f), "since")
		n, _ := strconv.Atoi(strings.TrimSuffix(since, ".sql"))
		if ok && n <= major || !ok && major != 14 && major != 16 {
			fit = append(fit, f)
		}
	}
	return fit
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// execute runs a script as one transaction.
func execute(t testing.TB, url, script string) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	mustExec(t, conn, script)
}

func numbered(script string) string {
	var b strings.Builder
	for i, line := range strings.Split(script, "\n") {
		fmt.Fprintf(&b, "%4d %s\n", i+1, line)
	}
	return b.String()
}

// connect opens a connection for the test.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// snapshot reads a database on a new connection.
func snapshot(t testing.TB, url string, opts catalog.Options) *catalog.Snapshot {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	mustExec(t, conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	return snapshotIn(t, conn, opts)
}

// snapshotIn reads the database in the connection's transaction.
func snapshotIn(t failer, conn *pgx.Conn, opts catalog.Options) *catalog.Snapshot {
	t.Helper()
	ctx := context.Background()
	major, _, _ := strings.Cut(conn.PgConn().ParameterStatus("server_version"), ".")
	o := pgcatalog.Options{Options: opts}
	o.Major, _ = strconv.Atoi(major)
	mustExec(t, conn, "SAVEPOINT settings")
	mustExec(t, conn, pgcatalog.Settings)
	defer func() { mustExec(t, conn, "ROLLBACK TO settings; RELEASE settings") }()
	reader := pgcatalog.NewReader(o)
	batch := &pgconn.Batch{}
	for _, q := range reader.Queries() {
		args := make([][]byte, len(q.Args))
		for i, a := range q.Args {
			if a != nil {
				args[i] = []byte(*a)
			}
		}
		batch.ExecParams(q.SQL, args, nil, nil, nil)
	}
	answers := conn.PgConn().ExecBatch(ctx, batch)
	for i := 0; answers.NextResult(); i++ {
		for r := answers.ResultReader(); r.NextRow(); {
			if err := reader.Queries()[i].Row(r.Values()); err != nil {
				t.Fatalf("%v\n%s", err, reader.Queries()[i].SQL)
			}
		}
	}
	if err := answers.Close(); err != nil {
		t.Fatalf("%v", err)
	}
	return reader.Snapshot()
}

// failer is a test or a rapid check.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func mustExec(t failer, conn *pgx.Conn, script string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(context.Background(), script).ReadAll(); err != nil {
		t.Fatalf("%v\n%s", err, numbered(script))
	}
}

// A snapshot's text, applied to an empty database, yields the same snapshot. All DDL can be rolled
// back, so one database is enough.
func TestSnapshotRebuilds(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			conn := connect(t, m.New(t))
			for _, file := range corpus(t, m.Major) {
				name := strings.TrimSuffix(filepath.Base(file), ".sql")
				t.Run(name, func(t *testing.T) {
					want := snapshotOf(t, conn, read(t, file))
					same(t, want, snapshotOf(t, conn, want.Text()))
				})
			}
		})
	}
}

// snapshotOf returns the snapshot after a script in an empty database.
func snapshotOf(t testing.TB, conn *pgx.Conn, script string) *catalog.Snapshot {
	t.Helper()
	mustExec(t, conn, "BEGIN")
	defer func() { mustExec(t, conn, "ROLLBACK") }()
	mustExec(t, conn, script)
	return snapshotIn(t, conn, catalog.Options{})
}

// same fails unless two snapshots are equal, except for Omitted.
func same(t failer, want, got *catalog.Snapshot) {
	t.Helper()
	for _, c := range catalog.Compare(want, got) {
		t.Errorf("%s", c)
	}
	if want.Fingerprint() != got.Fingerprint() {
		t.Errorf("the fingerprints differ")
	}
	if !slices.Equal(want.Statements(), got.Statements()) {
		t.Errorf("the texts differ:\n%s\n---\n%s", want.Text(), got.Text())
	}
}
