package mysql_test

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

// No connection of the driver stays in a copy: Drop ends it, and the next Clone would get it.
func TestCloneLeavesTheCopy(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	template := database.Template{Key: rand.Text(), Fill: func(context.Context, database.Database) error { return nil }}
	t.Cleanup(func() { must(t, database.DropTemplate(context.Background(), db, template.Key)) })
	c, err := database.Clone(background(t), db, template)
	must(t, err)
	defer c.Drop(context.Background())
	equal(t, "the number of connections to the copy", value(t, pool, "SELECT count(*) FROM information_schema.processlist WHERE db = ?", c.Name), "0")
}
