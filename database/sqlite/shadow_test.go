package sqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

// recorder wraps the client, records the statements, and prepares each connection.
type recorder struct {
	dsn     string
	prepare func(driver.ExecerContext) error

	mu   sync.Mutex
	sent map[string]bool
}

func (r *recorder) Connect(context.Context) (driver.Conn, error) {
	pool, err := sql.Open("sqlite", "")
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	c, err := pool.Driver().Open(r.dsn)
	if err == nil && r.prepare != nil {
		err = r.prepare(c.(client))
	}
	if err != nil {
		return nil, err
	}
	return &recordedConn{c.(client), r}, nil
}

func (r *recorder) Driver() driver.Driver { return nil }

func (r *recorder) keep(query string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[query] = true
}

type recordedConn struct {
	client
	r *recorder
}

func (c *recordedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.r.keep(query)
	return c.client.ExecContext(ctx, query, args)
}

func (c *recordedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.r.keep(query)
	return c.client.QueryContext(ctx, query, args)
}

// useEverything calls every method of the driver, and returns their results.
func useEverything(t *testing.T, r *recorder) string {
	t.Helper()
	var out strings.Builder
	note := func(what string, values ...any) { fmt.Fprintln(&out, append([]any{what}, values...)...) }
	pool := sql.OpenDB(r)
	defer pool.Close()
	db, err := sqlite.New(pool, database.Options{})
	must(t, err)
	set := func(name string, ups ...string) *migration.Set {
		var all []migration.Migration
		for i, up := range ups {
			all = append(all, migration.Migration{Version: int64(i + 1), Name: "m", Up: migration.Text(fmt.Sprint(i+1, ".up.sql"), up), Down: migration.Text(fmt.Sprint(i+1, ".down.sql"), "SELECT 1")})
		}
		s, err := migration.NewSet(name, all...)
		must(t, err)
		return s
	}
	app := set("app", "CREATE TABLE a (id INTEGER PRIMARY KEY, b REFERENCES a); INSERT INTO a VALUES (1, NULL); CREATE VIEW v AS SELECT id FROM a",
		"PRAGMA foreign_keys = off; PRAGMA recursive_triggers = on; CREATE TABLE c (x)", "CREATE TABLE d (x); PRAGMA wal_checkpoint; INSERT INTO d VALUES (1)", "CREATE TABLE e (x); INSERT INTO missing VALUES (1); PRAGMA wal_checkpoint")
	m := whimbrel.New(db, app, whimbrel.Options{MigrationLockTimeout: 5 * time.Minute})
	res, err := m.Up(bg)
	note("up", len(res.Applied), err != nil)
	st, err := db.State(bg, "app")
	must(t, err)
	note("state", st.Applied.Versions(), st.Interrupted != nil, st.Database, st.Head > 0)
	must(t, database.UpdateSetting(bg, db, database.SettingUpdate{Name: database.Order, Value: database.OrderAny, At: time.Now(), Settle: &database.LockOptions{Timeout: time.Minute}}))
	b := begin(t, db)
	must(t, database.TxPutMetadata(bg, b, &metadata.Change{Entries: []metadata.Stored{{Name: metadata.Name{Kind: metadata.Table, Object: "a"}, Facts: metadata.Facts{Description: "it's"}}}}))
	s, err := database.TxMetadata(bg, b)
	must(t, err)
	note("metadata", s.Entries, s.Objects)
	must(t, errOf(b.Commit(bg)))
	s, err = database.ReadMetadata(bg, db)
	must(t, err)
	note("metadata", s.Entries, s.Objects)
	snapshot, err := database.Snapshot(bg, db, catalog.Options{})
	must(t, err)
	note("snapshot", snapshot.Text())
	_, err = m.Migrate(bg, whimbrel.DownTo(1), whimbrel.ApplyOptions{})
	note("rollback", err)
	for e, err := range db.History(bg, database.HistoryQuery{}) {
		note("event", e.Set, e.Version, e.Direction, err)
	}
	rows, err := database.ReadQuery(bg, db, "SELECT 1")
	must(t, err)
	note("query", rows.Rows)
	b = begin(t, db)
	emptied, err := database.TxReset(bg, b, nil, database.Entry{Name: "reset"})
	must(t, err)
	note("reset", emptied.Dropped, emptied.Sets)
	must(t, errOf(b.Commit(bg)))
	must(t, db.Close())
	return out.String()
}

var identifier = regexp.MustCompile(`[\pL_][\pL\pN_]*`)

// Whimbrel's own statements use no object that exists only in the session or hides a function.
func TestOwnTablesAreNotShadowed(t *testing.T) {
	t.Parallel()
	plain := &recorder{dsn: dsn(filepath.Join(t.TempDir(), "app.db"), ""), sent: map[string]bool{}}
	want := useEverything(t, plain)

	names := map[string]bool{} // all words in the statements that could be a table's name
	for query := range plain.sent {
		for _, name := range identifier.FindAllString(query, -1) {
			name = strings.ToLower(name)
			if len(name) > 1 && !strings.HasPrefix(name, "sqlite_") && !strings.HasPrefix(name, "new_") {
				names[name] = true
			}
			names["pragma_"+name] = true
		}
	}
	if !names["whimbrel_history"] {
		t.Fatal(`the statements were not recorded: names["whimbrel_history"] is false, want true`)
	} else if !names["whimbrel_journal"] {
		t.Fatal(`the statements were not recorded: names["whimbrel_journal"] is false, want true`)
	} else if !names["pragma_table_list"] {
		t.Fatal(`the statements were not recorded: names["pragma_table_list"] is false, want true`)
	}
	delete(names, "a") // the scripts' own
	for _, own := range []string{"b", "c", "d", "e", "v", "missing"} {
		delete(names, own)
	}
	shadowing := &recorder{dsn: dsn(filepath.Join(t.TempDir(), "app.db"), ""), sent: map[string]bool{}, prepare: func(c driver.ExecerContext) error {
		var all strings.Builder
		for i, name := range slices.Sorted(maps.Keys(names)) {
			if i%2 == 0 {
				fmt.Fprintf(&all, "CREATE TEMP TABLE \"%s\" (id, version, name, file, shadow); INSERT INTO temp.\"%[1]s\" VALUES (7, 7, 'shadow', 'shadow', 'shadow');\n", name)
			} else {
				fmt.Fprintf(&all, "CREATE TEMP VIEW \"%s\" AS SELECT 7 AS id, 7 AS version, 'shadow' AS name, 'shadow' AS file;\n", name)
			}
		}
		_, err := c.ExecContext(bg, all.String(), nil)
		return err
	}}
	if got := useEverything(t, shadowing); got != want {
		t.Errorf("with objects of the same names in the session it says\n%s\nwithout\n%s", got, want)
	}
}

// A trigger on one of Whimbrel's tables, or a view in its place, is refused before anything runs,
// and named.
func TestTriggersOnOwnTables(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"whimbrel_history", "WHIMBREL_settings", "whimbrel_journal"} {
		for _, temp := range []string{"", "TEMP "} {
			path := filepath.Join(t.TempDir(), "app.db")
			pool := open(t, path, "")
			pool.SetMaxOpenConns(1)
			db, err := sqlite.New(pool, database.Options{})
			must(t, err)
			apply(t, db, 1, "CREATE TABLE t (x)")
			on := table
			if temp != "" {
				on = "main." + table
			}
			_, err = pool.Exec("CREATE " + temp + "TRIGGER swallows BEFORE INSERT ON " + on + " BEGIN SELECT RAISE(IGNORE); END")
			must(t, err)
			refused := func(what string, err error) {
				if err == nil {
					t.Errorf("%s with a %strigger on %s: %v", what, temp, table, err)
				} else if !strings.Contains(err.Error(), "trigger swallows") {
					t.Errorf("%s with a %strigger on %s: the error is %q, want a text with %q", what, temp, table, err, "trigger swallows")
				}
			}
			b := begin(t, db)
			refused("Run", b.Exec(bg, text("INSERT INTO t VALUES (1)")))
			must(t, b.Rollback(bg))
			b = begin(t, db)
			refused("Record", b.Record(bg, event(2)))
			must(t, b.Rollback(bg))
			_, _, err = db.Guard(bg, "app", patient)
			refused("Guard", err)
			refused("UpdateSetting", database.UpdateSetting(bg, db, database.SettingUpdate{Name: database.Order, Value: database.OrderAny, At: time.Now()}))
			st, err := db.State(bg, "app") // reading is unaffected
			must(t, err)
			if st.Applied.Len() != 1 {
				t.Errorf("something has happened: st.Applied.Len() = %v, want %v", st.Applied.Len(), 1)
			} else if scanPool(t, pool, "SELECT count(*) FROM t") != 0 {
				t.Errorf(`something has happened: scanPool(t, pool, "SELECT count(*) FROM t") = %v, want %v`, scanPool(t, pool, "SELECT count(*) FROM t"), 0)
			}
		}
	}
}

func scanPool(t *testing.T, pool *sql.DB, query string) (n int) {
	t.Helper()
	must(t, pool.QueryRow(query).Scan(&n))
	return n
}

// A history row that was not stored fails its transaction, whatever the cause.
func TestAVanishingHistoryRow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	b := begin(t, db)
	// its code isn't analyzed
	must(t, b.Exec(bg, sqlite.Func("f", func(ctx context.Context, tx sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE TRIGGER swallows BEFORE INSERT ON whimbrel_history BEGIN SELECT RAISE(IGNORE); END; INSERT INTO t VALUES (1)")
		return err
	})))
	if err := b.Record(bg, event(2)); err == nil {
		t.Errorf("Record: %v", err)
	} else if !strings.Contains(err.Error(), "a trigger") {
		t.Errorf("Record: the error is %q, want a text with %q", err, "a trigger")
	}
	if _, err := b.Commit(bg); err == nil {
		t.Error("it was committed")
	}
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows are there without a history row", n)
	}
}

func TestViewsInThePlaceOfOwnTables(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	_, err := open(t, path, "").Exec("ALTER TABLE whimbrel_history RENAME TO other; CREATE VIEW whimbrel_history AS SELECT * FROM other")
	must(t, err)
	if _, err := db.State(bg, "app"); err == nil {
		t.Errorf("State: %v", err)
	} else if !strings.Contains(err.Error(), "view whimbrel_history") {
		t.Errorf("State: the error is %q, want a text with %q", err, "view whimbrel_history")
	}
	b := begin(t, db)
	if err := b.Exec(bg, text("INSERT INTO t VALUES (1)")); err == nil {
		t.Errorf("Run: %v", err)
	} else if !strings.Contains(err.Error(), "view whimbrel_history") {
		t.Errorf("Run: the error is %q, want a text with %q", err, "view whimbrel_history")
	}
}
