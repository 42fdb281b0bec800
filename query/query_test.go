package query_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/query"
)

var (
	writes    = query.WriteOptions{}
	byHand    = query.WriteOptions{Reason: "by hand"}
	overruled = query.WriteOptions{Overrule: memdb.Name}
)

// described returns a database with a table t.
func described(t *testing.T, opts whimbrel.Options) (*memdb.Database, *whimbrel.Migrator) {
	t.Helper()
	set, err := migration.NewSet("", migration.Migration{
		Version: 1, Name: "t",
		Up: migration.Text("t.up.sql", "CREATE TABLE t (x int)"), Down: migration.Text("t.down.sql", "DROP TABLE t"),
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := memdb.New().Open(t.Context(), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	m := whimbrel.New(db, set, opts)
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db, m
}

// queries returns the history entries of queries: text and note.
func queries(t *testing.T, db database.Database) string {
	t.Helper()
	var all []string
	for e, err := range db.History(t.Context(), database.HistoryQuery{Texts: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Direction == database.Query {
			all = append(all, e.UpText+" "+e.Reason)
			if e.Version != whimbrel.NilVersion {
				t.Errorf("the entry of a query has version %d", e.Version)
			}
			if e.StartedAt.IsZero() {
				t.Error("the entry of a query has no time")
			}
			if e.ToolVersion == "" {
				t.Error("the entry of a query has no tool version")
			}
		}
	}
	return fmt.Sprint(all)
}

func TestQueryOnlyReads(t *testing.T) {
	db, m := described(t, whimbrel.Options{})
	for _, statement := range []string{"INSERT INTO t VALUES (1)", "DROP TABLE t", "CREATE TABLE u (x int)"} {
		if _, err := query.Read(t.Context(), m.Database(), statement); !errors.Is(err, database.ErrReadOnly) {
			t.Errorf("%s: %v", statement, err)
		}
	}
	rows, err := query.Read(t.Context(), m.Database(), "SELECT * FROM t")
	if err != nil {
		t.Fatal(err)
	}
	if len(rows.Rows) != 0 {
		t.Errorf("the table has the rows %v, want none", rows.Rows)
	}
	if len(rows.Columns) != 1 {
		t.Errorf("the columns are %v, want one", rows.Columns)
	}
	if got := queries(t, db); got != "[]" {
		t.Errorf("recorded: %s", got)
	}
}

func TestQueryThatWritesIsRecorded(t *testing.T) {
	db, m := described(t, whimbrel.Options{})
	if _, err := query.Write(t.Context(), m, "INSERT INTO t VALUES (1)", byHand); err != nil {
		t.Fatal(err)
	}
	if _, err := query.Write(t.Context(), m, "INSERT INTO missing VALUES (1)", byHand); err == nil {
		t.Error("no error")
	}
	if _, err := query.Write(t.Context(), m, "DELETE FROM whimbrel_history", byHand); err == nil {
		t.Error("Whimbrel's own table was written")
	}
	if _, err := query.Write(t.Context(), m, "CREATE INDEX CONCURRENTLY i ON t (x)", byHand); err != nil {
		t.Error(err)
	}
	if got, want := queries(t, db), "[INSERT INTO t VALUES (1) by hand CREATE INDEX CONCURRENTLY i ON t (x) by hand]"; got != want {
		t.Errorf("recorded: %s\nwant      %s", got, want)
	}
	// A query is no migration: nothing is pending, and the migration can be rolled back.
	p, err := m.Plan(t.Context(), whimbrel.Latest())
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != 0 {
		t.Errorf("the plan has the steps %+v, want none", p.Steps)
	}
	if _, err := m.Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
		t.Error(err)
	}
}

func TestQueryThatWritesIsUnderTheRules(t *testing.T) {
	db, m := described(t, whimbrel.Options{})
	set := func(name, value string) {
		if err := database.UpdateSetting(t.Context(), db, database.SettingUpdate{Name: name, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	set(database.Protected, "true")
	if _, err := query.Write(t.Context(), m, "INSERT INTO t VALUES (1)", writes); !errors.As(err, new(*whimbrel.ProtectedError)) {
		t.Errorf("a protected database: %v", err)
	}
	empty, err := migration.NewSet("")
	if err != nil {
		t.Fatal(err)
	}
	over := whimbrel.New(db, empty, whimbrel.Options{})
	if _, err := query.Write(t.Context(), over, "INSERT INTO t VALUES (1)", overruled); err != nil {
		t.Errorf("overruled: %v", err)
	}
	set(database.Frozen, "true")
	for _, statement := range []string{"INSERT INTO t VALUES (2)", "CREATE INDEX CONCURRENTLY i ON t (x)"} {
		if _, err := query.Write(t.Context(), over, statement, overruled); !errors.As(err, new(*whimbrel.FrozenError)) {
			t.Errorf("a frozen database: %v", err)
		}
	}
	if _, err := query.Read(t.Context(), m.Database(), "SELECT * FROM t"); err != nil {
		t.Errorf("reading a frozen database: %v", err)
	}
	set(database.Frozen, "false")
	b, _, err := db.Begin(t.Context(), migration.DefaultSet, database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Rollback(context.WithoutCancel(t.Context()))
	impatient := whimbrel.New(db, empty, whimbrel.Options{MigrationLockTimeout: whimbrel.TryOnce})
	if _, err := query.Write(t.Context(), impatient, "INSERT INTO t VALUES (3)", overruled); !errors.Is(err, database.ErrLocked) {
		t.Errorf("while another process has the lock: %v", err)
	}
	if got := queries(t, db); got != "[INSERT INTO t VALUES (1) ]" {
		t.Errorf("recorded: %s", got)
	}
}
