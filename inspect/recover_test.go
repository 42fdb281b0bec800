package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// wrongDowns are migrations whose down scripts revert nothing, revert a part, drop too much, or
// fail halfway. A later migration of each four needs the earlier ones.
func wrongDowns(t *testing.T, db database.Database, n int) *migration.Set {
	var steps []step
	for i := range n {
		switch a := fmt.Sprintf("t%d", i/4); i % 4 {
		case 0: // nothing
			steps = append(steps, step{"CREATE TABLE " + a + " (id integer PRIMARY KEY, a integer, b integer)", "SELECT 1"})
		case 1: // a part
			steps = append(steps, step{"ALTER TABLE " + a + " ADD COLUMN c integer; ALTER TABLE " + a + " ADD COLUMN d integer", "ALTER TABLE " + a + " DROP COLUMN c"})
		case 2: // too much
			steps = append(steps, step{"CREATE INDEX i" + a + " ON " + a + " (c)", dropIndex(db, "i"+a, a) + "; ALTER TABLE " + a + " DROP COLUMN b"})
		case 3: // halfway
			halfway := "ALTER TABLE " + a + " DROP COLUMN a; DROP TABLE missing"
			if db.Dialect() != sqltext.MySQL {
				halfway = "-- whimbrel: no-transaction\n" + halfway
			}
			steps = append(steps, step{"ALTER TABLE " + a + " ADD COLUMN e integer; CREATE INDEX j" + a + " ON " + a + " (b)", halfway})
		}
	}
	return setOf(t, steps...)
}

// scriptsOf counts the scripts that a proof runs.
func scriptsOf(t *testing.T, set *migration.Set, scratch inspect.Scratch) (scripts int, v *inspect.Verified) {
	t.Helper()
	scratch.Progress = func(inspect.Trying) { scripts++ }
	v, err := inspect.Verify(t.Context(), set, scratch)
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Migrations) != set.Len() {
		t.Fatalf("%d of %d migrations were proved", len(v.Migrations), set.Len())
	}
	return scripts, v
}

// TestWrongDownsCostAsMuchAsRightOnes: the number of scripts grows as that of the migrations,
// and each wrong down script is found.
func TestWrongDownsCostAsMuchAsRightOnes(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		for _, n := range []int{12, 24} {
			scripts, v := scriptsOf(t, wrongDowns(t, db, n), inspect.Beside(db))
			if most := 5 * n; scripts > most { // up, down, up again, drop what is left, and up on the line
				t.Errorf("%d migrations: %d scripts ran, want at most %d", n, scripts, most)
			}
			for i, p := range v.Migrations {
				wrong := "differences"
				if i%4 == 3 {
					wrong = "a failing down script"
				}
				if p.Up != nil || (p.Down != nil) != (i%4 == 3) || (len(p.Differences) > 0) != (i%4 != 3) {
					t.Errorf("%d of %d, want %s: %+v", i+1, n, wrong, p)
				}
			}
		}
	})
}

// notCopying is a database whose scratch databases can't be copied.
type notCopying struct{ database.Database }

// TestWrongDownsWhereNothingIsCopied: the proof is the same.
func TestWrongDownsWhereNothingIsCopied(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		set := wrongDowns(t, db, 12)
		alone := inspect.Beside(db)
		open := 0
		alone.Name = "a_name" // a copy would have another one
		make := alone.Make
		alone.Make = func(ctx context.Context) (database.Database, func(context.Context) error, error) {
			s, drop, err := make(ctx)
			if open++; open > 1 {
				t.Errorf("%d scratch databases exist at one time", open)
			}
			return s, func(ctx context.Context) error { open--; return drop(ctx) }, err
		}
		_, got := scriptsOf(t, set, alone)
		_, want := scriptsOf(t, set, inspect.Beside(db))
		for i := range want.Migrations {
			if a, b := words(got.Migrations[i].Differences), words(want.Migrations[i].Differences); a != b {
				t.Errorf("%d: %s, want %s", i+1, a, b)
			}
		}
	})
}

// TestCopyOfAScratchDatabase: it has the schema, the rows and the history, and changes nothing of
// the other one.
func TestCopyOfAScratchDatabase(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		if _, _, err := database.CopyScratch(t.Context(), notCopying{db}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a driver without the power: %v", err)
		}
		scratch, drop, err := database.Scratch(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { check(t, drop(context.Background())) }()
		set := setOf(t, step{"CREATE TABLE a (id integer PRIMARY KEY); INSERT INTO a VALUES (7)", "DROP TABLE a"}, step{"CREATE TABLE b (id integer)", "DROP TABLE b"})
		up(t, scratch, set, 1)
		for range 2 {
			other, dropOther, err := database.CopyScratch(t.Context(), scratch)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := database.ReadQuery(t.Context(), other, "SELECT count(*) FROM a WHERE id = 7")
			if err != nil || fmt.Sprint(rows.Rows[0][0]) != "1" {
				t.Errorf("the rows of a copy: %v, %v", rows, err)
			}
			up(t, other, set, 1)
			check(t, dropOther(context.Background()))
		}
		up(t, scratch, set, 1)
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// up applies the next migrations.
func up(t *testing.T, db database.Database, set *migration.Set, n int) {
	t.Helper()
	_, err := whimbrel.New(db, set, whimbrel.Options{}).Migrate(t.Context(), whimbrel.By(n), whimbrel.ApplyOptions{})
	check(t, err)
}
