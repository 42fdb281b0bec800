package sqlite_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/metadata"
)

func describeAll(t testing.TB, db database.Database) {
	t.Helper()
	b := begin(t, db)
	s, err := database.TxMetadata(bg, b)
	must(t, err)
	c := &metadata.Change{}
	for _, o := range s.Objects {
		c.Entries = append(c.Entries, metadata.Stored{Name: o.Name, Facts: metadata.Facts{Owner: o.Name.String()}})
	}
	must(t, database.TxPutMetadata(bg, b, c))
	must(t, errOf(b.Commit(bg)))
}

func TestEverythingCanBeDescribed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, everything)
	describeAll(t, db)
	s, err := database.ReadMetadata(bg, db)
	must(t, err)
	var names []string
	for _, o := range s.Objects {
		names = append(names, string(o.Name.Kind)+" "+o.Name.String())
	}
	slices.Sort(names)
	want := []string{
		`column "it's ""one""".x`, "column a.b", "column a.id", "column b.a", "column b.id", "column words.word",
		`table "it's ""one"""`, "table a", "table b", "table words", "view both", "view broken", "view column both.id",
	}
	if !slices.Equal(names, want) {
		t.Errorf("objects %q", names)
	}
	if len(s.Entries) != len(want) {
		t.Errorf("s.Entries = %v, want %d of them", s.Entries, len(want))
	} else if len(s.Inconsistent()) != 0 {
		t.Errorf("s.Inconsistent() = %v, want none", s.Inconsistent())
	} else if s.Comments {
		t.Error("s.Comments is true, want false")
	}
	b := begin(t, db) // a reset keeps the table and its entries
	_, err = database.TxReset(bg, b, nil, database.Entry{})
	must(t, err)
	must(t, errOf(b.Commit(bg)))
	s, err = database.ReadMetadata(bg, db)
	must(t, err)
	if len(s.Objects) != 0 {
		t.Errorf("s.Objects = %v, want none", s.Objects)
	} else if len(s.Inconsistent()) != len(want) {
		t.Errorf("s.Inconsistent() = %v, want %d of them", s.Inconsistent(), len(want))
	}
}

func TestDescribedObjectsThatChanged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE gone (x); CREATE TABLE tv (x); CREATE TABLE anew (x)")
	describeAll(t, db)
	apply(t, db, 2, "DROP TABLE gone; DROP TABLE tv; CREATE VIEW tv AS SELECT 1 AS x; DROP TABLE anew; CREATE TABLE anew (y)")
	s, err := database.ReadMetadata(bg, db)
	must(t, err)
	var got []string
	for _, in := range s.Inconsistent() {
		got = append(got, in.Name.String()+" "+in.Reason)
	}
	want := []string{
		"anew.x it no longer exists", "gone it no longer exists", "gone.x its table no longer exists",
		"tv it is a view now", "tv.x it belongs to a view now",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	pool := open(t, path, "_pragma=foreign_keys(1)")
	pool.SetMaxOpenConns(1)
	db, err := sqlite.New(pool, database.Options{})
	must(t, err)
	apply(t, db, 1, "CREATE TABLE t (a int, b text, at datetime); INSERT INTO t VALUES (1, 'x', '2026-01-02 03:04:05')")
	rows, err := database.ReadQuery(bg, db, "SELECT a, b, at, 2.5, x'00ff', NULL, a FROM t -- and so on")
	must(t, err)
	if diff := cmp.Diff([][]any{{int64(1), "x", "2026-01-02 03:04:05Z", 2.5, `\x00ff`, nil, int64(1)}}, rows.Rows); diff != "" {
		t.Errorf("the rows (-want +got):\n%s", diff)
	}
	if len(rows.Columns) != 7 {
		t.Errorf("the columns are %q, want 7", rows.Columns)
	}
	rows, err = database.ReadQuery(bg, db, "SELECT 1e999, -1e999, 1e999 - 1e999, 1.5")
	must(t, err)
	if diff := cmp.Diff([][]any{{"Infinity", "-Infinity", nil, 1.5}}, rows.Rows); diff != "" {
		t.Errorf("numbers that JSON can't represent (-want +got):\n%s", diff)
	}
	for statement, want := range map[string]string{
		"":                         "there is no statement",
		"SELECT 1; SELECT 2":       "query:1:11: a second statement begins here",
		"BEGIN":                    "there is no transaction to control",
		"SELECT *\nFROM missing":   "query:1:1: no such table: missing",
		"INSERT INTO t VALUES (1)": "query:1:1: a query only reads",
		"PRAGMA query_only = 0":    "query:1:1: a query only reads",
		"SELECT 'open":             "query:1:8",
	} {
		if _, err := database.ReadQuery(bg, db, statement); err == nil {
			t.Errorf("%q: %v", statement, err)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is %q, want a text with %q", statement, err, want)
		}
	}
	for statement, changed := range map[string]int64{"CREATE TEMP TABLE temporary (x)": 0, "INSERT INTO t (a) VALUES (2), (3)": 2} {
		b, _, err := db.Begin(bg, "s", patient)
		must(t, err)
		if rows, err := database.TxQuery(bg, b, statement); err != nil {
			t.Errorf("%q: %+v, %v", statement, rows, err)
		} else if rows.Changed != changed {
			t.Errorf("%q: rows.Changed = %v, want %v", statement, rows.Changed, changed)
		}
		must(t, errOf(b.Commit(bg)))
	}
	b, _, err := db.Begin(bg, "s", patient)
	must(t, err)
	if _, err := database.TxQuery(bg, b, "INSERT INTO t VALUES (1)"); err == nil {
		t.Errorf("%v", err)
	} else if !strings.Contains(err.Error(), "3 columns") {
		t.Errorf("the error is %q, want a text with %q", err, "3 columns")
	}
	must(t, b.Rollback(bg))
	if rows, err = database.ReadQuery(bg, db, "SELECT * FROM t WHERE false"); err != nil {
		t.Errorf("%+v, %v", rows, err)
	} else if fmt.Sprint(rows.Columns) != "[a b at]" {
		t.Errorf("fmt.Sprint(rows.Columns) = %v, want %v", fmt.Sprint(rows.Columns), "[a b at]")
	} else if rows.Rows == nil {
		t.Error("rows.Rows is nil")
	}
	if _, err := database.ReadQuery(bg, db, "SELECT * FROM temporary"); err == nil {
		t.Error("a temporary table has outlived its query")
	}
	missing := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "none.db"), database.Options{})
	var conn *database.ConnectError
	if _, err := database.ReadQuery(bg, missing, "SELECT 1"); !errors.As(err, &conn) {
		t.Errorf("%v", err)
	}
	if s, err := database.ReadMetadata(bg, missing); err != nil {
		t.Errorf("%v, %v", s, err)
	} else if len(s.Objects)+len(s.Entries) != 0 {
		t.Errorf("len(s.Objects)+len(s.Entries) = %v, want %v", len(s.Objects)+len(s.Entries), 0)
	}
}
