package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

type filler interface {
	database.Database
	database.Backfiller
}

// fillFile creates a database with a schema, and opens it.
func fillFile(t testing.TB, schema string) (path string, db filler) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	must(t, inspect(path, func(pool *sql.DB) error {
		_, err := pool.Exec(schema)
		return err
	}))
	return path, connect(t, "sqlite:"+path, database.Options{}).(filler)
}

func backfillOf(t testing.TB, text string) *migration.Script {
	t.Helper()
	s, err := migration.ParseBackfill("0001_fill.backfill.sql", text, sqltext.SQLite)
	must(t, err)
	return s
}

// startFill starts version 1.
func startFill(t testing.TB, db filler, s *migration.Script) database.Backfill {
	t.Helper()
	b := begin(t, db)
	must(t, b.(database.BackfillTx).StartBackfill(bg, database.BackfillStart{Version: 1, Name: "fill", Script: s, Limits: database.LimitsOf(s.Backfill)}))
	e := event(1)
	e.Direction = database.Start
	must(t, b.Record(bg, e))
	must(t, errOf(b.Commit(bg)))
	all, err := db.Backfills(bg, database.BackfillQuery{Set: "app"})
	must(t, err)
	return all[0]
}

func laneOf(s *migration.Script, worker string) database.LaneClaim {
	return database.LaneClaim{BackfillID: database.BackfillID{Set: "app", Version: 1}, Script: s, Worker: worker, Lease: time.Minute}
}

// fillAll works until no lane is left.
func fillAll(ctx context.Context, db filler, ask database.LaneClaim, rows int) error {
	for {
		b, w, err := db.ClaimLane(ctx, ask)
		if err != nil || w == nil && b.AllCut() && len(b.Lanes) == 0 {
			return err
		}
		if w == nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		for done := false; !done && err == nil; {
			var out database.BatchResult
			if out, err = w.Batch(ctx, rows); errors.Is(err, database.ErrLockTimeout) {
				err = nil
			}
			done = out.Done
		}
		if err := errors.Join(err, w.Close(ctx, nil)); err != nil {
			return err
		}
	}
}

// A backfill takes every row once in the order of any key that SQLite can have.
func TestBackfillKeys(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ schema, key, body string }{
		"INTEGER PRIMARY KEY":  {"CREATE TABLE f (id INTEGER PRIMARY KEY, n); INSERT INTO f SELECT i * 3 - 50, 0 FROM nums", "", "id BETWEEN :first AND :last"},
		"rowid":                {"CREATE TABLE f (x, n); INSERT INTO f SELECT i, 0 FROM nums", "", "rowid >= :first AND rowid <= :last"},
		"a named rowid":        {"CREATE TABLE f (rowid, n); INSERT INTO f SELECT 1, 0 FROM nums", "", "_rowid_ >= :first AND _rowid_ <= :last"},
		"WITHOUT ROWID":        {"CREATE TABLE f (a INT, b TEXT, n, PRIMARY KEY (b, a)) WITHOUT ROWID; INSERT INTO f SELECT i % 7, 'k' || (i / 7), 0 FROM nums", "", "(b, a) >= (:first) AND (b, a) <= (:last)"},
		"text":                 {"CREATE TABLE f (id TEXT PRIMARY KEY, n); INSERT INTO f SELECT 'it''s ' || i || char(0) || 'ü', 0 FROM nums", "", "id BETWEEN :first AND :last"},
		"text without case":    {"CREATE TABLE f (id TEXT PRIMARY KEY COLLATE NOCASE, n) WITHOUT ROWID; INSERT INTO f SELECT char(65 + i % 26 + 32 * (i % 2)) || i, 0 FROM nums", "", "id BETWEEN :first AND :last"},
		"blank text":           {"CREATE TABLE f (id TEXT PRIMARY KEY COLLATE RTRIM, n) WITHOUT ROWID; INSERT INTO f SELECT i || substr('   ', 1, i % 3), 0 FROM nums", "", "id BETWEEN :first AND :last"},
		"text of digits":       {"CREATE TABLE f (id TEXT NOT NULL UNIQUE, n); INSERT INTO f SELECT '0' || i, 0 FROM nums", "id", "id BETWEEN :first AND :last"},
		"real":                 {"CREATE TABLE f (id REAL PRIMARY KEY NOT NULL, n); INSERT INTO f SELECT i / 3.0 - 9, 0 FROM nums; INSERT INTO f VALUES (9e999, 0), (-9e999, 0)", "", "id BETWEEN :first AND :last"},
		"blob":                 {"CREATE TABLE f (id BLOB PRIMARY KEY NOT NULL, n); INSERT INTO f SELECT cast(char(i) AS BLOB), 0 FROM nums; INSERT INTO f VALUES (x'', 0), (x'ff00', 0)", "", "id BETWEEN :first AND :last"},
		"every type":           {"CREATE TABLE f (id PRIMARY KEY NOT NULL, n); INSERT INTO f SELECT CASE i % 4 WHEN 0 THEN i WHEN 1 THEN i + 0.5 WHEN 2 THEN 't' || i ELSE cast('b' || i AS BLOB) END, 0 FROM nums", "", "id BETWEEN :first AND :last"},
		"text that is no text": {"CREATE TABLE f (id TEXT PRIMARY KEY NOT NULL, n); INSERT INTO f SELECT cast(x'ff' || cast(i AS BLOB) AS TEXT), 0 FROM nums", "", "id BETWEEN :first AND :last"},
		"dates":                {"CREATE TABLE f (id DATETIME NOT NULL, b BOOLEAN NOT NULL, n, UNIQUE (id, b)); INSERT INTO f SELECT datetime(i, 'unixepoch'), i % 2, 0 FROM nums", "b, id", "(id, b) >= (:first) AND (id, b) <= (:last)"},
		"a column alone":       {"CREATE TABLE f (a INT NOT NULL, b INT NOT NULL, n, UNIQUE (a, b)); INSERT INTO f SELECT i / 5, i % 5, 0 FROM nums", "a, b", "a BETWEEN :first.a AND :last.a AND (a, b) >= (:first) AND (a, b) <= (:last)"},
		"descending":           {"CREATE TABLE f (a INT NOT NULL, n); CREATE UNIQUE INDEX u ON f (a DESC); INSERT INTO f SELECT i, 0 FROM nums", "a", "a BETWEEN :first AND :last"},
		"names":                {`CREATE TABLE "f""x" ("or""der" INTEGER PRIMARY KEY, n); INSERT INTO "f""x" SELECT i, 0 FROM nums`, "", `"or""der" BETWEEN :first AND :last`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema := "CREATE TABLE nums (i INT); INSERT INTO nums " + numbers(100) + ";" + tt.schema
			path, db := fillFile(t, schema)
			table := "f"
			if name == "names" {
				table = `"f""x"`
			}
			head := "-- whimbrel: backfill " + table + "\n-- whimbrel: batch 3\n"
			if tt.key != "" {
				head += "-- whimbrel: key " + tt.key + "\n"
			}
			s := backfillOf(t, head+"UPDATE "+table+" SET n = n + 1 WHERE "+tt.body)
			must(t, errOf(db.CheckBackfill(bg, s)))
			b := startFill(t, db, s)
			must(t, fillAll(bg, db, laneOf(s, "w"), 3))
			rows := scan[int](t, path, "SELECT count(*) FROM "+table)
			if n := scan[int](t, path, "SELECT count(*) FROM "+table+" WHERE n IS 1"); n != rows || rows < 100 {
				t.Errorf("%d of %d rows were changed once; the keys begin at %q", n, rows, b.Last)
			}
		})
	}
}

// What can't be a backfill is an error at its place, before anything runs.
func TestBackfillErrors(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE t (id INTEGER PRIMARY KEY, u INT NOT NULL, v INT, w INT NOT NULL, n, p INT NOT NULL DEFAULT 0, q INT NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX u ON t (u); CREATE UNIQUE INDEX v ON t (v); CREATE UNIQUE INDEX w ON t (w) WHERE w > 0; CREATE UNIQUE INDEX pq ON t (p, q DESC);
CREATE TABLE k (id TEXT PRIMARY KEY, n); INSERT INTO k VALUES (NULL, 0);
CREATE TABLE c (id TEXT NOT NULL); CREATE UNIQUE INDEX cc ON c (id COLLATE NOCASE);
CREATE VIEW v1 AS SELECT * FROM t; CREATE VIRTUAL TABLE v2 USING fts5(x);`
	path, db := fillFile(t, schema)
	for _, tt := range []struct {
		head, body string
		line       int
		want       string
	}{
		{"nothing", "", 1, "does not exist"},
		{"v1", "", 1, "only a table"},
		{"v2", "", 1, "only a table"},
		{"other.t", "", 1, "not in the database"},
		{"whimbrel_history", "", 1, "own tables"},
		{"t\n-- whimbrel: key v", "", 2, "can be NULL"},
		{"t\n-- whimbrel: key w", "", 2, "not unique"},
		{"t\n-- whimbrel: key n", "", 2, "not unique"},
		{"t\n-- whimbrel: key u, n", "", 2, "not unique"},
		{"t\n-- whimbrel: key p, q", "", 2, "sorts otherwise"},
		{"t\n-- whimbrel: key x", "", 2, "no column x"},
		{"k", "UPDATE k SET n = 1 WHERE id BETWEEN :first AND :last", 1, "have NULL"},
		{"c\n-- whimbrel: key id", "DELETE FROM c WHERE id BETWEEN :first AND :last", 2, "sorts otherwise"},
		{"t", "UPDATE t SET n = 1\n WHERE id BETWEEN :first AND :last.x", 3, "no column of the key"},
		{"t", "UPDATE t SET m = 1 WHERE id BETWEEN :first AND :last", 2, "no such column: m"},
		{"t", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last;\nUPDATE gone SET n = 1 WHERE id = :last", 3, "no such table"},
	} {
		if tt.body == "" {
			tt.body = "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last"
		}
		s := backfillOf(t, "-- whimbrel: backfill "+tt.head+"\n"+tt.body)
		_, err := db.CheckBackfill(bg, s)
		var at *sqltext.Error
		if !errors.As(err, &at) || at.Pos.Line != tt.line || at.Pos.File != s.File || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: %v; want line %d and %q", tt.head, tt.body, err, tt.line, tt.want)
		}
		if errors.Is(err, database.ErrNoTable) != (tt.head == "nothing") {
			t.Errorf("%s: ErrNoTable is wrong for %v", tt.head, err)
		}
	}
	if n := scan[int](t, path, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'whimbrel%'"); n != 0 {
		t.Errorf("checking created %d tables", n)
	}
	missing := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"), database.Options{}).(filler)
	s := backfillOf(t, "-- whimbrel: backfill t\nUPDATE t SET n = 1 WHERE id BETWEEN :first AND :last")
	if _, err := missing.CheckBackfill(bg, s); !errors.Is(err, database.ErrNoTable) {
		t.Errorf("a missing file: %v, want ErrNoTable", err)
	}
}

// The numbers of rows that SQLite doesn't count are estimated, so that lanes are not too large.
func TestBackfillTarget(t *testing.T) {
	t.Parallel()
	_, db := fillFile(t, `CREATE TABLE t ("the key" INTEGER PRIMARY KEY, n); INSERT INTO t (n) `+numbers(1234))
	s := backfillOf(t, "-- whimbrel: backfill MAIN.T\nUPDATE t SET n = 1 WHERE \"the key\" BETWEEN :first AND :last")
	got, err := db.CheckBackfill(bg, s)
	must(t, err)
	if got.Table != "t" || len(got.Key) != 1 || got.Key[0] != "the key" || got.RowsEstimated != 1234 {
		t.Errorf("%+v", got)
	}
}

// A Go function changes the rows of a batch in its transaction.
func TestBackfillFunc(t *testing.T) {
	t.Parallel()
	path, db := fillFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT DEFAULT 0); INSERT INTO t (id) "+numbers(50))
	fail := true
	s := sqlite.BackfillFunc("count", migration.Backfill{Table: "t"}, func(ctx context.Context, tx sqlite.Tx, first, last []any) error {
		if _, err := tx.ExecContext(ctx, "UPDATE t SET n = n + 1 WHERE id BETWEEN ? AND ?", first[0], last[0]); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "PRAGMA recursive_triggers = ON"); err != nil {
			return err
		}
		if fail {
			fail = false
			return errors.New("not yet")
		}
		return nil
	})
	startFill(t, db, s)
	_, w, err := db.ClaimLane(bg, laneOf(s, "w"))
	must(t, err)
	var failed *database.BatchError
	if _, err := w.Batch(bg, 7); !errors.As(err, &failed) || failed.Rows != 7 || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("the batch of a function that fails returned %v", err)
	}
	out, err := w.Batch(bg, 7)
	must(t, err)
	if out.Rows != 7 || out.Changed != 7 {
		t.Errorf("the batch is %+v", out)
	}
	for !out.Done {
		out, err = w.Batch(bg, 7)
		must(t, err)
	}
	must(t, w.Close(bg, nil))
	if n := scan[int](t, path, "SELECT count(*) FROM t WHERE n = 1"); n != 50 {
		t.Errorf("%d rows were changed once, want 50", n)
	}
	wrong := sqlite.Func("other", func(context.Context, sqlite.Tx) error { return nil })
	wrong.Backfill = s.Backfill
	startFill(t, db, s)
	_, w, err = db.ClaimLane(bg, laneOf(wrong, "w"))
	must(t, err)
	if _, err := w.Batch(bg, 7); err == nil || !strings.Contains(err.Error(), "BackfillFunc") {
		t.Errorf("a function of another kind: %v", err)
	}
	must(t, w.Close(bg, nil))
}

// A batch that takes too long is interrupted, and nothing of it remains.
func TestBackfillTimeouts(t *testing.T) {
	t.Parallel()
	path, db := fillFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT DEFAULT 0); INSERT INTO t (id) "+numbers(10))
	s := backfillOf(t, "-- whimbrel: backfill t\n-- whimbrel: timeout 30ms\nUPDATE t SET n = 1 WHERE id BETWEEN :first AND :last;\n"+
		"UPDATE t SET n = (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n) WHERE id = :last")
	startFill(t, db, s)
	_, w, err := db.ClaimLane(bg, laneOf(s, "w"))
	must(t, err)
	if _, err := w.Batch(bg, 5); !errors.Is(err, database.ErrBatchTimeout) {
		t.Errorf("the batch returned %v, want ErrBatchTimeout", err)
	}
	if n := scan[int](t, path, "SELECT sum(n) FROM t"); n != 0 {
		t.Errorf("%d rows were changed", n)
	}
	must(t, w.Close(bg, nil))

	// another connection that writes makes it wait
	ask := laneOf(s, "w")
	ask.LockTimeout = 20 * time.Millisecond
	_, w, err = db.ClaimLane(bg, ask)
	must(t, err)
	writer := open(t, path, "")
	must(t, errOf(writer.Exec("BEGIN IMMEDIATE; UPDATE t SET n = n")))
	if _, err := w.Batch(bg, 5); !errors.Is(err, database.ErrLockTimeout) {
		t.Errorf("the batch returned %v, want ErrLockTimeout", err)
	}
	must(t, errOf(writer.Exec("ROLLBACK")))
	must(t, w.Close(bg, nil))
}

// A throttle's query is asked; what SQLite can't measure stops the backfill.
func TestBackfillSignals(t *testing.T) {
	t.Parallel()
	_, db := fillFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
	for query, want := range map[string]string{
		"SELECT count(*) FROM t": "false", "SELECT 1": "true", "SELECT 'x'": "error", "SELECT NULL": "error", "SELECT 1, 2": "error",
		"DELETE FROM t": "error", "SELECT * FROM gone": "error", "SELECT 0.0": "false",
	} {
		all, err := db.Signals(bg, database.Backfill{}, migration.Throttle{Query: query})
		must(t, err)
		got := strconv.FormatBool(all[0].Over)
		if all[0].Err != nil {
			got = "error"
		}
		if len(all) != 1 || got != want || all[0].Name != "throttle" {
			t.Errorf("%s: %+v, want %s", query, all, want)
		}
	}
	all, err := db.Signals(bg, database.Backfill{}, migration.Throttle{Lag: 1, SlotWAL: 1, WALRate: 1, Autovacuum: true, FlowControl: 0.1})
	must(t, err)
	if len(all) != 5 {
		t.Errorf("%+v", all)
	}
	for _, s := range all {
		if s.Err == nil {
			t.Errorf("%s can be measured", s.Name)
		}
	}
	if all, err := db.Signals(bg, database.Backfill{}, migration.Throttle{}); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// Other connections write between two batches: before each, the file is free for a millisecond.
func TestBackfillLeavesTurns(t *testing.T) {
	t.Parallel()
	const most, rows = 4000, 10 // batches, and rows of each
	path, db := fillFile(t, "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, n INT DEFAULT 0, began INT); CREATE TABLE app (x); INSERT INTO t (id) "+numbers(most*rows))
	s := backfillOf(t, "-- whimbrel: backfill t\nUPDATE t SET n = n + 1, began = round(1000 * unixepoch('subsec')) WHERE id BETWEEN :first AND :last")
	startFill(t, db, s)
	app := open(t, path, "_pragma=busy_timeout(60000)")
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for range 3 {
			if _, err := app.Exec("INSERT INTO app VALUES (1)"); err != nil {
				t.Errorf("writing meanwhile: %v", err)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	_, w, err := db.ClaimLane(bg, laneOf(s, "w"))
	must(t, err)
	var asked []int64 // when each batch was, in milliseconds
	for written := false; len(asked) < most && !(written && len(asked) >= 40); {
		asked = append(asked, time.Now().UnixMilli())
		_, err := w.Batch(bg, rows)
		must(t, err)
		select {
		case <-wrote:
			written = true
		default:
		}
	}
	if len(asked) == most {
		t.Errorf("the application did not write three times while the backfill had %d batches", most)
	}
	<-wrote
	must(t, w.Close(bg, nil))
	must(t, fillAll(bg, db, laneOf(s, "w"), most*rows))
	for i := 1; i < len(asked); i++ {
		if began := scan[int64](t, path, fmt.Sprintf("SELECT began FROM t ORDER BY id LIMIT 1 OFFSET %d", i*rows)); began <= asked[i] {
			t.Errorf("batch %d left no turn: it was asked for and began in the millisecond %d", i, began)
		}
	}
	if n := scan[int](t, path, "SELECT count(*) FROM t WHERE n = 1"); n != most*rows {
		t.Errorf("%d rows were changed once, want %d", n, most*rows)
	}
}

// A trigger or a view on the tables of backfills is found before it can do anything.
func TestBackfillForeignObjects(t *testing.T) {
	t.Parallel()
	path, db := fillFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT DEFAULT 0); INSERT INTO t (id) "+numbers(10))
	s := backfillOf(t, "-- whimbrel: backfill t\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last")
	startFill(t, db, s)
	must(t, inspect(path, func(pool *sql.DB) error {
		_, err := pool.Exec("CREATE TRIGGER evil AFTER UPDATE ON whimbrel_lanes BEGIN DELETE FROM t; END; CREATE TRIGGER evil2 AFTER INSERT ON whimbrel_backfills BEGIN DELETE FROM t; END")
		return err
	}))
	if _, _, err := db.ClaimLane(bg, laneOf(s, "w")); err == nil || !strings.Contains(err.Error(), "evil") {
		t.Errorf("ClaimLane: %v", err)
	}
	if _, err := db.ChangeBackfill(bg, database.BackfillChange{BackfillID: database.BackfillID{Set: "app", Version: 1}, Action: database.ActionPause}); err == nil {
		t.Error("ChangeBackfill uses a table with a foreign trigger")
	}
	b := begin(t, db)
	if err := b.(database.BackfillTx).EndBackfill(bg, 1); err == nil {
		t.Error("EndBackfill uses a table with a foreign trigger")
	}
}

// The tables of backfills are no part of the schema.
func TestBackfillTablesAreHidden(t *testing.T) {
	t.Parallel()
	_, db := fillFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT DEFAULT 0)")
	before, err := database.Snapshot(bg, db, catalog.Options{})
	must(t, err)
	startFill(t, db, backfillOf(t, "-- whimbrel: backfill t\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last"))
	after, err := database.Snapshot(bg, db, catalog.Options{})
	must(t, err)
	if len(catalog.Compare(before, after)) != 0 {
		t.Error("the snapshot has changed")
	}
	st, err := database.ReadMetadata(bg, db)
	must(t, err)
	for _, o := range st.Objects {
		if strings.HasPrefix(o.Name.Object, "whimbrel") {
			t.Errorf("the metadata has %v", o.Name)
		}
	}
}

const syncing = "-- whimbrel: backfill t\n-- whimbrel: sync\nUPDATE t SET low = lower(name) WHERE id BETWEEN :first AND :last AND low IS NULL"

// With sync, rows that the application writes meanwhile are kept in step, wherever they are, and
// nothing remains at the end.
func TestBackfillSyncLeavesNothing(t *testing.T) {
	t.Parallel()
	path, db := fillFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, low TEXT); INSERT INTO t (id, name) SELECT i * 10, 'N' || i FROM ("+numbers(20)+")")
	before, err := database.Snapshot(bg, db, catalog.Options{})
	must(t, err)
	s := backfillOf(t, syncing)
	target, err := db.CheckBackfill(bg, s)
	must(t, err)
	if target.Sync == nil || len(target.Sync.Columns) != 3 {
		t.Errorf("the table for the triggers is %+v", target.Sync)
	}
	startFill(t, db, s)
	_, w, err := db.ClaimLane(bg, laneOf(s, "w"))
	must(t, err)
	must(t, errOf(w.Batch(bg, 10)))
	must(t, w.Close(bg, nil))
	app := open(t, path, "")
	must(t, errOf(app.Exec("INSERT INTO t (id, name) VALUES (1, 'First'), (999, 'Last'); UPDATE t SET name = 'Other' WHERE id = 20; INSERT INTO t VALUES (2, 'Mine', 'MINE')")))
	during, err := database.Snapshot(bg, db, catalog.Options{})
	must(t, err)
	if d := catalog.Compare(before, during); len(d) != 0 {
		t.Errorf("the triggers are part of the snapshot: %v", d)
	}
	must(t, fillAll(bg, db, laneOf(s, "w"), 10))
	if n := scan[int](t, path, "SELECT count(*) FROM t WHERE low IS NOT lower(name) AND id <> 2"); n != 0 {
		t.Errorf("%d rows are out of step", n)
	}
	if low := scan[string](t, path, "SELECT low FROM t WHERE id = 2"); low != "MINE" {
		t.Errorf("what the application wrote itself became %q", low)
	}
	has := func(want int, when string) {
		t.Helper()
		if n := scan[int](t, path, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"); n != want {
			t.Errorf("%d triggers %s, want %d", n, when, want)
		}
	}
	has(2, "meanwhile")
	b := begin(t, db)
	must(t, b.(database.BackfillTx).FinishBackfill(bg, 1))
	must(t, errOf(b.Commit(bg)))
	has(0, "at the end")
	startFill(t, db, s)
	must(t, errOf(db.ChangeBackfill(bg, database.BackfillChange{BackfillID: database.BackfillID{Set: "app", Version: 1}, Action: database.ActionCancel})))
	has(0, "after it was cancelled")
	startFill(t, db, s)
	b = begin(t, db)
	must(t, b.(database.BackfillTx).EndBackfill(bg, 1))
	must(t, errOf(b.Commit(bg)))
	has(0, "after it was removed")
}

const counting = "-- whimbrel: backfill t\n-- whimbrel: parallel 8\n-- whimbrel: batch 20\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last"

// countRows is a worker of TestBackfillKilled.
func countRows(url string) error {
	url, worker, _ := strings.Cut(url, "#")
	db, err := database.Open(bg, url, database.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := migration.ParseBackfill("0001_fill.backfill.sql", counting, sqltext.SQLite)
	if err != nil {
		return err
	}
	ask := laneOf(s, worker)
	ask.Lease = 200 * time.Millisecond
	fmt.Println("ready")
	err = fillAll(bg, db.(filler), ask, 20)
	for errors.Is(err, database.ErrLeaseLost) { // the machine was busy
		err = fillAll(bg, db.(filler), ask, 20)
	}
	return err
}

// Processes that are killed at any moment leave every row to be changed exactly once.
func TestBackfillKilled(t *testing.T) {
	t.Parallel()
	const rows, workers = 6000, 4
	kills := 12
	if everyStatement() {
		kills = 100
	}
	path, db := fillFile(t, "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, n INT DEFAULT 0); INSERT INTO t (id) "+numbers(rows))
	s := backfillOf(t, counting)
	startFill(t, db, s)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for k := range kills/workers + 1 {
				cmd := process(t, "count rows", fmt.Sprintf("sqlite:%s#%d.%d", path, i, k))
				if err := killAfter(cmd, time.Duration(20+(i*37+k*53)%180)*time.Millisecond, k < kills/workers); err != nil {
					t.Errorf("worker %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	if n := scan[int](t, path, "SELECT count(*) FROM t WHERE n = 1"); n != rows {
		t.Errorf("%d of %d rows were changed exactly once", n, rows)
	}
	all, err := db.Backfills(bg, database.BackfillQuery{})
	must(t, err)
	if b := all[0]; b.RowsDone != rows || len(b.Lanes) != 0 || !b.AllCut() {
		t.Errorf("it says that %d rows are done, and has the lanes %+v", b.RowsDone, b.Lanes)
	}
}

// killAfter starts a worker, and kills it a while after it is ready.
func killAfter(cmd *exec.Cmd, d time.Duration, kill bool) error {
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ready := make([]byte, 6)
	if _, err := out.Read(ready); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return fmt.Errorf("%w: %s", err, errs.String())
	}
	if kill {
		time.Sleep(d)
		cmd.Process.Kill()
	}
	if err := cmd.Wait(); err != nil && !kill {
		return fmt.Errorf("%w: %s", err, errs.String())
	}
	return nil
}
