package postgres_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// DropTemplate drops the spares of the template, too. If somebody has dropped a template, it is
// made again and its spares with it.
func TestSparesGoWithTheirTemplate(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	server, db := connect(t, url), open(t, url)
	filled := 0
	template := database.Template{Key: rand.Text(), Fill: func(context.Context, database.Database) error {
		filled++
		return nil
	}}
	names, err := postgres.TemplateAndSpares(background(t), db, template.Key)
	must(t, err)
	existing := func() string {
		t.Helper()
		return value(t, server, "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname = ANY ($1)", names)
	}
	cloneAndWait := func() {
		t.Helper()
		c, err := database.Clone(background(t), db, template)
		must(t, err)
		must(t, c.Drop(context.Background()))
		for len(strings.Fields(existing())) != len(names) {
			must(t, t.Context().Err())
		}
	}
	cloneAndWait()
	do(t, server, "DROP DATABASE "+names[0])
	cloneAndWait()
	if filled != 2 {
		t.Errorf("after the template was dropped, it was filled %d times, want 2", filled)
	}
	must(t, database.DropTemplate(background(t), db, template.Key))
	if left := existing(); left != "<null>" {
		t.Errorf("after DropTemplate, %s remain", left)
	}
}
