package cli

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// What a command that writes does, as the first line of its output says it.
const (
	migrating       = "Migrating"
	rollingBack     = "Rolling back"
	seeding         = "Seeding"
	resetting       = "Resetting"
	loading         = "Loading into"
	correcting      = "Correcting the history of"
	abandoning      = "Abandoning a migration of"
	changingSetting = "Changing settings of"
	freezing        = "Freezing"
	thawing         = "Thawing"
	accepting       = "Accepting the schema of"
	describing      = "Changing the metadata of"
	writing         = "Writing to"
	takingOver      = "Taking over"
	givingBack      = "Giving back"
	controlling     = "Controlling a backfill of"
	backfilling     = "Executing a backfill of"
)

// begin prints what a command is about to do, and to which database: "Migrating app on db1:5432
// (production)".
func (t *target) begin(doing string) {
	t.app.print().Begin(doing+" "+t.where(), doing == writing)
}

// writes returns a function that opens a target like open and then prints what the command is about
// to do to it.
func (a *app) writes(doing string, open func(context.Context) (*target, error)) func(context.Context) (*target, error) {
	return func(ctx context.Context) (*target, error) {
		t, err := open(ctx)
		if err == nil {
			t.begin(doing)
		}
		return t, err
	}
}

// where names the database, its server, and the environment. It asks nobody.
func (t *target) where() string {
	words := place(t.db, t.url)
	return words + t.app.environment()
}

// environment names the environment of the database, in brackets after a space; "" if a flag names
// another database.
func (a *app) environment() string {
	if a.global.env == "" || a.global.database != "" {
		return ""
	}
	return " (" + shown(a.global.env) + ")"
}

// placeOf is place for a database that need not exist.
func (a *app) placeOf(raw string) string {
	scheme, path, _ := strings.Cut(raw, ":")
	if dialectOf(scheme) == sqltext.SQLite {
		path, _, _ = strings.Cut(path, "?")
		return database.Redact(path) + a.environment()
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || strings.Contains(u.Host, ",") || strings.Trim(u.Path, "/") == "" {
		return database.Redact(raw)
	}
	host := u.Host
	if u.Port() == "" {
		host += map[sqltext.Dialect]string{sqltext.PostgreSQL: ":5432", sqltext.MySQL: ":3306"}[dialectOf(scheme)]
	}
	return strings.Trim(u.Path, "/") + " on " + host + a.environment()
}

// place names a database and its server, or its file. url is its URL.
func place(db database.Database, url string) string {
	at := database.Location(db)
	switch {
	case at == "":
		return database.Redact(url)
	case db.Dialect() == sqltext.SQLite:
		return shortPath(at)
	}
	for _, between := range []string{", database ", "/"} { // of a socket, of a host
		if server, name, ok := strings.Cut(at, between); ok && server != "" {
			return name + " on " + server
		}
	}
	return at
}

// shortPath returns a path relative to the working directory if it is below it.
func shortPath(path string) string {
	here, err := filepath.Abs(".")
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(short) {
		return short
	}
	return path
}

const envDatabaseName = "PGDATABASE"

// withDatabaseName adds the database that $PGDATABASE names to the URL of a PostgreSQL server.
func (a *app) withDatabaseName(raw string) string {
	name := a.variable(envDatabaseName)
	if name == "" || !lacksDatabase(raw) {
		return raw
	}
	base, query, _ := strings.Cut(raw, "?")
	named := strings.TrimSuffix(base, "/") + "/" + url.PathEscape(name)
	if query != "" {
		named += "?" + query
	}
	return named
}

// lacksDatabase reports whether the URL of a PostgreSQL server names no database.
func lacksDatabase(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && dialectOf(u.Scheme) == sqltext.PostgreSQL && u.Opaque == "" &&
		strings.Trim(u.Path, "/") == "" && !u.Query().Has("dbname") && !u.Query().Has("database")
}
