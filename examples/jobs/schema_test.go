package jobs_test

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/backfill"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/examples/jobs"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var allVersions = []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}

// entries counts the history entries of the library, and the transactions that wrote them.
const entries = `SELECT count(*) || ' in ' || count(DISTINCT xmin::text) FROM whimbrel_history WHERE set_name = 'example.com/jobs'`

// peer returns the Migrator of another build of the library, which has other migrations.
func peer(t *testing.T, pool *pgxpool.Pool, change func([]migration.Migration) []migration.Migration) *whimbrel.Migrator {
	t.Helper()
	set, err := jobs.PostgresSet()
	if err != nil {
		t.Fatal(err)
	}
	set, err = migration.NewSet(set.Name(), change(set.All())...)
	if err != nil {
		t.Fatal(err)
	}
	return whimbrel.New(postgres.NewPool(pool, database.Options{}), set, whimbrel.Options{Atomic: true})
}

// edited changes the text of version 8.
func edited(all []migration.Migration) []migration.Migration {
	i := slices.IndexFunc(all, func(m migration.Migration) bool { return m.Version == 8 })
	all[i].Up = migration.Text("river/008.up.sql", "SELECT 2;\n")
	return all
}

func TestStartAppliesEverythingInOneTransaction(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	start(t, jobs.Options{Pool: pool})
	if diff := cmp.Diff("10 in 1", scan[string](t, pool, entries)); diff != "" {
		t.Errorf("history entries and their transactions (-want +got):\n%s", diff)
	}
	start(t, jobs.Options{Pool: pool})
	if diff := cmp.Diff("10 in 1", scan[string](t, pool, entries)); diff != "" {
		t.Errorf("after a second start (-want +got):\n%s", diff)
	}
}

func TestTwentyProcessesStartAtOnce(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	var children []*exec.Cmd
	for range 20 {
		children = append(children, startChild(t, childOptions{URL: url}))
	}
	for _, child := range children {
		if err := child.Wait(); err != nil {
			t.Errorf("a process failed: %v", err)
		}
	}
	if diff := cmp.Diff("10 in 1", scan[string](t, connect(t, url), entries)); diff != "" {
		t.Errorf("history entries and their transactions (-want +got):\n%s", diff)
	}
}

func TestStartVerifiesBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	// The other build has an edited version 8, and no version 9 yet.
	older := peer(t, pool, func(all []migration.Migration) []migration.Migration {
		return slices.DeleteFunc(edited(all), func(m migration.Migration) bool { return m.Version == 9 })
	})
	if _, err := older.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := jobs.Start(t.Context(), jobs.Options{Pool: pool})
	wantMismatch(t, err)
	if diff := cmp.Diff("9 in 1", scan[string](t, pool, entries)); diff != "" {
		t.Errorf("history entries after the refusal (-want +got):\n%s", diff)
	}
}

func wantMismatch(t *testing.T, err error) {
	t.Helper()
	var mismatch *whimbrel.ChecksumMismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("the error is %v, want a *ChecksumMismatchError", err)
	}
	set, err := jobs.PostgresSet()
	if err != nil {
		t.Fatal(err)
	}
	m, _ := set.Get(8)
	type facts struct {
		Version          int64
		Stored, Expected migration.Checksum
	}
	want := facts{8, migration.Sum("SELECT 2;\n"), m.Up.Checksum}
	if diff := cmp.Diff(want, facts{mismatch.Version, mismatch.Stored, mismatch.Expected}); diff != "" {
		t.Errorf("mismatch (-want +got):\n%s", diff)
	}
}

func TestMigrationsOfANewerPeerAreShown(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	newer := peer(t, pool, func(all []migration.Migration) []migration.Migration {
		return append(all, migration.Migration{
			Version: 10, Name: "newer",
			Up:   migration.Text("0010_newer.up.sql", "CREATE TABLE jobs.newer (id int);\n"),
			Down: migration.Text("0010_newer.down.sql", "DROP TABLE jobs.newer;\n"),
		})
	})
	if _, err := newer.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := start(t, jobs.Options{Pool: pool})
	wantMigrations(t, q, append(slices.Clone(allVersions), 10))

	if err := q.Rollback(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	wantMigrations(t, q, allVersions)
	if scan[bool](t, pool, "SELECT to_regclass('jobs.newer') IS NOT NULL") {
		t.Error("the table of the newer build exists after the rollback")
	}
}

func wantMigrations(t *testing.T, q interface {
	Migrations(context.Context) (jobs.Migrations, error)
}, applied []int64,
) {
	t.Helper()
	got, err := q.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(jobs.Migrations{Known: allVersions, Applied: applied}, got); diff != "" {
		t.Errorf("migrations (-want +got):\n%s", diff)
	}
}

func TestEveryMajorVersionOfPostgreSQL(t *testing.T) {
	t.Parallel()
	for _, major := range testdb.PostgresMajors(t) {
		q := start(t, jobs.Options{Pool: connect(t, major.New(t))})
		wantMigrations(t, q, allVersions)
		if err := q.Rollback(t.Context(), whimbrel.NilVersion); err != nil {
			t.Errorf("PostgreSQL %d: %v", major.Major, err)
		}
		wantMigrations(t, q, []int64{})
	}
}

func TestRollbackInOneTransaction(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	for _, target := range []int64{8, 5, 3, 0, whimbrel.NilVersion} {
		q := start(t, jobs.Options{Pool: pool})
		before := scan[int](t, pool, "SELECT count(*) FROM whimbrel_history")
		if err := q.Rollback(t.Context(), target); err != nil {
			t.Fatalf("to %d: %v", target, err)
		}
		wantMigrations(t, q, allVersions[:target+1])
		if n := scan[int](t, pool, "SELECT count(DISTINCT xmin::text) FROM (SELECT xmin FROM whimbrel_history ORDER BY id OFFSET $1) AS e", before); n != 1 {
			t.Errorf("to %d: %d transactions, want 1", target, n)
		}
	}
	if scan[bool](t, pool, "SELECT to_regnamespace('jobs') IS NOT NULL") {
		t.Error("the library's schema exists after a rollback of everything")
	}
}

func TestRollbackVerifiesBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	q := start(t, jobs.Options{Pool: pool})
	if err := peer(t, pool, edited).Accept(t.Context(), "edited by a test", 8); err != nil {
		t.Fatal(err)
	}
	before := scan[string](t, pool, entries)
	wantMismatch(t, q.Rollback(t.Context(), 2))
	if diff := cmp.Diff(before, scan[string](t, pool, entries)); diff != "" {
		t.Errorf("history entries after the refusal (-want +got):\n%s", diff)
	}
	wantMigrations(t, q, allVersions)
}

func TestStopLeavesTheCallersPoolOpen(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	q, err := jobs.Start(t.Context(), jobs.Options{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, q)
	if err := pool.Ping(t.Context()); err != nil {
		t.Errorf("the caller's pool after Stop: %v", err)
	}
}

func TestStopClosesThePoolThatStartOpened(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["application_name"] = "own pool"
	q, err := jobs.Start(t.Context(), jobs.Options{Settings: config})
	if err != nil {
		t.Fatal(err)
	}
	pool := connect(t, url)
	const connections = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'own pool'"
	if !scan[bool](t, pool, connections) {
		t.Error("Start opened no connection of its own")
	}
	stop(t, q)
	await(t, pool, "SELECT NOT ("+connections+")")
}

func TestOptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	for name, opts := range map[string]jobs.Options{
		"no pool":        {},
		"two pools":      {Pool: pool, Settings: pool.Config()},
		"negative total": {Pool: pool, Limits: jobs.Limits{Total: -1}},
		"no slot":        {Pool: pool, Limits: jobs.Limits{Queues: map[string]int{"mail": 0}}},
		"no workers":     {Pool: pool, River: river.Config{Queues: map[string]river.QueueConfig{"mail": {MaxWorkers: 1}}}},
	} {
		if _, err := jobs.Start(t.Context(), opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if scan[bool](t, pool, "SELECT to_regnamespace('jobs') IS NOT NULL") {
		t.Error("a refused start has created the schema")
	}
}

// TestRiversMigrations fails if an update of River changes a migration that was released, or adds
// one that the library does not carry.
func TestRiversMigrations(t *testing.T) {
	t.Parallel()
	for _, d := range []sqltext.Dialect{sqltext.PostgreSQL, sqltext.SQLite} {
		river, err := backfill.River(d, "")
		if err != nil {
			t.Fatal(err)
		}
		if newest, _ := river.Last(); newest != 8 {
			t.Errorf("%s: River has version %d, and the library carries 8", d, newest)
		}
	}
	wantChecksums(t, jobs.PostgresSet, map[int64]string{
		0: "74733fb2786d", 1: "9f64cbd023a7", 2: "d55ccd512bbd", 3: "5c9f581e39b3", 4: "67d9699e50c9",
		5: "0e500f091643", 6: "180433c3cebc", 7: "60d7552727bd", 8: "2ede7020681c", 9: "e2dd16adb542",
	})
	wantChecksums(t, jobs.SQLiteSet, map[int64]string{
		1: "185ad4a42508", 2: "750aa8ef49ea", 3: "43571997b8ba", 4: "75f41cef38b0", 5: "252140500da3",
		6: "b0644346e3be", 7: "f1253e000eca", 8: "b2a1d0f16cde", 9: "0716259f6e93",
	})
}

func wantChecksums(t *testing.T, read func() (*migration.Set, error), want map[int64]string) {
	t.Helper()
	set, err := read()
	if err != nil {
		t.Fatal(err)
	}
	got := map[int64]string{}
	for m := range set.Each() {
		got[m.Version] = m.Up.Checksum.Digits()[:12]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("checksums of released migrations (-want +got):\n%s", diff)
	}
}
