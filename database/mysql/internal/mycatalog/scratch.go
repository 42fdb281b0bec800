package mycatalog

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// CreateScratch creates an empty database with the character set and the collation of the current
// one. Its name must begin with whimbrel_scratch_.
func CreateScratch(ctx context.Context, q Queryer, name string) error {
	r := &reader{q: q}
	create := ""
	err := r.eachText(ctx, "SELECT @@character_set_database, @@collation_database", func(v []string) {
		create = "CREATE DATABASE " + quote(name) + " CHARACTER SET " + v[0] + " COLLATE " + v[1]
	})
	if err == nil {
		_, err = q.ExecContext(ctx, create)
	}
	var e *mysql.MySQLError
	const denied = 1044
	if errors.As(err, &e) && e.Number == denied {
		err = fmt.Errorf("can't create a scratch database: %w; GRANT ALL ON `whimbrel\\_scratch\\_%%`.* to the user, or name an empty database", err)
	}
	return err
}

// DropScratch drops a database that CreateScratch has created, if it still exists. It waits for
// transactions in it.
func DropScratch(ctx context.Context, q Queryer, name string) error {
	_, err := q.ExecContext(ctx, "DROP DATABASE IF EXISTS "+quote(name))
	return err
}
