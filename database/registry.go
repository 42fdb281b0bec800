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

// packages are the packages of this module that register a driver, by scheme.
var packages = map[string]string{
	"mariadb":    "github.com/whimbrel-db/whimbrel/database/mysql",
	"mysql":      "github.com/whimbrel-db/whimbrel/database/mysql",
	"postgres":   "github.com/whimbrel-db/whimbrel/database/postgres",
	"postgresql": "github.com/whimbrel-db/whimbrel/database/postgres",
	"sqlite":     "github.com/whimbrel-db/whimbrel/database/sqlite",
	"sqlite3":    "github.com/whimbrel-db/whimbrel/database/sqlite",
}

// Open opens the database that a URL names, with the driver that is registered under its scheme. It
// returns the driver's errors, and a *URLError if no driver is registered. The program must import
// the driver's package: database/postgres, database/sqlite or database/mysql.
func Open(ctx context.Context, url string, opts Options) (Database, error) {
	d, err := driverOf(url)
	if err != nil {
		return nil, err
	}
	return d.Open(ctx, url, opts)
}

// driverOf returns the driver of a URL, or a *URLError.
func driverOf(url string) (Driver, error) {
	scheme, _, ok := strings.Cut(url, ":")
	registry.RLock()
	d := registry.drivers[scheme]
	registry.RUnlock()
	if ok && d != nil {
		return d, nil
	}
	scheme, _, ok = cutScheme(url) // without one, the word before the colon may be a secret
	return nil, noDriver(url, scheme, ok)
}

// noDriver returns the error of a URL whose scheme is none of the registered ones. The message is
// not redacted like others: it has nothing of the URL but the scheme, which may equal a password.
func noDriver(url, scheme string, ok bool) error {
	e := &URLError{URL: Redact(url), NoDriver: true}
	registered, lower := strings.Join(Drivers(), ":, "), strings.ToLower(scheme)
	switch {
	case ok && packages[scheme] != "":
		e.Import = packages[scheme]
		e.Msg = fmt.Sprintf("no driver for %q; the program must import it: import _ %q", scheme, e.Import)
	case ok && packages[lower] != "":
		e.Msg = fmt.Sprintf("no driver for %q; the scheme is written %q", scheme, lower)
	case registered == "":
		e.Msg = fmt.Sprintf("no driver is imported; import one, such as: import _ %q", packages["postgres"])
	case ok:
		e.Msg = fmt.Sprintf("no driver for %q; use one of %s:", scheme, registered)
	case isGoForm(url[strings.LastIndexByte(url, '@')+1:]):
		e.Msg = goForm
	case strings.HasPrefix(url, "file:"):
		e.Msg = fmt.Sprintf("no driver for \"file\"; a SQLite file is written sqlite:app.db; use one of %s:", registered)
	default:
		e.Msg = fmt.Sprintf("no scheme; use one of %s:", registered)
	}
	return e
}
