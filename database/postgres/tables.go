package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

// tablesVersion is the version of Whimbrel's tables that this build creates and supports. Their
// migrations are the set migration.ReservedSet.
const tablesVersion = 1

// createTables are the statements that create the tables. %[1]s is the history, %[2]s the settings,
// %[3]s the journal.
var createTables = []string{
	`CREATE TABLE %[1]s (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	set_name text NOT NULL,
	version bigint NOT NULL,
	name text NOT NULL,
	direction text NOT NULL,
	checksum text,
	down_checksum text,
	up_text text,
	down_text text,
	has_down_text boolean NOT NULL DEFAULT false,
	up_directives text NOT NULL DEFAULT '',
	down_directives text NOT NULL DEFAULT '',
	started_at timestamptz NOT NULL,
	duration_us bigint NOT NULL,
	tried text NOT NULL DEFAULT '',
	error text NOT NULL DEFAULT '',
	retries integer NOT NULL DEFAULT 0,
	lock_wait_us bigint NOT NULL DEFAULT 0,
	db_user text NOT NULL,
	os_user text NOT NULL,
	host text NOT NULL,
	app text NOT NULL,
	actor text NOT NULL,
	tool_version text NOT NULL,
	reason text NOT NULL,
	remark text NOT NULL DEFAULT ''
)`,
	`CREATE INDEX ON %[1]s (set_name, id)`,
	`CREATE TABLE %[2]s (
	name text PRIMARY KEY,
	value text NOT NULL,
	reason text NOT NULL,
	changed_by text NOT NULL,
	changed_at timestamptz NOT NULL,
	until timestamptz
)`,
	`CREATE TABLE %[3]s (
	set_name text PRIMARY KEY,
	token text NOT NULL,
	lock_key bigint NOT NULL,
	version bigint NOT NULL DEFAULT -1,
	name text NOT NULL DEFAULT '',
	direction text NOT NULL DEFAULT '',
	checksum text NOT NULL DEFAULT '',
	statements bigint NOT NULL DEFAULT 0,
	done bigint NOT NULL DEFAULT 0,
	done_checksum text NOT NULL DEFAULT '',
	begun text NOT NULL DEFAULT '',
	before text NOT NULL DEFAULT '',
	error text NOT NULL DEFAULT '',
	started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	db_user text NOT NULL DEFAULT session_user,
	os_user text NOT NULL DEFAULT '',
	host text NOT NULL DEFAULT '',
	app text NOT NULL DEFAULT '',
	actor text NOT NULL DEFAULT '',
	pid bigint NOT NULL DEFAULT 0,
	backend_pid int,
	backend_start timestamptz,
	backend_user oid
)`,
}

// tableColumns are the columns of each table, in the order of the roles, as a nested array. They
// are derived from the statements once.
var tableColumns = sync.OnceValue(func() arg {
	var all []string
	for _, columns := range columnsOfTables() {
		all = append(all, *array(columns))
	}
	return array(all)
})

// columnsOfTables returns the names of the columns of each table, in the order of the roles.
func columnsOfTables() (all [][]string) {
	for _, stmt := range []string{createTables[0], createTables[2], createTables[3], metadataTable, backfillsTable, lanesTable} {
		var columns []string
		for line := range strings.Lines(stmt) {
			if name, _, ok := strings.Cut(strings.TrimPrefix(line, "\t"), " "); ok && line[0] == '\t' && name == strings.ToLower(name) {
				columns = append(columns, name)
			}
		}
		all = append(all, columns)
	}
	return all
}

// createText returns the statement that creates one of the tables, on one line.
func (db *Database) createText(schema string, r role) string {
	i := map[role]int{history: 0, settings: 2, journal: 3}[r]
	return strings.Join(strings.Fields(fmt.Sprintf(createTables[i], db.tableNames(schema)...)), " ")
}

// tableNames returns the arguments of createTables.
func (db *Database) tableNames(schema string) []any {
	n := db.names
	return []any{table(schema, n.History), table(schema, n.Settings), table(schema, n.Journal)}
}

// ensureTables finds Whimbrel's tables, or creates them and the schema that the options name. It
// creates them in a transaction of its own, under a lock that is the same for any search path, and
// waits for that lock up to the limit in opts. It leaves no transaction open.
func (db *Database) ensureTables(ctx context.Context, c *conn, opts database.LockOptions) (location, error) {
	l, err := db.located(), error(nil)
	if !l.looked() { // else they were missing a moment ago, and create looks again
		l, err = db.locate(ctx, c)
	}
	if err != nil || l.made() {
		return l, err
	}
	if made, err := db.createAtOnce(ctx, c, l); err == nil || c.broken() {
		return made, err
	}
	for try := 1; ; try++ {
		l, err = db.create(ctx, c, opts)
		c.rollback()
		// A process with another lock may create the same schema at the same time.
		if try == 3 || !hasCode(err, "42P06", "42P07", "23505") {
			return l, tableError(l.schema, err)
		}
	}
}

// create creates the tables, unless they exist once it has the lock.
func (db *Database) create(ctx context.Context, c *conn, opts database.LockOptions) (l location, err error) {
	err = db.poll(ctx, c, migration.ReservedSet, opts, func(ctx context.Context) (got bool, holder database.Holder, err error) {
		err = c.pipeline(ctx, command("BEGIN ISOLATION LEVEL READ COMMITTED"), c.learnServer(), query{
			sql:  "SELECT pg_catalog.pg_try_advisory_xact_lock(" + creationKey + ")",
			args: []arg{text(db.names.History)},
			row:  into(&got),
		})
		if err == nil {
			err = db.checkServer(c, got)
		}
		if err == nil && !got {
			holder = db.shown(db.holderOf(ctx, c, creationKey, text(db.names.History)))
		}
		if err != nil || !got {
			c.rollback()
		}
		return got, holder, err
	})
	if locked, ok := drivers.AsType[*database.LockedError](err); ok {
		locked.What = "the creation of Whimbrel's tables"
	}
	if err != nil {
		return l, err
	}
	l, haveSchema, err := db.locateNone(ctx, c)
	if err != nil || l.made() {
		return l, err
	}
	if l.schema == "" {
		return l, errNoSchema
	}
	var queries []query
	if !haveSchema {
		queries = append(queries, command("CREATE SCHEMA "+quote(l.schema)))
	}
	made, err := db.locateNew(ctx, c, append(queries, db.createQueries(l.schema)...)...)
	if err != nil {
		return l, err
	}
	return made, c.pipeline(ctx, command("COMMIT"))
}

// createAtOnce creates the tables in one round trip, if it gets the lock at once, the database has
// no relation with one of their names, and the schema is the first of the search path, as it was
// when the tables were looked for. Otherwise it changes nothing and returns an error, which create
// can explain.
func (db *Database) createAtOnce(ctx context.Context, c *conn, l location) (location, error) {
	if l.schema == "" || db.opts.Schema != "" || db.unknown.Load() != nil {
		return location{}, errNotAtOnce
	}
	// unless fails if a condition does not hold, so that nothing after it is executed.
	unless := func(condition string, path searchPath, args ...arg) query {
		return query{sql: "SELECT 1 OPERATOR(pg_catalog./) ((" + condition + ") IS TRUE)::int", path: path, args: args}
	}
	f := &finder{db: db}
	find := f.quick(c, false)
	queries := []query{
		command("BEGIN ISOLATION LEVEL READ COMMITTED"), find[0],
		unless("(pg_catalog.current_schemas(false))[1] OPERATOR(pg_catalog.=) $1::pg_catalog.name", callers, text(l.schema)),
		c.learnServer(),
		unless("pg_catalog.pg_try_advisory_xact_lock("+creationKey+")", inPgCatalog, text(db.names.History)),
		unless("NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = ANY ($1::name[]))", inPgCatalog, array(db.ownTables())),
	}
	queries = append(queries, db.createQueries(l.schema)...)
	queries = append(queries, find[1], unless("pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) '"+unsurePath+"'", inPgCatalog), command("COMMIT"))
	err := c.pipeline(ctx, queries...)
	if err == nil && (!f.sure() || len(f.relations) == 0) {
		err = errNotAtOnce
	}
	if err == nil {
		l, err = f.decide()
	}
	if err != nil {
		c.rollback()
		db.first.Store(0)
		return location{}, err
	}
	db.learn(l)
	return l, nil
}

// errNotAtOnce reports that the tables can't be created in one round trip.
var errNotAtOnce = errors.New("the tables can't be created at once")

// createQueries create the tables in a schema that exists, and record that.
func (db *Database) createQueries(schema string) (all []query) {
	for _, stmt := range createTables {
		all = append(all, makeTable(stmt, db.tableNames(schema)...))
	}
	return append(all, db.recordQuery(schema, database.Entry{
		Set: migration.ReservedSet, Version: tablesVersion, Name: "tables", Direction: database.Up, Remark: "Whimbrel's own tables",
	}, sinceBegin, func(e database.Entry) { db.first.Store(e.ID) }))
}

// The start of an entry's duration if the entry has no time: the transaction's beginning, or the
// mark that the Tx set.
const (
	sinceBegin = `pg_catalog.now()`
	sinceMark  = `coalesce(pg_catalog.to_timestamp(CASE WHEN pg_catalog.current_setting('whimbrel.mark', true) OPERATOR(pg_catalog.<>) '' THEN pg_catalog.current_setting('whimbrel.mark')::pg_catalog.float8 END), pg_catalog.now())`
)

// recordQuery appends an entry, and passes it to then as stored. If the entry has no time, the
// server computes it, from since to now. The query contains nothing unnecessary: parsing costs more
// than the row.
func (db *Database) recordQuery(schema string, e database.Entry, since string, then func(database.Entry)) query {
	var up, down arg
	if e.UpText != "" {
		up = db.kept(e.UpText)
	}
	if e.HasDownText = e.HasDownText || e.DownText != ""; e.HasDownText {
		down = db.kept(e.DownText)
	}
	p := db.process
	args := []arg{
		keptAsASCII(e.Set), number(e.Version), db.kept(e.Name), text(string(e.Direction)), checksum(e.Checksum), checksum(e.DownChecksum),
		up, down, boolean(e.HasDownText), text(e.UpDirectives.String()), text(e.DownDirectives.String()),
		db.kept(p.OSUser), db.kept(p.Host), db.kept(p.App), db.kept(p.Actor), db.kept(e.ToolVersion), db.kept(e.Reason),
	}
	started, duration := since, "(extract(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) "+since+") OPERATOR(pg_catalog.*) 1000000)::bigint"
	if at := moment(e.StartedAt); at != nil {
		started, duration = "$18", "$19"
		args = append(args, at, number(e.Duration.Microseconds()))
	}
	columns, values := "", ""
	add := func(names string, one, other arg) { // two columns that most entries leave at their defaults
		n := len(args)
		columns, values = columns+names, values+fmt.Sprintf(", $%d, $%d", n+1, n+2)
		args = append(args, one, other)
	}
	if e.Tried != "" {
		add(", tried, error", text(string(e.Tried)), db.kept(e.Error))
	}
	if e.LockWait = e.LockWait.Truncate(time.Microsecond); e.Retries != 0 || e.LockWait != 0 {
		add(", retries, lock_wait_us", number(int64(e.Retries)), number(e.LockWait.Microseconds()))
	}
	if e.Remark != "" {
		args = append(args, db.kept(e.Remark))
		columns, values = columns+", remark", fmt.Sprintf("%s, $%d", values, len(args))
	}
	return query{
		sql: written("INSERT INTO "+table(schema, db.names.History)+` (set_name, version, name, direction, checksum, down_checksum, up_text, down_text,
	has_down_text, up_directives, down_directives, os_user, host, app, actor, tool_version, reason, db_user, started_at, duration_us`+columns+`)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, session_user, `+started+`, `+duration+values+`)`, "id", "started_at", "duration_us", "db_user", "app"),
		args:    args,
		path:    callers,
		often:   true,
		formats: []int16{0, 0, 1, 0, 0, 0},
		fail:    db.notWritten,
		row: func(r *row) error {
			r.next = 1
			e.ID, e.StartedAt, e.Duration = r.number(), r.time(), microseconds(r.number())
			e.DBUser, e.App, e.OSUser, e.Host, e.Actor = r.text(), r.kept(), p.OSUser, p.Host, p.Actor
			e.UpText, e.DownText = "", ""
			if then != nil {
				then(e)
			}
			return r.err
		},
	}
}

// written makes a statement that writes one row fail if it writes none: a trigger or rule may have
// dropped the row. Later queries, including COMMIT, are then not executed. The row is returned from
// the second column on. Aggregates are the cheapest query that has an answer without a row, too.
func written(statement string, returning ...string) string {
	return "WITH one AS (" + statement + " RETURNING " + strings.Join(returning, ", ") +
		")\nSELECT 1 OPERATOR(pg_catalog./) pg_catalog.count(*), pg_catalog.max(" + strings.Join(returning, "), pg_catalog.max(") + ") FROM one"
}

// alsoAsking adds n columns to a query of the form of written.
func alsoAsking(q query, n int, columns string) query {
	const from = " FROM one"
	q.sql = strings.TrimSuffix(q.sql, from) + ", " + columns + from
	q.formats = append(slices.Clone(q.formats), make([]int16, n)...)
	return q
}

// notWritten explains that no row was written.
func (db *Database) notWritten(pg *pgconn.PgError) error {
	if pg.Code != divisionByZero {
		return ownError("", pg)
	}
	return &database.TablesError{
		Problem: database.TablesAltered, Table: quote(db.names.History),
		Msg:  fmt.Sprintf("the history %q did not store the row written to it: a trigger or rule dropped it, so the transaction was rolled back", db.names.History),
		Hint: "drop the trigger or rule",
		Err:  ownError("", pg),
	}
}

// markQuery sets the start of the next entry's duration.
func markQuery() query {
	return query{sql: `SELECT pg_catalog.set_config('whimbrel.mark', extract(epoch FROM pg_catalog.clock_timestamp())::pg_catalog.text, true)`, path: callers}
}

// moment returns NULL for the zero time.
func moment(t time.Time) arg {
	if t.IsZero() {
		return nil
	}
	return text(t.UTC().Format("2006-01-02T15:04:05.000000Z07:00"))
}

func microseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

func checksum(c migration.Checksum) arg {
	if c.IsZero() {
		return nil
	}
	return text(c.String())
}
