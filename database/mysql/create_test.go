package mysql_test

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
	u, err := url.Parse(testdb.MariaDB(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path += "_`new`"
	databasetest.RunCreator(t, u.String())
}

// The databases of the server itself are never dropped.
func TestServerDatabasesAreNotDropped(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(testdb.MariaDB(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mysql", "MySQL", "information_schema", "performance_schema", "sys"} {
		u.Path = "/" + name
		_, err := database.Drop(t.Context(), u.String(), database.DropOptions{Force: true})
		if !errors.As(err, new(*database.ServerDatabaseError)) {
			t.Errorf("%s: got %v, want a *ServerDatabaseError", name, err)
		}
	}
}
