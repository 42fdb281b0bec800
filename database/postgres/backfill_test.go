package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// fill returns the script of a backfill.
func fill(t testing.TB, text string) *migration.Script {
	t.Helper()
	s, err := migration.ParseBackfill("1_x.backfill.sql", text, sqltext.PostgreSQL)
	must(t, err)
	return s
}

// backfiller returns the power of a database.
func backfiller(db database.Database) database.Backfiller { return db.(database.Backfiller) }

var fillID = database.BackfillID{Set: "s", Version: 1}

// startFill starts a backfill as the engine does.
func startFill(t testing.TB, db database.Database, s *migration.Script, change ...func(*database.BackfillStart)) {
	t.Helper()
	ctx := background(t)
	start := database.BackfillStart{Version: 1, Name: "x", Script: s, Limits: database.LimitsOf(s.Backfill)}
	for _, f := range change {
		f(&start)
	}
	b := begin(t, db, "s")
	must(t, b.(database.BackfillTx).StartBackfill(ctx, start))
	must(t, b.Record(ctx, database.Entry{Version: 1, Name: "x", Direction: database.Start}))
	must(t, errOf(b.Commit(ctx)))
}

func finishFill(t testing.TB, db database.Database) error {
	t.Helper()
	ctx := background(t)
	b := begin(t, db, "s")
	defer b.Rollback(context.Background())
	if err := b.(database.BackfillTx).FinishBackfill(ctx, 1); err != nil {
		return err
	}
	must(t, b.Record(ctx, database.Entry{Version: 1, Name: "x", Direction: database.Finish}))
	return errOf(b.Commit(ctx))
}

func claimOf(s *migration.Script, worker string) database.LaneClaim {
	return database.LaneClaim{BackfillID: fillID, Script: s, Worker: worker, Lease: waitLimit}
}

// claimLane leases a lane; nil if there is none.
func claimLane(t testing.TB, db database.Database, c database.LaneClaim) (database.Backfill, database.LaneWork) {
	t.Helper()
	b, w, err := backfiller(db).ClaimLane(background(t), c)
	must(t, err)
	if w != nil {
		t.Cleanup(func() { w.Close(context.Background(), nil) })
	}
	return b, w
}

// drain executes batches of rows rows until no lane is left, and returns the number of batches and
// rows.
func drain(t testing.TB, db database.Database, s *migration.Script, rows int) (batches int, total int64) {
	t.Helper()
	for {
		_, w := claimLane(t, db, claimOf(s, "drain"))
		if w == nil {
			return batches, total
		}
		for done := false; !done; batches++ {
			r, err := w.Batch(background(t), rows)
			must(t, err)
			total += r.Rows
			done = r.Done
		}
		must(t, w.Close(background(t), nil))
	}
}

// storedFill reads the backfill.
func storedFill(t testing.TB, db database.Database) database.Backfill {
	t.Helper()
	all, err := backfiller(db).Backfills(background(t), database.BackfillQuery{Set: "s"})
	must(t, err)
	equal(t, "the number of backfills", len(all), 1)
	return all[0]
}

// Each row is changed exactly once, whatever the type and the order of the key are.
func TestBackfillKeys(t *testing.T) {
	t.Parallel()
	majors := testdb.PostgresMajors(t)
	for nth, m := range majors {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			c := connect(t, url)
			do(t, c, `CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE mood AS ENUM ('z', 'a', 'm'); CREATE DOMAIN small AS int CHECK (value < 100000); CREATE DOMAIN smaller AS small;
CREATE FUNCTION name_of(i int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT chr(97 + i % 26) || CASE WHEN i % 2 = 0 THEN ''Ä'' ELSE ''ü "\'' END || i'`)
			keys := map[string]struct{ columns, values, body string }{
				"int":       {"a int", "i", ":first AND :last"},
				"negative":  {"a int", "i - 200", ""},
				"uuid":      {"a uuid", "md5(i::text)::uuid", ""},
				"text":      {"a text", "name_of(i)", ""},
				"icu":       {`a text COLLATE "und-x-icu"`, "name_of(i)", ""},
				"nocase":    {"a text COLLATE nocase", "name_of(i)", ""},
				"char":      {"a char(20)", "name_of(i)", ""},
				"varchar":   {"a varchar(40)", "name_of(i)", ""},
				"numeric":   {"a numeric", "i / 7.0", ""},
				"float":     {"a float8", "i / 7.0::float8", ""},
				"real":      {"a real", "i / 7.0::real", ""},
				"timestamp": {"a timestamptz", "'2020-03-28'::timestamptz + i * interval '7 minutes 1 microsecond'", ""},
				"date":      {"a date", "'0001-01-01 BC'::date + i", ""},
				"interval":  {"a interval", "i * interval '1 day -3 hours'", ""},
				"bytea":     {"a bytea", "decode(md5(i::text), 'hex')", ""},
				"domain":    {"a smaller", "i", ""},
				"inet":      {"a inet", "'10.0.0.0'::inet + i", ""},
				"array":     {"a int[]", "ARRAY[i % 10, i]", ""},
				"composite": {"a mood, b int", "(ARRAY['z','a','m']::mood[])[i % 3 + 1], i", "(a, b) >= (:first) AND (a, b) <= (:last)"},
				"three":     {`a text, b uuid, c "char"`, "name_of(i % 5), md5((i / 2)::text)::uuid, (CASE i % 2 WHEN 0 THEN 'x' ELSE 'y' END)::\"char\"", "(a, b, c) BETWEEN (:first) AND (:last)"},
				"mixed":     {"a int, b text", "i % 3, name_of(i)", "(a, b) >= (:first.a, :first.b) AND (a, b) <= (:last.a, :last.b)"},
			}
			for i, name := range slices.Sorted(maps.Keys(keys)) {
				key := keys[name]
				if !runsOn(majors, nth, i) {
					continue
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					c := connect(t, url)
					columns := []string{}
					for part := range strings.SplitSeq(key.columns, ", ") {
						columns = append(columns, strings.Fields(part)[0])
					}
					k := strings.Join(columns, ", ")
					do(t, c, fmt.Sprintf(`CREATE SCHEMA "%[1]s"; CREATE TABLE "%[1]s".t (%[2]s, n int NOT NULL DEFAULT 0, PRIMARY KEY (%[3]s));
INSERT INTO "%[1]s".t (%[3]s) SELECT %[4]s FROM generate_series(1, 400) AS i`, name, key.columns, k, key.values))
					// the session's own formats must not matter
					db := open(t, url+fmt.Sprintf("&search_path=%s,public&DateStyle=SQL,DMY&TimeZone=Australia/Lord_Howe&IntervalStyle=sql_standard&extra_float_digits=-5", name), database.Options{Schema: name + "_own"})
					body := key.body
					if body == "" {
						body = "a BETWEEN :first AND :last"
					} else if name == "int" {
						body = "a BETWEEN " + body
					}
					s := fill(t, "-- whimbrel: backfill t\nUPDATE t SET n = n + 1 WHERE "+body)
					s.Backfill.Batch = 2 // a lane has few batches, so that lanes are cut
					startFill(t, db, s)
					_, rows := drain(t, db, s, 7)
					equal(t, "the number of rows taken", rows, 400)
					equal(t, "the rows by the number of changes", value(t, c, `SELECT string_agg(DISTINCT n::text, ',') || ' ' || count(*) FROM "`+name+`".t`), "1 400")
					must(t, finishFill(t, db))
					b := storedFill(t, db)
					equal(t, "the state", b.State, database.BackfillDone)
					equal(t, "the rows done", b.RowsDone, 400)
				})
			}
		})
	}
}

const fillBody = "-- whimbrel: backfill t\nUPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last"

// filling creates a table with rows and starts a backfill of it.
func filling(t testing.TB, url string, rows int, text string) (database.Database, *pgx.Conn, *migration.Script) {
	t.Helper()
	c := connect(t, url)
	do(t, c, fmt.Sprintf("CREATE TABLE t (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO t SELECT generate_series(1, %d)", rows))
	db, s := open(t, url), fill(t, text)
	startFill(t, db, s)
	return db, c, s
}

// counts returns the numbers of changes that rows have, and how many rows.
func counts(t testing.TB, c *pgx.Conn) string {
	t.Helper()
	return value(t, c, "SELECT string_agg(n || ': ' || rows, ', ' ORDER BY n) FROM (SELECT n, count(*) AS rows FROM t GROUP BY n) AS g")
}

// A problem of the head or of a statement has its place in the file, and nothing is executed.
func TestCheckBackfill(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, `CREATE TABLE t (id int PRIMARY KEY, "Other" int NOT NULL UNIQUE, n int, d int NOT NULL UNIQUE DEFERRABLE, p int NOT NULL, e int NOT NULL, k regclass NOT NULL UNIQUE, nn int UNIQUE, big bigint NOT NULL);
CREATE UNIQUE INDEX partial ON t (p) WHERE p > 0; CREATE UNIQUE INDEX expression ON t ((e + 1)); CREATE UNIQUE INDEX ON t (p, e) INCLUDE (n); CREATE UNIQUE INDEX backwards ON t (big DESC, id);
CREATE VIEW v AS SELECT 1 AS id; CREATE TABLE bare (id int); CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent);
CREATE TABLE part (id int, at date, PRIMARY KEY (at, id)) PARTITION BY RANGE (at); CREATE TABLE part_1 PARTITION OF part DEFAULT; CREATE SEQUENCE used;
CREATE FUNCTION uses(int, int) RETURNS int LANGUAGE sql AS 'SELECT nextval(''used'')::int'`)
	db := open(t, url)
	must(t, apply(t, db, "other", 1, script("SELECT 1")))
	for _, tt := range []struct{ head, body, want string }{
		{"backfill t", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last", "public.t [id]"},
		{"backfill public.t\n-- whimbrel: key \"Other\"", "UPDATE t SET n = 1 WHERE \"Other\" BETWEEN :first AND :last", "public.t [Other]"},
		{"backfill t\n-- whimbrel: key e, p", "UPDATE t SET n = 1 WHERE (p, e) >= (:first) AND (p, e) <= (:last)", "public.t [p e]"},
		{"backfill t\n-- whimbrel: key big, id", "UPDATE t SET n = 1 WHERE big BETWEEN :first.big AND :last.big", "public.t [big id]"},
		{"backfill part", "UPDATE part SET id = id WHERE (at, id) >= (:first) AND (at, id) <= (:last)", "public.part [at id]"},
		{"backfill bare\n-- whimbrel: check SELECT count(*) FROM bare", "UPDATE bare SET id = 1 WHERE ctid BETWEEN :first AND :last", "public.bare [ctid]"},
		{"backfill t", "SELECT uses(:first, :last)", "public.t [id]"},
		{"backfill nothing", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last", "1_x.backfill.sql:1:1: the table nothing does not exist (the table does not exist)"},
		{"backfill v", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last", "1_x.backfill.sql:1:1: public.v is a view; a backfill changes the rows of a table"},
		{"backfill used", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last", "1:1: public.used is no table"},
		{"backfill parent", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last", "1:1: other tables inherit from public.parent"},
		{"backfill whimbrel_history", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last", "1:1: public.whimbrel_history is one of Whimbrel's tables"},
		{"backfill bare", "UPDATE bare SET id = 1 WHERE ctid BETWEEN :first AND :last", "1:1: the table public.bare has no primary key"},
		{"backfill t\n-- whimbrel: key n", "UPDATE t SET n = 1 WHERE n BETWEEN :first AND :last", "2:1: the key (n) is not unique: public.t has no unique index of exactly these columns"},
		{"backfill t\n-- whimbrel: key nix", "UPDATE t SET n = 1 WHERE n BETWEEN :first AND :last", `2:1: the table public.t has no column "nix"`},
		{"backfill t\n-- whimbrel: key nn", "UPDATE t SET n = 1 WHERE n BETWEEN :first AND :last", `2:1: the column "nn" of the key can be NULL`},
		{"backfill t\n-- whimbrel: key d", "UPDATE t SET n = 1 WHERE d BETWEEN :first AND :last", `"t_d_key" does not count, because its constraint is deferrable`},
		{"backfill t\n-- whimbrel: key p", "UPDATE t SET n = 1 WHERE p BETWEEN :first AND :last", `"partial" does not count, because it is partial`},
		{"backfill t\n-- whimbrel: key e", "UPDATE t SET n = 1 WHERE e BETWEEN :first AND :last", "the key (e) is not unique"},
		{"backfill t\n-- whimbrel: key k", "UPDATE t SET n = 1 WHERE k BETWEEN :first AND :last", `the column "k" of the key has the type regclass`},
		{"backfill t", "UPDATE t SET n = 1\n  WHERE id BETWEEN :first AND :last AND nix = 1", `1_x.backfill.sql:3:41: column "nix" does not exist`},
		{"backfill t", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last AND :first.id = nix", `1_x.backfill.sql:2:70: column "nix" does not exist`},
		{"backfill t", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last.nix", `1_x.backfill.sql:2:48: the key (id) has no column "nix"`},
		{"backfill t", "UPDATE t SET n = 'ä' WHERE id BETWEEN :first AND :last", `1_x.backfill.sql:2:18: invalid input syntax`},
		{"backfill t", "UPDATE gone SET n = 1 WHERE id BETWEEN :first AND :last", `2:8: relation "gone" does not exist`},
		{"backfill t\n-- whimbrel: check SELECT count(*) FROM t WHERE nix = 1", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last", `1_x.backfill.sql:2:1: column "nix" does not exist`},
		{"backfill t\n-- whimbrel: throttle SELECT 1, 2", "UPDATE t SET n = 1 WHERE id BETWEEN :first AND :last", "1_x.backfill.sql:2:1: the query must return one value, but it has 2 columns"},
		{"backfill t", "UPDATE t SET n = 1 WHERE id::text BETWEEN :first AND :last", "operator does not exist: text >= integer"},
	} {
		target, err := backfiller(db).CheckBackfill(background(t), fill(t, "-- whimbrel: "+tt.head+"\n"+tt.body))
		got := fmt.Sprint(target.Table, " ", target.Key)
		if err != nil {
			got = err.Error()
			as[*sqltext.Error](t, err)
		}
		contains(t, "the result for "+tt.head, got, tt.want)
		equal(t, "whether a table is missing", errors.Is(err, database.ErrNoTable), strings.Contains(got, "does not exist") && !strings.Contains(got, "column") && !strings.Contains(got, "operator"))
	}
	equal(t, "whether something was executed", value(t, c, "SELECT is_called FROM used"), "false")
}

// A batch is one round trip, and so is each after it. Claiming a lane takes a few more.
func TestRoundTripsOfABackfill(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	_, c, s := filling(t, url, 100, fillBody)
	proxy := testdb.NewProxy(t, url)
	db := open(t, proxy.URL)
	_, w := claimLane(t, db, claimOf(s, "w"))
	cost := func(rows int) int {
		proxy.Reset()
		r, err := w.Batch(background(t), rows)
		must(t, err)
		equal(t, "the rows", r.Rows, min(int64(rows), 10))
		equal(t, "the changed rows", r.Changed, r.Rows)
		return proxy.Turns()
	}
	equal(t, "the round trips of the first batch, whose keys are not known", cost(10), 2)
	for range 3 {
		equal(t, "the round trips of a batch", cost(10), 1)
	}
	equal(t, "the round trips of a batch that grows", cost(12), 1)
	equal(t, "the round trips of a batch that shrinks", cost(5), 2)
	proxy.Reset()
	must(t, w.Close(background(t), nil))
	equal(t, "the round trips of giving the lane back", proxy.Turns(), 1)
	equal(t, "the rows", counts(t, c), "0: 45, 1: 55")
}

// A worker that has lost its lane commits nothing: not when its lease has ended and another has
// taken over, and not when the backfill is removed.
func TestBackfillFence(t *testing.T) {
	t.Parallel()
	db, c, s := filling(t, testdb.Postgres(t), 100, fillBody)
	claim := claimOf(s, "first")
	claim.Lease = time.Millisecond
	_, first := claimLane(t, db, claim)
	must(t, errOf(first.Batch(background(t), 10)))
	time.Sleep(5 * time.Millisecond)
	_, second := claimLane(t, db, claimOf(s, "second"))
	equal(t, "the lane", second.Lane().ID, first.Lane().ID)
	same(t, "where it continues", second.Lane().At, database.Key{"10"})
	_, err := first.Batch(background(t), 10)
	is(t, err, database.ErrLeaseLost)
	must(t, first.Close(background(t), &database.LaneFailure{Err: "why", Attempts: 1}))
	must(t, errOf(second.Batch(background(t), 10)))
	equal(t, "the rows", counts(t, c), "0: 80, 1: 20")
	b := storedFill(t, db)
	equal(t, "the worker", b.Lanes[0].Worker, "second")
	equal(t, "the attempts that failed", b.Lanes[0].Attempts, 0)

	x := begin(t, db, "s")
	must(t, x.(database.BackfillTx).EndBackfill(background(t), 1))
	must(t, errOf(x.Commit(background(t))))
	_, err = second.Batch(background(t), 10)
	is(t, err, database.ErrLeaseLost)
	equal(t, "the rows", counts(t, c), "0: 80, 1: 20")
	startFill(t, db, s)
	_, err = second.Batch(background(t), 10)
	is(t, err, database.ErrLeaseLost)
}

// A lane whose batch is executed is not taken over, even if its lease has ended, and nobody waits
// for it.
func TestBackfillLaneAtWork(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db, c, s := filling(t, url, 100, fillBody)
	claim := claimOf(s, "slow")
	claim.Lease = time.Millisecond
	_, w := claimLane(t, db, claim)
	end := lockedBy(t, url, "SELECT FROM t WHERE id = 5 FOR UPDATE")
	done := make(chan error)
	go func() { done <- errOf(w.Batch(background(t), 10)) }()
	eventually(t, "the batch waits", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"
	})
	b, other := claimLane(t, db, claimOf(s, "other"))
	if other != nil {
		t.Fatal("the lane was taken over")
	}
	equal(t, "the number of lanes", len(b.Lanes), 1)
	signals, err := backfiller(db).Signals(background(t), b, migration.Throttle{})
	must(t, err)
	equal(t, "whether a session waits for the backfill", signals[0].Over, false)
	must(t, end())
	must(t, <-done)
	equal(t, "the rows", counts(t, c), "0: 90, 1: 10")
}

// Pausing, cancelling and freezing stop a worker before its next batch. An action is recorded.
func TestBackfillStops(t *testing.T) {
	t.Parallel()
	db, c, s := filling(t, testdb.Postgres(t), 100, fillBody)
	_, w := claimLane(t, db, claimOf(s, "w"))
	change := func(a database.BackfillAction) {
		t.Helper()
		must(t, errOf(backfiller(db).ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: a, Reason: "why"})))
	}
	stopped := func() {
		t.Helper()
		_, err := w.Batch(background(t), 10)
		is(t, err, database.ErrBackfillStopped)
	}
	goesOn := func() {
		t.Helper()
		must(t, errOf(w.Batch(background(t), 10)))
	}
	goesOn()
	change(database.ActionPause)
	stopped()
	change(database.ActionPause)
	change(database.ActionResume)
	goesOn()
	must(t, database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "release"}))
	stopped()
	_, _, err := backfiller(db).ClaimLane(background(t), claimOf(s, "other"))
	is(t, err, database.ErrBackfillStopped)
	must(t, database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Frozen, Unset: true, Reason: "done"}))
	goesOn()
	change(database.ActionCancel)
	stopped()
	_, err = backfiller(db).ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: database.ActionPause})
	equal(t, "the state", as[*database.BackfillStateError](t, err).State, database.BackfillCancelled)
	_, err = backfiller(db).ChangeBackfill(background(t), database.BackfillChange{BackfillID: database.BackfillID{Set: "s", Version: 2}, Action: database.ActionPause})
	is(t, err, database.ErrNoBackfill)
	change(database.ActionRetry)
	goesOn()
	equal(t, "the rows", counts(t, c), "0: 60, 1: 40")
	equal(t, "the history", value(t, c, "SELECT string_agg(direction || ' ' || remark || reason, ', ' ORDER BY id) FROM whimbrel_history WHERE set_name = 's'"),
		"start , backfill pausedwhy, backfill resumedwhy, backfill cancelledwhy, backfill retriedwhy")
	is(t, finishFill(t, db), database.ErrBackfillStopped)
}

// Freezing waits for a batch that is being executed.
func TestFreezingWaitsForABatch(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db, c, s := filling(t, url, 100, fillBody)
	_, w := claimLane(t, db, claimOf(s, "w"))
	end := lockedBy(t, url, "SELECT FROM t WHERE id = 5 FOR UPDATE")
	done := make(chan error)
	go func() { done <- errOf(w.Batch(background(t), 10)) }()
	eventually(t, "the batch waits", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"
	})
	frozen := make(chan error)
	go func() {
		frozen <- database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "release", Settle: &database.LockOptions{Timeout: waitLimit}})
	}()
	eventually(t, "the setting is stored", func() bool { return value(t, c, "SELECT count(*) FROM whimbrel_settings") == "1" })
	select {
	case err := <-frozen:
		t.Fatalf("freezing did not wait: %v", err)
	default:
	}
	must(t, end())
	must(t, <-done)
	must(t, <-frozen)
	_, err := w.Batch(background(t), 10)
	is(t, err, database.ErrBackfillStopped)
}

// A batch that fails leaves nothing, and its error has the place in the script. Timeouts and locks
// are told apart. The session is as it was.
func TestBackfillFails(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db, c, s := filling(t, url, 100, `-- whimbrel: backfill t
UPDATE t SET n = n + 1 WHERE id BETWEEN :first AND :last;
SELECT CASE :last WHEN 20 THEN 1 / (:last - 20) END FROM pg_sleep(CASE :last WHEN 30 THEN 120 ELSE 0 END)`)
	_, w := claimLane(t, db, func() database.LaneClaim {
		c := claimOf(s, "w")
		c.LockTimeout = 50 * time.Millisecond
		return c
	}())
	must(t, errOf(w.Batch(background(t), 10)))
	_, err := w.Batch(background(t), 10)
	failed := as[*database.StatementError](t, err)
	equal(t, "the code", failed.Code, "22012")
	equal(t, "the place", failed.Pos.String(), "1_x.backfill.sql:3:1")
	must(t, errOf(w.Batch(background(t), 5)))
	must(t, errOf(w.Batch(background(t), 4)))
	must(t, errOf(w.Batch(background(t), 2)))
	equal(t, "the rows", counts(t, c), "0: 79, 1: 21")

	end := lockedBy(t, url, "SELECT FROM t WHERE id = 25 FOR UPDATE")
	_, err = w.Batch(background(t), 8)
	is(t, err, database.ErrLockTimeout)
	must(t, end())
	eventually(t, "the lock is released", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'") == "0"
	})

	ctx, cancel := context.WithTimeout(background(t), 200*time.Millisecond)
	defer cancel()
	_, err = w.Batch(ctx, 9)
	is(t, err, context.DeadlineExceeded)
	equal(t, "whether it counts as slow", errors.Is(err, database.ErrBatchTimeout), false)
	limits := storedFill(t, db).BackfillLimits
	limits.Timeout = 2 * time.Second
	must(t, errOf(backfiller(db).ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: database.ActionSet, Limits: limits})))
	must(t, w.Close(background(t), &database.LaneFailure{Err: "rows 22..30: slow", Attempts: 1, NotBefore: time.Hour, Batch: 4}))
	l := storedFill(t, db).Lanes[0]
	equal(t, "the lane's error", fmt.Sprintf("%s %d %d %q %t %v", l.Error, l.Attempts, l.Batch, l.Worker, l.NotBefore.After(time.Now()), l.At), `rows 22..30: slow 1 4 "" true [21]`)
	if _, w := claimLane(t, db, claimOf(s, "w")); w != nil {
		t.Fatal("a lane is leased before its time")
	}
	must(t, errOf(backfiller(db).ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: database.ActionRetry})))
	_, w = claimLane(t, db, claimOf(s, "w"))
	_, err = w.Batch(background(t), 9)
	is(t, err, database.ErrBatchTimeout)
	must(t, errOf(w.Batch(background(t), 4)))
	equal(t, "the rows", counts(t, c), "0: 75, 1: 25")
	must(t, w.Close(background(t), &database.LaneFailure{Err: "no", Final: true}))
	b, w := claimLane(t, db, claimOf(s, "w"))
	if w != nil || !b.Lanes[0].Failed || b.Claim().Why != database.ClaimLater {
		t.Fatalf("the lane is leased although it failed for good: %+v", b)
	}
}

// A worker leaves the session of the caller's connection as it was.
func TestBackfillRestoresTheSession(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	_, c, s := filling(t, url, 30, fillBody)
	pool := newPool(t, url, ofSize(1))
	const all = "SELECT json_agg(s ORDER BY name) FROM (SELECT name, setting FROM pg_settings WHERE name NOT LIKE 'transaction%') AS s"
	var before, after string
	must(t, pool.QueryRow(background(t), all).Scan(&before))
	db := postgres.NewPool(pool, database.Options{App: "mine"})
	defer db.Close()
	drain(t, db, s, 10)
	fn := postgres.BackfillFunc("f", *s.Backfill, func(ctx context.Context, tx pgx.Tx, first, last database.Key) error {
		_, err := tx.Exec(ctx, "SET search_path = pg_catalog; SET TimeZone = 'Asia/Tokyo'; UPDATE public.t SET n = n + 1 WHERE id BETWEEN $1 AND $2", pgx.QueryExecModeSimpleProtocol, first[0], last[0])
		return err
	})
	startFill(t, db, fn)
	drain(t, db, fn, 10)
	must(t, pool.QueryRow(background(t), all).Scan(&after))
	equal(t, "the session", after, before)
	equal(t, "the rows", counts(t, c), "2: 30")
}

// A function has the transaction of its batch, and its errors roll it back.
func TestBackfillFunc(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]opener{"URL": fromURL, "pool of one": fromPool, "connection": fromConn, "sql.DB": fromDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			_, c, s := filling(t, url, 30, fillBody)
			db, err := open(t, url, database.Options{})
			must(t, err)
			t.Cleanup(func() { db.Close() })
			fails, failed := errors.New("it fails"), false
			fn := postgres.BackfillFunc("f", *s.Backfill, func(ctx context.Context, tx pgx.Tx, first, last database.Key) error {
				if _, err := tx.Exec(ctx, "UPDATE t SET n = n + 1 WHERE id BETWEEN $1::text::bigint AND $2::text::bigint", first[0], last[0]); err != nil {
					return err
				}
				if last[0] == "20" && !failed {
					failed = true
					return fails
				}
				return nil
			})
			startFill(t, db, fn)
			_, w := claimLane(t, db, claimOf(fn, "w"))
			must(t, errOf(w.Batch(background(t), 10)))
			_, err = w.Batch(background(t), 10)
			is(t, err, fails)
			must(t, errOf(w.Batch(background(t), 10)))
			r, err := w.Batch(background(t), 50)
			must(t, err)
			equal(t, "whether it is done", r.Done, true)
			equal(t, "the rows", counts(t, c), "1: 30")
			must(t, w.Close(background(t), nil))
			must(t, finishFill(t, db))
		})
	}
}

// A table without a key is taken block by block.
func TestBackfillByBlocks(t *testing.T) {
	t.Parallel()
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			c, db := connect(t, url), open(t, url)
			do(t, c, "CREATE TABLE t (a int, n int NOT NULL DEFAULT 0, filler text) WITH (fillfactor = 40); INSERT INTO t SELECT i, 0, repeat('x', 100) FROM generate_series(1, 2000) AS i; ANALYZE t")
			s := fill(t, "-- whimbrel: backfill t\n-- whimbrel: check SELECT count(*) FROM t WHERE n = 0\nUPDATE t SET n = n + 1 WHERE ctid BETWEEN :first AND :last AND n = 0")
			if m.Major < 14 {
				_, err := backfiller(db).CheckBackfill(background(t), s)
				contains(t, "the error", err.Error(), "since version 14 only")
				return
			}
			startFill(t, db, s)
			batches, rows := drain(t, db, s, 100)
			equal(t, "the rows", counts(t, c), "1: 2000")
			equal(t, "whether it has several batches", batches > 5 && rows >= 2000, true)
			must(t, finishFill(t, db))
		})
	}
}

// A table without rows, or without those that it had at the start, is done at once.
func TestBackfillOfNothing(t *testing.T) {
	t.Parallel()
	db, c, s := filling(t, testdb.Postgres(t), 0, fillBody)
	b, w := claimLane(t, db, claimOf(s, "w"))
	if w != nil || b.Claim().Why != database.ClaimAllDone {
		t.Fatalf("an empty table has a lane: %+v", b)
	}
	must(t, finishFill(t, db))
	do(t, c, "INSERT INTO t SELECT generate_series(1, 50)")
	startFill(t, db, s)
	do(t, c, "DELETE FROM t")
	drain(t, db, s, 10)
	must(t, finishFill(t, db))
	startFill(t, db, s)
	do(t, c, "INSERT INTO t SELECT generate_series(1, 50)")
	must(t, errOf(backfiller(db).ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: database.ActionPass})))
	equal(t, "the pass", storedFill(t, db).Pass, 2)
	_, rows := drain(t, db, s, 10)
	equal(t, "the rows of the second pass", rows, 50)
	must(t, finishFill(t, db))
	equal(t, "the rows", counts(t, c), "1: 50")
}

// Several workers share the lanes, and no more than the backfill allows.
func TestBackfillWorkers(t *testing.T) {
	t.Parallel()
	pooled, direct := testdb.PgBouncer(t)
	for name, url := range map[string]string{"direct": testdb.Postgres(t), "PgBouncer": pooled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := url
			if name == "PgBouncer" {
				at = direct
			}
			_, c, s := filling(t, at, 5000, "-- whimbrel: batch 10\n-- whimbrel: parallel 4\n"+fillBody)
			db := open(t, url)
			work := make(chan error)
			for i := range 6 {
				go func() {
					for {
						b, w, err := backfiller(db).ClaimLane(background(t), claimOf(s, fmt.Sprint("w", i)))
						if err != nil || w == nil && b.Claim().Why == database.ClaimAllDone {
							work <- err
							return
						}
						if w == nil {
							time.Sleep(time.Millisecond)
							continue
						}
						leased := 0
						for _, l := range b.Lanes {
							if l.Worker != "" {
								leased++
							}
						}
						if leased > 4 {
							err = fmt.Errorf("%d lanes have a worker", leased)
						}
						for done := false; !done && err == nil; {
							var r database.BatchResult
							r, err = w.Batch(background(t), 10)
							done = r.Done
						}
						if err = errors.Join(err, w.Close(background(t), nil)); err != nil {
							work <- err
							return
						}
					}
				}()
			}
			for range 6 {
				if err := <-work; err != nil {
					t.Error(err)
				}
			}
			equal(t, "the rows", counts(t, c), "1: 5000")
			must(t, finishFill(t, db))
		})
	}
}

// A reset removes the backfills of its sets. A role that reads only needs no privilege for the
// tables of backfills to read the state. A snapshot and the metadata leave these tables out.
func TestBackfillTables(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db, c, s := filling(t, url, 10, fillBody)
	equal(t, "the tables", value(t, c, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'whimbrel%'"),
		"whimbrel_backfills whimbrel_history whimbrel_journal whimbrel_lanes whimbrel_settings")
	reader := role(t, c, "reader", "LOGIN")
	do(t, c, "GRANT SELECT ON whimbrel_history, whimbrel_settings, whimbrel_journal TO "+reader)
	theirs := open(t, asRole(url, reader))
	equal(t, "the versions that the reader sees", versions(t, theirs, "s"), "[1]")
	_, err := backfiller(theirs).Backfills(background(t), database.BackfillQuery{})
	contains(t, "the error", as[*database.TablesError](t, err).Fix, `GRANT SELECT ON "public"."whimbrel_backfills", "public"."whimbrel_lanes"`)
	do(t, c, "GRANT SELECT ON whimbrel_backfills, whimbrel_lanes TO "+reader)
	equal(t, "the table that the reader sees", storedFill(t, theirs).Table, "public.t")

	do(t, c, "CREATE FUNCTION drops() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER drops BEFORE UPDATE ON whimbrel_lanes FOR EACH ROW EXECUTE FUNCTION drops()")
	_, _, err = backfiller(open(t, url)).ClaimLane(background(t), claimOf(s, "w"))
	contains(t, "the error", as[*database.TablesError](t, err).Msg, `has a trigger "drops"`)
	do(t, c, "DROP TRIGGER drops ON whimbrel_lanes")

	for _, o := range metadataOf(t, db).Objects {
		lacks(t, "the objects", o.Name.String(), "whimbrel")
	}
	b := begin(t, db, "s")
	must(t, errOf(b.(database.Resetter).Reset(background(t), nil, database.Entry{})))
	must(t, errOf(b.Commit(background(t))))
	all, err := backfiller(db).Backfills(background(t), database.BackfillQuery{})
	must(t, err)
	equal(t, "the number of backfills after a reset", len(all), 0)
	equal(t, "the number of lanes after a reset", value(t, c, "SELECT count(*) FROM whimbrel_lanes"), "0")
}

// If the answer to COMMIT is lost, the error says so, and the target tells whether the batch was
// committed.
func TestBackfillCommitUnknown(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db, c, s := filling(t, url, 100, fillBody)
	committed, lost := 0, 0
	for n := range 60 {
		proxy := testdb.NewProxy(t, url)
		through := open(t, proxy.URL)
		b, w := claimLane(t, through, claimOf(s, "w"))
		if w == nil {
			if b.Claim().Why == database.ClaimAllDone {
				break
			}
			t.Fatalf("no lane is free: %+v", b)
		}
		at := storedFill(t, db).Lanes[0].At
		proxy.CutAfter(testdb.ToClient, proxy.Messages(testdb.ToClient)+1+n)
		_, err := w.Batch(background(t), 3)
		var unknown *database.CommitUnknownError
		known := err == nil || !errors.As(err, &unknown)
		eventually(t, "the server has ended the session", func() bool {
			return value(t, c, "SELECT count(*) FROM pg_locks WHERE relation = 'whimbrel_lanes'::regclass AND mode = 'RowExclusiveLock'") == "0"
		})
		moved := fmt.Sprint(storedFill(t, db).Lanes) != "[]" && fmt.Sprint(storedFill(t, db).Lanes[0].At) != fmt.Sprint(at)
		switch {
		case known && moved != (err == nil):
			t.Fatalf("after %d messages the position moved: %t, and the error is %v", n, moved, err)
		case !known && moved:
			committed++
		case !known:
			lost++
		}
		must(t, w.Close(background(t), nil))
		must(t, through.Close())
	}
	t.Logf("of the batches with a lost answer, %d were committed and %d not", committed, lost)
	if committed == 0 {
		t.Error("no answer to COMMIT was lost")
	}
	drain(t, db, s, 10)
	equal(t, "the rows", counts(t, c), "1: 100")
	must(t, finishFill(t, db))
}
