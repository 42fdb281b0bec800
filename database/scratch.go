package database

import (
	"context"
	"fmt"
)

// Scratcher is a Database that can make an empty one beside itself.
type Scratcher interface {
	// Scratch creates an empty database beside this one, of the same kind and, where the
	// kind has such things, with the same encoding and locale, and opens it. drop closes
	// it and takes it away for good; it can be called with a context that is done.
	Scratch(ctx context.Context) (db Database, drop func(ctx context.Context) error, err error)
}

// Scratch creates an empty database beside db. It is a *NoScratchError when the driver
// cannot.
func Scratch(ctx context.Context, db Database) (Database, func(ctx context.Context) error, error) {
	s, ok := db.(Scratcher)
	if !ok {
		return nil, nil, &NoScratchError{Dialect: db.Dialect().String()}
	}
	return s.Scratch(ctx)
}

// NoScratchError reports that a driver is no Scratcher.
type NoScratchError struct{ Dialect string }

func (e *NoScratchError) Error() string {
	return fmt.Sprintf("the driver for %s can't make a scratch database; name an empty one", e.Dialect)
}
