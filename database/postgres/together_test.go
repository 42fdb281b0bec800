package postgres_test

import (
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// many is the number of processes that start at once.
const many = 20

// component returns a component's five migrations for its own set: each can run only once, and
// leaves a row.
func component(set string) []string {
	ups := []string{fmt.Sprintf("CREATE TABLE %s (n int PRIMARY KEY);", set)}
	for n := 1; n < 5; n++ {
		ups = append(ups, fmt.Sprintf("INSERT INTO %s VALUES (%d); CREATE TABLE %[1]s_%[2]d (x int);", set, n))
	}
	return ups
}

// Twenty processes that start at once on an empty server all succeed; each migration is applied
// once, and has one history entry. This also holds with two sets at once. The processes connect in
// different ways: directly, with a pool of one connection, and through PgBouncer.
func TestManyProcessesStartAtOnce(t *testing.T) {
	two := map[string][]string{"jobs": component("jobs"), "mails": component("mails")}
	withRun := map[string][]string{"jobs": append(component("jobs"), "CREATE INDEX CONCURRENTLY jobs_n ON jobs (n);")}
	for name, j := range map[string]job{
		"each migration in its own transaction": {Sets: two},
		"all in one transaction":                {Atomic: true, Sets: two},
		"with a run":                            {Sets: withRun},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pooled, direct := testdb.PgBouncer(t)
			var all []*process
			for i := range many {
				one := j
				one.URL, one.PoolOfOne = []string{direct, direct, pooled, pooled}[i%4], i%2 == 1
				all = append(all, start(t, one))
			}
			for _, p := range all {
				p.begin()
			}
			for _, p := range all {
				if err := p.wait(); err != nil {
					t.Errorf("one of %d: %v", many, err)
				}
			}
			for set, ups := range j.Sets {
				appliedOnce(t, direct, set, len(ups))
			}
		})
	}
}

func appliedOnce(t *testing.T, url, set string, n int) {
	t.Helper()
	db := open(t, url)
	seen := 0
	for e, err := range db.History(background(t), database.HistoryQuery{Set: set}) {
		must(t, err)
		seen++
		equal(t, "the entry of set "+set, fmt.Sprint(e.Direction, " ", e.Version, " by ", e.App), fmt.Sprint("up ", seen, " by one of many"))
	}
	equal(t, "the number of entries of set "+set, seen, n)
	equal(t, "the number of rows of "+set, value(t, connect(t, url), "SELECT count(*) FROM "+set), "4")
}
