package database

import (
	"context"
	"fmt"
	"path"
	"reflect"
)

// Creator is a Driver that creates and drops databases.
type Creator interface {
	// Create creates the database that a URL names, empty. It returns false if the database
	// already exists, and then changes nothing. If several processes call it at once, one of them
	// creates the database, and the others return false.
	Create(ctx context.Context, url string, opts Options) (created bool, err error)
	// Drop drops the database that a URL names, with everything in it. It returns false if there is
	// no such database. It refuses a database of the server itself with a *ServerDatabaseError. If
	// clients are connected, it drops nothing and returns an *OccupiedError, unless opts.Force is
	// set. It knows nothing of settings: it also drops a database that is protected or frozen.
	Drop(ctx context.Context, url string, opts DropOptions) (dropped bool, err error)
}

// DropOptions are the options of Drop.
type DropOptions struct {
	Options
	// Force ends the sessions of other clients of the database.
	Force bool
}

// Create creates the database that a URL names. See [Creator].
func Create(ctx context.Context, url string, opts Options) (created bool, err error) {
	c, err := creator(url)
	if err != nil {
		return false, err
	}
	return c.Create(ctx, url, opts)
}

// Drop drops the database that a URL names. See [Creator].
func Drop(ctx context.Context, url string, opts DropOptions) (dropped bool, err error) {
	c, err := creator(url)
	if err != nil {
		return false, err
	}
	return c.Drop(ctx, url, opts)
}

func creator(url string) (Creator, error) {
	d, err := driverOf(url)
	if err != nil {
		return nil, err
	}
	c, ok := d.(Creator)
	if !ok {
		t := reflect.TypeOf(d)
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		return nil, &PowerError{Power: PowerCreate, Driver: path.Base(t.PkgPath())}
	}
	return c, nil
}

// ServerDatabaseError reports a database that belongs to the server itself, and is never dropped.
type ServerDatabaseError struct{ Name string }

func (e *ServerDatabaseError) Error() string {
	return fmt.Sprintf("the database %q belongs to the server itself; nothing was dropped", e.Name)
}

// OccupiedError reports that clients are connected to a database that should be dropped.
type OccupiedError struct {
	Name    string
	Clients int // how many, 0 if unknown
}

func (e *OccupiedError) Error() string {
	clients := "other clients are"
	switch {
	case e.Clients == 1:
		clients = "another client is"
	case e.Clients > 1:
		clients = fmt.Sprintf("%d other clients are", e.Clients)
	}
	return fmt.Sprintf("%s connected to the database %q; nothing was dropped", clients, e.Name)
}
