package postgres_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/databasetest"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestCreator(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(testdb.Postgres(t))
	must(t, err)
	u.Path += `_"new"`
	databasetest.RunCreator(t, u.String())
}

// The databases that every server has are never dropped.
func TestServerDatabasesAreNotDropped(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(testdb.Postgres(t))
	must(t, err)
	for _, name := range []string{"postgres", "template0", "template1"} {
		u.Path = "/" + name
		_, err := database.Drop(background(t), u.String(), database.DropOptions{Force: true})
		if !errors.As(err, new(*database.ServerDatabaseError)) {
			t.Errorf("%s: got %v, want a *ServerDatabaseError", name, err)
		}
	}
}
