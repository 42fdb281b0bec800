package database

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

var registry = struct {
	sync.RWMutex
	drivers map[string]Driver
}{drivers: map[string]Driver{}}

// Register makes a driver known under a URL scheme. It panics for a nil driver,
// an empty name, and a name that is taken. Drivers call it from init.
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

// Open opens the database that a URL names with the driver that is registered
// under its scheme. The errors are the driver's; a *URLError where no driver fits.
func Open(ctx context.Context, url string, opts Options) (Database, error) {
	scheme, _, ok := strings.Cut(url, ":")
	if !ok || scheme == "" {
		return nil, &URLError{URL: Redact(url), Msg: "no scheme: want one of " + schemes()}
	}
	registry.RLock()
	d := registry.drivers[scheme]
	registry.RUnlock()
	if d == nil {
		return nil, &URLError{URL: Redact(url), Msg: fmt.Sprintf("no driver for %q: want one of %s", scheme, schemes())}
	}
	return d.Open(ctx, url, opts)
}

func schemes() string {
	names := Drivers()
	if len(names) == 0 {
		return "none: import a driver, such as database/sqlite"
	}
	return strings.Join(names, ":, ") + ":"
}

// Redact returns a URL with its passwords replaced by "xxxxx", also when it is not
// a valid URL. Where it is in doubt, what might be a password is one.
func Redact(url string) string {
	return redactUser(passwordParam.ReplaceAllString(url, "${1}xxxxx"))
}

// redactUser redacts the password that stands before the host. It may have any sign in
// it, unescaped.
func redactUser(url string) string {
	begin := strings.Index(url, "//") + len("//")
	if begin < len("//") {
		begin = 0 // not a URL, or one without an authority
	}
	rest := url[begin:]
	colon, at := strings.IndexByte(rest, ':'), strings.LastIndexByte(rest, '@')
	if q := strings.IndexByte(rest, '?'); q >= 0 && at > q && strings.Contains(rest[q:at], "=") {
		if before := strings.LastIndexByte(rest[:q], '@'); before >= 0 || port.MatchString(rest) {
			at = before // the other one is in the query
		}
	}
	if colon < 0 || at < colon {
		return url
	}
	return url[:begin] + rest[:colon] + ":xxxxx" + rest[at:]
}

var (
	// passwordParam is a password among the parameters of a URL or of a list of key=value.
	passwordParam = regexp.MustCompile(`(?i)((?:password|passwd|passphrase|pwd|pass)\s*=\s*)('(?:[^'\\]|\\.)*'?|[^&\s]*)`)
	// port is the authority of a URL without user and password.
	port = regexp.MustCompile(`^[^:@]*:[0-9]*[/?]`)
)
