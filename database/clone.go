package database

import (
	"context"
	"time"
)

// Cloner is a Database that keeps templates beside itself, and copies of them. Tests use it: each
// test has a database of its own, and none applies the migrations again.
type Cloner interface {
	// Clone returns a copy of a template. If no template with the key exists beside this database,
	// Clone calls t.Fill to make it. A template is complete or doesn't exist, even if the process
	// that makes it dies. Of all processes that need the same template at the same time, one makes
	// it and the others wait.
	//
	// The copy is removed with its Drop. The first Clone of a Database also removes copies whose
	// process is gone, and templates that nothing has used for t.Unused. It removes nothing that
	// may still be in use, and nothing that Clone did not create.
	//
	// A driver may keep a few copies ready for the next calls, of any process. Like the template,
	// they stay when the Database is closed; DropTemplate removes them.
	//
	// The user needs the right to create databases, if the kind has such rights. Close of the
	// Database ends its ownership of the copies: other processes may then remove those that were
	// not dropped.
	Clone(ctx context.Context, t Template) (*Copy, error)
	// DropTemplate removes the template with a key, if it exists. Copies of it stay.
	DropTemplate(ctx context.Context, key string) error
}

// Template is a database that is copied.
type Template struct {
	// Key identifies the contents. Templates with the same key have the same contents.
	Key string
	// Fill writes the contents into an empty database, with the options of the one that is cloned.
	// After an error the template doesn't exist, and Clone returns the error.
	Fill func(ctx context.Context, db Database) error
	// Unused is how long templates stay that nobody uses; 0 means DefaultUnused. Their use is
	// noted once a day, so they stay for two days at least.
	Unused time.Duration
}

// DefaultUnused is how long a template stays that nobody uses.
const DefaultUnused = 7 * 24 * time.Hour

// Copy is a copy of a template.
type Copy struct {
	// Database is the copy, opened with the options of the Database that was cloned.
	Database Database
	// Name is the name of the database, or the path of its file.
	Name string
	// URL opens the copy. Like the URL of the Database that was cloned, it may contain a password.
	// It is empty if the driver has no URLs.
	URL string
	// DSN opens the copy with the client library that the driver uses, through database/sql.
	DSN string
	// Drop closes Database and removes the copy, even if other clients are connected to it. It can
	// be called with a context that is done. A second call does nothing.
	Drop func(ctx context.Context) error
}

// Clone returns a copy of a template beside db. See [Cloner].
func Clone(ctx context.Context, db Database, t Template) (*Copy, error) {
	c, err := power[Cloner](db, PowerClone)
	if err != nil {
		return nil, err
	}
	return c.Clone(ctx, t)
}

// DropTemplate removes a template beside db. See [Cloner].
func DropTemplate(ctx context.Context, db Database, key string) error {
	c, err := power[Cloner](db, PowerClone)
	if err != nil {
		return err
	}
	return c.DropTemplate(ctx, key)
}
