package postgres

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
)

// Identify returns the identifier that initdb assigned to the server's data. Copies and standbys
// have the same.
func (db *Database) Identify(ctx context.Context) (database.Identity, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return database.Identity{}, err
	}
	defer c.release()
	var id string
	err = c.pipeline(ctx, query{sql: "SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()", row: into(&id)})
	if err != nil {
		return database.Identity{}, err
	}
	return database.Identity{Names: []string{"system_identifier " + id}}, nil
}

// Location returns the first server that the connections try, and the database:
// "127.0.0.1:5432/app".
func (db *Database) Location() string { return db.location }

func locationOf(config *pgconn.Config) string {
	if config == nil {
		return ""
	}
	if strings.HasPrefix(config.Host, "/") {
		return fmt.Sprintf("%s/.s.PGSQL.%d, database %s", config.Host, config.Port, config.Database)
	}
	return net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
}
