package pgcatalog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgcatalog"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// corpus returns the files of DDL that a major version understands: since15.sql needs 15.
func corpus(t testing.TB, major int) []string {
	t.Helper()
	files, err := filepath.Glob("../../testdata/catalog/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	var fit []string
	for _, f := range files {
		since, ok := strings.CutPrefix(filepath.Base(f), "since")
		if n, _ := strconv.Atoi(strings.TrimSuffix(since, ".sql")); !ok || n <= major {
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

// execute runs a script, statement by statement in one transaction of the server's.
func execute(t testing.TB, url, script string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.PgConn().Exec(ctx, script).ReadAll(); err != nil {
		t.Fatalf("%v\n%s", err, numbered(script))
	}
}

func numbered(script string) string {
	var b strings.Builder
	for i, line := range strings.Split(script, "\n") {
		fmt.Fprintf(&b, "%4d %s\n", i+1, line)
	}
	return b.String()
}

// snapshot reads a database on a connection of its own.
func snapshot(t testing.TB, url string, opts catalog.Options) *catalog.Snapshot {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	return snapshotOn(t, conn, pgcatalog.Options{Options: opts})
}

func snapshotOn(t testing.TB, conn *pgx.Conn, opts pgcatalog.Options) *catalog.Snapshot {
	t.Helper()
	ctx := context.Background()
	major, _, _ := strings.Cut(conn.PgConn().ParameterStatus("server_version"), ".")
	opts.Major, _ = strconv.Atoi(major)
	for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", pgcatalog.Settings} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	defer conn.Exec(ctx, "COMMIT")
	reader := pgcatalog.NewReader(opts)
	for _, q := range reader.Queries() {
		args := make([][]byte, len(q.Args))
		for i, a := range q.Args {
			if a != nil {
				args[i] = []byte(*a)
			}
		}
		answer := conn.PgConn().ExecParams(ctx, q.SQL, args, nil, nil, nil)
		for answer.NextRow() {
			if err := q.Row(answer.Values()); err != nil {
				t.Fatalf("%v\n%s", err, q.SQL)
			}
		}
		if _, err := answer.Close(); err != nil {
			t.Fatalf("%v\n%s", err, q.SQL)
		}
	}
	return reader.Snapshot()
}

// TestSnapshotRebuilds: a snapshot's text, applied to an empty database, gives the same snapshot.
func TestSnapshotRebuilds(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		for _, file := range corpus(t, m.Major) {
			t.Run(fmt.Sprint(m.Major, "/", strings.TrimSuffix(filepath.Base(file), ".sql")), func(t *testing.T) {
				t.Parallel()
				original := m.New(t)
				execute(t, original, read(t, file))
				want := snapshot(t, original, catalog.Options{})
				rebuilt := m.New(t)
				execute(t, rebuilt, want.Text())
				got := snapshot(t, rebuilt, catalog.Options{})
				same(t, want, got)
			})
		}
	}
}

// same fails unless two snapshots are equal in every respect.
func same(t testing.TB, want, got *catalog.Snapshot) {
	t.Helper()
	for _, c := range catalog.Compare(want, got) {
		t.Error(c)
	}
	if want.Fingerprint() != got.Fingerprint() {
		t.Error("the fingerprints differ")
	}
	if want.Text() != got.Text() {
		t.Errorf("the texts differ:\n%s\n---\n%s", want.Text(), got.Text())
	}
}
