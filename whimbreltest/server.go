package whimbreltest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/localserver"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// kind is a kind of database.
type kind struct {
	function string // that returns such a database
	driver   string // the last part of the import path, and a scheme
	schemes  []string
	dialect  sqltext.Dialect
	variable string // of the environment: the URL of the server
	server   string // its name in messages

	local struct { // the server that this process has started
		sync.Mutex
		kit *localserver.Kit
		url string
	}
}

var (
	postgres = &kind{
		function: "Postgres", driver: "postgres", schemes: []string{"postgres", "postgresql"}, dialect: sqltext.PostgreSQL,
		variable: "WHIMBREL_TEST_POSTGRES_URL", server: "PostgreSQL",
	}
	mysql = &kind{
		function: "MySQL", driver: "mysql", schemes: []string{"mysql", "mariadb"}, dialect: sqltext.MySQL,
		variable: "WHIMBREL_TEST_MYSQL_URL", server: "MariaDB or MySQL",
	}
	sqlite = &kind{
		function: "SQLite", driver: "sqlite", schemes: []string{"sqlite", "sqlite3"}, dialect: sqltext.SQLite,
	}
	kinds = []*kind{postgres, mysql, sqlite}
)

// imported reports whether the test imports the driver.
func (k *kind) imported() bool { return slices.Contains(database.Drivers(), k.driver) }

func (k *kind) importPath() string { return "github.com/whimbrel-db/whimbrel/database/" + k.driver }

// server is where databases are made.
type server struct {
	url  string
	from string // where the URL is from, for messages
}

// server returns the server of the options, of the environment, or this process's own.
func (o Options) server(ctx context.Context, k *kind) (server, error) {
	if !k.imported() {
		return server{}, fmt.Errorf("the driver is missing; add this line to the imports of the test:\n\t_ %q", k.importPath())
	}
	s := server{url: o.urlOf(k), from: "Options.URL"}
	if o.URL == "" {
		s.from = k.variable
	}
	switch {
	case s.url != "":
		s.url = k.withDatabase(s.url)
		return s, k.check(s)
	case k == sqlite:
		dir, err := ownFolder()
		return server{url: "sqlite://" + (&url.URL{Path: filepath.ToSlash(filepath.Join(dir, "home.db"))}).EscapedPath(), from: dir}, err
	}
	local, err := k.start(ctx)
	return server{url: local, from: "the local server"}, err
}

// urlOf returns the URL of the options or of the environment.
func (o Options) urlOf(k *kind) string {
	if o.URL == "" && k.variable != "" {
		return os.Getenv(k.variable)
	}
	return o.URL
}

// withDatabase adds the database that every MySQL server has to a URL without one.
func (k *kind) withDatabase(url string) string {
	base, params, found := strings.Cut(url, "?")
	_, place, ok := strings.Cut(base, "://")
	if _, name, _ := strings.Cut(place, "/"); k != mysql || !ok || name != "" {
		return url
	}
	if url = strings.TrimSuffix(base, "/") + "/information_schema"; found {
		url += "?" + params
	}
	return url
}

// check refuses the URL of another kind of database.
func (k *kind) check(s server) error {
	scheme, _, _ := strings.Cut(s.url, ":")
	if slices.Contains(k.schemes, scheme) {
		return nil
	}
	return fmt.Errorf("the scheme of %s must be %s", s.from, strings.Join(k.schemes, " or "))
}

// start returns the URL of a server that this process runs, and starts it if necessary. It ends
// with the process.
func (k *kind) start(ctx context.Context) (string, error) {
	k.local.Lock()
	defer k.local.Unlock()
	if k.local.url != "" {
		return k.local.url, nil
	}
	s, err := k.startAnother(ctx)
	if err != nil {
		return "", err
	}
	k.local.url = s.URL
	return s.URL, nil
}

// newServer starts a server for one use, which the caller closes.
func (k *kind) newServer(ctx context.Context) (*localserver.Server, error) {
	k.local.Lock()
	defer k.local.Unlock()
	return k.startAnother(ctx)
}

// startAnother starts a server. k.local is locked.
func (k *kind) startAnother(ctx context.Context) (*localserver.Server, error) {
	if k.local.kit == nil {
		kit, err := k.prepare(ctx)
		if err != nil {
			return nil, err
		}
		k.local.kit = kit
	}
	return k.local.kit.Start(context.WithoutCancel(ctx))
}

// localDatabase is the database of each server that this process starts.
const localDatabase = "app"

// prepare finds the programs of a server.
func (k *kind) prepare(ctx context.Context) (*localserver.Kit, error) {
	kit, err := localserver.Prepare(context.WithoutCancel(ctx), localserver.Options{
		Dialect: k.dialect.String(), Database: localDatabase, Path: filepath.SplitList(os.Getenv("PATH")), Connections: 200,
	})
	if errors.As(err, new(*localserver.NoProgramError)) {
		return nil, fmt.Errorf("it needs a server: set %s (or Options.URL) to the URL of one, or install %s: %w", k.variable, k.server, err)
	}
	return kit, err
}

// homes are the open databases beside which copies are made.
var homes = struct {
	sync.Mutex
	open map[string]*home
}{open: map[string]*home{}}

// home is the database that a server's URL names. It is closed when no test has used it for a
// moment, so that a program in which all tests have ended has no connections.
type home struct {
	key   string
	ready chan struct{} // closed when what follows is set
	db    database.Database
	err   error

	users int // guarded by homes, like idle
	idle  *time.Timer
}

// idleTime is how long a home stays open without users.
const idleTime = 300 * time.Millisecond

// enter opens the home on a server, or returns the open one. leave must be called afterwards.
func (s server) enter(ctx context.Context, o Options) (db database.Database, leave func(), err error) {
	opts := o.Database
	key := fmt.Sprintf("%q %q %q %q %q %d", s.url, opts.Schema, opts.TablesOwner, opts.HistoryTable, opts.App, opts.MigrationLockTimeout)
	homes.Lock()
	h := homes.open[key]
	first := h == nil
	if first {
		h = &home{key: key, ready: make(chan struct{})}
		homes.open[key] = h
	}
	if h.users++; h.idle != nil {
		h.idle.Stop()
	}
	homes.Unlock()
	if first {
		opts.Notice = nil // it belongs to one test
		h.db, h.err = database.Open(context.WithoutCancel(ctx), s.url, opts)
		close(h.ready)
	}
	<-h.ready
	if h.err != nil {
		h.leave()
		return nil, nil, fmt.Errorf("opening %s: %w", s.from, h.err)
	}
	return h.db, h.leave, nil
}

func (h *home) leave() {
	homes.Lock()
	defer homes.Unlock()
	h.users--
	if h.users == 0 {
		h.idle = time.AfterFunc(idleTime, h.close)
	}
}

// close closes the home, unless a test uses it again.
func (h *home) close() {
	homes.Lock()
	if h.users > 0 || homes.open[h.key] != h {
		homes.Unlock()
		return
	}
	delete(homes.open, h.key)
	homes.Unlock()
	if h.db != nil {
		h.db.Close()
	}
}
