package postgres

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// longestApp is how many bytes of an application_name the server keeps, and longestTask how many of
// them a script gets if the application's own name is long.
const (
	longestApp  = 63
	longestTask = 40
)

// taskOf returns the name of a script for others: that of its file, without its extensions.
func taskOf(file string) string {
	return ascii(strings.TrimSuffix(strings.TrimSuffix(path.Base(file), ".sql"), ".up"))
}

// appOf returns the application_name of a session while it executes a script:
// "billing: 0005_orders_by_time".
func appOf(app, file string) string {
	app, task := cmp.Or(ascii(app), "whimbrel"), taskOf(file)
	if len(app)+2+len(task) > longestApp {
		task = task[:min(len(task), max(longestTask, longestApp-2-len(app)))]
		app = app[:min(len(app), longestApp-2-len(task))]
	}
	return app + ": " + task
}

// split separates the script from the application's own name.
func split(h database.Holder) database.Holder {
	if i := strings.LastIndex(h.App, ": "); i >= 0 {
		h.App, h.Task = h.App[:i], h.App[i+2:]
	}
	return h
}

// ownApp returns the application_name that the connection has without a script.
func (db *Database) ownApp(c *conn) string {
	if db.sayApp {
		return db.opts.App
	}
	return c.parameter("application_name")
}

// nameTask names a script in the Tx's session, until the transaction ends, with whatever is sent
// next.
func (b *transaction) nameTask(file string) {
	name := appOf(b.app, file)
	if b.session.known {
		b.session.Settings["application_name"] = name // not a change of the script
	}
	b.name = "SET LOCAL application_name = " + literal(name)
}

// named adds the query that names the script to those that are sent next.
func (b *transaction) named(queries ...query) []query {
	if b.name == "" || len(queries) == 0 {
		return queries
	}
	name := silent(b.name)
	b.name = ""
	return append([]query{name}, queries...)
}

// nameTask returns the query that names a script in the worker's session, unless it is named. local
// limits it to a transaction.
func (r *run) nameTask(file string, local bool) []query {
	if file == "" || !local && r.task == file {
		return nil
	}
	set := "SET "
	if local {
		set = "SET LOCAL "
	} else {
		r.task, r.named = file, true
	}
	return []query{silent(set, "application_name = ", literal(appOf(r.app, file)))} // it takes no snapshot
}

// shown returns the holder of a lock as others are shown it: with its script, and without a query
// of Whimbrel's own.
func (db *Database) shown(h database.Holder) database.Holder {
	h = split(h)
	h.Query = db.scripts(h.Query)
	return h
}

// described adds to the holder of a set's lock what it executes. A run executes it in another
// session than the one that holds the lock: the journal names it.
func (db *Database) described(ctx context.Context, c *conn, l location, set string, h database.Holder) database.Holder {
	guard := strings.HasPrefix(h.Query, "-- whimbrel:") || strings.HasPrefix(h.Query, "SET LOCAL ")
	running := !guard && h.Query != ""
	h = db.shown(h)
	if h.PID == 0 || h.Task != "" || running {
		return h
	}
	h.Query = ""
	var version int64
	var name, app, sql string
	err := c.pipeline(ctx, query{
		sql: "SELECT j.version, j.name, coalesce(a.application_name, ''), CASE WHEN a.query <> '<insufficient privilege>' AND a.state = 'active' THEN a.query END FROM " +
			table(l.schema, db.names.Journal) + " j LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = j.backend_pid AND coalesce(a.backend_start = j.backend_start, true) WHERE j.set_name = $1",
		args: []arg{keptAsASCII(set)},
		row: func(r *row) error {
			version, name, app, sql = r.number(), r.kept(), r.text(), r.text()
			return r.err
		},
	})
	if err != nil {
		return h // the holder is only informative
	}
	h.Task, h.Query = split(database.Holder{App: app}).Task, db.scripts(sql)
	if h.Task == "" && version != database.NilVersion {
		h.Task = strings.TrimSuffix(fmt.Sprintf("%04d_%s", version, name), "_")
	}
	return h
}

// scripts returns a query without its literals if it is one of a script, and "" if it is one of
// Whimbrel's own.
func (db *Database) scripts(sql string) string {
	low := strings.ToLower(sql)
	for _, own := range db.Tables() {
		if strings.Contains(low, own) {
			return ""
		}
	}
	for _, own := range []string{
		"select pg_catalog.", "select case when pg_catalog.", "select coalesce(pg_catalog.", "select exists (select from pg_catalog.", "select not exists (select from pg_catalog.",
		"select 1 / (", "select 1 operator(pg_catalog./) (", "select c.relname, c.relnamespace::regnamespace", "select current_catalog, current_user, pg_catalog.", "select k.mine, k.open, pg_catalog.",
		"with one as (", "with mine as (", "with was as materialized (", "with recursive me as", "-- whimbrel", "begin", "commit", "rollback", "reset search_path",
		"set local idle_in_transaction_session_timeout", "set local transaction_timeout", "set local lock_timeout", "set local application_name", "set application_name",
	} {
		if strings.HasPrefix(low, own) {
			return ""
		}
	}
	return sqltext.MaskLiterals(sql, sqltext.PostgreSQL)
}
