package postgres_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Twenty processes each apply four sets at once: after UpdateSetting with Settle has returned, no
// migration runs or is recorded, not even of a set that begins only now.
func TestNothingRunsAfterFreeze(t *testing.T) {
	t.Parallel()
	pooled, direct := testdb.PgBouncer(t)
	c := connect(t, direct)
	do(t, c, "CREATE TABLE done (set_name text, version int)")
	sets := map[string][]string{}
	for i := range 4 {
		name := fmt.Sprint("set", i)
		for v := range 25 {
			sets[name] = append(sets[name], fmt.Sprintf("INSERT INTO done VALUES ('%s', %d); SELECT pg_sleep(0.002)", name, v+1))
		}
	}
	var all []*process
	for i := range 20 {
		all = append(all, start(t, job{URL: []string{direct, pooled}[i%2], PoolOfOne: i%4 == 0, Sets: sets}))
	}
	for _, p := range all {
		p.begin()
	}
	count := func(table string) string { return value(t, c, "SELECT count(*) FROM "+table) }
	eventually(t, "they are at work", func() bool { return count("done") != "0" })
	db := open(t, direct)
	freeze := database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "freeze", Settle: &database.LockOptions{Timeout: waitLimit}}
	must(t, database.UpdateSetting(background(t), db, freeze))
	done, events := count("done"), count("whimbrel_history")
	t.Logf("%s of 100 were done", done)
	for _, p := range all {
		if err := p.wait(); err != nil && !strings.Contains(err.Error(), "the database is frozen") {
			t.Error(err)
		}
	}
	equal(t, "the number of migrations that ran", count("done"), done)
	equal(t, "the number of events", count("whimbrel_history"), events)

	must(t, database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Frozen, Unset: true}))
	for name, ups := range sets {
		_, err := up(t, db, setOf(t, name, ups...))
		must(t, err)
	}
	equal(t, "the number of migrations that ran", count("(SELECT DISTINCT * FROM done) d"), "100")
	equal(t, "how often they ran", count("done"), "100")
}

// Entries and changes of settings have ids that grow in commit order: a reader of one entry sees
// all older ones of the set.
func TestIDsGrowInTheOrderOfCommits(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	set := setOf(t, "s", "SELECT 1", "SELECT 2")
	_, err := up(t, open(t, url), setOf(t, "s", "SELECT 1"))
	must(t, err)

	var writers, readers sync.WaitGroup
	for i := range 6 {
		db := open(t, url)
		writers.Go(func() {
			for n := range 15 {
				u := database.SettingUpdate{Name: database.MigrationLockTimeout, Value: (time.Duration(i*100+n) * time.Second).String()}
				switch {
				case i == 0:
					u = database.SettingUpdate{Name: database.Protected, Value: strconv.FormatBool(n%2 == 0)}
				case n%5 == 4:
					u = database.SettingUpdate{Name: database.MigrationLockTimeout, Unset: true}
				}
				if err := database.UpdateSetting(background(t), db, u); err != nil {
					t.Error(err)
				}
				m := whimbrel.New(db, set, whimbrel.Options{MigrationLockTimeout: waitLimit})
				m.Mark(background(t), "race", 2) // one of them may succeed
				m.Forget(background(t), "race", 2)
			}
		})
	}
	over := make(chan struct{})
	for range 2 {
		db := open(t, url)
		readers.Go(func() {
			newest := map[string]int64{}
			seen := map[int64]bool{}
			for last := false; !last; {
				select {
				case <-over:
					last = true
				default:
				}
				was := map[string]int64{"s": newest["s"], migration.ReservedSet: newest[migration.ReservedSet]}
				for e, err := range db.History(background(t), database.HistoryQuery{}) {
					if err != nil {
						t.Error(err)
						return
					}
					if !seen[e.ID] && e.ID < was[e.Set] {
						t.Errorf("event %d of set %q came after %d", e.ID, e.Set, was[e.Set])
					}
					seen[e.ID] = true
					newest[e.Set] = max(newest[e.Set], e.ID)
				}
			}
		})
	}
	writers.Wait()
	close(over)
	readers.Wait()

	// A setting's newest entry has its stored value.
	newest := map[string]string{}
	db := open(t, url)
	for e, err := range db.History(background(t), database.HistoryQuery{Set: migration.ReservedSet}) {
		must(t, err)
		if e.Direction == database.Setting {
			newest[e.Name] = e.Remark
		}
	}
	st, err := db.State(background(t), "s")
	must(t, err)
	for _, name := range []string{database.MigrationLockTimeout, database.Protected} {
		v, err := st.Settings.Get(name)
		must(t, err)
		want := name + "=" + v.Value
		if v.IsDefault {
			want = name + " unset"
		}
		equal(t, "the newest event of "+name, newest[name], want)
	}
}
