package cli

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Objects that another process has migrated since the state was read are recorded.
func TestUnrecordedMeanwhile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := database.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "app.db"), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	set, err := migration.NewSet("default", migration.Migration{Version: 1, Name: "a", Up: migration.Text("1_a.up.sql", "CREATE TABLE a (x)")})
	if err != nil {
		t.Fatal(err)
	}
	one := &target{db: db, set: set, ahead: make(chan stateRead, 1)}
	one.ahead <- readState(ctx, db, set.Name(), false)
	if _, err := whimbrel.New(db, set, whimbrel.Options{}).Up(ctx); err != nil {
		t.Fatal(err)
	}
	if found, err := (&app{}).unrecorded(ctx, one); found != nil || err != nil {
		t.Errorf("found %+v, error %v", found, err)
	}
}

// asked counts the queries beside those of the state.
type asked struct {
	database.Database
	queries int
}

func (a *asked) Query(ctx context.Context, statement string) (*database.Rows, error) {
	a.queries++
	return database.ReadQuery(ctx, a.Database, statement)
}

func (a *asked) Snapshot(ctx context.Context, opts catalog.Options) (*catalog.Snapshot, error) {
	a.queries++
	return database.Snapshot(ctx, a.Database, opts)
}

// A database without tables is asked nothing but its state.
func TestUnrecordedInABareDatabase(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := "sqlite:" + filepath.Join(t.TempDir(), "app.db")
	db, err := database.Open(ctx, url, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	set, err := migration.NewSet("default", migration.Migration{Version: 1, Name: "a", Up: migration.Text("1_a.up.sql", "CREATE TABLE a (x)")})
	if err != nil {
		t.Fatal(err)
	}
	look := func() (found bool, queries int) {
		one := &asked{Database: db}
		u, err := (&app{}).unrecorded(ctx, &target{db: one, set: set})
		if err != nil {
			t.Fatal(err)
		}
		return u != nil, one.queries
	}
	if found, queries := look(); found || queries != 0 {
		t.Errorf("an empty database: found %t with %d queries, want none", found, queries)
	}
	other, err := migration.NewSet("other", migration.Migration{Version: 1, Name: "b", Up: migration.Text("1_b.up.sql", "CREATE TABLE b (x)")})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := database.Open(ctx, url, database.Options{HistoryTable: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	if _, err := whimbrel.New(elsewhere, other, whimbrel.Options{}).Up(ctx); err != nil {
		t.Fatal(err)
	}
	if found, queries := look(); !found || queries == 0 {
		t.Errorf("a database with a table: found %t with %d queries", found, queries)
	}
}
