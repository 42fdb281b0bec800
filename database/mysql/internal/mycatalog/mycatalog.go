// Package mycatalog makes a catalog.Snapshot of a MySQL or MariaDB database: of lists that
// information_schema has, a fixed number of questions, and of what SHOW CREATE says of each
// object. MariaDB is asked for the latter in blocks of hundreds; MySQL, which has no anonymous
// blocks, one by one. The package also lists what a reset drops, what metadata can be about, and
// makes scratch databases.
//
// There are as many files as there are kinds of objects that go together.
//
// What is left out: who defined a view, routine, trigger or event (DEFINER: whoever executes the
// text), the character set and collation of the client that did, counters of AUTO_INCREMENT, where
// sequences stand, privileges, and the defaults of the database itself. When a recurring event starts
// is left out if that was the moment in which it was made. The name of the database is taken out of
// definitions.
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

// attempts is how often a snapshot is begun when what was listed is gone a moment later.
const attempts = 3

// Read returns the contents of the current database without the tables in own, in whatever case
// their names are. It changes sql_mode, sql_quote_show_create, sql_select_limit and time_zone of the session, and puts them back. The
// server has no way to read all of it as it is at one moment: a change in between may be in it in part.
func Read(ctx context.Context, q Queryer, opts catalog.Options, own []string) (s *catalog.Snapshot, err error) {
	for range attempts {
		s, err = read(ctx, q, opts, own)
		if !vanished(err) {
			break
		}
	}
	return s, err
}

// vanished says that an object was dropped after it was listed.
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

// utc is the time zone in which definitions are read, and a text is executed: what is said of a timestamp, such as
// its default, depends on the session's.
const utc = "+00:00"

// tolerant is a sql_mode in which old defaults such as '0000-00-00' are no error, and texts are read as they
// are written here.
const tolerant = "NO_ENGINE_SUBSTITUTION"

// usualMode returns the sql_mode in which a text is executed but for what must have another: the server's, in
// which most routines will have been made, unless constants and names would be read otherwise in it.
func usualMode(global string) string {
	for _, other := range []string{"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "IGNORE_SPACE"} {
		if strings.Contains(global, other) {
			return tolerant
		}
	}
	return global
}

// inMode returns a statement with those that make it run in a sql_mode.
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
	foldCase bool // the server doesn't tell apart names of databases and tables by case

	objects []catalog.Object
	omitted []string
	tables  []*table
	shows   []show
}

// begin finds out about the session, and makes the server write definitions in one way; end puts back
// what it has changed.
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

// from returns the end of a question to information_schema: about this database alone, by its name as a
// constant, with which the server need not look into the others.
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
