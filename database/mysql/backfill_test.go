package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

type filler interface {
	database.Database
	database.Backfiller
}

// fillDatabase creates a database with a schema, and opens it.
func fillDatabase(t testing.TB, schema ...string) (url string, pool *sql.DB, db filler) {
	t.Helper()
	url, pool = newDatabase(t)
	for _, s := range schema {
		must(t, errOf(pool.Exec(s)))
	}
	return url, pool, open(t, url).(filler)
}

func backfillOf(t testing.TB, text string) *migration.Script {
	t.Helper()
	s, err := migration.ParseBackfill("0001_fill.backfill.sql", text, sqltext.MySQL)
	must(t, err)
	return s
}

var fillID = database.BackfillID{Set: "s", Version: 1}

// startFill starts version 1.
func startFill(t testing.TB, db filler, s *migration.Script) database.Backfill {
	t.Helper()
	b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	defer b.Rollback(context.Background())
	must(t, b.(database.BackfillTx).StartBackfill(background(t), database.BackfillStart{Version: 1, Name: "fill", Script: s, Limits: database.LimitsOf(s.Backfill)}))
	must(t, b.Record(background(t), database.Entry{Version: 1, Name: "fill", Direction: database.Start, StartedAt: time.Now()}))
	must(t, errOf(b.Commit(background(t))))
	return readFill(t, db)
}

func readFill(t testing.TB, db filler) database.Backfill {
	t.Helper()
	all, err := db.Backfills(background(t), database.BackfillQuery{Set: "s"})
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("%d backfills", len(all))
	}
	return all[0]
}

func laneOf(s *migration.Script, worker string) database.LaneClaim {
	return database.LaneClaim{BackfillID: fillID, Script: s, Worker: worker, Lease: time.Minute}
}

// fillAll works until no lane is left. It tries a batch again that conflicted with another one.
func fillAll(ctx context.Context, db filler, ask database.LaneClaim, rows int) error {
	for {
		b, w, err := db.ClaimLane(ctx, ask)
		busy := errors.Is(err, database.ErrConflict) // many workers of a cluster ask at once
		if err != nil && !busy || err == nil && w == nil && b.AllCut() && len(b.Lanes) == 0 {
			return err
		}
		if w == nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		for done := false; !done && err == nil; {
			var out database.BatchResult
			out, err = w.Batch(ctx, rows)
			if errors.Is(err, database.ErrLockTimeout) || errors.Is(err, database.ErrDeadlock) || errors.Is(err, database.ErrConflict) {
				err = nil
			}
			done = out.Done
		}
		if err := errors.Join(err, w.Close(ctx, nil)); err != nil {
			return err
		}
	}
}

// A backfill takes every row once in the order of any key that the server can have.
func TestBackfillKeys(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ columns, rows, head, where string }{
		"int":             {"id int PRIMARY KEY", "cast(seq AS signed) - 50", "", "id BETWEEN :first AND :last"},
		"bigint unsigned": {"id bigint unsigned PRIMARY KEY", "18446744073709551615 - seq", "", "id BETWEEN :first AND :last"},
		"decimal":         {"id decimal(30,10) PRIMARY KEY", "(cast(seq AS signed) - 50) / 7", "", "id BETWEEN :first AND :last"},
		"double":          {"id double PRIMARY KEY", "(cast(seq AS signed) - 50) / 7e0", "", "id >= :first AND id <= :last"},
		"float":           {"id float PRIMARY KEY", "(cast(seq AS signed) - 50) / 7e0", "", "id >= :first AND id <= :last"},
		"bit":             {"id bit(12) PRIMARY KEY", "seq * 3", "", "id BETWEEN :first AND :last"},
		"year":            {"id year PRIMARY KEY", "1950 + seq", "", "id BETWEEN :first AND :last"},
		"date":            {"id date PRIMARY KEY", "'2024-02-20' + INTERVAL seq DAY", "", "id BETWEEN :first AND :last"},
		"time":            {"id time(3) PRIMARY KEY", "sec_to_time((cast(seq AS signed) - 50) * 1.5)", "", "id BETWEEN :first AND :last"},
		"datetime":        {"id datetime(6) PRIMARY KEY", "'2024-02-28 23:59:59.999990' + INTERVAL seq MICROSECOND", "", "id BETWEEN :first AND :last"},
		"timestamp":       {"id timestamp(6) PRIMARY KEY", "'2024-10-27 00:30:00' + INTERVAL seq MINUTE", "", "id BETWEEN :first AND :last"},
		"binary":          {"id binary(16) PRIMARY KEY", "unhex(md5(seq))", "", "id BETWEEN :first AND :last"},
		"varbinary":       {"id varbinary(20) PRIMARY KEY", "concat(x'00', unhex(hex(seq)), x'0000')", "", "id BETWEEN :first AND :last"},
		"uuid":            {"id uuid PRIMARY KEY", "concat('0000', lpad(seq * 37 % 97, 4, '0'), '-0000-1000-8000-', lpad(hex(seq), 12, '0'))", "", "id BETWEEN :first AND :last"},
		"inet6":           {"id inet6 PRIMARY KEY", "concat('2001:db8::', hex(seq))", "", "id BETWEEN :first AND :last"},
		"any case":        {"id varchar(50) COLLATE utf8mb4_general_ci PRIMARY KEY", "concat(if(seq % 2, 'ä''\\\\', 'A'), seq)", "", "id BETWEEN :first AND :last"},
		"blanks count":    {"id varchar(50) COLLATE utf8mb4_nopad_bin PRIMARY KEY", "concat('a', repeat(' ', seq))", "", "id BETWEEN :first AND :last"},
		"blanks don't":    {"id varchar(50) COLLATE utf8mb4_bin PRIMARY KEY", "concat(seq, ' ')", "", "id BETWEEN :first AND :last"},
		"char":            {"id char(20) CHARACTER SET latin1 COLLATE latin1_german2_ci PRIMARY KEY", "concat('ß', char(97 + seq % 26 USING latin1), seq)", "", "id BETWEEN :first AND :last"},
		"utf16":           {"id varchar(20) CHARACTER SET utf16 PRIMARY KEY", "concat('😀', seq)", "", "id BETWEEN :first AND :last"},
		"a unique index":  {"a int, id varchar(20) NOT NULL UNIQUE", "concat('x', seq)", "key id", "id BETWEEN :first AND :last"},
		"descending":      {"id int NOT NULL, UNIQUE KEY d (id DESC)", "seq", "key id", "id BETWEEN :first AND :last"},
		"odd names":       {"id int PRIMARY KEY, `a``b'c` int", "seq", "", "id BETWEEN :first AND :last"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, pool, db := fillDatabase(t, "CREATE TABLE `f``x` ("+tt.columns+", n int NOT NULL DEFAULT 0)", "INSERT INTO `f``x` (id) SELECT "+tt.rows+" FROM seq_1_to_45")
			head := "-- whimbrel: backfill `f``x`\n-- whimbrel: batch 1\n"
			if tt.head != "" {
				head += "-- whimbrel: " + tt.head + "\n"
			}
			s := backfillOf(t, head+"UPDATE `f``x` SET n = n + 1 WHERE "+tt.where)
			must(t, errOf(db.CheckBackfill(background(t), s)))
			b := startFill(t, db, s)
			must(t, fillAll(background(t), db, laneOf(s, "w"), 4))
			if got := value(t, pool, "SELECT count(*) FROM `f``x` WHERE n = 1"); got != "45" {
				t.Errorf("%s of 45 rows were changed once; the last key is %q", got, b.Last)
			}
			if b := readFill(t, db); b.RowsDone != 45 {
				t.Errorf("%d rows are done", b.RowsDone)
			}
		})
	}
}

// A key of several columns is followed in the order of its index, whatever the order in which the
// script names them.
func TestBackfillCompositeKey(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, "CREATE TABLE t (a int NOT NULL, b varchar(10) NOT NULL, c binary(2) NOT NULL, n int NOT NULL DEFAULT 0, UNIQUE KEY k (b, a, c))",
		"INSERT INTO t (a, b, c) SELECT cast(seq % 5 AS signed) - 2, concat('b', seq % 7), unhex(hex(lpad(seq % 11, 2, '0'))) FROM seq_1_to_300")
	s := backfillOf(t, "-- whimbrel: backfill t\n-- whimbrel: key a, c, b\n-- whimbrel: batch 2\n-- whimbrel: parallel 3\n"+
		"UPDATE t SET n = n + 1 WHERE b BETWEEN :first.b AND :last.b AND (b, a, c) >= (:first) AND (b, a, c) <= (:last)")
	target, err := db.CheckBackfill(background(t), s)
	must(t, err)
	equal(t, "the key", strings.Join(target.Key, ", "), "b, a, c")
	startFill(t, db, s)
	must(t, fillAll(background(t), db, laneOf(s, "w"), 7))
	equal(t, "the rows that were changed once", value(t, pool, "SELECT count(*) FROM t WHERE n = 1"), "300")
	// each batch reads its rows from the index
	var plan []string
	rows, err := pool.Query("EXPLAIN SELECT b FROM t FORCE INDEX (k) WHERE (b > 'b1' OR b = 'b1' AND a > 0 OR b = 'b1' AND a = 0 AND c > x'3031') AND (b < 'b2' OR b = 'b2' AND a < 1 OR b = 'b2' AND a = 1 AND c <= x'3031') ORDER BY b, a, c LIMIT 1")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		columns, err := rows.Columns()
		must(t, err)
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(sql.NullString)
		}
		must(t, rows.Scan(values...))
		for i, c := range columns {
			plan = append(plan, c+"="+values[i].(*sql.NullString).String)
		}
	}
	if text := strings.Join(plan, " "); !strings.Contains(text, "type=range") || strings.Contains(text, "filesort") {
		t.Errorf("the server does not follow the index: %s", text)
	}
}

// What can't be a backfill is an error at its place, before anything runs.
func TestBackfillErrors(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t,
		"CREATE TABLE t (id int PRIMARY KEY, u int NOT NULL, v int, w varchar(50) NOT NULL, e enum('b', 'a') NOT NULL, n int, UNIQUE KEY v (v), UNIQUE KEY w (w(5)), UNIQUE KEY e (e), UNIQUE KEY un (u, id DESC))",
		"CREATE TABLE k (n int)", "CREATE TABLE a (id int PRIMARY KEY) ENGINE=Aria", "CREATE VIEW v1 AS SELECT * FROM t", "CREATE SEQUENCE s1")
	for _, tt := range []struct {
		head, body string
		line       int
		want       string
	}{
		{"nothing", "", 1, "does not exist"},
		{"v1", "", 1, "only a table"},
		{"s1", "", 1, "only a table"},
		{"mysql.user", "", 1, "not in the database"},
		{"whimbrel_lanes", "", 1, "own tables"},
		{"a", "", 1, "needs InnoDB"},
		{"k", "", 1, "no primary key"},
		{"t\n-- whimbrel: key v", "", 2, "can be NULL"},
		{"t\n-- whimbrel: key w", "", 2, "only the beginning"},
		{"t\n-- whimbrel: key e", "", 2, "type enum"},
		{"t\n-- whimbrel: key n", "", 2, "not unique"},
		{"t\n-- whimbrel: key u, id", "", 2, "descending"},
		{"t\n-- whimbrel: key x", "", 2, "no column x"},
		{"t", "UPDATE t SET n = 1\n WHERE id BETWEEN :first AND :last.x", 3, "no column of the key"},
		{"t", "UPDATE t SET m = 1 WHERE id BETWEEN :first AND :last", 2, "Unknown column 'm'"},
		{"t", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last;\n\nUPDATE gone SET n = 1 WHERE id = :last", 4, "doesn't exist"},
		{"t", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last\nAND OR", 3, "syntax"},
	} {
		if tt.body == "" {
			tt.body = "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last"
		}
		s := backfillOf(t, "-- whimbrel: backfill "+tt.head+"\n"+tt.body)
		_, err := db.CheckBackfill(background(t), s)
		var at *sqltext.Error
		if !errors.As(err, &at) || at.Pos.Line != tt.line || at.Pos.File != s.File || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: %v; want line %d and %q", tt.head, tt.body, err, tt.line, tt.want)
		}
		if errors.Is(err, database.ErrNoTable) != (tt.head == "nothing") {
			t.Errorf("%s: ErrNoTable is wrong for %v", tt.head, err)
		}
	}
	equal(t, "the tables that checking created", value(t, pool, "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'whimbrel%'"), "0")
}

// A Go function changes the rows of a batch in its transaction.
func TestBackfillFunc(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, "CREATE TABLE t (id bigint unsigned PRIMARY KEY, b binary(1) NOT NULL, n int NOT NULL DEFAULT 0)", "INSERT INTO t (id, b) SELECT seq, 'x' FROM seq_1_to_50")
	fail := true
	s := mysql.BackfillFunc("count", migration.Backfill{Table: "t"}, func(ctx context.Context, tx mysql.Tx, first, last []any) error {
		if _, err := tx.ExecContext(ctx, "UPDATE t SET n = n + 1 WHERE id BETWEEN ? AND ?", first[0], last[0]); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "COMMIT"); err == nil {
			return errors.New("the function ended the transaction")
		}
		if fail {
			fail = false
			return errors.New("not yet")
		}
		return nil
	})
	startFill(t, db, s)
	_, w, err := db.ClaimLane(background(t), laneOf(s, "w"))
	must(t, err)
	_, err = w.Batch(background(t), 7)
	if failed := as[*database.BatchError](t, err); failed.Rows != 7 || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("the batch of a function that fails returned %v", err)
	}
	out, err := w.Batch(background(t), 7)
	must(t, err)
	if out.Rows != 7 || out.Changed != 7 {
		t.Errorf("the batch is %+v", out)
	}
	for !out.Done {
		out, err = w.Batch(background(t), 7)
		must(t, err)
	}
	must(t, w.Close(background(t), nil))
	equal(t, "the rows that were changed once", value(t, pool, "SELECT count(*) FROM t WHERE n = 1"), "50")
	wrong := mysql.Func("other", func(context.Context, mysql.Tx) error { return nil })
	wrong.Backfill = s.Backfill
	startFill(t, db, s)
	_, w, err = db.ClaimLane(background(t), laneOf(wrong, "w"))
	must(t, err)
	if _, err := w.Batch(background(t), 7); err == nil || !strings.Contains(err.Error(), "BackfillFunc") {
		t.Errorf("a function of another kind: %v", err)
	}
	must(t, w.Close(background(t), nil))
}

// Statements that can't be one message with the transaction are sent one by one.
func TestBackfillOneByOne(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)", "INSERT INTO t (id) SELECT seq FROM seq_1_to_20")
	for i, body := range []string{
		"-- whimbrel: statement-timeout 1m\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last;\nUPDATE t SET n = n WHERE id = :last",
	} {
		s := backfillOf(t, "-- whimbrel: backfill t\n"+body)
		startFill(t, db, s)
		must(t, fillAll(background(t), db, laneOf(s, "w"), 3))
		equal(t, "the rows that were changed", value(t, pool, "SELECT count(*) FROM t WHERE n = "+strconv.Itoa(i+1)), "20")
	}
}

// A batch that takes too long, or waits too long for a row, is rolled back, and says which.
func TestBackfillTimeouts(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)", "INSERT INTO t (id) SELECT seq FROM seq_1_to_10")
	s := backfillOf(t, "-- whimbrel: backfill t\n-- whimbrel: timeout 50ms\nUPDATE t SET n = 1 WHERE id BETWEEN :first AND :last;\nUPDATE t SET n = SLEEP(100) WHERE id = :last")
	startFill(t, db, s)
	_, w, err := db.ClaimLane(background(t), laneOf(s, "w"))
	must(t, err)
	if _, err := w.Batch(background(t), 5); !errors.Is(err, database.ErrBatchTimeout) {
		t.Errorf("the batch returned %v, want ErrBatchTimeout", err)
	}
	equal(t, "the rows that were changed", value(t, pool, "SELECT count(*) FROM t WHERE n <> 0"), "0")
	must(t, w.Close(background(t), nil))

	s = backfillOf(t, "-- whimbrel: backfill t\n-- whimbrel: lock-timeout 1s\nUPDATE t SET n = 1 WHERE id BETWEEN :first AND :last")
	startFill(t, db, s)
	_, w, err = db.ClaimLane(background(t), laneOf(s, "w"))
	must(t, err)
	other, err := pool.Begin()
	must(t, err)
	must(t, errOf(other.Exec("UPDATE t SET n = 7 WHERE id = 3")))
	_, err = w.Batch(background(t), 5)
	if failed := as[*database.StatementError](t, err); !errors.Is(err, database.ErrLockTimeout) || failed.Pos.Line != 3 {
		t.Errorf("the batch returned %v at %v, want ErrLockTimeout in line 3", err, failed.Pos)
	}
	must(t, other.Rollback())
	must(t, errOf(w.Batch(background(t), 50)))
	must(t, w.Close(background(t), nil))
	equal(t, "the rows that were changed", value(t, pool, "SELECT sum(n) FROM t"), "10")
}

// The server ends the transaction of a process that is suspended in the middle of a batch, and its
// lane goes to another worker.
func TestBackfillSuspendedWorker(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)", "INSERT INTO t (id) SELECT seq FROM seq_1_to_10")
	wake := make(chan bool)
	spec := migration.Backfill{Table: "t"}
	slow := mysql.BackfillFunc("slow", spec, func(ctx context.Context, tx mysql.Tx, first, last []any) error {
		_, err := tx.ExecContext(ctx, "UPDATE t SET n = n + 1 WHERE id BETWEEN ? AND ?", first[0], last[0])
		<-wake // the process is suspended
		return err
	})
	startFill(t, db, slow)
	ask := laneOf(slow, "slow")
	ask.Lease = time.Second
	_, w, err := db.ClaimLane(background(t), ask)
	must(t, err)
	result := make(chan error)
	go func() { result <- errOf(w.Batch(background(t), 5)) }()
	s := backfillOf(t, "-- whimbrel: backfill t\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last")
	must(t, fillAll(background(t), db, laneOf(s, "next"), 5))
	close(wake)
	if err := <-result; err == nil {
		t.Error("a batch was committed that was suspended for longer than its lease")
	}
	must(t, w.Close(background(t), nil))
	equal(t, "the rows that were changed once", value(t, pool, "SELECT count(*) FROM t WHERE n = 1"), "10")
}

// What is asked for and can't be measured is an error, and so is a query with another answer.
func TestBackfillSignals(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)", "INSERT INTO t (id) SELECT seq FROM seq_1_to_10")
	for query, want := range map[string]string{
		"SELECT count(*) FROM t": "true", "SELECT 0": "false", "SELECT 'x'": "error", "SELECT NULL": "error", "SELECT 1.5 - 1.5": "false",
		"DELETE FROM t": "error", "SELECT * FROM gone": "error", "SELECT id FROM t": "error",
	} {
		all, err := db.Signals(background(t), database.Backfill{}, migration.Throttle{Query: query})
		must(t, err)
		got := strconv.FormatBool(all[0].Over)
		if all[0].Err != nil {
			got = "error"
		}
		if len(all) != 1 || got != want || all[0].Name != "throttle" {
			t.Errorf("%s: %+v, want %s", query, all, want)
		}
	}
	all, err := db.Signals(background(t), database.Backfill{}, migration.Throttle{Lag: time.Second, SlotWAL: 1, WALRate: 1 << 50, Autovacuum: true, FlowControl: 0.1})
	must(t, err)
	for _, s := range all {
		if measured := s.Name == "max-wal-rate"; (s.Err == nil) != measured || s.Over || measured && s.Text == "" {
			t.Errorf("%s is over its limit: %t (%s), %v", s.Name, s.Over, s.Text, s.Err)
		}
	}
	if len(all) != 5 {
		t.Errorf("%d signals", len(all))
	}

	// a session that waits for a row of a batch
	hold, held := make(chan bool), make(chan bool)
	s := mysql.BackfillFunc("slow", migration.Backfill{Table: "t"}, func(ctx context.Context, tx mysql.Tx, first, last []any) error {
		_, err := tx.ExecContext(ctx, "UPDATE t SET n = n + 1 WHERE id BETWEEN ? AND ?", first[0], last[0])
		close(held)
		<-hold
		return err
	})
	startFill(t, db, s)
	_, w, err := db.ClaimLane(background(t), laneOf(s, "w"))
	must(t, err)
	done := make(chan error, 2)
	go func() { done <- errOf(w.Batch(background(t), 5)) }()
	<-held
	go func() { done <- errOf(pool.ExecContext(background(t), "UPDATE t SET n = n WHERE id = 3")) }()
	eventuallyInInnoDB(t, "a session that waits for the backfill", func() bool {
		all, err := db.Signals(background(t), database.Backfill{}, migration.Throttle{})
		must(t, err)
		return len(all) == 1 && all[0].Over && all[0].Name == "lock-waits" && strings.Contains(all[0].Text, "waits for a lock")
	})
	close(hold)
	must(t, errors.Join(<-done, <-done))
	must(t, w.Close(background(t), nil))
}

// A trigger or a view on the tables of backfills is found before it can do anything, and they are
// no part of the schema.
func TestBackfillTables(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)")
	before, err := database.Snapshot(background(t), db, catalog.Options{})
	must(t, err)
	s := backfillOf(t, "-- whimbrel: backfill t\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last")
	startFill(t, db, s)
	after, err := database.Snapshot(background(t), db, catalog.Options{})
	must(t, err)
	if d := catalog.Compare(before, after); len(d) != 0 {
		t.Errorf("the snapshot has changed: %v", d)
	}
	must(t, errOf(pool.Exec("CREATE TRIGGER evil BEFORE UPDATE ON whimbrel_lanes FOR EACH ROW SET NEW.done = 1")))
	if _, _, err := db.ClaimLane(background(t), laneOf(s, "w")); err == nil || !strings.Contains(err.Error(), "evil") {
		t.Errorf("ClaimLane: %v", err)
	}
	if _, err := db.ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: database.ActionPause}); err == nil || !strings.Contains(err.Error(), "evil") {
		t.Errorf("ChangeBackfill: %v", err)
	}
	b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	if err := b.(database.BackfillTx).EndBackfill(background(t), 1); err == nil || !strings.Contains(err.Error(), "evil") {
		t.Errorf("EndBackfill: %v", err)
	}
	must(t, b.Rollback(background(t)))
	must(t, errOf(pool.Exec("RENAME TABLE whimbrel_backfills TO b")))
	must(t, errOf(pool.Exec("CREATE VIEW whimbrel_backfills AS SELECT * FROM b")))
	if _, err := db.Backfills(background(t), database.BackfillQuery{}); err == nil || !strings.Contains(err.Error(), "replaced by a view") {
		t.Errorf("Backfills of a view: %v", err)
	}
}

// Many processes start their first backfill at once, each for a set of its own.
func TestBackfillTablesAreCreatedAtOnce(t *testing.T) {
	t.Parallel()
	url, pool, _ := fillDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)", "INSERT INTO t (id) VALUES (1)")
	s := backfillOf(t, "-- whimbrel: backfill t\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		db := open(t, url)
		wg.Go(func() {
			for {
				errs[i] = startOf(context.Background(), db, fmt.Sprint("set ", i), s)
				if !errors.Is(errs[i], database.ErrConflict) {
					return
				}
			}
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	equal(t, "the backfills", value(t, pool, "SELECT count(*) FROM whimbrel_backfills WHERE entry_id > 0"), "8")
}

func startOf(ctx context.Context, db database.Database, set string, s *migration.Script) error {
	b, _, err := db.Begin(ctx, set, database.LockOptions{Timeout: waitLimit})
	if err != nil {
		return err
	}
	defer b.Rollback(ctx)
	err = b.(database.BackfillTx).StartBackfill(ctx, database.BackfillStart{Version: 1, Name: "fill", Script: s, Limits: database.LimitsOf(s.Backfill)})
	if err == nil {
		err = b.Record(ctx, database.Entry{Version: 1, Name: "fill", Direction: database.Start, StartedAt: time.Now()})
	}
	if err == nil {
		_, err = b.Commit(ctx)
	}
	return err
}

// A pause while another process migrates does not hide what that process records: entries of
// changes are written without the migration lock.
func TestBackfillEntriesAndTheHead(t *testing.T) {
	t.Parallel()
	_, _, db := fillDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)", "INSERT INTO t (id) VALUES (1)")
	startFill(t, db, backfillOf(t, "-- whimbrel: backfill t\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last"))
	b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, b.Record(background(t), database.Entry{Version: 2, Name: "x", Direction: database.Up, StartedAt: time.Now()}))
	must(t, errOf(b.State(background(t)))) // it is sent, but not committed
	must(t, errOf(db.ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: database.ActionPause})))
	before, err := db.State(background(t), "s")
	must(t, err)
	must(t, errOf(b.Commit(background(t))))
	after, err := db.State(background(t), "s")
	must(t, err)
	if after.Head <= before.Head {
		t.Errorf("the head was %d before version 2 became visible, and is %d", before.Head, after.Head)
	}
	b, found, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, b.Rollback(background(t)))
	if found.Head != after.Head {
		t.Errorf("the head is %d under the lock, and %d in the state", found.Head, after.Head)
	}
}

const syncing = "-- whimbrel: backfill t\n-- whimbrel: sync\nUPDATE t SET low = lower(name) WHERE id BETWEEN :first AND :last AND low IS NULL"

// With sync, rows that the application writes meanwhile are kept in step, wherever they are, and
// nothing remains at the end.
func TestBackfillSyncLeavesNothing(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, name varchar(20) NOT NULL, low varchar(20))", "INSERT INTO t (id, name) SELECT seq * 10, concat('N', seq) FROM seq_1_to_20")
	before, err := database.Snapshot(background(t), db, catalog.Options{})
	must(t, err)
	s := backfillOf(t, syncing)
	target, err := db.CheckBackfill(background(t), s)
	must(t, err)
	if target.Sync == nil || len(target.Sync.Columns) != 3 {
		t.Errorf("the table for the triggers is %+v", target.Sync)
	}
	startFill(t, db, s)
	_, w, err := db.ClaimLane(background(t), laneOf(s, "w"))
	must(t, err)
	must(t, errOf(w.Batch(background(t), 10)))
	must(t, w.Close(background(t), nil))
	for _, write := range []string{
		"INSERT INTO t (id, name) VALUES (1, 'First'), (999, 'Last')", "UPDATE t SET name = 'Other' WHERE id = 20", "INSERT INTO t VALUES (2, 'Mine', 'MINE')",
	} {
		must(t, errOf(pool.Exec(write)))
	}
	during, err := database.Snapshot(background(t), db, catalog.Options{})
	must(t, err)
	if d := catalog.Compare(before, during); len(d) != 0 {
		t.Errorf("the triggers are part of the snapshot: %v", d)
	}
	must(t, fillAll(background(t), db, laneOf(s, "w"), 10))
	equal(t, "the rows that are out of step", value(t, pool, "SELECT ifnull(group_concat(id), '') FROM t WHERE NOT low <=> lower(name) AND id <> 2"), "")
	equal(t, "what the application wrote itself", value(t, pool, "SELECT low FROM t WHERE id = 2"), "MINE")
	triggers := func() string {
		return value(t, pool, "SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE()")
	}
	equal(t, "the triggers meanwhile", triggers(), "2")
	b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, b.(database.BackfillTx).FinishBackfill(background(t), 1))
	must(t, b.Record(background(t), database.Entry{Version: 1, Name: "fill", Direction: database.Finish, StartedAt: time.Now()}))
	must(t, errOf(b.Commit(background(t))))
	equal(t, "the triggers at the end", triggers(), "0")

	startFill(t, db, s)
	must(t, errOf(db.ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: database.ActionCancel})))
	equal(t, "the triggers after it was cancelled", triggers(), "0")
	b, _, err = db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, b.(database.BackfillTx).StartBackfill(background(t), database.BackfillStart{Version: 1, Name: "fill", Script: s, Limits: database.LimitsOf(s.Backfill)}))
	equal(t, "the triggers of a start that is not committed", triggers(), "2")
	must(t, b.Rollback(background(t)))
	equal(t, "the triggers of a start that was rolled back", triggers(), "0")
	startFill(t, db, s)
	b, _, err = db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, b.(database.BackfillTx).EndBackfill(background(t), 1))
	must(t, errOf(b.Commit(background(t))))
	equal(t, "the triggers after it was removed", triggers(), "0")
}

const countEach = "-- whimbrel: backfill t\n-- whimbrel: parallel 8\n-- whimbrel: batch 20\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last"

// fillJob works on the backfill of a child process's job.
func fillJob(ctx context.Context, url, worker string) error {
	db, err := database.Open(ctx, url, database.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := migration.ParseBackfill("0001_fill.backfill.sql", countEach, sqltext.MySQL)
	if err != nil {
		return err
	}
	ask := laneOf(s, worker)
	ask.Lease = time.Second
	for {
		if err := fillAll(ctx, db.(filler), ask, 20); !errors.Is(err, database.ErrLeaseLost) { // the machine was busy
			return err
		}
	}
}

// everyPoint: WHIMBREL_FAULTS=full interrupts at every point, not only at some.
func everyPoint() bool { return os.Getenv("WHIMBREL_FAULTS") == "full" }

// Processes that are killed at any moment leave every row to be changed exactly once.
func TestBackfillKilled(t *testing.T) {
	t.Parallel()
	const workers = 4
	kills := 3
	if everyPoint() {
		kills = 40
	}
	url, pool, db := fillDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)", "INSERT INTO t (id) SELECT seq FROM seq_1_to_8000")
	startFill(t, db, backfillOf(t, countEach))
	var wg sync.WaitGroup
	for i := range workers {
		var jobs []*process
		for k := range kills + 1 {
			jobs = append(jobs, start(t, job{URL: url, Worker: fmt.Sprintf("%d.%d", i, k)}))
		}
		wg.Go(func() {
			for k, p := range jobs {
				p.begin()
				if k < kills {
					time.Sleep(time.Duration(20+(i*37+k*53)%150) * time.Millisecond)
					p.kill()
				} else if err := p.wait(); err != nil {
					t.Errorf("worker %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	equal(t, "the rows that were changed once", value(t, pool, "SELECT count(*) FROM t WHERE n = 1"), "8000")
	if b := readFill(t, db); b.RowsDone != 8000 || len(b.Lanes) != 0 || !b.AllCut() {
		t.Errorf("it says that %d rows are done, and has the lanes %+v", b.RowsDone, b.Lanes)
	}
}

// A connection that is cut at any message, in either direction, leaves every row to be changed
// exactly once.
func TestBackfillCut(t *testing.T) {
	t.Parallel()
	url, pool, db := fillDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)", "INSERT INTO t (id) SELECT seq FROM seq_1_to_60")
	s := backfillOf(t, "-- whimbrel: backfill t\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last")
	proxy := testdb.NewProxy(t, url)
	proxy.Quiet = 0
	step := 17
	if everyPoint() {
		step = 1
	}
	total := 0
	for _, d := range []testdb.Direction{testdb.ToServer, testdb.ToClient} {
		for n := 1; ; n += step {
			startFill(t, db, s)
			total++
			proxy.Reset()
			proxy.CutAfter(d, n)
			through, err := database.Open(background(t), proxy.URL, database.Options{})
			if err == nil {
				err = fillAll(background(t), through.(filler), laneOf(s, "cut off"), 7)
				through.Close()
			}
			proxy.Reset()
			// the server notices that its client is gone, or the lease ends
			endLeases(t, pool)
			must(t, fillAll(background(t), db, laneOf(s, "next"), 7))
			equal(t, fmt.Sprintf("after a cut %s after message %d (%v), the rows that were changed once", d, n, err), value(t, pool, "SELECT count(*) FROM t WHERE n = "+strconv.Itoa(total)), "60")
			if err == nil {
				break // it was not cut any more
			}
		}
	}
}

// endLeases makes all leases end now, as they do by themselves later.
func endLeases(t testing.TB, pool *sql.DB) {
	t.Helper()
	must(t, errOf(pool.ExecContext(background(t), "UPDATE whimbrel_lanes SET leased_until = UTC_TIMESTAMP(6) WHERE worker <> ''")))
}
