// Package mycatalog creates a catalog.Snapshot of a MySQL or MariaDB database from a fixed number
// of information_schema queries and from SHOW CREATE of each object. It queries MariaDB in blocks
// of hundreds of objects. MySQL has no anonymous blocks, so it queries MySQL object by object. The
// package also lists the objects that a reset drops and those that metadata can describe, and
// creates scratch databases.
//
// Each file covers objects that belong together.
//
// A snapshot omits: who defined a view, routine, trigger or event (the user that executes the text
// becomes the DEFINER), the client's character set and collation at that time, AUTO_INCREMENT
// counters, current values of sequences, privileges, and the defaults of the database itself. It
// omits the start of a recurring event if that was its creation time. It removes the database's
// name from definitions.
package mycatalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Queryer is a *sql.Conn, *sql.Tx or *sql.DB of github.com/go-sql-driver/mysql.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// attempts is how often a snapshot begins if an object disappears between listing and reading it.
const attempts = 3

// Read returns the contents of the current database without the tables in own and the triggers in
// own that Whimbrel creates for backfills, whatever the case of
// their names. It changes sql_mode, sql_quote_show_create, sql_select_limit and time_zone of the
// session and restores them. The server can't read everything as of one moment: a concurrent change
// may be included in part.
func Read(ctx context.Context, q Queryer, opts catalog.Options, own []string) (s *catalog.Snapshot, err error) {
	for range attempts {
		s, err = read(ctx, q, opts, own)
		if !vanished(err) {
			break
		}
	}
	return s, err
}

// vanished reports that an object was dropped after it was listed.
func vanished(err error) bool {
	var e *mysql.MySQLError
	const noTable, noRoutine, noTrigger, noEvent, noSequence = 1146, 1305, 1360, 1539, 4091
	return errors.As(err, &e) && slices.Contains([]uint16{noTable, noRoutine, noTrigger, noEvent, noSequence}, e.Number)
}

func read(ctx context.Context, q Queryer, opts catalog.Options, own []string) (*catalog.Snapshot, error) {
	r, end, err := begin(ctx, q, own)
	if err != nil {
		return nil, err
	}
	defer end()
	return r.snapshot(ctx, opts)
}

func (r *reader) snapshot(ctx context.Context, opts catalog.Options) (*catalog.Snapshot, error) {
	if opts.Schemas == nil || slices.Contains(opts.Schemas, r.database) {
		for _, list := range []func(context.Context) error{r.listTables, r.listRoutines, r.listTriggers, r.listEvents, r.showAll, r.makeTables} {
			if err := list(ctx); err != nil {
				return nil, err
			}
		}
	}
	s := catalog.New(sqltext.MySQL.String(), r.version, r.objects)
	s.Preamble = []string{
		"SET foreign_key_checks = 0", // a key may refer to what isn't there
		"SET sql_mode = " + literal(r.mode),
		"SET time_zone = " + literal(utc),
	}
	slices.Sort(r.omitted)
	s.Omitted = r.omitted
	return s, nil
}

// utc is the time zone in which definitions are read and texts executed. The session's time zone
// affects how the server writes timestamps, such as defaults.
const utc = "+00:00"

// tolerant is a sql_mode in which old defaults such as '0000-00-00' are no error and the server
// reads texts as this package writes them.
const tolerant = "NO_ENGINE_SUBSTITUTION"

// usualMode returns the sql_mode in which a text is executed unless it needs another: the server's,
// which most routines were created with, unless constants and names would be read differently in
// it.
func usualMode(global string) string {
	for _, other := range []string{"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "IGNORE_SPACE"} {
		if strings.Contains(global, other) {
			return tolerant
		}
	}
	return global
}

// inMode returns a statement with those that run it in a sql_mode.
func (r *reader) inMode(mode, sql string) []string {
	if mode == r.mode {
		return []string{sql}
	}
	return []string{"SET sql_mode = " + literal(mode), sql, "SET sql_mode = " + literal(r.mode)}
}

// reader collects objects.
type reader struct {
	q        Queryer
	own      map[string]bool // in lower case
	only     map[string]bool // the tables that are looked at; nil means all
	database string
	version  string
	mode     string // the text's sql_mode
	mariadb  bool
	perBlock int  // how many definitions are asked for at once
	whole    bool // a CREATE TABLE has foreign keys, and the value of AUTO_INCREMENT
	foldCase bool // the server doesn't tell apart names of databases and tables by case

	objects []catalog.Object
	omitted []string
	tables  []*table
	shows   []show
}

// begin reads the state of the session and makes the server write definitions uniformly. end
// restores the session.
func begin(ctx context.Context, q Queryer, own []string) (r *reader, end func(), err error) {
	release := func() {}
	if pool, ok := q.(*sql.DB); ok {
		c, err := pool.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		q, release = c, func() { c.Close() }
	}
	r = &reader{q: q, own: lowered(own)}
	var mode, global, quotes, zone, limit string
	err = r.each(ctx, "SELECT coalesce(database(), ''), version(), @@lower_case_table_names > 0, @@SESSION.sql_mode, @@GLOBAL.sql_mode, @@SESSION.sql_quote_show_create, @@SESSION.time_zone, @@SESSION.sql_select_limit", func(row *sql.Rows) error {
		return row.Scan(&r.database, &r.version, &r.foldCase, &mode, &global, &quotes, &zone, &limit)
	})
	if err == nil && r.database == "" {
		err = errors.New("no database is selected; name one in the URL, behind the host: mysql://user@host/database")
	}
	if err == nil {
		_, err = q.ExecContext(ctx, "SET SESSION sql_mode = '', SESSION sql_quote_show_create = 1, SESSION sql_select_limit = 18446744073709551615, SESSION time_zone = "+literal(utc))
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	r.mode = usualMode(global)
	r.perBlock = 1
	if r.mariadb = strings.Contains(r.version, "MariaDB"); r.mariadb {
		r.perBlock = 250
	}
	return r, func() {
		q.ExecContext(context.WithoutCancel(ctx), "SET SESSION sql_mode = "+literal(mode)+", SESSION sql_quote_show_create = "+quotes+", SESSION sql_select_limit = "+limit+", SESSION time_zone = "+literal(zone))
		release()
	}, nil
}

// each calls f for each row of an answer.
func (r *reader) each(ctx context.Context, query string, f func(row *sql.Rows) error) error {
	rows, err := r.q.QueryContext(ctx, Whole(query))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// eachText calls f with the values of each row; NULL is "".
func (r *reader) eachText(ctx context.Context, query string, f func(values []string)) error {
	return r.each(ctx, query, func(row *sql.Rows) error {
		values, err := texts(row)
		if err == nil {
			f(values)
		}
		return err
	})
}

// texts returns the values of a row as texts.
func texts(row *sql.Rows) ([]string, error) {
	columns, err := row.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := row.Scan(into...); err != nil {
		return nil, err
	}
	all := make([]string, len(columns))
	for i, v := range values {
		all[i] = v.String
	}
	return all, nil
}

// from returns the end of an information_schema query, restricted to this database by a constant,
// so that the server need not search the others.
func (r *reader) from(table, column string) string {
	return " FROM information_schema." + table + " WHERE " + column + " = " + literal(r.database)
}

// quote quotes a name.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// literal writes a string as a constant, for a session without NO_BACKSLASH_ESCAPES.
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`, "\n", `\n`, "\r", `\r`, "\x00", `\0`, "\x1a", `\Z`).Replace(s) + "'"
}

// id returns the ID of an object.
func id(kind catalog.Kind, of, name string) string {
	return (&catalog.Object{Kind: kind, Of: of, Name: name}).ID()
}
