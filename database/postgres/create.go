package postgres

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// maintenance are the databases that every server has, in the order in which Create and Drop try to
// connect to them.
var maintenance = []string{"postgres", "template1", "template0"}

const (
	noSuchDatabase    = "3D000"
	duplicateDatabase = "42P04"
	uniqueViolation   = "23505" // another process creates the same database at the same time
	objectInUse       = "55006"
)

// Create implements database.Creator. It connects to the database itself first: if that works, it
// exists. Otherwise it sends CREATE DATABASE on a connection to "postgres" or "template1".
func (Driver) Create(ctx context.Context, rawURL string, opts database.Options) (bool, error) {
	config, err := connConfig(rawURL, opts)
	if err != nil {
		return false, err
	}
	own, err := pgconn.ConnectConfig(ctx, config)
	if err == nil {
		return false, own.Close(ctx)
	}
	if !hasCode(err, noSuchDatabase) {
		return false, connectError(config, err)
	}
	c, err := connectBeside(ctx, config)
	if err != nil {
		return false, err
	}
	defer c.Close(context.WithoutCancel(ctx))
	err = retryInUse(ctx, func() error {
		return c.Exec(ctx, "CREATE DATABASE "+quote(config.Database)).Close()
	})
	if hasCode(err, duplicateDatabase, uniqueViolation) {
		return false, nil
	}
	return err == nil, createError("create the database", err)
}

// Drop implements database.Creator.
func (Driver) Drop(ctx context.Context, rawURL string, opts database.DropOptions) (bool, error) {
	config, err := connConfig(rawURL, opts.Options)
	if err != nil {
		return false, err
	}
	name := config.Database
	if slices.Contains(maintenance, name) {
		return false, &database.ServerDatabaseError{Name: name}
	}
	c, err := connectBeside(ctx, config)
	if err != nil {
		return false, err
	}
	defer c.Close(context.WithoutCancel(ctx))
	drop := "DROP DATABASE " + quote(name)
	if opts.Force {
		drop += " WITH (FORCE)"
	}
	err = c.Exec(ctx, drop).Close()
	switch {
	case hasCode(err, noSuchDatabase):
		return false, nil
	case hasCode(err, objectInUse):
		return false, &database.OccupiedError{Name: name, Clients: clientsIn(err)}
	}
	return err == nil, err
}

// clientsIn returns the number of sessions that the server's message names, 0 for none.
func clientsIn(err error) int {
	pg, ok := drivers.AsType[*pgconn.PgError](err)
	if !ok {
		return 0
	}
	for word := range strings.FieldsSeq(pg.Detail) {
		if n, err := strconv.Atoi(word); err == nil {
			return n
		}
	}
	return 0
}

// connConfig returns the configuration of a single connection.
func connConfig(rawURL string, opts database.Options) (*pgconn.Config, error) {
	config, err := parse(rawURL, opts)
	if err != nil {
		return nil, err
	}
	preferPrimary(config.Config)
	return config.Config, nil
}

// connectBeside connects to another database of the same server. The connection executes only
// statements that use no object, so its search path has no effect.
func connectBeside(ctx context.Context, config *pgconn.Config) (*pgconn.PgConn, error) {
	var first error
	for _, name := range maintenance[:2] {
		beside := config.Copy()
		beside.Database = name
		c, err := pgconn.ConnectConfig(ctx, beside)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = connectError(beside, err)
		}
	}
	return nil, first
}

// retryInUse repeats a CREATE DATABASE while another process copies the same template.
func retryInUse(ctx context.Context, create func() error) error {
	for range 50 {
		err := create()
		if !hasCode(err, objectInUse) {
			return err
		}
		select {
		case <-ctx.Done():
			return drivers.Reason(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return create()
}
