package mysql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/metadata"
)

// recorder wraps the client's connector and records the statements.
type recorder struct {
	driver.Connector
	mu   sync.Mutex
	sent map[string]bool
}

// record opens a database with settings for each of its sessions.
func record(t *testing.T, url string, settings map[string]string) *recorder {
	t.Helper()
	config := client.NewConfig()
	rest := strings.TrimPrefix(url, "mysql://")
	user, rest, _ := strings.Cut(rest, "@")
	config.User, config.Net = user, "tcp"
	config.Addr, config.DBName, _ = strings.Cut(rest, "/")
	config.Logger, config.InterpolateParams, config.Params = &client.NopLogger{}, true, settings
	c, err := client.NewConnector(config)
	must(t, err)
	return &recorder{Connector: c, sent: map[string]bool{}}
}

func (r *recorder) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := r.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &recordedConn{c.(fullConn), r}, nil
}

func (r *recorder) keep(query string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[query] = true
}

// fullConn contains the methods of a connection that database/sql uses.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.SessionResetter
	driver.Validator
	driver.Pinger
}

type recordedConn struct {
	fullConn
	r *recorder
}

func (c *recordedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.r.keep(query)
	return c.fullConn.ExecContext(ctx, query, args)
}

func (c *recordedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.r.keep(query)
	return c.fullConn.QueryContext(ctx, query, args)
}

// useEverything calls every method of the driver, and returns their results.
func useEverything(t *testing.T, r *recorder) string {
	t.Helper()
	var out strings.Builder
	note := func(what string, values ...any) { fmt.Fprintln(&out, append([]any{what}, values...)...) }
	pool := sql.OpenDB(r)
	defer pool.Close()
	db, err := mysql.New(pool, database.Options{})
	must(t, err)
	ups := []string{
		"CREATE TABLE a (id int PRIMARY KEY, name varchar(30)); CREATE TABLE b (id int AUTO_INCREMENT PRIMARY KEY, a int, FOREIGN KEY (a) REFERENCES a (id)); INSERT INTO a VALUES (1, 'x')",
		"INSERT INTO a VALUES (2, 'y'), (3, 'z')",
		"SET @x = 4; SET SESSION lock_wait_timeout = 7; INSERT INTO a VALUES (@x, 'w')",
		"CREATE VIEW v AS SELECT id FROM a",
		"CREATE TABLE c (x int); INSERT INTO missing VALUES (1)",
	}
	m := whimbrel.New(db, setOf(t, "app", ups...), whimbrel.Options{MigrationLockTimeout: waitLimit})
	for range 2 { // the second must find the changes of the first
		res, err := m.Up(background(t))
		note("up", len(res.Applied), err != nil)
	}
	st, err := db.State(background(t), "app")
	must(t, err)
	note("state", st.Applied.Versions(), st.Interrupted != nil, st.Head > 0)
	must(t, database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Order, Value: database.OrderAny, Settle: &database.LockOptions{Timeout: waitLimit}}))
	b, _, err := db.Begin(background(t), "app", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, database.TxPutMetadata(background(t), b, &metadata.Change{Entries: []metadata.Stored{
		{Name: metadata.Name{Kind: metadata.Table, Object: "a"}, Facts: metadata.Facts{Description: "it's"}}, {Name: metadata.Name{Kind: metadata.Table, Object: "b"}},
	}}))
	s, err := database.TxMetadata(background(t), b)
	must(t, err)
	note("metadata", len(s.Entries), len(s.Objects))
	must(t, errOf(b.Commit(background(t))))
	s, err = database.ReadMetadata(background(t), db)
	must(t, err)
	note("metadata", len(s.Entries), len(s.Objects))
	snapshot, err := database.Snapshot(background(t), db, catalog.Options{})
	must(t, err)
	note("snapshot", snapshot.Text())
	rows, err := database.ReadQuery(background(t), db, "SELECT count(*) FROM a")
	must(t, err)
	note("query", rows.Rows)
	n := 0
	for e, err := range db.History(background(t), database.HistoryQuery{Texts: true}) {
		must(t, err)
		note("event", e.Set, e.Version, e.Direction, len(e.UpText))
		n++
	}
	b, _, err = db.Begin(background(t), "app", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	emptied, err := database.TxReset(background(t), b, nil, database.Entry{Name: "reset"})
	must(t, err)
	note("reset", emptied.Dropped, emptied.Sets)
	must(t, errOf(b.Commit(background(t))))
	must(t, db.Close())
	return out.String()
}

// No session setting of a server, a user or a program hides rows, or changes the meaning of
// Whimbrel's own statements.
func TestSettingsOfTheSession(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	want := useEverything(t, record(t, url, nil))
	contains(t, "what it says", want, "state [1 2 3 4] true true")
	for _, settings := range []map[string]string{
		{"sql_select_limit": "1"},
		{"sql_select_limit": "2", "sql_safe_updates": "1", "max_join_size": "18446744073709551615"},
		{"sql_safe_updates": "1"},
		{"sql_mode": "'ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,NO_ZERO_DATE,NO_AUTO_VALUE_ON_ZERO'"},
		{"sql_mode": "''"},
		{"sql_mode": "'ORACLE'"},
		{"tx_isolation": "'READ-UNCOMMITTED'"},
		{"tx_isolation": "'SERIALIZABLE'"},
		{"time_zone": "'+05:30'", "sql_auto_is_null": "1", "sql_quote_show_create": "0", "lc_time_names": "'de_DE'"},
		{"group_concat_max_len": "4", "foreign_key_checks": "0", "unique_checks": "0", "innodb_strict_mode": "0", "sql_notes": "0", "div_precision_increment": "0"},
		{"collation_connection": "utf8mb4_general_ci", "sql_warnings": "1", "low_priority_updates": "1", "big_tables": "1", "sql_buffer_result": "1"},
		{"collation_connection": "utf8mb4_bin"},
		{"collation_connection": "utf8mb4_unicode_ci"},
	} {
		t.Run(fmt.Sprint(settings), func(t *testing.T) {
			t.Parallel()
			url, _ := newDatabase(t)
			equal(t, "what it says", useEverything(t, record(t, url, settings)), want)
		})
	}
}

// Settings that can't be compensated are refused, and named.
func TestSettingsThatAreRefused(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	for says, settings := range map[string]map[string]string{
		"latin1":               {"character_set_connection": "latin1"},
		"_results":             {"character_set_results": "latin1"},
		"sql_select_limit":     {"sql_select_limit": "0"},
		"EMPTY_STRING_IS_NULL": {"sql_mode": "'EMPTY_STRING_IS_NULL'"},
		"NO_BACKSLASH_ESCAPES": {"sql_mode": "'NO_BACKSLASH_ESCAPES'"},
		"autocommit":           {"autocommit": "0"},
		"read-only":            {"tx_read_only": "1"},
	} {
		pool := sql.OpenDB(record(t, url, settings))
		defer pool.Close()
		db, err := mysql.New(pool, database.Options{})
		must(t, err)
		_, err = up(t, db, setOf(t, "s", "CREATE TABLE refused (x int)"))
		if err == nil {
			t.Fatalf("%v: it was not refused", settings)
		}
		contains(t, fmt.Sprint(settings), err.Error(), says)
	}
}

var called = regexp.MustCompile(`([\pL_][\pL\pN_]*)\(`)

// Stored functions named like the functions in our own statements are never called, and tables
// named like any word in them are never read.
func TestOwnTablesAreNotShadowed(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	plain := record(t, url, nil)
	want := useEverything(t, plain)
	functions := map[string]bool{}
	for query := range plain.sent {
		for _, m := range called.FindAllStringSubmatch(query, -1) {
			functions[strings.ToLower(m[1])] = true
		}
	}
	if !functions["get_lock"] {
		t.Fatal(`the statements were not recorded: functions["get_lock"] is false, want true`)
	} else if !functions["utc_timestamp"] {
		t.Fatal(`the statements were not recorded: functions["utc_timestamp"] is false, want true`)
	} else if !functions["count"] {
		t.Fatal(`the statements were not recorded: functions["count"] is false, want true`)
	}
	url, pool := newDatabase(t)
	made := 0
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		for _, parameters := range []string{"", "a text", "a text, b text"} {
			_, err := pool.Exec("CREATE FUNCTION `" + name + "` (" + parameters + ") RETURNS text DETERMINISTIC BEGIN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a stored function was called'; RETURN 'x'; END")
			if err == nil {
				made++
				break
			}
		}
	}
	if made < 15 {
		t.Errorf("%d functions of %d could be made", made, len(functions))
	}
	shadowed := record(t, url, map[string]string{"sql_mode": "'IGNORE_SPACE'"})
	got := useEverything(t, shadowed)
	same := func(s string) (lines string) { // the functions themselves are objects
		for line := range strings.Lines(s) {
			if kind, _, _ := strings.Cut(line, " "); slices.Contains([]string{"up", "state", "query", "event"}, kind) {
				lines += line
			}
		}
		return lines
	}
	equal(t, "what it says", same(got), same(want))
}

// A temporary table named like one of Whimbrel's is not mistaken for it, no matter who created it.
func TestTemporaryTables(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{
		"by a trigger": "CREATE TRIGGER shadows BEFORE INSERT ON a FOR EACH ROW BEGIN CREATE TEMPORARY TABLE IF NOT EXISTS whimbrel_history LIKE shape; END",
		"by a routine": "CREATE PROCEDURE shadows() BEGIN CREATE TEMPORARY TABLE whimbrel_history LIKE shape; END",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			db := open(t, url)
			_, err := up(t, db, setOf(t, "first", "CREATE TABLE of_whimbrels_own_tables (x int)"))
			must(t, err)
			for _, st := range []string{"CREATE TABLE shape LIKE whimbrel_history", "CREATE TABLE a (x int)", first} {
				_, err = pool.Exec(st)
				must(t, err)
			}
			scripts := []string{"INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2)"}
			if name == "by a routine" {
				scripts = []string{"CALL shadows(); INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2)"}
			}
			for range 2 {
				_, err = up(t, open(t, url), setOf(t, "s", scripts...))
				must(t, err)
			}
			equal(t, "rows", value(t, pool, "SELECT group_concat(x ORDER BY x) FROM a"), "1,2")
			equal(t, "applied", versions(t, db, "s"), "[1 2]")
		})
	}
}

// Triggers on Whimbrel's tables are refused before anything runs, and views in their place before
// any of them is evaluated.
func TestTriggersAndViewsInThePlaceOfOwnTables(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"whimbrel_history", "whimbrel_settings", "whimbrel_journal", "whimbrel_metadata"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			_, err := up(t, open(t, url), setOf(t, "s", "CREATE TABLE a (x int)"))
			must(t, err)
			_, err = pool.Exec("CREATE TRIGGER swallows BEFORE INSERT ON " + table + " FOR EACH ROW SET @x = 1")
			must(t, err)
			for _, script := range []string{"INSERT INTO a VALUES (1)", "CREATE TABLE b (x int)"} {
				_, err = up(t, open(t, url), setOf(t, "t", script))
				if err == nil {
					t.Fatal("it was not refused")
				}
				contains(t, "the refusal", err.Error(), "swallows")
			}
			err = database.UpdateSetting(background(t), open(t, url), database.SettingUpdate{Name: database.Order, Value: database.OrderAny})
			if err == nil {
				t.Errorf("UpdateSetting: %v", err)
			} else if !strings.Contains(err.Error(), "swallows") {
				t.Errorf("UpdateSetting: the error is %q, want a text with %q", err, "swallows")
			}
			equal(t, "rows", value(t, pool, "SELECT count(*) FROM a"), "0")

			_, err = pool.Exec("DROP TRIGGER swallows")
			must(t, err)
			_, err = pool.Exec("RENAME TABLE " + table + " TO other")
			must(t, err)
			_, err = pool.Exec("CREATE FUNCTION spies() RETURNS int DETERMINISTIC BEGIN INSERT INTO a VALUES (7); RETURN 1; END")
			must(t, err)
			_, err = pool.Exec("CREATE SQL SECURITY INVOKER VIEW " + table + " AS SELECT * FROM other WHERE spies() = 1")
			must(t, err)
			db := open(t, url)
			_, err = up(t, db, setOf(t, "t", "INSERT INTO a VALUES (1)"))
			if err == nil {
				t.Errorf("up: %v", err)
			} else if !strings.Contains(err.Error(), "was replaced by a view") {
				t.Errorf("up: the error is %q, want a text with %q", err, "was replaced by a view")
			}
			database.ReadMetadata(background(t), db)
			for range db.History(background(t), database.HistoryQuery{}) {
			}
			equal(t, "rows", value(t, pool, "SELECT count(*) FROM a"), "0")
		})
	}
}

// Missing or emptied tables are an error, not an empty history.
func TestLostTables(t *testing.T) {
	t.Parallel()
	for damage, says := range map[string]string{
		"DROP TABLE whimbrel_history":                    "whimbrel_history is missing",
		"DROP TABLE whimbrel_settings":                   "whimbrel_settings is missing",
		"DROP TABLE whimbrel_journal":                    "whimbrel_journal is missing",
		"DROP TABLE whimbrel_history, whimbrel_metadata": "whimbrel_history and whimbrel_metadata are missing",
		"DELETE FROM whimbrel_history":                   "lost its rows",
	} {
		t.Run(damage, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			set := setOf(t, "s", "CREATE TABLE a (x int)")
			_, err := up(t, open(t, url), set)
			must(t, err)
			_, err = pool.Exec(damage)
			must(t, err)
			db := open(t, url)
			_, err = db.State(background(t), "s")
			if err == nil {
				t.Errorf("State: %v, want something with %q", err, says)
			} else if !strings.Contains(err.Error(), says) {
				t.Errorf("State: the error is %q, want a text with %q", err, says)
			}
			_, _, err = db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
			if err == nil {
				t.Errorf("Begin: %v, want something with %q", err, says)
			} else if !strings.Contains(err.Error(), says) {
				t.Errorf("Begin: the error is %q, want a text with %q", err, says)
			}
		})
	}
}

// A user who may not read the tables gets an error that says so.
func TestTablesThatCantBeRead(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	_, err := up(t, open(t, url), setOf(t, "s", "CREATE TABLE a (x int)"))
	must(t, err)
	own := url[strings.LastIndexByte(url, '/')+1:]
	user := "u" + own[max(0, len(own)-20):]
	_, err = pool.Exec("CREATE USER `" + user + "`@'%'")
	must(t, err)
	t.Cleanup(func() { pool.Exec("DROP USER `" + user + "`@'%'") })
	for _, grant := range []string{"CREATE ON `" + own + "`.*", "SELECT ON `" + own + "`.a", "SELECT ON `" + own + "`.whimbrel_history"} {
		_, err = pool.Exec("GRANT " + grant + " TO `" + user + "`@'%'")
		must(t, err)
		_, err = open(t, strings.Replace(url, "root@", user+"@", 1)).State(background(t), "s")
		if err == nil {
			t.Fatalf("with %s it says that nothing is applied", grant)
		}
		contains(t, "with "+grant, err.Error(), "grant it")
	}
}

// A lock on the tables is an error after the lock timeout, not a day later.
func TestLockedTables(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	set := setOf(t, "s", "CREATE TABLE a (x int)")
	_, err := up(t, open(t, url), set)
	must(t, err)
	other, err := pool.Conn(background(t))
	must(t, err)
	defer other.Close()
	for _, table := range []string{"whimbrel_history", "whimbrel_settings"} {
		_, err = other.ExecContext(background(t), "LOCK TABLES "+table+" WRITE")
		must(t, err)
		db, err := database.Open(background(t), url, database.Options{MigrationLockTimeout: time.Second})
		must(t, err)
		calls := map[string]func() error{
			"State": func() error { _, err := db.State(background(t), "s"); return err },
			"Begin": func() error {
				_, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: time.Second})
				return err
			},
			"History": func() error { return firstError(db, table) },
		}
		for name, call := range calls {
			var locked *database.LockedError
			if err := call(); (name != "History" || table == "whimbrel_history") && !errors.As(err, &locked) {
				t.Errorf("%s while %s is locked: %v, want a *LockedError", name, table, err)
			}
		}
		_, err = other.ExecContext(background(t), "UNLOCK TABLES")
		must(t, err)
		equal(t, "applied", versions(t, db, "s"), "[1]")
		must(t, db.Close())
	}
}

func firstError(db database.Database, _ string) error {
	for _, err := range db.History(context.Background(), database.HistoryQuery{}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// A script that drops the migrated database is refused before any of it runs.
func TestTheOwnDatabaseIsNotDropped(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	own := url[strings.LastIndexByte(url, '/')+1:]
	for i, statement := range []string{"DROP DATABASE " + own, "drop schema if exists `" + own + "`", "DROP /* x */ DATABASE /*!50000 IF EXISTS */ `" + strings.ToUpper(own) + "`"} {
		_, err := up(t, open(t, url), setOf(t, fmt.Sprint("s", i), "CREATE TABLE a"+fmt.Sprint(i)+" (x int); "+statement))
		if err == nil {
			t.Fatalf("%s was not refused", statement)
		}
		contains(t, statement, err.Error(), "1_m.up.sql:1:26: ")
		contains(t, statement, err.Error(), "together with Whimbrel's tables")
		equal(t, "tables", value(t, pool, "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'a_'"), "0")
	}
	equal(t, "databases", value(t, pool, "SELECT count(*) FROM information_schema.schemata WHERE schema_name = DATABASE()"), "1")
}

// A session that reads uncommitted rows doesn't see uncommitted entries.
func TestReadUncommitted(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	db := open(t, url)
	_, err := up(t, db, setOf(t, "other", "CREATE TABLE a (x int)"))
	must(t, err)
	b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	defer b.Rollback(background(t))
	must(t, b.Record(background(t), database.Entry{Version: 1, Name: "m", Direction: database.Up, StartedAt: time.Now()}))
	pool := sql.OpenDB(record(t, url, map[string]string{"tx_isolation": "'READ-UNCOMMITTED'"}))
	defer pool.Close()
	dirty, err := mysql.New(pool, database.Options{})
	must(t, err)
	equal(t, "applied", versions(t, dirty, "s"), "[]")
}
