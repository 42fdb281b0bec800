package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
)

// Whimbrel looks for its tables in all schemas of the database, since a migration, a role or a
// setting can change the first schema of the search path. It reads only catalogs, which every role
// can read, so it also finds tables that the role can't read.

// role identifies one of Whimbrel's tables.
type role int

const (
	history role = iota + 1
	settings
	journal
	metadataOf
	backfills
	lanes
)

// ownTable is a relation with the name of one of Whimbrel's tables.
type ownTable struct {
	Role     role   `json:"role"`
	Schema   string `json:"schema"`
	Name     string `json:"name"`
	OID      int64  `json:"oid"`
	Kind     string `json:"kind"` // pg_class.relkind
	Owner    string `json:"owner"`
	OwnerID  int64  `json:"owner_id"`
	Trusted  bool   `json:"trusted"`  // the owner is trusted
	Usage    bool   `json:"usage"`    // the role may use the schema
	Readable bool   `json:"readable"` // the role may read the table
	Fits     bool   `json:"fits"`     // it has the columns of Whimbrel's table
	Made     bool   `json:"made"`     // it also has their form
	Unlogged bool   `json:"unlogged"`
	Inherits bool   `json:"inherits"`
	Hidden   bool   `json:"hidden"` // row-level security applies to the role
	Trigger  string `json:"trigger"`
	Rule     string `json:"rule"`
	Code     string `json:"code"` // a user-defined object that it depends on
}

func (r ownTable) full() string { return table(r.Schema, r.Name) }

// safe reports whether reading and writing the table has no side effects.
func (r ownTable) safe() bool {
	return r.Kind == "r" && !r.Unlogged && !r.Inherits && !r.Hidden && r.Trigger == "" && r.Rule == "" && r.Code == ""
}

// tablesQuery finds the relations named like Whimbrel's tables. $1 has the names in the order of
// the roles, $2 the requested schema or "", $3 the role that Options trust, and $4 the columns of
// each table.
//
// The history is the one table that has the right columns and a trusted owner. A superuser counts
// only as a member of roles granted to it, and doesn't trust the database's owner: the history
// contains scripts, which run with the superuser's rights.
//
// Code that the relations can run is found through their dependencies; built-in objects have none.
const tablesQuery = `WITH RECURSIVE me AS MATERIALIZED (
	SELECT oid, rolsuper AS super FROM pg_catalog.pg_roles WHERE rolname = current_user
), mine AS (
	SELECT oid FROM me UNION SELECT m.roleid FROM mine JOIN pg_catalog.pg_auth_members m ON m.member = mine.oid
), named AS MATERIALIZED (
	SELECT name, role, columns::name[] FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($4::text[])) WITH ORDINALITY AS u (name, columns, role)
), rel AS MATERIALIZED (
	SELECT n.role, s.nspname AS schema, c.relname AS name, c.oid::bigint AS oid, c.relkind AS kind, o.rolname AS owner, o.oid::bigint AS owner_id,
		o.rolsuper OR o.rolname = $3::text::name OR CASE WHEN me.super THEN o.oid IN (SELECT oid FROM mine)
			ELSE pg_catalog.pg_has_role(o.oid, 'USAGE') OR o.rolname = 'pg_database_owner'
				OR o.oid = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) END AS trusted,
		pg_catalog.has_schema_privilege(s.oid, 'USAGE') AS usage,
		a.readable,
		a.fits, a.fits AND a.made AND c.relkind = 'r' AS made,
		c.relpersistence <> 'p' AS unlogged,
		c.relispartition OR EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid OR i.inhparent = c.oid) AS inherits,
		pg_catalog.row_security_active(c.oid) AS hidden,
		(SELECT t.tgname FROM pg_catalog.pg_trigger t WHERE c.relhastriggers AND t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D' LIMIT 1) AS trigger,
		(SELECT w.rulename FROM pg_catalog.pg_rewrite w WHERE c.relhasrules AND w.ev_class = c.oid AND w.ev_enabled <> 'D' AND c.relkind <> 'v' LIMIT 1) AS rule,
		(SELECT pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0) FROM (
				SELECT 'pg_catalog.pg_class'::regclass::oid AS classid, c.oid AS objid
				UNION ALL SELECT 'pg_catalog.pg_attrdef'::regclass, oid FROM pg_catalog.pg_attrdef WHERE adrelid = c.oid
				UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, oid FROM pg_catalog.pg_constraint WHERE conrelid = c.oid
				UNION ALL SELECT 'pg_catalog.pg_class'::regclass, indexrelid FROM pg_catalog.pg_index WHERE indrelid = c.oid
				UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::regclass, oid FROM pg_catalog.pg_statistic_ext WHERE stxrelid = c.oid
			) AS o CROSS JOIN LATERAL ( -- OFFSET 0: for each o, by the index on the dependent object
				SELECT refclassid, refobjid FROM pg_catalog.pg_depend WHERE classid = o.classid AND objid = o.objid AND refobjid >= 16384
				AND refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_type'::regclass, 'pg_catalog.pg_opclass'::regclass) OFFSET 0
			) AS d LIMIT 1) AS code
	FROM named n JOIN pg_catalog.pg_class c ON c.relname = n.name::name
	JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace AND s.nspname !~ '^pg_' AND s.nspname <> 'information_schema'
	JOIN pg_catalog.pg_roles o ON o.oid = c.relowner
	CROSS JOIN me CROSS JOIN LATERAL (
		SELECT pg_catalog.count(*) = pg_catalog.cardinality(n.columns) AS fits, pg_catalog.bool_and(n.role <> 1 OR attname <> 'id' OR attidentity <> '') AS made,
			pg_catalog.bool_and(attname IN ('up_text', 'down_text') OR pg_catalog.has_column_privilege(c.oid, attnum, 'SELECT')) AS readable -- a read-only role may lack the texts
		FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attname = ANY (n.columns)
	) AS a
	WHERE c.relkind NOT IN ('i', 'I', 'S', 't')
), candidate AS MATERIALIZED (
	SELECT schema FROM rel WHERE role = 1 AND made AND trusted AND ($2::text = '' OR schema = $2::text::name)
), chosen AS MATERIALIZED (
	SELECT schema FROM candidate WHERE (SELECT pg_catalog.count(*) FROM candidate) = 1
	AND (SELECT pg_catalog.count(*) FROM rel WHERE rel.schema = candidate.schema AND role <= 3 AND made AND trusted AND usage AND readable
		AND NOT unlogged AND NOT inherits AND NOT hidden AND trigger IS NULL AND rule IS NULL AND code IS NULL) = 3
)
SELECT pg_catalog.current_database(), current_user, (SELECT pg_catalog.json_agg(rel ORDER BY role, schema) FROM rel)`

// steerPath sets the search path of the following queries in the pipeline to the schema of the
// tables that were found, or to nothing if they must not be read. It also limits how long these
// queries wait for locks.
const steerPath = `, pg_catalog.set_config('search_path', coalesce((SELECT pg_catalog.quote_ident(schema) FROM chosen) || ', pg_temp', 'pg_catalog, pg_temp'), true),
	pg_catalog.set_config('lock_timeout', $5, true)`

// finder runs a tablesQuery and holds its result.
type finder struct {
	db        *Database
	asked     bool
	unsure    bool // of a relation that quickQuery found
	database  string
	user      string
	first     string // first schema of the search path
	relations []ownTable
}

// queries returns the queries that find the tables. If steer is set, they must be first in a
// pipeline that is a transaction of its own.
func (f *finder) queries(steer bool) []query {
	q := query{
		sql:   tablesQuery,
		args:  f.args(steer),
		quiet: true,
		row: func(r *row) error {
			f.asked, f.database, f.user = true, r.text(), r.text()
			if doc := r.bytes(); doc != nil {
				if err := json.Unmarshal(doc, &f.relations); err != nil {
					return fmt.Errorf("reading where Whimbrel's tables are: %w", err)
				}
			}
			return r.err
		},
	}
	if steer {
		q.sql += steerPath
	}
	return []query{f.firstSchema(), q}
}

// firstSchema returns the query for the first schema of the search path.
func (f *finder) firstSchema() query {
	return query{sql: "SELECT " + firstSchema, path: callers, row: func(r *row) error {
		f.first = r.text()
		return r.err
	}}
}

func (f *finder) args(steer bool) []arg {
	args := append(f.chosen(), tableColumns())
	if steer {
		args = append(args, number(f.db.lockTimeout().Milliseconds()))
	}
	return args
}

// chosen are the parameters that come from the options.
func (f *finder) chosen() []arg {
	return []arg{array(f.db.ownTables()), text(f.db.opts.Schema), text(f.db.opts.TablesOwner)}
}

// lockTimeout is the default lock timeout for Whimbrel's tables. It is never 0, which would mean no
// limit.
func (db *Database) lockTimeout() time.Duration { return max(db.opts.ReadTimeout(), time.Millisecond) }

// location is the place of Whimbrel's tables, or where they would be created.
type location struct {
	database string
	user     string // the current role
	schema   string // "" if there is no place for them
	tables   [lanes + 1]ownTable
}

// made reports whether the tables exist.
func (l location) made() bool { return l.tables[history].OID != 0 }

// looked reports whether the server was asked where the tables are.
func (l location) looked() bool { return l.database != "" }

func (l location) historyID() arg { return number(l.tables[history].OID) }

// decide returns the location of the tables. A *database.TablesError explains why they can't be
// used; the location then still has the schema, if known.
func (f *finder) decide() (location, error) {
	var found []string
	for _, r := range f.relations {
		if r.Role == history && r.Made && r.Trusted && f.db.in(r.Schema) {
			found = append(found, r.Schema)
		}
	}
	switch len(found) {
	case 0:
		l := location{database: f.database, user: f.user, schema: f.db.opts.Schema}
		if l.schema == "" {
			l.schema = f.first
		}
		return l, f.nothingIn(l.schema)
	case 1:
		l := f.at(found[0])
		return l, f.usable(l)
	}
	slices.Sort(found)
	return location{database: f.database}, &database.TablesError{
		Problem: database.TablesSeveral, Schemas: found, Role: f.user,
		Msg:  fmt.Sprintf("%s have a history %s each", listed("schema", found), quote(f.db.names.History)),
		Hint: "name the schema of the intended history",
	}
}

// in reports whether the tables may be in a schema: any, unless one was requested.
func (db *Database) in(schema string) bool { return db.opts.Schema == "" || db.opts.Schema == schema }

func (f *finder) at(schema string) location {
	l := location{database: f.database, user: f.user, schema: schema}
	for _, r := range f.relations {
		if r.Schema == schema {
			l.tables[r.Role] = r
		}
	}
	return l
}

func (db *Database) nameOf(r role) string {
	return append([]string{""}, db.ownTables()...)[r]
}

// usable returns an error if one of the tables is missing or can't be used as it is.
func (f *finder) usable(l location) error {
	for _, role := range []role{history, settings, journal} {
		r := l.tables[role]
		if r.OID == 0 {
			name := f.db.nameOf(role)
			return &database.TablesError{
				Problem: database.TablesMissing, Table: table(l.schema, name), Role: f.user,
				Msg:  fmt.Sprintf("the history exists, but its table %q in schema %q was dropped", name, l.schema),
				Hint: "restore it from a backup, or create it again without its contents",
				Fix:  f.db.createText(l.schema, role),
			}
		}
		if err := f.usableTable(r); err != nil {
			return err
		}
	}
	return nil
}

// usableTable returns an error if the table can't be used as it is.
func (f *finder) usableTable(r ownTable) error {
	switch {
	case !r.Trusted:
		return f.untrusted(r, "")
	case !r.Fits:
		return f.foreign(r)
	case !r.Made || !r.safe():
		return f.altered(r)
	case !r.Usage:
		return f.hidden(r, fmt.Sprintf("use schema %q, which contains Whimbrel's tables", r.Schema))
	case !r.Readable:
		return f.hidden(r, "read Whimbrel's table "+r.full())
	}
	return nil
}

// hidden reports that the role lacks a privilege. Fix grants everything that reading needs.
func (f *finder) hidden(r ownTable, mayNot string) error {
	l := f.at(r.Schema)
	var fix []string
	if !r.Usage {
		fix = append(fix, l.grant("USAGE", "SCHEMA "+quote(r.Schema)))
	}
	var unread []string
	for _, role := range []role{history, settings, journal, backfills, lanes} {
		if t := l.tables[role]; t.OID != 0 && !t.Readable {
			unread = append(unread, t.full())
		}
	}
	if len(unread) > 0 {
		fix = append(fix, l.grant("SELECT", strings.Join(unread, ", ")))
	}
	return &database.TablesError{
		Problem: database.TablesHidden, Table: r.full(), Role: f.user,
		Msg:  fmt.Sprintf("role %q may not %s", f.user, mayNot),
		Hint: "grant the privileges as the owner of the tables",
		Fix:  strings.Join(fix, "; "),
	}
}

// grant returns a GRANT for the current role.
func (l location) grant(privileges, object string) string {
	return fmt.Sprintf("GRANT %s ON %s TO %s", privileges, object, quote(l.user))
}

// nothingIn returns an error unless the database has no history at all. That case differs from
// a history that the role can't see or trust, or that is incomplete.
func (f *finder) nothingIn(schema string) error {
	var err error
	for _, r := range f.relations {
		if !f.db.in(r.Schema) || r.Role > journal { // the others are created later, if at all
			continue
		}
		switch here := r.Schema == schema; {
		case here && !r.Fits:
			return f.foreign(r)
		case !r.Fits:
		case r.Role == history && !r.Trusted && here:
			return f.untrusted(r, "")
		case r.Role == history && !r.Trusted:
			err = f.untrusted(r, "or, if this is not the intended history, name the schema to use; Whimbrel creates its tables in it")
		case r.Role == history:
			return f.altered(r)
		case here && !r.Trusted:
			return f.untrusted(r, "")
		case r.Trusted && f.at(r.Schema).tables[history].OID == 0:
			return &database.TablesError{
				Problem: database.TablesMissing, Table: table(r.Schema, f.db.names.History), Role: f.user,
				Msg:  fmt.Sprintf("schema %q contains Whimbrel's table %q, but its history %q was dropped or renamed", r.Schema, r.Name, f.db.names.History),
				Hint: "restore it from a backup; or, to start with nothing applied, drop the other tables as well",
			}
		}
	}
	return err
}

func (f *finder) foreign(r ownTable) error {
	return &database.TablesError{
		Problem: database.TablesForeign, Table: r.full(), Role: f.user,
		Msg:  fmt.Sprintf("the %s %s is not one of Whimbrel's, or has lost columns", kindWords[r.Kind], r.full()),
		Hint: "name another history table, or another schema",
	}
}

func (f *finder) untrusted(r ownTable, or string) error {
	e := &database.TablesError{
		Problem: database.TablesUntrusted, Table: r.full(), Owner: r.Owner, Role: f.user,
		Msg: fmt.Sprintf("the %s %s belongs to role %q, of which %q is not a member. The owner of the history can make Whimbrel execute anything with the rights of %[4]q",
			kindWords[r.Kind], r.full(), r.Owner, f.user),
		Hint: fmt.Sprintf("connect as %q, or declare that you trust that role (TablesOwner), or make %q a member of it", r.Owner, f.user),
		Fix:  fmt.Sprintf("GRANT %s TO %s", quote(r.Owner), quote(f.user)),
	}
	if or != "" {
		e.Hint = strings.Replace(e.Hint, ", or make", "; "+or+"; or make", 1)
	}
	return e
}

// altered explains how a table differs from the one that Whimbrel created.
func (f *finder) altered(r ownTable) error {
	e := &database.TablesError{Problem: database.TablesAltered, Table: r.full(), Role: f.user}
	is := fmt.Sprintf("Whimbrel's table %s ", r.full())
	switch {
	case r.Kind != "r":
		e.Msg = fmt.Sprintf("%s is a %s, not a plain table", r.full(), kindWords[r.Kind])
		e.Hint = "name the schema of the intended history, or drop or rename this one"
	case !r.Made:
		e.Msg = fmt.Sprintf("%s has the columns of a history, but its id is not an identity column: it is a copy of one", r.full())
		e.Hint = "restore the original history, or rename the copy"
	case r.Inherits:
		e.Msg = is + "inherits from a table, or a table inherits from it, so they share rows"
		e.Hint = "separate the tables with ALTER TABLE … NO INHERIT or DETACH PARTITION"
	case r.Unlogged:
		e.Msg = is + "is unlogged: a crash of the server would empty it"
		e.Hint, e.Fix = "make it a logged table", fmt.Sprintf("ALTER TABLE %s SET LOGGED", r.full())
	case r.Hidden:
		e.Problem = database.TablesHidden
		e.Msg = is + fmt.Sprintf("has row-level security, which can hide rows from role %q", f.user)
		e.Hint, e.Fix = "connect as a role to which it does not apply (the owner, or one with BYPASSRLS), or disable it", fmt.Sprintf("ALTER TABLE %s DISABLE ROW LEVEL SECURITY", r.full())
	case r.Trigger != "":
		e.Msg = is + fmt.Sprintf("has a trigger %q, which can change or drop what Whimbrel writes, with the rights of %q", r.Trigger, f.user)
		e.Hint, e.Fix = "drop it", fmt.Sprintf("DROP TRIGGER %s ON %s", quote(r.Trigger), r.full())
	case r.Rule != "":
		e.Msg = is + fmt.Sprintf("has a rule %q, which can change or drop what Whimbrel writes", r.Rule)
		e.Hint, e.Fix = "drop it", fmt.Sprintf("DROP RULE %s ON %s", quote(r.Rule), r.full())
	default:
		e.Msg = is + fmt.Sprintf("depends on a user-defined object in a column, default, constraint or index: %s", r.Code)
		e.Hint = "remove this dependency from the table"
	}
	return e
}

var kindWords = map[string]string{"r": "table", "v": "view", "m": "materialized view", "f": "foreign table", "p": "partitioned table", "c": "type"}

// listed formats names as in: schemas "a" and "b".
func listed(word string, names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	last := len(quoted) - 1
	return fmt.Sprintf("%ss %s and %s", word, strings.Join(quoted[:last], ", "), quoted[last])
}

// learn stores the location of the tables.
func (db *Database) learn(l location) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.at = l
}

// located returns the stored location of the tables, if any.
func (db *Database) located() location {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.at
}

// locate returns the location of the tables, and queries it only if it isn't stored.
func (db *Database) locate(ctx context.Context, c *conn) (location, error) {
	if l := db.located(); l.made() {
		return l, nil
	}
	return db.relocate(ctx, c)
}

// relocate queries the location of the tables. It sends the queries in before first.
func (db *Database) relocate(ctx context.Context, c *conn, before ...query) (location, error) {
	f := &finder{db: db}
	if err := c.pipeline(ctx, append(before, f.queries(false)...)...); err != nil {
		return location{}, err
	}
	l, err := f.decide()
	if err == nil {
		db.learn(l)
	}
	return l, err
}

// locateNone returns the location where the tables would be created, and whether the schema exists;
// or their location if they exist after all.
func (db *Database) locateNone(ctx context.Context, c *conn) (l location, haveSchema bool, err error) {
	f := &finder{db: db}
	requested := query{
		sql:  `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)`,
		args: []arg{text(db.opts.Schema)},
		row:  into(&haveSchema),
	}
	if err := c.pipeline(ctx, append(f.quick(c, false), requested)...); err != nil {
		return l, false, err
	}
	if !f.sure() {
		l, err = db.relocate(ctx, c)
	} else if l, err = f.decide(); err == nil {
		db.learn(l)
	}
	return l, haveSchema || db.opts.Schema == "", err
}

// locateNew sends the queries that create the tables, and returns their location.
func (db *Database) locateNew(ctx context.Context, c *conn, create ...query) (location, error) {
	f := &finder{db: db}
	if err := c.pipeline(ctx, append(create, f.quick(c, false)...)...); err != nil {
		return location{}, err
	}
	if !f.sure() || len(f.relations) == 0 {
		return db.relocate(ctx, c)
	}
	l, err := f.decide()
	if err == nil {
		db.learn(l)
	}
	return l, err
}

// atTables finds the tables and reads from them in one round trip: the first queries of the
// pipeline find them and set the search path to them. read must put its argument before its own
// queries, which name the tables without a schema. Only the results of its last call count, and
// none of them if there are no tables.
func (db *Database) atTables(c *conn, read func(l location, before ...query) error) (location, error) {
	f := &finder{db: db}
	err := read(location{}, f.quick(c, true)...)
	if !f.sure() {
		f = &finder{db: db}
		err = read(location{}, f.queries(true)...)
	}
	if !f.asked {
		return location{}, err
	}
	l, lerr := f.decide()
	if lerr != nil {
		return l, lerr
	}
	db.learn(l)
	switch {
	case !l.made():
		return l, nil
	// the unqualified name means something else in the search path, or the table was just dropped
	case missingTable(err):
		err = read(l)
	}
	return l, err
}

// errMoved reports that the tables are not those that were found: they were dropped, replaced or
// altered since.
var errMoved = errors.New("the tables of Whimbrel were replaced or altered since they were found")

// guardQuery fails unless the relations are still those that were found, and safe. If the
// transaction has locked them, nobody can change that until its end.
func guardQuery(relations ...ownTable) query {
	var all []string
	for _, r := range relations {
		all = append(all, fmt.Sprintf("(%s::name, %d::oid, %d::oid)", literal(r.Name), r.OID, r.OwnerID))
	}
	return query{
		// Without parameters, it is planned only once where it is prepared.
		sql: fmt.Sprintf(`SELECT 1 / (pg_catalog.count(*) = %d)::int`, len(relations)) + `
FROM (VALUES ` + strings.Join(all, ", ") + `) AS w (name, id, owner)
JOIN pg_catalog.pg_class c ON c.oid = w.id AND c.relname = w.name AND c.relowner = w.owner
JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace AND s.nspname = ` + literal(relations[0].Schema) + `::name
WHERE c.relkind = 'r' AND NOT pg_catalog.row_security_active(c.oid)
AND NOT (c.relhastriggers AND EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'))
AND NOT (c.relhasrules AND EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_enabled <> 'D'))`,
		often: true,
		fail: func(pg *pgconn.PgError) error {
			if pg.Code == divisionByZero {
				return errMoved
			}
			return ownError("", pg)
		},
	}
}

// divisionByZero is the error with which our own statements fail on purpose, so that nothing after
// them is executed.
const divisionByZero = "22012"

// hold locks the tables that a transaction writes against changes, without waiting, and checks that
// they are those that were found. Later queries of the pipeline run only if they are.
func (l location) hold(write ...role) []query {
	settled, own := l.lockTexts(write...)
	fail := func(pg *pgconn.PgError) error { return l.explain(pg, write...) }
	return []query{
		// read under the migration lock
		{sql: settled, quiet: true, often: true, fail: fail},
		{sql: own, quiet: true, often: true, fail: fail},
		guardQuery(l.tables[history], l.tables[settings], l.tables[journal]),
	}
}

// lockTexts returns the statements that lock the settings, which are read, and the tables that a
// transaction writes.
func (l location) lockTexts(write ...role) (read, own string) {
	var names []string
	for _, r := range write {
		names = append(names, "ONLY "+l.tables[r].full())
	}
	return "LOCK TABLE ONLY " + l.tables[settings].full() + " IN ACCESS SHARE MODE NOWAIT", "LOCK TABLE " + strings.Join(names, ", ") + " IN ROW EXCLUSIVE MODE NOWAIT"
}

// explain interprets an error of one of our statements about the tables.
// write are the tables that the transaction writes.
func (l location) explain(pg *pgconn.PgError, write ...role) error {
	switch pg.Code {
	case "42P01", "3F000":
		return errMoved
	case "55P03":
		return &tablesBusyError{error: ownError("", pg)}
	case "42501":
		return l.readOnly(pg, write)
	}
	return ownError("", pg)
}

// writes are the privileges of a role that writes Whimbrel's tables. The history is append-only.
var writes = map[role]string{
	history:   "SELECT, INSERT",
	settings:  "SELECT, INSERT, UPDATE, DELETE",
	journal:   "SELECT, INSERT, UPDATE, DELETE",
	backfills: "SELECT, INSERT, UPDATE, DELETE",
	lanes:     "SELECT, INSERT, UPDATE, DELETE",
}

// readOnly reports that the role may not write the tables. Fix grants that.
func (l location) readOnly(pg *pgconn.PgError, write []role) error {
	var fix []string
	for _, r := range write {
		fix = append(fix, l.grant(writes[r], l.tables[r].full()))
	}
	return &database.TablesError{
		Problem: database.TablesHidden, Table: l.tables[history].full(), Role: l.user,
		Msg:  fmt.Sprintf("role %q may not write to Whimbrel's tables in schema %q: %s", l.user, l.schema, pg.Message),
		Hint: "grant the privileges as the owner of the tables",
		Fix:  strings.Join(fix, "; "),
		Err:  ownError("", pg),
	}
}

// ownTableWord introduces the name of one of the tables in errors.
const ownTableWord = "Whimbrel's table "

// tablesBusyError reports that another session has locked one of Whimbrel's tables, or (row) the
// set's row of the journal.
type tablesBusyError struct {
	error
	row bool
}

func (e *tablesBusyError) Unwrap() error { return e.error }

// whoLocks returns one of the tables with a lock that blocks us, and the holder of the lock.
func (db *Database) whoLocks(ctx context.Context, c *conn, l location) (table string, h database.Holder) {
	ids := make([]string, 0, len(l.tables))
	for _, r := range l.tables {
		ids = append(ids, fmt.Sprint(r.OID))
	}
	table = l.tables[history].full()
	_ = c.pipeline(ctx, query{ // ignore errors: the holder is only informative
		sql: `SELECT l.relation::bigint, ` + holderColumns + ` FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid() AND l.relation = ANY ($1::oid[])
AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') ORDER BY a.xact_start LIMIT 1`,
		args:    []arg{array(ids)},
		formats: holderFormats,
		row: func(r *row) error {
			id := r.number()
			for _, rel := range l.tables {
				if rel.OID == id {
					table = rel.full()
				}
			}
			r.next = 0
			_, h = readHolder(r)
			return r.err
		},
	})
	return table, h
}

// busy turns a tablesBusyError into a *database.LockedError.
func (db *Database) busy(ctx context.Context, c *conn, l location, set string, waited time.Duration, err error) error {
	if !isA[*tablesBusyError](err) {
		return err
	}
	e := &database.LockedError{Set: set, Waited: waited}
	table, holder := db.whoLocks(ctx, c, l)
	e.What, e.Holder = ownTableWord+table, holder
	return e
}
