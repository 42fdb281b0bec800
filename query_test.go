package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

var (
	writes    = whimbrel.QueryOptions{Write: true}
	byHand    = whimbrel.QueryOptions{Write: true, Note: "by hand"}
	overruled = whimbrel.QueryOptions{Write: true, Overrule: memdb.Name}
)

// queries are the events of statements that were executed: their text and note.
func queries(t *testing.T, db database.Database) string {
	t.Helper()
	var all []string
	for e, err := range db.History(t.Context(), database.HistoryQuery{Texts: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Direction == database.Query {
			all = append(all, e.UpText+" "+e.Note)
			if e.Version != whimbrel.NilVersion || e.StartedAt.IsZero() || e.ToolVersion == "" {
				t.Errorf("%+v", e)
			}
		}
	}
	return fmt.Sprint(all)
}

func TestQueryOnlyReads(t *testing.T) {
	db, m := described(t, whimbrel.Options{})
	for _, statement := range []string{"INSERT INTO t VALUES (1)", "DROP TABLE t", "CREATE TABLE u (x int)"} {
		if _, err := m.Query(t.Context(), statement, whimbrel.QueryOptions{}); !errors.Is(err, database.ErrReadOnly) {
			t.Errorf("%s: %v", statement, err)
		}
	}
	rows, err := m.Query(t.Context(), "SELECT * FROM t", whimbrel.QueryOptions{})
	if err != nil || len(rows.Rows) != 0 || len(rows.Columns) != 1 {
		t.Errorf("%+v, %v", rows, err)
	}
	if got := queries(t, db); got != "[]" {
		t.Errorf("recorded: %s", got)
	}
}

func TestQueryThatWritesIsRecorded(t *testing.T) {
	db, m := described(t, whimbrel.Options{})
	if _, err := m.Query(t.Context(), "INSERT INTO t VALUES (1)", byHand); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Query(t.Context(), "INSERT INTO missing VALUES (1)", byHand); err == nil {
		t.Error("no error")
	}
	if _, err := m.Query(t.Context(), "DELETE FROM whimbrel_history", byHand); err == nil {
		t.Error("Whimbrel's own table was written")
	}
	if _, err := m.Query(t.Context(), "CREATE INDEX CONCURRENTLY i ON t (x)", byHand); err != nil {
		t.Error(err)
	}
	if got, want := queries(t, db), "[INSERT INTO t VALUES (1) by hand CREATE INDEX CONCURRENTLY i ON t (x) by hand]"; got != want {
		t.Errorf("recorded: %s\nwant      %s", got, want)
	}
	// It is no migration: nothing is pending, and a rollback takes back what it was.
	if p, err := m.Plan(t.Context(), whimbrel.Latest()); err != nil || len(p.Steps) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := m.Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
		t.Error(err)
	}
}

func TestQueryThatWritesIsUnderTheRules(t *testing.T) {
	db, m := described(t, whimbrel.Options{})
	set := func(name, value string) {
		if err := db.UpdateSetting(t.Context(), database.SettingUpdate{Name: name, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	set(database.Protected, "true")
	if _, err := m.Query(t.Context(), "INSERT INTO t VALUES (1)", writes); !errors.As(err, new(*whimbrel.ProtectedError)) {
		t.Errorf("a protected database: %v", err)
	}
	empty, err := migration.NewSet("")
	if err != nil {
		t.Fatal(err)
	}
	over := whimbrel.New(db, empty, whimbrel.Options{})
	if _, err := over.Query(t.Context(), "INSERT INTO t VALUES (1)", overruled); err != nil {
		t.Errorf("overruled: %v", err)
	}
	set(database.MigrationMode, "false")
	for _, statement := range []string{"INSERT INTO t VALUES (2)", "CREATE INDEX CONCURRENTLY i ON t (x)"} {
		if _, err := over.Query(t.Context(), statement, overruled); !errors.As(err, new(*whimbrel.FrozenError)) {
			t.Errorf("a frozen database: %v", err)
		}
	}
	if _, err := m.Query(t.Context(), "SELECT * FROM t", whimbrel.QueryOptions{}); err != nil {
		t.Errorf("reading a frozen database: %v", err)
	}
	set(database.MigrationMode, "true")
	b, _, err := db.Begin(t.Context(), migration.DefaultSet, database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Rollback(context.WithoutCancel(t.Context()))
	impatient := whimbrel.New(db, empty, whimbrel.Options{LockTimeout: whimbrel.TryOnce})
	if _, err := impatient.Query(t.Context(), "INSERT INTO t VALUES (3)", overruled); !errors.Is(err, database.ErrLocked) {
		t.Errorf("while another process has the lock: %v", err)
	}
	if got := queries(t, db); got != "[INSERT INTO t VALUES (1) ]" {
		t.Errorf("recorded: %s", got)
	}
}
