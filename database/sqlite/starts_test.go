package sqlite_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/source"
)

// A script that turns foreign keys off makes the driver release its lock for a moment. If another
// process records something in that moment, the engine starts over: no start fails.
func TestManyStartsWithForeignKeysOff(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for i := range 12 {
		files[fmt.Sprintf("%04d_t.up.sql", i+1)] = &fstest.MapFile{Data: []byte(fmt.Sprintf("PRAGMA foreign_keys = OFF;\nCREATE TABLE t%d (x INTEGER)", i))}
	}
	path := filepath.Join(t.TempDir(), "app.db")
	const starts = 6
	errs := make([]error, starts)
	var all sync.WaitGroup
	for i := range starts {
		all.Go(func() {
			set, err := source.Read(files, source.Options{})
			if err == nil {
				db := connect(t, "sqlite:"+path, database.Options{})
				_, err = whimbrel.New(db, set, whimbrel.Options{}).Up(bg)
			}
			errs[i] = err
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("start %d: %v", i, err)
		}
	}
	if n := scan[int](t, path, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 't[0-9]*'"); n != 12 {
		t.Errorf("%d tables, want 12", n)
	}
	if n := scan[int](t, path, "SELECT count(*) FROM whimbrel_history WHERE direction = 'up' AND set_name = 'default'"); n != 12 {
		t.Errorf("the history has %d entries, want 12", n)
	}
}
