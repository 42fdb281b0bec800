package inspect_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

// squashFolder returns a folder with a range, 2 to 5, that can be squashed either way.
func squashFolder(db database.Database) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, s := range []step{
		{"CREATE TABLE a (id integer PRIMARY KEY)", "DROP TABLE a"},
		{"CREATE TABLE b (id integer PRIMARY KEY, a integer REFERENCES a (id))", "DROP TABLE b"},
		{"ALTER TABLE b ADD COLUMN n varchar(20) DEFAULT 'x'", "ALTER TABLE b DROP COLUMN n"},
		{"CREATE INDEX b_n ON b (n); CREATE VIEW v AS SELECT id FROM b", "DROP VIEW v; " + dropIndex(db, "b_n", "b")},
		{"CREATE TABLE c (id integer)", "DROP TABLE c"},
		{"CREATE VIEW w AS SELECT n FROM b", "DROP VIEW w"},
		{"ALTER TABLE c ADD COLUMN more integer", "ALTER TABLE c DROP COLUMN more"},
	} {
		fsys[fmt.Sprintf("%d_m.up.sql", i+1)] = &fstest.MapFile{Data: []byte(s.up)}
		fsys[fmt.Sprintf("%d_m.down.sql", i+1)] = &fstest.MapFile{Data: []byte(s.down)}
	}
	return fsys
}

func readFolder(t *testing.T, fsys fstest.MapFS) *migration.Set {
	t.Helper()
	set, err := source.Read(fsys, source.Options{Set: "s"})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// withSquash returns the folder with the squash of 2 to 5, with or without the originals.
func withSquash(t *testing.T, db database.Database, minimal, keep bool) *migration.Set {
	t.Helper()
	fsys := squashFolder(db)
	opts := source.SquashOptions{From: 2, To: 5, Name: "squash", Dialect: db.Dialect()}
	if minimal {
		opts.Rewrite = func(r source.SquashRange) (source.SquashScripts, error) {
			m, err := inspect.Minimal(t.Context(), r.Set, inspect.MinimalOptions{From: r.From, To: r.To}, inspect.Beside(db))
			if err != nil {
				return source.SquashScripts{}, err
			}
			return source.SquashScripts{Up: m.Up, Down: m.Down, NoDown: !m.HasDown}, nil
		}
	}
	q, err := source.Squash(fsys, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range q.Files {
		fsys[f.Name] = &fstest.MapFile{Data: []byte(f.Content)}
	}
	if !keep {
		for _, name := range q.Sources {
			delete(fsys, name)
		}
	}
	return readFolder(t, fsys)
}

// TestSquashEndsWithTheSameSchema squashes a range after ten different histories. All end with the
// schema of the originals and a history that verifies.
func TestSquashEndsWithTheSameSchema(t *testing.T) {
	t.Parallel()
	up := func(goals ...whimbrel.Goal) []whimbrel.Goal { return goals }
	histories := []struct {
		name   string
		before []whimbrel.Goal // reached with the originals
		keep   bool            // keep the originals' files
	}{
		{name: "fresh"},
		{name: "fresh, with the originals there", keep: true},
		{name: "taken back to nothing", before: up(whimbrel.Latest(), whimbrel.DownTo(whimbrel.NilVersion))},
		{name: "before the range", before: up(whimbrel.UpTo(1))},
		{name: "taken back to before the range", before: up(whimbrel.UpTo(4), whimbrel.DownTo(1))},
		{name: "at the range's first", before: up(whimbrel.UpTo(2)), keep: true},
		{name: "inside the range", before: up(whimbrel.UpTo(4)), keep: true},
		{name: "at its end", before: up(whimbrel.UpTo(5))},
		{name: "after the range", before: up(whimbrel.UpTo(6), whimbrel.Redo(3))},
		{name: "at the newest", before: up(whimbrel.Latest())},
	}
	eachKind(t, func(t *testing.T, db database.Database) {
		originals := readFolder(t, squashFolder(db))
		want, err := reach(t, db, originals)
		if err != nil {
			t.Fatal(err)
		}
		for _, minimal := range []bool{false, true} {
			sets := map[bool]*migration.Set{false: withSquash(t, db, minimal, false), true: withSquash(t, db, minimal, true)}
			for _, h := range histories {
				t.Run(fmt.Sprintf("%s,minimal=%v", h.name, minimal), func(t *testing.T) {
					scratch := onScratch(t, db)
					for _, g := range h.before {
						if _, err := whimbrel.New(scratch, originals, whimbrel.Options{}).Migrate(t.Context(), g, whimbrel.ApplyOptions{}); err != nil {
							t.Fatal(err)
						}
					}
					m := whimbrel.New(scratch, sets[h.keep], whimbrel.Options{})
					if _, err := m.Up(t.Context()); err != nil {
						t.Fatal(err)
					}
					isLike(t, scratch, want)
					if err := m.Verify(t.Context()); err != nil {
						t.Error(err)
					}
					s, err := m.Status(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff([]int64{1, 5, 6, 7}, s.InState(whimbrel.StateApplied)); diff != "" {
						t.Errorf("s.InState(whimbrel.StateApplied) (-want +got):\n%s", diff)
					}
					if len(s.Migrations) != 4 {
						t.Errorf("len(s.Migrations) = %v, want 4", len(s.Migrations))
					}
					// The squash's own down and up lead to the same schema.
					if _, err := m.Migrate(t.Context(), whimbrel.DownTo(1), whimbrel.ApplyOptions{}); err != nil {
						t.Fatal(err)
					}
					if _, err := m.Up(t.Context()); err != nil {
						t.Fatal(err)
					}
					isLike(t, scratch, want)
				})
			}
		}
	})
}

// onScratch returns a scratch database that lasts as long as the test.
func onScratch(t *testing.T, db database.Database) database.Database {
	t.Helper()
	scratch, drop, err := database.Scratch(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return scratch
}

// reach returns the schema that a set creates.
func reach(t *testing.T, db database.Database, set *migration.Set) (*catalog.Snapshot, error) {
	t.Helper()
	scratch := onScratch(t, db)
	if _, err := whimbrel.New(scratch, set, whimbrel.Options{}).Up(t.Context()); err != nil {
		return nil, err
	}
	return database.Snapshot(t.Context(), scratch, catalog.Options{})
}

func isLike(t *testing.T, db database.Database, want *catalog.Snapshot) {
	t.Helper()
	got, err := database.Snapshot(t.Context(), db, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if changes := catalog.Compare(want, got); len(changes) > 0 {
		t.Errorf("len(changes) = %v, want at most %v", len(changes), 0)
	} else if got.Fingerprint() != want.Fingerprint() {
		t.Errorf("got.Fingerprint() = %v, want %v", got.Fingerprint(), want.Fingerprint())
	}
}
