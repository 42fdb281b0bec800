package source_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

const fill = "-- whimbrel: backfill users\n-- whimbrel: batch 10\nUPDATE users SET a = 1 WHERE id BETWEEN :first AND :last;\n"

func TestBackfills(t *testing.T) {
	t.Parallel()
	set, err := source.Read(files("0001_a.up.sql", up, "0002_b.backfill.sql", fill, "0002_b.down.sql", up, "0003_c.up.sql", "-- whimbrel: after 2\nSELECT 1;"), source.Options{Dialect: sqltext.PostgreSQL})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := set.Get(2)
	if diff := cmp.Diff(&migration.Backfill{Table: "users", Batch: 10}, b.Up.Backfill); diff != "" {
		t.Errorf("Backfill (-want +got):\n%s", diff)
	}
	if b.Name != "b" || b.Down == nil || b.Down.Backfill != nil {
		t.Errorf("got %+v", b)
	}
	if a, _ := set.Get(1); a.Up.Backfill != nil {
		t.Errorf("the other migration has %+v", a.Up.Backfill)
	}
	if c, _ := set.Get(3); !cmp.Equal(c.Up.After, []int64{2}) {
		t.Errorf("After = %v", c.Up.After)
	}
}

func TestBackfillProblems(t *testing.T) {
	postgres := source.Options{Dialect: sqltext.PostgreSQL}
	testReadings(t, source.Native, []reading{
		{
			name: "directives that are wrong, all at once",
			files: files("1_a.backfill.sql", "-- whimbrel: backfill t\n-- whimbrel: parallell 4\n-- whimbrel: batch x\nDELETE FROM t WHERE id BETWEEN :first AND :last;\n-- whimbrel: pause 1s\n",
				"2_b.up.sql", "-- whimbrel: batch 10\nSELECT 1;", "3_c.backfill.sql", "DELETE FROM t WHERE id BETWEEN :first AND :last"),
			opts: postgres,
			errors: `1_a.backfill.sql:2:1: unknown directive "parallell 4"; valid directives: no-transaction, empty, secret, lock-timeout, retry-for, statement-timeout, replaces, skip-on-scratch, unfinished, after, backfill, key, batch, target, parallel, pause, timeout, attempts, check, recheck, sync, detach, max-lag, max-slot-wal, max-wal-rate, wait-for-autovacuum, max-flow-control, throttle; did you mean "parallel 4"?
1_a.backfill.sql:3:1: directive "batch" needs an argument such as "batch 1000" (got "x")
1_a.backfill.sql:5:1: directives must come before the first statement; move "-- whimbrel: pause 1s" up
2_b.up.sql:1:1: directive "batch" belongs to a backfill, which is a file named VERSION_name.backfill.sql; rename the file, or remove the directive
3_c.backfill.sql:1:1: a backfill needs the table whose rows it changes; write "-- whimbrel: backfill TABLE" before its statements`,
		},
		{
			name:   "a version with an up file, too",
			files:  files("1_a.backfill.sql", fill, "1_a.up.sql", up),
			errors: "1_a.up.sql: version 1 is used twice: 1_a.backfill.sql and 1_a.up.sql; change the version of one",
		},
		{
			name:   "a comment that is nearly a directive",
			files:  files("1_a.backfill.sql", "-- whimbrel batch 10\n"+fill),
			errors: "1_a.backfill.sql:1:1: this comment looks like a directive but is not one; if you mean it, write: -- whimbrel: batch 10",
		},
		{
			name:  "scripts that can't run yet",
			files: files("1_a.backfill.sql", "-- whimbrel: backfill t\n", "2_b.backfill.sql", "-- whimbrel: unfinished\n"+fill, "3_c.backfill.sql", "-- whimbrel: backfill t\nDELETE FROM t"),
			opts:  postgres,
			want: `1 a
  up 1_a.backfill.sql [can't be run] "-- whimbrel: backfill t\n"
2 b
  up 2_b.backfill.sql [can't be run] "-- whimbrel: unfinished\n-- whimbrel: backfill users\n-- whimbrel: batch 10\nUPDATE users SET a = 1 WHERE id BETWEEN :first AND :last;\n"
3 c
  up 3_c.backfill.sql [can't be run] "-- whimbrel: backfill t\nDELETE FROM t"`,
		},
	})
}

func TestBackfillsInOtherFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[source.Format]string{
		source.Goose:         "goose",
		source.Flyway:        "flyway",
		source.GolangMigrate: "golang-migrate",
	} {
		_, err := source.Read(files("1_a.backfill.sql", fill), source.Options{Format: format})
		message := "1_a.backfill.sql: only a folder of the native format has backfills, and this one is read as one of " + want + "; convert the folder, or move this file to a set of its own"
		found := false
		if folder, ok := err.(*source.FolderError); ok {
			for _, p := range folder.Problems {
				found = found || p.Error() == message
			}
		}
		if !found {
			t.Errorf("%s: got %v, want it to have %s", format, err, message)
		}
	}
}
