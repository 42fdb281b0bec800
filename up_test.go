package whimbrel_test

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

func TestUpFromAFolder(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	files := fstest.MapFS{
		"schema/0001_a.up.sql": {Data: []byte("CREATE TABLE a (x)")},
		"schema/0002_b.up.sql": {Data: []byte("CREATE TABLE b (x)")},
		"other/0001_c.up.sql":  {Data: []byte("CREATE TABLE c (x)")},
	}
	opts := whimbrel.UpOptions{Dir: "schema", Set: "jobs", Options: whimbrel.Options{Atomic: true}}
	for _, want := range [][]int64{{1, 2}, nil} {
		r, err := whimbrel.Up(t.Context(), db, files, opts)
		if err != nil {
			t.Fatal(err)
		}
		if r.Set != "jobs" {
			t.Errorf("the set is %q, want jobs", r.Set)
		}
		if !slices.Equal(versions(r.Applied), want) {
			t.Errorf("applied %v, want %v", versions(r.Applied), want)
		}
	}
	wantTables(t, target, "a", "b")
}

func TestUpFromAFolderNamesTheMistake(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	for name, tt := range map[string]struct {
		db    database.Database
		files fs.FS
		dir   string
		want  string
	}{
		"no database":       {nil, fstest.MapFS{}, "", "nil database"},
		"no files":          {db, nil, "", "needs a file system"},
		"an invalid folder": {db, fstest.MapFS{}, "../x", "the folder of migrations"},
		"a misnamed file":   {db, fstest.MapFS{"m/users.sql": {Data: []byte("SELECT 1")}}, "m", "m/users.sql"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := whimbrel.Up(t.Context(), tt.db, tt.files, whimbrel.UpOptions{Dir: tt.dir})
			wantErrorText(t, err, tt.want)
			if r == nil {
				t.Error("the result is nil")
			}
		})
	}
	_, err := whimbrel.Up(t.Context(), db, fstest.MapFS{}, whimbrel.UpOptions{Dir: "missing"})
	wantErrorIs(t, err, fs.ErrNotExist)
}
