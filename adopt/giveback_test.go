package adopt_test

import (
	"errors"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/adopt"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// appliedByDbmate returns the versions in dbmate's table.
func appliedByDbmate(t *testing.T, db database.Database) (all []string) {
	t.Helper()
	rows, err := database.ReadQuery(t.Context(), db, "SELECT version FROM schema_migrations ORDER BY version")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows.Rows {
		all = append(all, r[0].(string))
	}
	return all
}

// TestGivingBackTwice gives a database back only if it was taken over, also if Whimbrel has rolled
// back everything: the rows of the other tool are then its own.
func TestGivingBackTwice(t *testing.T) {
	t.Parallel()
	for _, kind := range []sqltext.Dialect{pg, lite, maria} {
		t.Run(kindNames[kind], func(t *testing.T) {
			t.Parallel()
			x := create(t, kind)
			x.exec(t, "CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)", "CREATE TABLE one (id int)", "INSERT INTO schema_migrations VALUES ('1')")
			db := x.open(t)
			s, err := migration.NewSet("", migration.Migration{
				Version: 1, Name: "one", Up: migration.Text("1_one.sql", "CREATE TABLE one (id int)"), Down: migration.Text("1_one.sql", "DROP TABLE one"),
			})
			if err != nil {
				t.Fatal(err)
			}
			refused := func(when string) {
				t.Helper()
				r, err := adopt.Reverse(t.Context(), db, s, adopt.ReverseOptions{})
				if !errors.As(err, new(*adopt.NotAdoptedError)) {
					t.Errorf("%s: the error is %v, want a NotAdoptedError", when, err)
				}
				equal(t, when+": removed", len(r.Removed), 0)
				equal(t, when+": dbmate's rows", len(appliedByDbmate(t, db)), 1)
			}
			refused("before the takeover")
			if _, err := adopt.From(t.Context(), db, s, adopt.Options{}); err != nil {
				t.Fatal(err)
			}
			if _, err := whimbrel.New(db, s, whimbrel.Options{}).Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
			r, err := adopt.Reverse(t.Context(), db, s, adopt.ReverseOptions{})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "removed", len(r.Removed), 1)
			equal(t, "dbmate's rows", len(appliedByDbmate(t, db)), 0)
			x.exec(t, "INSERT INTO schema_migrations VALUES ('1')")
			refused("after it was given back")
		})
	}
}
