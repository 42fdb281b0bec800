package database

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

var registry = struct {
	sync.RWMutex
	drivers map[string]Driver
}{drivers: map[string]Driver{}}

// Register registers a driver under a URL scheme. It panics if the driver is nil, or if the scheme
// is empty or already registered. Drivers call it from init.
func Register(scheme string, d Driver) {
	registry.Lock()
	defer registry.Unlock()
	switch {
	case d == nil:
		panic("database: Register of a nil driver as " + scheme)
	case scheme == "":
		panic("database: Register of a driver without a scheme")
	case registry.drivers[scheme] != nil:
		panic("database: Register called twice for " + scheme)
	}
	registry.drivers[scheme] = d
}

// Drivers returns the registered schemes, in alphabetical order.
func Drivers() []string {
	registry.RLock()
	defer registry.RUnlock()
	return slices.Sorted(maps.Keys(registry.drivers))
}

// Open opens the database that a URL names, with the driver that is registered under its scheme. It
// returns the driver's errors, and a *URLError if no driver is registered.
func Open(ctx context.Context, url string, opts Options) (Database, error) {
	scheme, _, ok := strings.Cut(url, ":")
	registry.RLock()
	d := registry.drivers[scheme]
	registry.RUnlock()
	if ok && d != nil {
		return d.Open(ctx, url, opts)
	}
	if scheme, _, ok = cutScheme(url); ok { // else the word before the colon may be a secret
		return nil, noDriver(url, fmt.Sprintf("no driver for %q", scheme))
	}
	return nil, noDriver(url, "no scheme")
}

// noDriver returns the error of a URL whose scheme is none of the registered ones.
func noDriver(url, msg string) error {
	e := NewURLError(url, "%s; use one of %s", msg, schemes())
	e.NoDriver = true
	return e
}

func schemes() string {
	names := Drivers()
	if len(names) == 0 {
		return "none: import a driver, such as database/sqlite"
	}
	return strings.Join(names, ":, ") + ":"
}
