package schemafile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/schemafile"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// shop returns the first n migrations of a set, and its repeatable script.
func shop(t *testing.T, n int) *migration.Set {
	t.Helper()
	c := migration.Contents{Repeatables: []migration.Named{{
		Name: "paid_orders", Script: migration.Text("R__paid_orders.sql", "DROP VIEW IF EXISTS paid_orders;\nCREATE VIEW paid_orders AS SELECT id FROM orders WHERE paid = 1;"),
	}}}
	for i, s := range []struct{ up, down string }{
		{"CREATE TABLE customers (id integer NOT NULL PRIMARY KEY, name varchar(80));\nCREATE INDEX by_name ON customers (name);", "DROP TABLE customers"},
		{"CREATE TABLE orders (id integer NOT NULL PRIMARY KEY, customer integer, paid integer, FOREIGN KEY (customer) REFERENCES customers (id))", "DROP VIEW IF EXISTS paid_orders;\nDROP TABLE orders;"},
		{"INSERT INTO customers (id, name) VALUES (1, 'a')", "DELETE FROM customers"},
		{"CREATE TABLE notes (id integer NOT NULL PRIMARY KEY, note varchar(80))", "DROP TABLE notes"},
	}[:n] {
		c.Migrations = append(c.Migrations, migration.Migration{
			Version: int64(i + 1), Name: fmt.Sprintf("step %d", i+1),
			Up: migration.Text(fmt.Sprintf("%d.up.sql", i+1), s.up), Down: migration.Text(fmt.Sprintf("%d.down.sql", i+1), s.down),
		})
	}
	set, err := c.Set("shop")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// eachKind runs a test on every kind of database; create returns the URL of an empty one.
func eachKind(t *testing.T, test func(t *testing.T, create func(testing.TB) string)) {
	for kind, create := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, create)
		})
	}
}

func up(t *testing.T, db database.Database, set *migration.Set) {
	t.Helper()
	if _, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, db database.Database) *schemafile.File {
	t.Helper()
	f, err := schemafile.Take(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// taken returns the schema file of a database with the migrations of a set, as a reader has it.
func taken(t *testing.T, create func(testing.TB) string, set *migration.Set) *schemafile.File {
	t.Helper()
	db := open(t, create(t))
	up(t, db, set)
	return parse(t, take(t, db).Text())
}

func parse(t *testing.T, text string) *schemafile.File {
	t.Helper()
	f, err := schemafile.Parse("db/schema.sql", text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func load(t *testing.T, db database.Database, set *migration.Set, f *schemafile.File) *schemafile.Loaded {
	t.Helper()
	l, err := schemafile.Load(t.Context(), db, set, f, schemafile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// same compares what two databases contain and what is applied in them.
func same(t *testing.T, loaded, migrated database.Database) {
	t.Helper()
	if diff := cmp.Diff(take(t, migrated).Text(), take(t, loaded).Text()); diff != "" {
		t.Errorf("the loaded database differs from the migrated one (-migrated +loaded):\n%s", diff)
	}
}

func noDrift(t *testing.T, db database.Database) {
	t.Helper()
	changes, err := inspect.Drift(t.Context(), db, inspect.Beside(db), nil)
	if err != nil {
		t.Error(err)
	}
	for _, c := range changes {
		t.Errorf("drift: %s", c)
	}
}

// Everything works in a loaded database as in one to which the migrations were applied.
func TestLoad(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, create func(testing.TB) string) {
		migrated, db, set := open(t, create(t)), open(t, create(t)), shop(t, 4)
		up(t, migrated, shop(t, 3))
		l := load(t, db, set, parse(t, take(t, migrated).Text()))
		if !l.Done() {
			t.Error("l.Done() = false, want true")
		}
		if diff := cmp.Diff([]int64{1, 2, 3}, l.Included); diff != "" {
			t.Errorf("l.Included (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]int64{4}, l.Pending); diff != "" {
			t.Errorf("l.Pending (-want +got):\n%s", diff)
		}
		if len(l.Rows) != 1 || l.Rows[0].Version != 3 || len(l.Rows[0].Statements) != 1 {
			t.Errorf("l.Rows = %+v, want the statement of version 3", l.Rows)
		}
		same(t, db, migrated)
		noDrift(t, db)

		m := whimbrel.New(db, set, whimbrel.Options{})
		if err := m.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		st, err := m.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int64{4}, st.PendingVersions()); diff != "" {
			t.Errorf("pending (-want +got):\n%s", diff)
		}
		if got := st.PendingRepeatables(); len(got) > 0 {
			t.Errorf("pending repeatable scripts: %q", got)
		}
		up(t, db, set)
		up(t, migrated, set)
		same(t, db, migrated)
		noDrift(t, db)
		for _, d := range []database.Database{db, migrated} {
			if _, err := whimbrel.New(d, set, whimbrel.Options{}).Migrate(t.Context(), whimbrel.By(-3), whimbrel.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		same(t, db, migrated)
	})
}

// A second load changes nothing, nor does one after later migrations.
func TestLoadAgain(t *testing.T) {
	t.Parallel()
	db, set := open(t, kinds["sqlite"](t)), shop(t, 4)
	f := taken(t, kinds["sqlite"], shop(t, 2))
	load(t, db, set, f)
	up(t, db, set)
	before := take(t, db).Text()
	if l := load(t, db, set, f); l.Done() {
		t.Error("l.Done() = true, want false")
	}
	if after := take(t, db).Text(); after != before {
		t.Errorf("the second load changed the database:\n%s", cmp.Diff(before, after))
	}
}

func TestLoadAfterAReset(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, create func(testing.TB) string) {
		db, set := open(t, create(t)), shop(t, 3)
		f := taken(t, create, set)
		up(t, db, set)
		m := whimbrel.New(db, set, whimbrel.Options{})
		st, err := m.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Reset(t.Context(), whimbrel.ResetOptions{Confirm: st.Database}); err != nil {
			t.Fatal(err)
		}
		load(t, db, set, f)
		noDrift(t, db)
	})
}

// Processes that load at once all succeed; one of them creates the schema.
func TestLoadAtOnce(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, create func(testing.TB) string) {
		url, set := create(t), shop(t, 4)
		f := taken(t, create, set)
		var dbs []database.Database
		for range 6 {
			dbs = append(dbs, open(t, url))
		}
		errs := make([]error, len(dbs))
		var all sync.WaitGroup
		for i, db := range dbs {
			all.Go(func() { _, errs[i] = schemafile.Load(t.Context(), db, set, f, schemafile.Options{}) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		loads := 0
		for e, err := range dbs[0].History(t.Context(), database.HistoryQuery{}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Direction == database.Load {
				loads++
			}
		}
		if loads != 1 {
			t.Errorf("the history has %d loads, want 1", loads)
		}
		if diff := cmp.Diff(f.Sets, take(t, dbs[0]).Sets); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
	})
}

// A load that is interrupted at any statement is completed by the next one.
func TestLoadInterrupted(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, create func(testing.TB) string) {
		migrated, set := open(t, create(t)), shop(t, 4)
		up(t, migrated, set)
		f := parse(t, take(t, migrated).Text())
		interrupted := 0
		for at := 1; ; at++ {
			db := open(t, create(t))
			ctx, cancel := context.WithCancel(t.Context())
			events := 0
			opts := schemafile.Options{Options: whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
				switch e.(type) {
				case whimbrel.StatementStarted, whimbrel.StepStarted:
					if events++; events == at {
						cancel()
					}
				}
			}}}
			_, err := schemafile.Load(ctx, db, set, f, opts)
			cancel()
			if err != nil {
				interrupted++
				if db.Dialect() != sqltext.MySQL {
					isEmpty(t, db)
				}
				load(t, db, set, f)
			}
			same(t, db, migrated)
			if events < at {
				break
			}
		}
		if interrupted == 0 {
			t.Error("no load was interrupted")
		}
	})
}

func isEmpty(t *testing.T, db database.Database) {
	t.Helper()
	s, err := database.Snapshot(t.Context(), db, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Objects {
		if o := s.Objects[i]; o.ID() != "schema public" {
			t.Errorf("the database has %s", o.ID())
		}
	}
}

// Nothing is changed by what Load refuses.
func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, create func(testing.TB) string) {
		set := shop(t, 3)
		good := taken(t, create, set)
		edit := func(old, now string) *schemafile.File { return parse(t, strings.Replace(good.Text(), old, now, 1)) }
		first, second := set.All()[0].Up.Checksum.String(), set.All()[1].Up.Checksum.String()
		for _, c := range []struct {
			name string
			file *schemafile.File
			set  *migration.Set
			want any // a pointer to the error's type
		}{
			{"other texts of migrations", parse(t, strings.NewReplacer(first, second, second, first).Replace(good.Text())), set, new(*whimbrel.SchemaMismatchError)},
			{"another kind of database", edit("schema of "+good.Dialect, "schema of dbase"), set, new(*schemafile.DialectError)},
			{"another set", good, other(t, "CREATE TABLE x (id integer)"), new(*schemafile.SetError)},
			{"own tables", edit("CREATE TABLE", "CREATE TABLE whimbrel_history (id integer);\nCREATE TABLE"), set, new(*sqltext.Error)},
		} {
			db := open(t, create(t))
			_, err := schemafile.Load(t.Context(), db, c.set, c.file, schemafile.Options{})
			if !errors.As(err, c.want) {
				t.Errorf("%s: got %v, want a %T", c.name, err, c.want)
			}
			isEmpty(t, db)
			if st, err := db.State(t.Context(), "shop"); err != nil || st.Head != 0 {
				t.Errorf("%s: the history has entries (%v)", c.name, err)
			}
		}
	})
}

func TestLoadNamesAllMismatches(t *testing.T) {
	t.Parallel()
	set := shop(t, 3)
	f := taken(t, kinds["sqlite"], set)
	zeros := migration.Checksum{1}.String()
	text := f.Text()
	for _, v := range []int{0, 2} {
		text = strings.Replace(text, set.All()[v].Up.Checksum.String(), zeros, 1)
	}
	_, err := schemafile.Load(t.Context(), open(t, kinds["sqlite"](t)), set, parse(t, text), schemafile.Options{})
	var mismatch *whimbrel.SchemaMismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("got %v, want a %T", err, mismatch)
	}
	var got []string
	for _, m := range mismatch.Migrations {
		got = append(got, fmt.Sprintf("%d %s %s", m.Version, m.File, m.Schema))
	}
	if diff := cmp.Diff([]string{"1 1.up.sql " + zeros, "3 3.up.sql " + zeros}, got); diff != "" {
		t.Errorf("mismatches (-want +got):\n%s", diff)
	}
}

func other(t *testing.T, sql string) *migration.Set {
	t.Helper()
	set, err := migration.NewSet("other", migration.Migration{Version: 7, Name: "x", Up: migration.Text("7.up.sql", sql)})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A database that is not empty is left as it is: one with migrations, also of another set, and one
// with objects of its own.
func TestLoadIntoADatabaseThatIsNotEmpty(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, create func(testing.TB) string) {
		set := shop(t, 3)
		f := taken(t, create, set)
		for name, fill := range map[string]*migration.Set{
			"some of the migrations":      shop(t, 2),
			"migrations of another set":   other(t, "CREATE TABLE mine (id integer)"),
			"objects without a migration": nil,
		} {
			db := open(t, create(t))
			if fill != nil {
				up(t, db, fill)
			} else { // what is forgotten remains
				fill = other(t, "CREATE TABLE mine (id integer)")
				up(t, db, fill)
				if err := whimbrel.New(db, fill, whimbrel.Options{}).Forget(t.Context(), "", 7); err != nil {
					t.Fatal(err)
				}
			}
			before := take(t, db).Text()
			_, err := schemafile.Load(t.Context(), db, set, f, schemafile.Options{})
			var e *whimbrel.NotEmptyError
			if !errors.As(err, &e) {
				t.Errorf("%s: got %v, want a %T", name, err, e)
			}
			if diff := cmp.Diff(before, take(t, db).Text()); diff != "" {
				t.Errorf("%s: the database was changed:\n%s", name, diff)
			}
		}
	})
}

// Statements that reach outside the database run only if they are allowed. The bodies of routines
// may contain such statements, since nothing calls them.
func TestLoadOutside(t *testing.T) {
	t.Parallel()
	set := shop(t, 2)
	good := taken(t, testdb.Postgres, set).Text()
	bad := parse(t, strings.Replace(good, "CREATE TABLE", "COPY (SELECT 1) TO '/nowhere/x';\nCREATE TABLE", 1))
	db := open(t, testdb.Postgres(t))
	_, err := schemafile.Load(t.Context(), db, set, bad, schemafile.Options{})
	var outside *schemafile.OutsideError
	if !errors.As(err, &outside) {
		t.Fatalf("got %v, want a %T", err, outside)
	}
	if len(outside.Statements) != 1 || outside.Statements[0].Pos.File != "db/schema.sql" {
		t.Errorf("outside.Statements = %+v", outside.Statements)
	}
	isEmpty(t, db)
	_, err = schemafile.Load(t.Context(), db, set, bad, schemafile.Options{Allow: []sqltext.Outer{sqltext.Files}})
	if !errors.As(err, new(*database.StatementError)) {
		t.Errorf("with Allow: got %v, want the server's error", err)
	}
	body := "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE ROLE x; END $$;\nCREATE TABLE"
	load(t, db, set, parse(t, strings.Replace(good, "CREATE TABLE", body, 1)))
}

// A file has the migrations of all sets of its database, and Load records all.
func TestLoadSeveralSets(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, create func(testing.TB) string) {
		shop, more := shop(t, 3), other(t, "CREATE TABLE x (id integer NOT NULL PRIMARY KEY)")
		migrated, db := open(t, create(t)), open(t, create(t))
		up(t, migrated, shop)
		up(t, migrated, more)
		l := load(t, db, shop, parse(t, take(t, migrated).Text()))
		if !slices.Equal(l.Others, []string{"other"}) {
			t.Errorf("l.Others = %q, want other", l.Others)
		}
		same(t, db, migrated)
		noDrift(t, db)
		for _, set := range []*migration.Set{shop, more} {
			r, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context())
			if err != nil || len(r.Applied) > 0 {
				t.Errorf("set %s: applied %v (%v), want nothing", set.Name(), r.Applied, err)
			}
		}
	})
}

// In a database that got its migrations in another way than from the file, Load does not record
// those of other sets: it did not create their objects.
func TestLoadDoesNotRecordWhatItDidNotCreate(t *testing.T) {
	t.Parallel()
	create := kinds["sqlite"]
	shop, more := shop(t, 3), other(t, "CREATE TABLE x (id integer)")
	migrated, db := open(t, create(t)), open(t, create(t))
	up(t, migrated, shop)
	up(t, migrated, more)
	up(t, db, shop)
	load(t, db, shop, parse(t, take(t, migrated).Text()))
	if st, err := db.State(t.Context(), "other"); err != nil || st.Applied.Len() > 0 {
		t.Errorf("set other has %d applied migrations (%v), want 0", st.Applied.Len(), err)
	}
}

// A squash and a baseline are loaded like other migrations.
func TestLoadSquash(t *testing.T) {
	t.Parallel()
	create := kinds["sqlite"]
	originals := shop(t, 2).All()
	squash := migration.Migration{Version: 2, Name: "both", Up: migration.Text("2_both.up.sql", "CREATE TABLE customers (id integer); CREATE TABLE orders (id integer, paid integer)")}
	for _, o := range originals {
		squash.Up.Replaces = append(squash.Up.Replaces, migration.Replaced{Version: o.Version, Checksum: o.Up.Checksum})
	}
	squashed, err := migration.NewSet("shop", squash)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("recorded before", func(t *testing.T) {
		t.Parallel()
		db := open(t, create(t))
		load(t, db, squashed, taken(t, create, squashed))
		noDrift(t, db)
		up(t, db, squashed)
	})
	t.Run("written after the file", func(t *testing.T) {
		t.Parallel()
		db := open(t, create(t))
		l := load(t, db, squashed, taken(t, create, shop(t, 2)))
		if len(l.Unknown) > 0 {
			t.Errorf("l.Unknown = %v, want none", l.Unknown)
		}
		r, err := whimbrel.New(db, squashed, whimbrel.Options{}).Up(t.Context())
		if err != nil || len(r.Applied) > 0 || len(r.Recorded) != 1 {
			t.Errorf("applied %v, recorded %v (%v), want the squash recorded", r.Applied, r.Recorded, err)
		}
	})
	t.Run("baseline", func(t *testing.T) {
		t.Parallel()
		b := migration.Migration{Version: 2, Name: "start", Up: squash.Up}
		b.Up = migration.Text("B2_start.sql", "CREATE TABLE customers (id integer); CREATE TABLE orders (id integer, paid integer)")
		based, err := migration.Contents{Baselines: []migration.Migration{b}}.Set("shop")
		if err != nil {
			t.Fatal(err)
		}
		db := open(t, create(t))
		load(t, db, based, taken(t, create, based))
		noDrift(t, db)
		up(t, db, based)
	})
}

// Two databases with the same migrations have the same file, whatever happened to them before.
func TestTextIsTheSame(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, create func(testing.TB) string) {
		first, second, set := open(t, create(t)), open(t, create(t)), shop(t, 4)
		up(t, first, set)
		m := whimbrel.New(second, set, whimbrel.Options{})
		for _, g := range []whimbrel.Goal{whimbrel.UpTo(2), whimbrel.By(-1), whimbrel.Latest(), whimbrel.Redo(1)} {
			if _, err := m.Migrate(t.Context(), g, whimbrel.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		same(t, first, second)
	})
}
