package whimbrel_test

import (
	"errors"
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
		"no database":     {nil, fstest.MapFS{}, "", "nil database"},
		"no files":        {db, nil, "", "needs a file system"},
		"an empty folder": {db, fstest.MapFS{"m/.keep": {}}, "m", `the folder "m" has no migrations`},
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

func TestUpOfAnFSWithOnlyAFolder(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	r, err := whimbrel.Up(t.Context(), db, fstest.MapFS{"migrations/0001_a.up.sql": {Data: []byte("CREATE TABLE a (x)")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := versions(r.Applied); !slices.Equal(got, []int64{1}) {
		t.Errorf("applied %v, want [1]", got)
	}
	// The only folder of a Hasura project with one migration is that migration.
	files := fstest.MapFS{"1_b/up.sql": {Data: []byte("CREATE TABLE b (x)")}}
	if _, err := whimbrel.Up(t.Context(), db, files, whimbrel.UpOptions{Set: "hasura"}); err != nil {
		t.Fatal(err)
	}
	wantTables(t, target, "a", "b")
}

func TestUpOptionsAreOptional(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	_, err := whimbrel.Up(t.Context(), db, fstest.MapFS{}, whimbrel.UpOptions{}, whimbrel.UpOptions{})
	wantErrorText(t, err, "takes one UpOptions, but got 2")
	_, err = whimbrel.Up(t.Context(), db, fstest.MapFS{})
	if !errors.As(err, new(*whimbrel.NoMigrationsError)) {
		t.Errorf("err = %v, want a *NoMigrationsError", err)
	}
	if _, err := whimbrel.Up(t.Context(), db, fstest.MapFS{}, whimbrel.UpOptions{AllowEmpty: true}); err != nil {
		t.Errorf("with AllowEmpty: %v", err)
	}
}
