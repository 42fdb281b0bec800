package whimbrel_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// grouping is a process whose runs group the statements that insert rows.
type grouping struct {
	*memdb.Database
	asked  atomic.Int64 // how many statements the engine has asked about
	groups []string     // of each, its first and its last row, and asked while it is executed
	refuse int          // the number of the group that fails; 0 for none
	bytes  int          // the most of a group
}

func (db *grouping) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, database.Found, error) {
	r, found, err := db.Database.Guard(ctx, set, opts)
	return &groupingRun{r, db}, found, err
}

type groupingRun struct {
	database.Run
	db *grouping
}

func (r *groupingRun) Groups(st sqltext.Statement) bool {
	r.db.asked.Add(1)
	return st.Verb() == "INSERT"
}

func (r *groupingRun) GroupBytes() int { return r.db.bytes }

func (r *groupingRun) ExecGroup(ctx context.Context, s *migration.Script, all []sqltext.Statement, done *database.Journal) (bool, error) {
	synctest.Wait() // until the engine does nothing but wait for the group
	rowOf := func(i int) string { return strings.Fields(all[i].Text)[5] }
	r.db.groups = append(r.db.groups, fmt.Sprintf("%s to %s, %d", rowOf(0), rowOf(len(all)-1), r.db.asked.Load()))
	if len(r.db.groups) == r.db.refuse {
		return false, nil
	}
	for i, st := range all {
		var j *database.Journal
		if i == len(all)-1 {
			j = done
		}
		if err := r.Exec(ctx, s, st, nil, j); err != nil {
			return false, err
		}
	}
	return true, nil
}

// While the database executes a group, the engine reads the next. The statements are executed in
// their order, also after a group that fails.
func TestNextGroupIsReadMeanwhile(t *testing.T) {
	text := "CREATE TABLE t (x);\nCREATE INDEX CONCURRENTLY i ON t (x);\n"
	var rows []string
	for i := range 500 {
		rows = append(rows, fmt.Sprint(i))
		text += fmt.Sprintf("INSERT INTO t VALUES ( %d );\n", i)
	}
	want := []string{"0 to 63, 321", "64 to 319, 501", "320 to 499, 501"}
	for refuse := range 4 {
		synctest.Test(t, func(t *testing.T) {
			target := memdb.New()
			db := &grouping{Database: open(t, target), refuse: refuse, bytes: 1 << 20}
			r := mustUp(t, whimbrel.New(db, newSet(t, script{1, text, "-"}), whimbrel.Options{}))
			wantEqual(t, "what is done", versions(r.Applied), []int64{1})
			wantEqual(t, "the groups", db.groups, want)
			got, err := target.Rows(t.Context(), "t")
			noError(t, err)
			for i := range got {
				got[i] = strings.TrimSpace(got[i])
			}
			wantEqual(t, "the rows", got, rows)
		})
	}
}

// Groups grow up to their limit, but not after a slow one.
func TestGroupsGrow(t *testing.T) {
	for _, tt := range []struct {
		takes time.Duration // each statement
		rows  int
		name  int // how long a row's is
		bytes int // the driver's limit
		want  []int
	}{
		{0, 3100, 1, 1 << 20, []int{64, 256, 1024, 1024, 732}},
		{time.Millisecond, 1100, 1, 1 << 20, []int{64, 256, 256, 256, 256, 12}},
		{0, 80, 50 << 10, 1 << 30, []int{5, 20, 20, 20, 15}},
		{25 * time.Millisecond, 30, 50 << 10, 1 << 30, []int{5, 20, 5}},
		{0, 80, 50 << 10, 600 << 10, []int{5, 11, 11, 11, 11, 11, 11, 9}},
	} {
		text := "CREATE TABLE t (x);\nCREATE INDEX CONCURRENTLY i ON t (x);\n" + strings.Repeat("INSERT INTO t VALUES ( "+strings.Repeat("1", tt.name)+" );\n", tt.rows)
		synctest.Test(t, func(t *testing.T) {
			db := &grouping{Database: open(t, memdb.New()), bytes: tt.bytes}
			db.SetHook(func(op string) error {
				if op == memdb.OpRunExec {
					time.Sleep(tt.takes)
				}
				return nil
			})
			var sizes []int
			mustUp(t, whimbrel.New(db, newSet(t, script{1, text, "-"}), whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
				if e, ok := e.(whimbrel.StatementStarted); ok {
					sizes = append(sizes, e.Together)
				}
			}}))
			wantEqual(t, "the sizes of the groups", sizes[2:], tt.want)
		})
	}
}
