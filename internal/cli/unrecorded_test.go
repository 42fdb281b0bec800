package cli

import (
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel"
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
