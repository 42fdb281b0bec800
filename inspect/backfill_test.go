package inspect_test

import (
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/source"
)

// Proofs and replays execute backfills at once, whatever these wait for: on a scratch database, no
// worker of a job queue would.
func TestBackfillsOnScratch(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		files := fstest.MapFS{
			"1_users.up.sql":      {Data: []byte("CREATE TABLE users (id integer PRIMARY KEY, n integer); INSERT INTO users VALUES (1, 5), (2, NULL), (3, 7);")},
			"1_users.down.sql":    {Data: []byte("DROP TABLE users;")},
			"2_fill.backfill.sql": {Data: []byte("-- whimbrel: backfill users\n-- whimbrel: detach\n-- whimbrel: throttle SELECT 1\n-- whimbrel: check SELECT 17\nUPDATE users SET n = 0 WHERE n IS NULL AND id BETWEEN :first AND :last;")},
			"2_fill.down.sql":     {Data: []byte("-- whimbrel: empty\n")},
			"3_more.up.sql":       {Data: []byte("-- whimbrel: after 2\nCREATE TABLE more (id integer);")},
			"3_more.down.sql":     {Data: []byte("DROP TABLE more;")},
		}
		set, err := source.Read(files, source.Options{Set: "s", Dialect: db.Dialect()})
		if err != nil {
			t.Fatal(err)
		}
		v, err := inspect.Verify(t.Context(), set, inspect.Beside(db))
		if err != nil {
			t.Fatal(err)
		}
		if !v.OK() {
			t.Errorf("the folder is not verified: %+v", v)
		}
		m := whimbrel.New(db, set, whimbrel.Options{})
		if _, err := m.Migrate(t.Context(), whimbrel.UpTo(2), whimbrel.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		changes, err := inspect.Drift(t.Context(), db, inspect.Beside(db), nil)
		if err != nil || len(changes) > 0 {
			t.Errorf("an unfinished backfill is drift: %s, %v", words(changes), err)
		}
	})
}
