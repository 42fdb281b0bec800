package sqlite_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
)

// pets is a schema with every kind of reference, and rows.
const pets = `CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE visit (id INTEGER PRIMARY KEY, pet INTEGER REFERENCES pet ON DELETE SET NULL);
INSERT INTO owner VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cem');
INSERT INTO pet VALUES (10, 1), (20, 2), (30, 3);
INSERT INTO visit VALUES (100, 10), (200, 20), (300, 30);`

// rebuildOf returns a script that rebuilds a table, in the form of migration generators.
func rebuildOf(table, columns string) string {
	return strings.NewReplacer("{t}", table, "{c}", columns).Replace(`CREATE TABLE "new_{t}" ({c});
INSERT INTO "new_{t}" SELECT * FROM "{t}";
DROP TABLE "{t}";
ALTER TABLE "new_{t}" RENAME TO "{t}";
`)
}

var (
	rebuildOwner = rebuildOf("owner", `"id" INTEGER NOT NULL PRIMARY KEY, "name" TEXT NOT NULL`)
	rebuildPet   = rebuildOf("pet", `id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner ON DELETE CASCADE ON UPDATE CASCADE, CHECK (id > 0)`)
)

// keysScripts are scripts with PRAGMA foreign_keys in every place, and whether each is one
// transaction.
var keysScripts = map[string]struct {
	script string
	run    bool
}{
	"behind another pragma":           {"PRAGMA defer_foreign_keys=ON;\nPRAGMA foreign_keys=OFF;\n" + rebuildOwner + "PRAGMA foreign_keys=ON;\nPRAGMA defer_foreign_keys=OFF;\nCREATE UNIQUE INDEX owner_name ON owner (name);", false},
	"in the middle":                   {"CREATE TABLE vet (id INTEGER PRIMARY KEY);\nALTER TABLE visit ADD COLUMN vet INTEGER;\nPRAGMA foreign_keys = off;\n" + rebuildOwner + "PRAGMA foreign_key_check;\nPRAGMA foreign_keys = on;", false},
	"several times":                   {"PRAGMA foreign_keys=0;\n" + rebuildOwner + "PRAGMA foreign_keys=1;\nCREATE INDEX i ON pet (owner);\nPRAGMA /* again */ foreign_keys(NO);\n" + rebuildPet + "PRAGMA foreign_keys=yes;\nCREATE INDEX j ON visit (pet);", false},
	"a table dropped":                 {"CREATE TABLE t (x);\nPRAGMA foreign_keys=off;\nDROP TABLE visit;\nDROP TABLE pet;\nPRAGMA foreign_keys=on;\nSELECT 1;", false},
	"never off":                       {"CREATE TABLE t (x);\nPRAGMA foreign_keys = ON;\nDELETE FROM owner WHERE id = 2;", false},
	"rows inserted before":            {"INSERT INTO owner VALUES (4, 'Dan');\nPRAGMA foreign_keys=off;\n" + rebuildOwner + "PRAGMA foreign_keys=on;\nINSERT INTO pet VALUES (40, 4);", false},
	"legacy_alter_table":              {"CREATE TABLE t (x);\nPRAGMA foreign_keys=off;\nPRAGMA legacy_alter_table=ON;\n" + rebuildOwner + "PRAGMA legacy_alter_table=OFF;\nPRAGMA foreign_keys=on;\nSELECT 1;", false},
	"rows deleted before":             {"DELETE FROM owner WHERE id = 1;\nPRAGMA foreign_keys=off;\n" + rebuildOwner + "PRAGMA foreign_keys=on;\nUPDATE owner SET id = 5 WHERE id = 2;", true},
	"rows replaced behind":            {"CREATE TABLE t (x);\nPRAGMA foreign_keys=off;\n" + rebuildPet + "PRAGMA foreign_keys=on;\nINSERT OR REPLACE INTO owner VALUES (1, 'Zoe');", true},
	"rows deleted by a WITH":          {"CREATE TABLE t (x);\nPRAGMA foreign_keys=off;\n" + rebuildPet + "PRAGMA foreign_keys=on;\nWITH gone(id) AS (SELECT 2) DELETE FROM owner WHERE id IN (SELECT id FROM gone);", true},
	"a table dropped with keys on":    {"CREATE TABLE t (x);\nPRAGMA foreign_keys=off;\n" + rebuildPet + "PRAGMA foreign_keys=on;\nDELETE FROM visit;\nDROP TABLE owner;", true},
	"beside what is no transaction's": {"PRAGMA foreign_keys=off;\n" + rebuildOwner + "PRAGMA foreign_keys=on;\nVACUUM;\nDELETE FROM owner WHERE id = 3;", true},
}

// rowsAndSchema returns all rows and the whole schema, without Whimbrel's tables.
func rowsAndSchema(t *testing.T, path string) string {
	t.Helper()
	var out strings.Builder
	pool := open(t, path, "")
	for _, query := range []string{
		"SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema WHERE tbl_name NOT LIKE 'whimbrel%' AND name NOT LIKE 'sqlite%' ORDER BY name)",
		"SELECT group_concat(quote(id) || quote(name)) FROM owner", "SELECT group_concat(quote(id) || quote(owner)) FROM pet", "SELECT group_concat(quote(id) || quote(pet)) FROM visit",
	} {
		var text *string
		if err := pool.QueryRow(query).Scan(&text); err != nil {
			fmt.Fprintln(&out, err)
		} else if text != nil {
			fmt.Fprintln(&out, *text)
		}
	}
	return out.String()
}

// A script with PRAGMA foreign_keys anywhere has the same effect as in SQLite statement by
// statement, and restores the session.
func TestForeignKeysAnywhere(t *testing.T) {
	t.Parallel()
	for name, c := range keysScripts {
		for _, base := range []string{"0", "1"} {
			t.Run(name+" "+base, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				want := open(t, filepath.Join(dir, "want.db"), "_pragma=foreign_keys("+base+")")
				want.SetMaxOpenConns(1)
				_, err := want.Exec(pets)
				must(t, err)
				for _, st := range strings.SplitAfter(c.script, ";\n") {
					_, err := want.Exec(st)
					must(t, err)
				}
				path := filepath.Join(dir, "app.db")
				pool := open(t, path, "_pragma=foreign_keys("+base+")")
				pool.SetMaxOpenConns(1)
				db, err := sqlite.New(pool, database.Options{})
				must(t, err)
				set, err := migration.NewSet("app",
					migration.Migration{Version: 1, Name: "pets", Up: migration.Text("1.up.sql", pets)},
					migration.Migration{Version: 2, Name: "rebuild", Up: migration.Text("2.up.sql", c.script)})
				must(t, err)
				m := whimbrel.New(db, set, whimbrel.Options{})
				_, err = m.Migrate(bg, whimbrel.Version(1), whimbrel.ApplyOptions{})
				must(t, err)
				plan, err := m.Plan(bg, whimbrel.Latest())
				must(t, err)
				if run := plan.Steps[0].Mode == whimbrel.OutsideTransaction; run != c.run {
					t.Errorf("a run: %t, want %t (%s)", run, c.run, plan.Steps[0].Why)
				}
				_, err = m.Apply(bg, plan, whimbrel.ApplyOptions{})
				must(t, err)
				if got, want := rowsAndSchema(t, path), rowsAndSchema(t, filepath.Join(dir, "want.db")); got != want {
					t.Errorf("Whimbrel makes\n%s\nSQLite makes\n%s", got, want)
				}
				if now := column(t, pool, "PRAGMA foreign_keys"); now != base {
					t.Errorf("foreign_keys is %s, was %s", now, base)
				}
			})
		}
	}
}

// Rows without a parent that SQLite doesn't check because of a PRAGMA are an error, and the script
// is rolled back.
func TestForeignKeysHidden(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		base, script string
	}{
		"off in the middle":                {"1", "CREATE TABLE t (x);\nPRAGMA foreign_keys = off;\nDELETE FROM owner WHERE id = 1;\nPRAGMA foreign_keys = on;\nCREATE TABLE u (x);"},
		"deferred and forgotten":           {"1", "PRAGMA defer_foreign_keys = on;\nINSERT INTO pet VALUES (50, 5);\nPRAGMA defer_foreign_keys = off;"},
		"inserted where it is switched on": {"0", "PRAGMA foreign_keys = off;\n" + rebuildOwner + "PRAGMA foreign_keys = on;\nINSERT INTO pet VALUES (50, 5);"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.db")
			db := connect(t, "sqlite:"+path+"?_pragma=foreign_keys("+c.base+")", database.Options{})
			apply(t, db, 1, pets)
			before := rowsAndSchema(t, path)
			b := begin(t, db)
			err := b.Exec(bg, text(c.script))
			if err == nil {
				t.Errorf("got %v, want an error that names the rows", err)
			} else if !strings.Contains(err.Error(), "rows without a parent: table pet") {
				t.Errorf("the error is %q, want a text with %q", err, "rows without a parent: table pet")
			}
			must(t, b.Rollback(bg))
			if after := rowsAndSchema(t, path); after != before {
				t.Errorf("the script failed, and left\n%s\nwhere there was\n%s", after, before)
			}
		})
	}
}

// Inside a transaction of the script's own, SQLite would ignore the pragma, and dropping the table
// would delete children.
func TestForeignKeysInsideBegin(t *testing.T) {
	t.Parallel()
	_, url := family(t)
	for _, head := range []string{"", "-- whimbrel: no-transaction\n"} {
		set, err := migration.NewSet("other", migration.Migration{Version: 1, Name: "m", Up: migration.Text("1.up.sql", head+"BEGIN;\nPRAGMA foreign_keys = OFF;\n"+rebuild+"COMMIT;")})
		must(t, err)
		_, err = whimbrel.New(connect(t, url, database.Options{}), set, whimbrel.Options{}).Plan(bg, whimbrel.Latest())
		if err == nil {
			t.Errorf("%q: got %v", head, err)
		} else if !strings.Contains(err.Error(), "put it before the BEGIN") {
			t.Errorf("%q: the error is %q, want a text with %q", head, err, "put it before the BEGIN")
		}
	}
}
