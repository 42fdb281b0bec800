package memdb_test

import (
	"context"
	"testing"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// made returns the snapshot of a target in which a script ran.
func made(t *testing.T, script string) *catalog.Snapshot {
	t.Helper()
	ctx := context.Background()
	db, err := memdb.New().Open(ctx, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tx, _, err := db.Begin(ctx, "set", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Exec(ctx, migration.Text("a.sql", script)); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSnapshot(t *testing.T) {
	s := made(t, `CREATE TABLE b (id integer, "n" text); CREATE TABLE "A" (x); CREATE INDEX i ON b (id)`)
	const want = `
CREATE TABLE "A" (x);

CREATE TABLE "b" (id integer, "n" text);

CREATE INDEX "i" ON "b" (id);
`
	if got := "\n" + s.Text(); got != want {
		t.Errorf("got %s", got)
	}
	if again := made(t, s.Text()); again.Fingerprint() != s.Fingerprint() {
		t.Error(catalog.Compare(s, again))
	}
	changed := made(t, `CREATE TABLE b (id bigint, "n" text); CREATE TABLE "A" (x)`)
	got := catalog.Compare(s, changed)
	if len(got) != 2 {
		t.Fatalf("len(got) = %v, want 2", len(got))
	}
	if got[0].String() != "column b.id: definition integer → bigint" {
		t.Errorf("got[0].String() = %q, want %q", got[0].String(), "column b.id: definition integer → bigint")
	}
	if got[1].String() != "index b.i removed" {
		t.Errorf("got[1].String() = %q, want %q", got[1].String(), "index b.i removed")
	}
}
