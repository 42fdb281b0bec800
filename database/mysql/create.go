package mysql

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
)

// serverDatabases are the databases of the server itself.
var serverDatabases = []string{"mysql", "information_schema", "performance_schema", "sys"}

// Create implements database.Creator.
func (Driver) Create(ctx context.Context, rawURL string, opts database.Options) (bool, error) {
	c, name, err := connectBeside(ctx, rawURL, opts)
	if err != nil {
		return false, err
	}
	defer c.Close()
	_, err = c.ExecContext(ctx, "CREATE DATABASE "+quote(name))
	if number(err) == erDBCreateExists {
		return false, nil
	}
	return err == nil, err
}

// Drop implements database.Creator.
func (Driver) Drop(ctx context.Context, rawURL string, opts database.DropOptions) (bool, error) {
	c, name, err := connectBeside(ctx, rawURL, opts.Options)
	if err != nil {
		return false, err
	}
	defer c.Close()
	if slices.Contains(serverDatabases, strings.ToLower(name)) {
		return false, &database.ServerDatabaseError{Name: name}
	}
	clients, err := remainingClients(ctx, c, name, opts.Force)
	if err != nil {
		return false, err
	}
	for _, id := range clients {
		if _, err := c.ExecContext(ctx, "KILL "+strconv.FormatInt(id, 10)); err != nil && number(err) != erNoSuchThread {
			return false, err
		}
	}
	_, err = c.ExecContext(ctx, "DROP DATABASE "+quote(name))
	if number(err) == erDBDropExists {
		return false, nil
	}
	return err == nil, err
}

// leaveGrace limits how long Drop waits for clients of the database to leave: the server still
// lists a connection for a moment after its client has closed it.
const leaveGrace = 2 * time.Second

// remainingClients returns the connections that must be closed before the database is dropped. If
// they must not be, it waits until none is left, or returns a *database.OccupiedError.
func remainingClients(ctx context.Context, c *sql.DB, name string, force bool) (ids []int64, err error) {
	err = database.Poll(ctx, "", database.LockOptions{Timeout: leaveGrace}, func(ctx context.Context) (bool, database.Holder, error) {
		ids, err = clientsOf(ctx, c, name)
		return force || len(ids) == 0, database.Holder{}, err
	})
	if errors.Is(err, database.ErrLocked) {
		return nil, &database.OccupiedError{Name: name, Clients: len(ids)}
	}
	return ids, err
}

// clientsOf returns the ids of the sessions in a database, as far as the user may see them.
func clientsOf(ctx context.Context, c *sql.DB, name string) (ids []int64, err error) {
	rows, err := c.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE db = ? AND id <> connection_id()", name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// connectBeside connects to the server of a URL without selecting a database. It returns the name
// of the URL's database.
func connectBeside(ctx context.Context, rawURL string, opts database.Options) (*sql.DB, string, error) {
	t, err := parse(rawURL)
	if err != nil {
		return nil, "", err
	}
	if opts.App != "" {
		t.config.ConnectionAttributes = "program_name:" + attribute(opts.App)
	}
	name := t.config.DBName
	beside := t.config.Clone()
	beside.DBName = ""
	connector, err := client.NewConnector(beside)
	if err != nil {
		return nil, "", database.NewURLError(rawURL, "%s", err)
	}
	c := sql.OpenDB(connector)
	c.SetMaxOpenConns(1)
	limited, stop := context.WithTimeout(ctx, t.config.Timeout)
	defer stop()
	if err := c.PingContext(limited); err != nil {
		c.Close()
		return nil, "", connectError(t.config, err)
	}
	return c, name, nil
}
