package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// waitLimit bounds the waits; no test depends on the speed.
const waitLimit = 5 * time.Minute

// every runs the contract on more combinations of servers, connections and encodings, and all cases
// on all versions.
var every = flag.Bool("every", false, "run the contract on more combinations, and all cases on all versions")

// runsOn reports whether the i-th of many similar cases runs on the m-th version: it does on the
// oldest, on the newest, and on one version in between. With -every it runs on all.
func runsOn(majors []testdb.Major, m, i int) bool {
	last := len(majors) - 1
	return *every || m == 0 || m == last || m == 1+i%(last-1)
}

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // a process of these tests needs little memory
	if job := os.Getenv(jobEnv); job != "" {
		os.Exit(work(job))
	}
	// These tests wait for servers, not for processors.
	flag.Parse()
	if !given("test.parallel") {
		flag.Set("test.parallel", "16")
	}
	os.Exit(m.Run())
}

func given(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a URL and closes it after the test.
func open(t testing.TB, url string, opts ...database.Options) database.Database {
	t.Helper()
	var o database.Options
	if len(opts) > 0 {
		o = opts[0]
	}
	db, err := database.Open(background(t), url, o)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// connect opens a connection independent of Whimbrel.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	must(t, err)
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	c, err := pgx.ConnectConfig(background(t), config)
	must(t, err)
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func newPool(t testing.TB, url string, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	must(t, err)
	for _, f := range change {
		f(config)
	}
	pool, err := pgxpool.NewWithConfig(background(t), config)
	must(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func ofSize(n int32) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.MaxConns = n }
}

func do(t testing.TB, c *pgx.Conn, sql string) {
	t.Helper()
	_, err := c.PgConn().Exec(background(t), sql).ReadAll()
	must(t, err)
}

// value reads one value as text; "<null>" for NULL.
func value(t testing.TB, c *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	var s *string
	must(t, c.QueryRow(background(t), "SELECT ("+sql+")::text", args...).Scan(&s))
	if s == nil {
		return "<null>"
	}
	return *s
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}

func contains(t testing.TB, what, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Fatalf("%s is %q, which lacks %q", what, got, w)
		}
	}
}

// lacks fails the test if got contains one of the texts.
func lacks(t testing.TB, what, got string, never ...string) {
	t.Helper()
	for _, n := range never {
		if strings.Contains(got, n) {
			t.Fatalf("%s is %q, which contains %q", what, got, n)
		}
	}
}

// is fails the test unless err wraps each of the errors.
func is(t testing.TB, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Fatalf("the error is %v, which isn't %v", err, w)
		}
	}
}

// same fails the test unless the structures are equal.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// as fails the test unless err wraps an error of type E.
func as[E error](t testing.TB, err error) E {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("the error is %T %v, want a %T", err, err, e)
	}
	return e
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitLimit); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen that %s", what)
		}
	}
}

// script returns a script as from a file.
func script(text string) *migration.Script { return migration.Text("1_x.up.sql", text) }

// setOf returns a set of up scripts, with versions from 1.
func setOf(t testing.TB, name string, ups ...string) *migration.Set {
	t.Helper()
	var all []migration.Migration
	for i, up := range ups {
		v := int64(i + 1)
		all = append(all, migration.Migration{Version: v, Name: "m", Up: migration.Text(fmt.Sprintf("%d_m.up.sql", v), up)})
	}
	set, err := migration.NewSet(name, all...)
	must(t, err)
	return set
}

// up applies a set.
func up(t testing.TB, db database.Database, set *migration.Set, opts ...whimbrel.Options) (*whimbrel.Result, error) {
	t.Helper()
	var o whimbrel.Options
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.MigrationLockTimeout == 0 {
		o.MigrationLockTimeout = waitLimit
	}
	return whimbrel.New(db, set, o).Up(background(t))
}

// upOnce applies a set like a process of its own.
func upOnce(t *testing.T, url string, set *migration.Set, opts whimbrel.Options) error {
	ctx := background(t)
	db, err := database.Open(ctx, url, database.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = whimbrel.New(db, set, opts).Up(ctx)
	return err
}

func begin(t testing.TB, db database.Database, set string) database.Tx {
	t.Helper()
	b, _, err := db.Begin(background(t), set, database.LockOptions{Timeout: waitLimit})
	must(t, err)
	t.Cleanup(func() { b.Rollback(context.Background()) })
	return b
}

func guard(t testing.TB, db database.Database, set string) database.Run {
	t.Helper()
	r, _, err := db.Guard(background(t), set, database.LockOptions{Timeout: waitLimit})
	must(t, err)
	t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

// event returns an entry that records version v.
func event(v int64) database.Entry {
	return database.Entry{Version: v, Name: "m", Direction: database.Up, Checksum: migration.Sum(fmt.Sprint(v))}
}

// apply executes a script and records it, in a Tx of its own.
func apply(t testing.TB, db database.Database, set string, v int64, s *migration.Script) error {
	t.Helper()
	ctx := background(t)
	b := begin(t, db, set)
	defer b.Rollback(context.Background())
	if err := b.Exec(ctx, s); err != nil {
		return err
	}
	if err := b.Record(ctx, event(v)); err != nil {
		return err
	}
	return errOf(b.Commit(ctx))
}

// execAll executes a script's statements in a run.
func execAll(ctx context.Context, db database.Database, r database.Run, s *migration.Script) error {
	a, err := s.Analyze(db.Dialect(), db.Tables())
	if err != nil {
		return err
	}
	for st, err := range a.All() {
		if err != nil {
			return err
		}
		if err := r.Exec(ctx, s, st, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// versions returns the applied versions of a set.
func versions(t testing.TB, db database.Database, set string) string {
	t.Helper()
	st, err := db.State(background(t), set)
	must(t, err)
	return fmt.Sprint(st.Applied.Versions())
}

// isFree fails the test unless the lock of a set is free.
func isFree(t testing.TB, db database.Database, set string) {
	t.Helper()
	b, _, err := db.Begin(background(t), set, database.LockOptions{})
	must(t, err)
	must(t, b.Rollback(background(t)))
}

// becomesFree waits for the lock of a set.
func becomesFree(t testing.TB, db database.Database, set string) {
	t.Helper()
	must(t, begin(t, db, set).Rollback(background(t)))
}

func openSQL(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// afterConnect executes statements on each new connection of a pool.
func afterConnect(sql string) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) {
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, sql)
			return err
		}
	}
}

// errOf is the error of a call whose result is not of interest.
func errOf[T any](_ T, err error) error { return err }
