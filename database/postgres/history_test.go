package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// A long history is read page by page, in order, without duplicates, and without holding a
// connection.
func TestLongHistory(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url+"&pool_max_conns=1")
	const n = 2345
	b := begin(t, db, "s")
	for v := range int64(n) {
		e := event(v)
		e.UpText, e.DownText, e.HasDownText = fmt.Sprint("up ", v), fmt.Sprint("down ", v), true
		must(t, b.Record(background(t), e))
	}
	must(t, errOf(b.Commit(background(t))))
	for _, texts := range []bool{false, true} {
		next := int64(0)
		for e, err := range db.History(background(t), database.HistoryQuery{Set: "s", Texts: texts}) {
			must(t, err)
			equal(t, "the version", e.Version, next)
			if texts {
				equal(t, "the text", e.UpText+e.DownText, fmt.Sprint("up ", next, "down ", next))
			} else {
				equal(t, "the text", e.UpText+e.DownText, "")
			}
			if next++; next%500 == 0 {
				equal(t, "the number of applied versions", len(versions(t, db, "s")) > n, true)
			}
		}
		equal(t, "the number of events", next, n)
	}
	for range db.History(background(t), database.HistoryQuery{}) {
		break
	}
	ctx, cancel := context.WithCancel(background(t))
	defer cancel()
	var last error
	seen := 0
	for _, err := range db.History(ctx, database.HistoryQuery{Set: "s"}) {
		seen++
		last = err
		cancel()
	}
	is(t, last, context.Canceled)
	equal(t, "the number of entries before a cancelled History ended", seen, 1001)
}

// The history contains what a later reader needs: texts, users, and down scripts that exist nowhere
// else.
func TestHistoryKeepsWhatARollbackNeeds(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	long := "CREATE TABLE long (x int); -- " + strings.Repeat("ä", 1000)
	set, err := migration.NewSet("s",
		migration.Migration{Version: 1, Name: "one", Up: migration.Text("1.up.sql", "CREATE TABLE \"ö\\'\" (x text DEFAULT 'it''s \\');"), Down: migration.Text("1.down.sql", "DROP TABLE \"ö\\'\"")},
		migration.Migration{Version: 2, Name: "two", Up: migration.Text("2.up.sql", long), Down: migration.Text("2.down.sql", "DROP TABLE long")},
	)
	must(t, err)
	m := whimbrel.New(open(t, url, database.Options{App: "it's me"}), set, whimbrel.Options{TextLimit: 500, MigrationLockTimeout: waitLimit})
	_, err = m.Migrate(background(t), whimbrel.Latest(), whimbrel.ApplyOptions{Reason: "a 'note'"})
	must(t, err)
	var all []database.Entry
	for e, err := range open(t, url).History(background(t), database.HistoryQuery{Set: "s", Texts: true}) {
		must(t, err)
		all = append(all, e)
	}
	equal(t, "the text", all[0].UpText, "CREATE TABLE \"ö\\'\" (x text DEFAULT 'it''s \\');")
	equal(t, "the text that is too long", all[1].UpText, "")
	equal(t, "the down text", all[1].DownText, "DROP TABLE long")
	equal(t, "who", all[0].DBUser+" "+all[0].App+" "+all[0].Reason, "postgres it's me a 'note'")
	empty, err := migration.NewSet("s")
	must(t, err)
	_, err = whimbrel.New(open(t, url), empty, whimbrel.Options{}).Migrate(background(t), whimbrel.DownTo(-1), whimbrel.ApplyOptions{})
	must(t, err)
	equal(t, "the tables left", value(t, connect(t, url), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "3")
}

// Every call refuses the tables of a newer Whimbrel.
func TestTablesOfANewerWhimbrel(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	do(t, connect(t, url), "INSERT INTO whimbrel_history (set_name, version, name, direction, started_at, duration_us, db_user, os_user, host, app, actor, tool_version, reason) VALUES ('whimbrel', 99, 'tables', 'up', now(), 0, '', '', '', '', '', '', '')")
	ctx := background(t)
	_, stateErr := db.State(ctx, "s")
	_, _, beginErr := db.Begin(ctx, "s", database.LockOptions{})
	_, _, guardErr := db.Guard(ctx, "s", database.LockOptions{})
	settingErr := database.UpdateSetting(ctx, db, database.SettingUpdate{Name: database.Protected, Value: "true"})
	for name, err := range map[string]error{"State": stateErr, "Begin": beginErr, "Guard": guardErr, "UpdateSetting": settingErr} {
		e := as[*database.TablesNewerError](t, err)
		equal(t, "the version that "+name+" found", e.Found, 99)
	}
	becomesFreeAgain(t, url)
}

// becomesFreeAgain fails the test unless all locks in the database are released.
func becomesFreeAgain(t testing.TB, url string) {
	t.Helper()
	c := connect(t, url)
	eventually(t, "the lock is free", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == "0"
	})
}

// Settings are stored, expire by the server's clock, and name who changed them.
func TestSettings(t *testing.T) {
	t.Parallel()
	pooled, direct := testdb.PgBouncer(t)
	for name, url := range map[string]string{"directly": direct, "through PgBouncer": pooled} {
		db := open(t, url, database.Options{HistoryTable: name})
		must(t, database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Frozen, Value: "t", Reason: "it's 'night'", At: time.Now()}))
		_, err := up(t, db, setOf(t, "s", "SELECT 1"))
		e := as[*whimbrel.FrozenError](t, err)
		equal(t, "the reason", e.Reason, "it's 'night'")
		equal(t, "by whom", e.By, "postgres")
		must(t, database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Frozen, Value: "true", Until: time.Now().Add(-time.Hour)}))
		_, err = up(t, db, setOf(t, "s", "SELECT 1"))
		must(t, err)
	}
}

// The state doesn't depend on the order in which the server stores the entries.
func TestStateOfEntriesInAnyOrder(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	do(t, c, `INSERT INTO whimbrel_history (set_name, version, name, direction, started_at, duration_us, db_user, os_user, host, app, actor, tool_version, reason)
		SELECT 's', 1, 'a', direction, now(), 1, '', '', '', '', '', '', '' FROM unnest(ARRAY['down', 'up', 'down']) direction`)
	before, err := db.State(background(t), "s")
	must(t, err)
	equal(t, "what is applied", fmt.Sprint(before.Applied.Versions()), "[]")
	// An update stores a row anew, behind the others.
	do(t, c, "UPDATE whimbrel_history SET remark = 'moved' WHERE id IN (SELECT id FROM whimbrel_history WHERE set_name = 's' AND direction = 'up' ORDER BY id DESC LIMIT 1)")
	equal(t, "the entry that is stored last", value(t, c, "SELECT direction FROM whimbrel_history ORDER BY ctid DESC LIMIT 1"), "up")
	after, err := db.State(background(t), "s")
	must(t, err)
	equal(t, "what is applied after a row has moved", fmt.Sprint(after.Applied.Versions()), "[]")
	equal(t, "the head", after.Head, before.Head)
}
