package classic_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/adopt/classic"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// original is the contract as programs know it. The two interfaces have the same methods.
type original interface {
	Open(url string, isCMD bool, logger *log.Logger) (classic.Driver, error)
	Close() error
	Lock() error
	UnLock() error
	Run(migration io.Reader, fileType, fileName string) error
	ResetQuery()
	InsertVersion(version int64) error
	RemoveVersion(version int64) error
	Version() (version int64, dirty bool, err error)
	Reset() error
	First() (version uint64, ok bool)
	Last() (version uint64, ok bool)
	Prev(version uint64) (prevVersion uint64, ok bool)
	Next(version uint64) (nextVersion uint64, ok bool)
	Read(version uint64) (ok bool)

	GetSetting(name string) (value string, err error)
	UpdateSetting(name string, value string) error

	ExportMetadata() (interface{}, error)
	ResetMetadata() error
	ReloadMetadata() error
	GetInconsistentMetadata() (bool, []classic.InconsistentMetadataInterface, error)
	DropInconsistentMetadata() error
	ApplyMetadata(data interface{}) error
	Query(data []interface{}) error
}

var (
	_ classic.Driver = original(nil)
	_ original       = classic.Driver(nil)
)

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError expects an error with a text.
func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("got %v, want an error with %q", err, text)
	}
}

// open opens a target as another process would.
func open(t *testing.T, m *memdb.Target, c classic.Config) classic.Driver {
	t.Helper()
	db, err := m.Open(t.Context(), database.Options{})
	noError(t, err)
	d, err := classic.WithInstance(db, c)
	noError(t, err)
	t.Cleanup(func() { noError(t, d.Close()) })
	return d
}

// queue runs a script for a version.
func queue(t *testing.T, d classic.Driver, script, file string, version int64) {
	t.Helper()
	noError(t, d.Run(strings.NewReader(script), "sql", file))
	noError(t, d.InsertVersion(version))
}

// apply sends a script for a version.
func apply(t *testing.T, d classic.Driver, script, file string, version int64) {
	t.Helper()
	noError(t, d.Lock())
	queue(t, d, script, file, version)
	noError(t, d.UnLock())
}

func wantVersion(t *testing.T, d classic.Driver, want int64, wantDirty bool) {
	t.Helper()
	got, dirty, err := d.Version()
	if got != want || dirty != wantDirty || err != nil {
		t.Fatalf("Version returned %d, %t, %v; want %d, %t", got, dirty, err, want, wantDirty)
	}
}

func wantRows(t *testing.T, m *memdb.Target, table string, want int) {
	t.Helper()
	rows, err := m.Rows(t.Context(), table)
	if len(rows) != want || err != nil {
		t.Fatalf("%s has rows %v, %v; want %d", table, rows, err, want)
	}
}

func TestTheConstants(t *testing.T) {
	if classic.NilVersion != -1 || classic.ErrLocked.Error() != "can't acquire lock" {
		t.Errorf("got %d and %q", classic.NilVersion, classic.ErrLocked)
	}
}

// named is a driver that only opens, and keeps what it was opened with.
type named struct {
	classic.Driver
	url    string
	isCMD  bool
	logger *log.Logger
}

func (*named) Open(url string, isCMD bool, logger *log.Logger) (classic.Driver, error) {
	return &named{url: url, isCMD: isCMD, logger: logger}, nil
}

func TestRegisterTwice(t *testing.T) {
	panics := func(name string, d classic.Driver) (panicked bool) {
		defer func() { panicked = recover() != nil }()
		classic.Register(name, d)
		return false
	}
	if panics("twice", &named{}) {
		t.Error("the first Register panicked")
	}
	if !panics("twice", &named{}) {
		t.Error("a second Register did not panic")
	}
	if !panics("none", nil) {
		t.Error("Register of nil did not panic")
	}
}

func TestOpenRegistered(t *testing.T) {
	classic.Register("named", &named{})
	logger := log.New(io.Discard, "", 0)
	d, err := classic.Open("named://somewhere", true, logger)
	noError(t, err)
	if n, ok := d.(*named); !ok || n.url != "named://somewhere" || !n.isCMD || n.logger != logger {
		t.Errorf("got %#v, want a driver with the arguments", d)
	}
	_, err = classic.Open("postgresq://me:secret@host/db", false, nil)
	var bad *database.URLError
	if !errors.As(err, &bad) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want a *database.URLError without the password", err)
	}
	_, err = classic.WithInstance(nil, classic.Config{})
	wantError(t, err, "needs a database")
}

func TestMigrationsIndex(t *testing.T) {
	m := classic.NewMigrations()
	if _, ok := m.First(); ok || m.Read(0) {
		t.Error("a new index has a version")
	}
	for _, v := range []uint64{1 << 63, 3, 0, 3, 7, 0} {
		m.Append(v)
	}
	var got []uint64
	for v, ok := m.First(); ok; v, ok = m.Next(v) {
		got = append(got, v)
	}
	want := []uint64{0, 3, 7, 1 << 63}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ascending (-want +got):\n%s", diff)
	}
	got = nil
	for v, ok := m.Last(); ok; v, ok = m.Prev(v) {
		got = append(got, v)
	}
	slices.Reverse(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("descending (-want +got):\n%s", diff)
	}
	if _, ok := m.Next(4); ok {
		t.Error("Next of a version that the index doesn't have returned one")
	}
	var zero classic.Migrations
	zero.Append(2)
	if !zero.Read(2) || zero.Read(1) {
		t.Error("the zero value doesn't work")
	}
}

func TestLockTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memdb.New()
		first := open(t, m, classic.Config{})
		noError(t, first.Lock())
		waited := func(d classic.Driver) time.Duration {
			start := time.Now()
			if err := d.Lock(); err != classic.ErrLocked { //nolint:errorlint // as programs compare
				t.Fatalf("Lock returned %v, want ErrLocked itself", err)
			}
			return time.Since(start)
		}
		var lines bytes.Buffer
		logger := log.New(&lines, "", 0)
		if got := waited(open(t, m, classic.Config{Logger: logger})); got != classic.DefaultLockTimeout {
			t.Errorf("waited %v, want the default", got)
		}
		if !strings.Contains(lines.String(), "waiting for the migration lock") {
			t.Errorf("the log is %q", &lines)
		}
		if got := waited(open(t, m, classic.Config{LockTimeout: -1})); got != 0 {
			t.Errorf("waited %v, want to try once", got)
		}
		if got := waited(open(t, m, classic.Config{LockTimeout: time.Hour})); got != time.Hour {
			t.Errorf("waited %v, want an hour", got)
		}
		noError(t, first.UnLock())
		noError(t, first.UpdateSetting(database.MigrationLockTimeout, "2s"))
		noError(t, first.Lock())
		if got := waited(open(t, m, classic.Config{})); got != 2*time.Second {
			t.Errorf("waited %v, want the setting's 2s", got)
		}
		waiting := open(t, m, classic.Config{LockTimeout: time.Hour})
		done := make(chan error)
		go func() { done <- waiting.Lock() }()
		time.Sleep(time.Minute)
		noError(t, first.UnLock())
		noError(t, <-done)
	})
}

func TestTwentyAtOnceByTheOldContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memdb.New()
		var all sync.WaitGroup
		for range 20 {
			d := open(t, m, classic.Config{LockTimeout: time.Hour})
			all.Go(func() {
				if err := d.Lock(); err != nil {
					t.Error(err)
					return
				}
				if !d.Read(1) {
					queue(t, d, "CREATE TABLE t (x int)", "1_t.up.sql", 1)
				}
				if err := d.UnLock(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		wantVersion(t, open(t, m, classic.Config{}), 1, false)
		wantRows(t, m, "t", 0)
	})
}

func TestTheLibraryContinues(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	const first, second = "CREATE TABLE t (x int)", "INSERT INTO t VALUES (1)"
	apply(t, d, first, "migrations/0001_tables.up.sql", 1)

	set, err := migration.NewSet("",
		migration.Migration{Version: 1, Name: "tables", Up: migration.Text("0001_tables.up.sql", first)},
		migration.Migration{Version: 2, Name: "rows", Up: migration.Text("0002_rows.up.sql", second), Down: migration.Text("0002_rows.down.sql", "DELETE FROM t")})
	noError(t, err)
	db, err := m.Open(t.Context(), database.Options{})
	noError(t, err)
	defer db.Close()
	r, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context())
	noError(t, err)
	if len(r.Applied) != 1 || r.Applied[0].Version != 2 {
		t.Errorf("the library applied %+v, want version 2", r.Applied)
	}
	wantVersion(t, d, 2, false)
	noError(t, d.Lock())
	noError(t, d.Run(strings.NewReader("DELETE FROM t"), "sql", "0002_rows.down.sql"))
	noError(t, d.RemoveVersion(2))
	noError(t, d.UnLock())
	wantRows(t, m, "t", 0)

	var got []string
	for e, err := range db.History(t.Context(), database.HistoryQuery{Texts: true}) {
		noError(t, err)
		got = append(got, string(e.Direction)+" "+e.Name+": "+e.UpText)
	}
	want := []string{"up tables: " + first, "up rows: " + second, "down rows: "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestInterruptedRunIsResumed(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	const table = "CREATE TABLE t (x int);\n"
	noError(t, d.Lock())
	queue(t, d, table+"CREATE INDEX CONCURRENTLY i ON missing (x)", "1_t.up.sql", 1)
	wantError(t, d.UnLock(), "1_t.up.sql:2:1")
	wantVersion(t, d, classic.NilVersion, true)

	noError(t, d.Lock())
	queue(t, d, "CREATE TABLE u (x int)", "2_u.up.sql", 2)
	if err := d.UnLock(); !errors.As(err, new(*whimbrel.InterruptedError)) {
		t.Fatalf("another version: got %v, want an *InterruptedError", err)
	}
	apply(t, d, table+"CREATE INDEX CONCURRENTLY i ON t (x)", "1_t.up.sql", 1)
	wantVersion(t, d, 1, false)
	indexes, err := m.Indexes(t.Context())
	if len(indexes) != 1 || err != nil {
		t.Errorf("got the indexes %v, %v; want one", indexes, err)
	}
}

func TestInterruptedRunIsForgotten(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	noError(t, d.Lock())
	queue(t, d, "CREATE TABLE t (x int);\nCREATE INDEX CONCURRENTLY i ON missing (x)", "1_t.up.sql", 1)
	wantError(t, d.UnLock(), "missing")
	noError(t, d.Lock())
	noError(t, d.RemoveVersion(1))
	noError(t, d.UnLock())
	wantVersion(t, d, classic.NilVersion, false)
}

// A unit with a script that can't be in a transaction is done step by step.
func TestStepByStep(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	noError(t, d.Lock())
	queue(t, d, "CREATE TABLE t (x int)", "1_t.up.sql", 1)
	queue(t, d, "CREATE INDEX CONCURRENTLY i ON t (x)", "2_i.up.sql", 2)
	noError(t, d.InsertVersion(5))
	noError(t, d.Run(strings.NewReader("INSERT INTO t VALUES (1)"), "sql", "rows.sql"))
	noError(t, d.UnLock())
	wantVersion(t, d, 5, false)
	wantRows(t, m, "t", 1)

	noError(t, d.Lock())
	noError(t, d.Run(strings.NewReader("DROP INDEX CONCURRENTLY i"), "sql", "2_i.down.sql"))
	noError(t, d.RemoveVersion(2))
	wantError(t, d.UnLock(), "version 2 is not the newest applied one")
	noError(t, d.Lock())
	noError(t, d.RemoveVersion(5))
	noError(t, d.Run(strings.NewReader("DROP INDEX CONCURRENTLY i"), "sql", "2_i.down.sql"))
	noError(t, d.RemoveVersion(2))
	noError(t, d.UnLock())
	wantVersion(t, d, 1, false)
	noError(t, d.Query([]any{"CREATE INDEX CONCURRENTLY j ON t (x)"}))
	indexes, err := m.Indexes(t.Context())
	if diff := cmp.Diff([]string{"j"}, indexes); diff != "" || err != nil {
		t.Errorf("indexes, %v (-want +got):\n%s", err, diff)
	}
}

// Without Lock, a version is sent with the scripts before it.
func TestWithoutLock(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	noError(t, d.Run(strings.NewReader("CREATE TABLE t (x int)"), "sql", "1.up.sql"))
	wantVersion(t, d, classic.NilVersion, false)
	noError(t, d.InsertVersion(1))
	wantVersion(t, d, 1, false)
	wantRows(t, m, "t", 0)

	noError(t, d.Run(strings.NewReader("INSERT INTO t VALUES (1)"), "sql", "2.up.sql"))
	noError(t, d.Lock())
	noError(t, d.InsertVersion(2))
	noError(t, d.UnLock())
	wantRows(t, m, "t", 1)

	other := open(t, m, classic.Config{LockTimeout: -1})
	noError(t, d.Lock())
	if err := other.InsertVersion(3); err != classic.ErrLocked { //nolint:errorlint // as programs compare
		t.Errorf("got %v, want ErrLocked itself", err)
	}
	noError(t, d.UnLock())
	wantVersion(t, other, 2, false)
}

func TestSettings(t *testing.T) {
	if s := &classic.Settings[0]; s.GetName() != "migration_mode" || s.GetDefaultValue() != "true" {
		t.Errorf("the first setting is %s, %s", s.GetName(), s.GetDefaultValue())
	}
	m := memdb.New()
	d := open(t, m, classic.Config{})
	apply(t, d, "CREATE TABLE t (x int)", "1.up.sql", 1)
	noError(t, d.UpdateSetting("migration_mode", "0"))
	noError(t, d.Lock())
	noError(t, d.UnLock()) // nothing to do is not refused
	for name, do := range map[string]func() error{
		"InsertVersion": func() error { return d.InsertVersion(2) },
		"RemoveVersion": func() error { return d.RemoveVersion(1) },
		"Reset":         d.Reset,
		"Query":         func() error { return d.Query([]any{"INSERT INTO t VALUES (1)"}) },
		"ApplyMetadata": func() error { return d.ApplyMetadata("tables: {t: {owner: me}}") },
	} {
		if err := do(); !errors.As(err, new(*whimbrel.FrozenError)) {
			t.Errorf("%s: got %v, want a *FrozenError", name, err)
		}
	}
	wantVersion(t, d, 1, false)
	noError(t, d.UpdateSetting("migration_mode", "true"))
	noError(t, d.UpdateSetting(database.Protected, "true"))
	for name, do := range map[string]func() error{
		"a rollback": func() error {
			return errors.Join(d.Run(strings.NewReader("DROP TABLE t"), "sql", "1.down.sql"), d.RemoveVersion(1))
		},
		"Query":         func() error { return d.Query([]any{"INSERT INTO t VALUES (1)"}) },
		"Reset":         d.Reset,
		"ResetMetadata": d.ResetMetadata,
	} {
		if err := do(); name != "ResetMetadata" && !errors.As(err, new(*whimbrel.ProtectedError)) {
			t.Errorf("%s of a protected database: got %v, want a *ProtectedError", name, err)
		}
	}
	noError(t, d.Lock())
	wantError(t, d.UpdateSetting("migration_mode", "false"), "call UnLock first")
	wantError(t, d.ResetMetadata(), "call UnLock first")
	wantError(t, d.Query([]any{"INSERT INTO t VALUES (1)"}), "call UnLock first")
	noError(t, d.UnLock())
}

// bomb is a list whose aliases stand for a billion values.
var bomb = func() string {
	text := "- &a0 [x, x]\n"
	for i := range 30 {
		text += fmt.Sprintf("- &a%d [*a%d, *a%d]\n", i+1, i, i)
	}
	return text
}()

func TestRequests(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	noError(t, d.Lock())
	noError(t, d.Run(strings.NewReader(`
- type: run_sql
  args:
    cascade: false
    sql: CREATE TABLE t (x int)
- type: run_sql
  args:
    sql: INSERT INTO t VALUES (1)
`), "meta", "1_t.up.yaml"))
	noError(t, d.InsertVersion(1))
	noError(t, d.UnLock())
	wantRows(t, m, "t", 1)
	for text, want := range map[string]string{
		"- type: track_table\n  args: {name: t}":                      `1.yaml: request 1: its type is "track_table"`,
		"- type: run_sql\n  args: {sql: DELETE FROM t, cascade: on}":  "1.yaml: request 1: ",
		"- type: run_sql\n  args: {sql: \"INSERT INTO t VALUES ('\"}": "1.yaml:1:",
		"- 7":                         "1.yaml: request 1: it is neither",
		strings.Repeat("- [", 200):    "1.yaml:1:",
		bomb:                          "1.yaml",
		"tables: {t: {owner: [a]}}":   "1.yaml:1:",
		"tables:\n  t:\n    nope: me": "1.yaml:3:",
	} {
		wantError(t, d.Run(strings.NewReader(text), "meta", "1.yaml"), want)
		d.ResetQuery()
	}
	wantRows(t, m, "t", 1)
}

func TestDocuments(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	apply(t, d, "CREATE TABLE t (x int)", "1.up.sql", 1)
	const text = "tables: {t: {owner: me}}"
	doc, err := metadata.NewDocument(metadata.Entry{Name: metadata.Name{Kind: metadata.Table, Object: "t"}, Facts: metadata.Facts{Owner: "me"}})
	noError(t, err)
	want := map[string]any{"tables": map[string]any{"t": map[string]any{"owner": "me"}}}
	for _, data := range []any{text, []byte(text), doc, want, map[any]any{"tables": map[any]any{"t": map[any]any{"owner": "me"}}}} {
		noError(t, d.ResetMetadata())
		noError(t, d.ApplyMetadata(data))
		got, err := d.ExportMetadata()
		noError(t, err)
		if diff := cmp.Diff(any(want), got); diff != "" {
			t.Errorf("applied as %T (-want +got):\n%s", data, diff)
		}
	}
	wantError(t, d.ApplyMetadata(nil), "not nil")
	wantError(t, d.ApplyMetadata(make(chan int)), "")
	wantError(t, d.ApplyMetadata(map[string]any{"tables": map[string]any{"missing": map[string]any{"owner": "me"}}}), "missing")

	noError(t, d.Lock())
	noError(t, d.Run(strings.NewReader("DROP TABLE t"), "sql", "1.down.sql"))
	noError(t, d.RemoveVersion(1))
	noError(t, d.UnLock())
	ok, all, err := d.GetInconsistentMetadata()
	if ok || len(all) != 1 || err != nil {
		t.Fatalf("got %t, %v, %v; want one entry", ok, all, err)
	}
	if e := all[0]; e.GetType() != "table" || e.GetName() != "t" || e.GetReason() != "it no longer exists" || e.GetDescription() != "" {
		t.Errorf("got %+v", e)
	}
}

// Documents belong to the version whose script they follow, and are written with it.
func TestDocumentsOfVersions(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	noError(t, d.Lock())
	for i, table := range []string{"a", "b"} {
		queue(t, d, "CREATE TABLE "+table+" (x int)", table+".up.sql", int64(i))
		noError(t, d.Run(strings.NewReader("tables: {"+table+": {owner: me}}"), "meta", table+".up.yaml"))
	}
	noError(t, d.UnLock())
	got, err := d.ExportMetadata()
	noError(t, err)
	owned := map[string]any{"owner": "me"}
	want := map[string]any{"tables": map[string]any{"a": owned, "b": owned}}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	noError(t, d.Run(strings.NewReader("tables: {a: {owner: you}}"), "meta", "3.up.yaml"))
	noError(t, d.InsertVersion(3))
	noError(t, d.Lock())
	noError(t, d.Run(strings.NewReader("tables: {missing: {owner: you}}"), "meta", "4.up.yaml"))
	wantError(t, d.UnLock(), "missing")
	got, err = d.ExportMetadata()
	noError(t, err)
	want["tables"].(map[string]any)["a"] = map[string]any{"owner": "you"}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	apply(t, d, "CREATE TABLE t (x int)", "1.up.sql", 1)
	for name, tc := range map[string]struct {
		do   func() error
		want string
	}{
		"no reader":          {func() error { return d.Run(nil, "sql", "2.sql") }, "2.sql: Run needs a reader"},
		"file type":          {func() error { return d.Run(strings.NewReader(""), "SQL", "2.sql") }, `2.sql: the file type is "SQL"; use "sql" or "meta"`},
		"no UTF-8":           {func() error { return d.Run(strings.NewReader("\xff"), "sql", "2.sql") }, "2.sql:1:1"},
		"no end":             {func() error { return d.Run(strings.NewReader("SELECT 'a"), "sql", "2.sql") }, "2.sql:1:8"},
		"below -1":           {func() error { return d.InsertVersion(-2) }, "versions count from 0"},
		"the nil version":    {func() error { return d.RemoveVersion(classic.NilVersion) }, "versions count from 0"},
		"applied":            {func() error { return d.InsertVersion(1) }, "is already applied"},
		"not applied":        {func() error { return d.RemoveVersion(2) }, "is not applied"},
		"Whimbrel's tables":  {func() error { return d.Query([]any{"DELETE FROM whimbrel_history"}) }, "whimbrel_history"},
		"an unknown setting": {func() error { return d.UpdateSetting("frozen_food", "true") }, "frozen_food"},
	} {
		err := tc.do()
		if err == nil {
			err = d.UnLock()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, tc.want)
		}
		d.ResetQuery()
	}
	wantVersion(t, d, 1, false)
}

// An error of Run holds until the queue is empty, so that no later call sends a part.
func TestAfterAnError(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	noError(t, d.Lock())
	queue(t, d, "CREATE TABLE t (x int)", "1.up.sql", 1)
	wantError(t, d.Run(strings.NewReader("SELECT 'a"), "sql", "2.up.sql"), "2.up.sql")
	wantError(t, d.InsertVersion(2), "2.up.sql")
	wantError(t, d.UnLock(), "2.up.sql")
	wantVersion(t, d, classic.NilVersion, false)
	noError(t, d.Lock())
	noError(t, d.UnLock())
}

func TestPasswordsOfALooseScriptAreNotShown(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	err := d.Query([]any{"CREATE ROLE me PASSWORD 'hunter2'"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want an error without the password", err)
	}
	var st *database.StatementError
	if !errors.As(err, &st) || strings.Contains(st.Statement+st.Excerpt+st.Message, "hunter2") || !strings.Contains(st.Statement, sqltext.Masked) {
		t.Errorf("got %+v, want a masked *database.StatementError", st)
	}
}

// The directives of a script count, whichever way it is sent.
func TestDirectivesOfAnySend(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	const secret = "-- whimbrel: secret\n"
	apply(t, d, secret+"CREATE TABLE t (x int)", "1.up.sql", 1)
	noError(t, d.Query([]any{secret + "INSERT INTO t VALUES (1)"}))
	noError(t, d.Lock())
	queue(t, d, "-- whimbrel: no-transaction\nINSERT INTO t VALUES (1); INSERT INTO missing VALUES (1)", "2.up.sql", 2)
	wantError(t, d.UnLock(), "2.up.sql:2:27")
	wantRows(t, m, "t", 2)
	wantVersion(t, d, 1, true)
	db, err := m.Open(t.Context(), database.Options{})
	noError(t, err)
	defer db.Close()
	for e, err := range db.History(t.Context(), database.HistoryQuery{Texts: true}) {
		noError(t, err)
		if e.UpText != "" {
			t.Errorf("the history keeps %q", e.UpText)
		}
	}
	wantError(t, d.Run(strings.NewReader("-- whimbrel: secrets\nSELECT 1"), "sql", "3.up.sql"), "3.up.sql:1:1: unknown directive")
}

// Several scripts of one version are one to the history.
func TestSeveralScriptsOfAVersion(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	noError(t, d.Lock())
	noError(t, d.Run(strings.NewReader("CREATE TABLE t (x int)"), "sql", "1_t/a.sql"))
	queue(t, d, "INSERT INTO t VALUES (1)", "1_t/b.sql", 1)
	noError(t, d.UnLock())
	wantRows(t, m, "t", 1)
	noError(t, d.Lock())
	noError(t, d.Run(strings.NewReader("-- whimbrel: secret\nINSERT INTO t VALUES (1)"), "sql", "a.sql"))
	queue(t, d, "INSERT INTO t VALUES (1)", "b.sql", 2)
	wantError(t, d.UnLock(), "a.sql and b.sql have different directives")
	wantRows(t, m, "t", 1)
}

func TestNames(t *testing.T) {
	m := memdb.New()
	d := open(t, m, classic.Config{})
	var want []string
	for i, tc := range [][2]string{
		{"0001_add_users.up.sql", "add_users"},
		{"migrations/0002-add.sql", "add"},
		{"a/1550925483858_users/up.sql", "users"},
		{`a\3_b\up.sql`, "b"},
		{"up.sql", ""},
		{"4.up.sql", ""},
		{"", ""},
		{"users.sql", "users"},
	} {
		apply(t, d, "SELECT 1", tc[0], int64(i))
		want = append(want, tc[1])
	}
	db, err := m.Open(t.Context(), database.Options{})
	noError(t, err)
	defer db.Close()
	st, err := db.State(t.Context(), migration.DefaultSet)
	noError(t, err)
	var got []string
	for a := range st.Applied.All() {
		got = append(got, a.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestLogger(t *testing.T) {
	var lines bytes.Buffer
	d := open(t, memdb.New(), classic.Config{Logger: log.New(&lines, "", 0)})
	apply(t, d, "CREATE TABLE t (x int)", "1_users.up.sql", 1)
	noError(t, d.Lock())
	queue(t, d, "CREATE TABLE t (x int)", "2_again.up.sql", 2)
	wantError(t, d.UnLock(), "2_again.up.sql")
	for _, want := range []string{"up 1 users in ", "2_again.up.sql"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, &lines)
		}
	}
}

// A second set of the database is apart.
func TestSets(t *testing.T) {
	m := memdb.New()
	apply(t, open(t, m, classic.Config{}), "CREATE TABLE t (x int)", "1.up.sql", 1)
	wantVersion(t, open(t, m, classic.Config{Set: "jobs"}), classic.NilVersion, false)
	db, err := m.Open(context.Background(), database.Options{})
	noError(t, err)
	defer db.Close()
	_, err = classic.WithInstance(db, classic.Config{Set: migration.ReservedSet})
	wantError(t, err, "Whimbrel's own")
}
