package whimbrel_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// script is one migration in a test: version, up and down text ("-" for none).
type script struct {
	version  int64
	up, down string
}

func newSet(t testing.TB, scripts ...script) *migration.Set {
	t.Helper()
	var ms []migration.Migration
	for _, s := range scripts {
		name := fmt.Sprintf("m%d", s.version)
		m := migration.Migration{Version: s.version, Name: name, Up: migration.Text(fmt.Sprintf("%d_%s.up.sql", s.version, name), s.up)}
		if s.down != "-" {
			m.Down = migration.Text(fmt.Sprintf("%d_%s.down.sql", s.version, name), s.down)
		}
		ms = append(ms, m)
	}
	set, err := migration.NewSet("shop", ms...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// plain returns n migrations, each of which makes a table t1, t2, ….
func plain(n int) []script {
	var all []script
	for i := 1; i <= n; i++ {
		all = append(all, script{int64(i), fmt.Sprintf("CREATE TABLE t%d (x)", i), fmt.Sprintf("DROP TABLE t%d", i)})
	}
	return all
}

func open(t testing.TB, target *memdb.Target) *memdb.Database {
	t.Helper()
	db, err := target.Open(t.Context(), database.Options{App: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func wantTables(t testing.TB, target *memdb.Target, want ...string) {
	t.Helper()
	got, err := target.Tables(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the database has the tables %v, want %v", got, want)
	}
}

func versions(done []whimbrel.StepResult) []int64 {
	var vs []int64
	for _, d := range done {
		vs = append(vs, d.Version)
	}
	return vs
}
