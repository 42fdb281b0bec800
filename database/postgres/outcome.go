package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// before is the state of the objects that a statement may change, as the journal stores it. Objects
// are stored by oid: the session that checks later may have another search path.
type before struct {
	process // the session that executes the statement
	// the table of the index, or the one to detach from
	Table int64 `json:"table,omitempty"`
	// the index to drop, or the partition to detach
	Object int64  `json:"object,omitempty"`
	Schema string `json:"schema,omitempty"` // the schema to reindex
	// of the table; or those that an earlier REINDEX CONCURRENTLY left
	Indexes []int64 `json:"indexes,omitempty"`
	// changes when the statement takes effect; "all" for REINDEX DATABASE
	Value   string          `json:"value,omitempty"`
	Catalog json.RawMessage `json:"catalog,omitempty"` // the schema
}

// Announce stores what Outcome will need to know about the statement: mostly the oids of a few
// objects, or the whole schema if the effects of the statement are unknown.
func (r *run) Announce(ctx context.Context, st sqltext.Statement, j *database.Journal) error {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if r.worker.inTransaction() {
		return errOwnTransaction
	}
	ctx, stop := r.under(ctx)
	defer stop()
	if err := r.reconnect(ctx); err != nil {
		return err
	}
	r.next, r.free = st, ""
	what := pgddl.Parse(st.Text)
	if sql, names := beforeSQL(&what); sql != "" {
		return r.announce(ctx, st, sql, names, j)
	}
	was, err := r.before(ctx, &what)
	if err != nil {
		return err
	}
	was.process = r.at
	doc, err := json.Marshal(was)
	if err != nil {
		return err
	}
	j.Before = string(doc)
	return r.put(ctx, j, r.putAsOurselves(j, writing{})...)
}

// announce reads the state of the objects with the statement that writes it to the journal.
func (r *run) announce(ctx context.Context, st sqltext.Statement, sql string, names []pgddl.Name, j *database.Journal) error {
	a, err := r.announcing(st, sql, names, j, writing{})
	if err != nil {
		return err
	}
	if err := r.put(ctx, j, a.queries...); err != nil {
		a.failed()
		return err
	}
	a.done()
	return nil
}

// announcing announces a statement in a transaction.
type announcing struct {
	r       *run
	st      sqltext.Statement
	j       *database.Journal
	queries []query
	delayed bool // another session delays the statement
}

// announcing returns the queries that announce a CONCURRENTLY. They also look for another session
// that delays it.
func (r *run) announcing(st sqltext.Statement, sql string, names []pgddl.Name, j *database.Journal, how writing) (*announcing, error) {
	ours, err := json.Marshal(r.at)
	if err != nil {
		return nil, err
	}
	a := &announcing{r: r, st: st, j: j}
	j.Before = string(ours)
	if sql == "" { // nothing needs to be known
		a.queries = r.putAsOurselves(j, how)
		return a, nil
	}
	how.with = &description{sql: sql, row: func(row *row) { j.Before, a.delayed = row.kept(), row.boolean() }}
	a.queries = append([]query{findRelations(names...)}, r.putAsOurselves(j, how)...)
	return a, nil
}

// failed notes that the transaction was rolled back, and done that it was committed.
func (a *announcing) failed() { a.j.Before = "" }

func (a *announcing) done() {
	if a.r.free = ""; !a.delayed {
		a.r.free = a.st.Text
	}
}

// description is a query for the state of objects, as one JSON document.
type description struct {
	sql string
	row func(*row)
}

// delayed is an expression: another session holds, on the table of the description was, a lock for
// which a CONCURRENTLY waits. That is cheap and may be autovacuum: see worksOn.
const delayed = `EXISTS (SELECT FROM pg_catalog.pg_locks k WHERE k.locktype OPERATOR(pg_catalog.=) 'relation' AND k.mode OPERATOR(pg_catalog.=) 'ShareUpdateExclusiveLock' AND k.granted
	AND k.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid() AND k.relation OPERATOR(pg_catalog.=) (SELECT (doc OPERATOR(pg_catalog.->>) 'table')::pg_catalog.oid FROM was)
	AND k.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))`

func (r *run) before(ctx context.Context, what *pgddl.Statement) (was before, err error) {
	switch what.Kind {
	case pgddl.Again:
	case pgddl.Other:
		was.Catalog, err = r.schemaBefore(ctx)
	default:
		err = r.worker.pipeline(ctx, beforeQueries(what, &was)...)
	}
	return was, err
}

// beforeSQL returns the query for a before whose objects are relations, and their names; "" for any
// other. The query looks up nothing in the search path.
func beforeSQL(what *pgddl.Statement) (sql string, names []pgddl.Name) {
	switch {
	case what.Kind == pgddl.CreateIndex:
		return `SELECT pg_catalog.json_build_object('table', coalesce(t.oid::bigint, 0), 'indexes', ` + oidsOf(`SELECT indexrelid AS oid FROM pg_catalog.pg_index WHERE indrelid OPERATOR(pg_catalog.=) t.oid`) + `)
FROM (SELECT ` + relation(1) + ` AS oid) t`, []pgddl.Name{what.Table}
	case what.Kind == pgddl.DropIndex:
		return `SELECT pg_catalog.json_build_object('object', coalesce(o.oid::bigint, 0), 'table', coalesce((SELECT indrelid::bigint FROM pg_catalog.pg_index WHERE indexrelid OPERATOR(pg_catalog.=) o.oid), 0))
FROM (SELECT ` + relation(1) + ` AS oid) o`, []pgddl.Name{what.Name}
	case what.Kind == pgddl.Detach:
		return `SELECT pg_catalog.json_build_object('table', coalesce(t.oid::bigint, 0), 'object', coalesce((SELECT inhrelid::bigint FROM pg_catalog.pg_inherits WHERE inhrelid OPERATOR(pg_catalog.=) p.oid AND inhparent OPERATOR(pg_catalog.=) t.oid), 0))
FROM (SELECT ` + relation(1) + ` AS oid) t, (SELECT ` + relation(2) + ` AS oid) p`, []pgddl.Name{what.Table, what.Name}
	case what.Kind == pgddl.Reindex && (what.Object == "TABLE" || what.Object == "INDEX"):
		sql, names, _ = reindexSQL(what)
		return sql, names
	}
	return "", nil
}

// beforeQueries returns the queries that read a before.
func beforeQueries(what *pgddl.Statement, into *before) []query {
	if sql, names := beforeSQL(what); sql != "" {
		return []query{findRelations(names...), jsonInto(query{sql: sql}, into)}
	}
	if what.Kind == pgddl.Reindex {
		sql, _, args := reindexSQL(what)
		return []query{jsonInto(query{sql: sql, args: args}, into)}
	}
	return []query{jsonInto(query{
		sql:  "SELECT pg_catalog.json_build_object('value', coalesce((" + valueQueries[what.Object] + "), ''))",
		args: []arg{text(what.Name[len(what.Name)-1])},
	}, into)}
}

func oidsOf(subquery string) string {
	return `(SELECT coalesce(pg_catalog.json_agg(oid::bigint), '[]') FROM (` + subquery + `) AS all_of_them)`
}

// leftByReindex finds the temporary and the replaced indexes that an interrupted REINDEX
// CONCURRENTLY leaves.
const leftByReindex = `SELECT i.indexrelid AS oid, i.indrelid, x.relname, x.relnamespace FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
WHERE NOT i.indisvalid AND x.relkind OPERATOR(pg_catalog.=) 'i' AND x.relname OPERATOR(pg_catalog.~) '_cc(new|old)[0-9]*$'`

func reindexSQL(what *pgddl.Statement) (sql string, names []pgddl.Name, args []arg) {
	table, schema, all := "NULL::pg_catalog.oid", "''", "''"
	switch what.Object {
	case "TABLE":
		names, table = []pgddl.Name{what.Name}, relation(1)
	case "INDEX":
		names, table = []pgddl.Name{what.Name}, "(SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid OPERATOR(pg_catalog.=) "+relation(1)+")"
	case "DATABASE", "SYSTEM":
		all = "'all'"
	case "SCHEMA":
		schema, args = "$1::pg_catalog.name::pg_catalog.text", []arg{text(what.Name[len(what.Name)-1])}
	}
	return `SELECT pg_catalog.json_build_object('table', coalesce(` + table + `::bigint, 0), 'schema', ` + schema + `, 'value', ` + all + `, 'indexes', ` + oidsOf(leftByReindex) + `)`, names, args
}

// valueQueries read, by kind of object, a value that changes when an object is created or dropped.
var valueQueries = map[string]string{
	"DATABASE":     `SELECT oid::text FROM pg_catalog.pg_database WHERE datname = $1::name`,
	"TABLESPACE":   `SELECT oid::text FROM pg_catalog.pg_tablespace WHERE spcname = $1::name`,
	"SUBSCRIPTION": `SELECT subname || ': ' || pg_catalog.array_to_string(subpublications, ', ') FROM pg_catalog.pg_subscription WHERE subname = $1::name AND subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())`,
	"PREPARED":     `SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE gid = $1 AND database = pg_catalog.current_database()`,
}

// schemaBefore stores the whole schema. If the schema can't be read, the migration still runs; the
// outcome is then unclear.
func (r *run) schemaBefore(ctx context.Context) (json.RawMessage, error) {
	s, err := r.snapshot(ctx)
	if err != nil {
		if r.worker.broken() || ctx.Err() != nil {
			return nil, err
		}
		return nil, nil
	}
	return s.Encode()
}

func (r *run) snapshot(ctx context.Context) (*catalog.Snapshot, error) {
	s, err := r.db.snapshot(ctx, r.worker, r.schema, catalog.Options{}, command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"), command("COMMIT"))
	if err != nil {
		r.worker.rollback()
	}
	return s, err
}

// Outcome waits until no server process executes the statement, and examines the result.
func (r *run) Outcome(ctx context.Context, st sqltext.Statement, doc string, opts database.LockOptions) (*database.Outcome, error) {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, stop := r.under(ctx)
	defer stop()
	if err := r.reconnect(ctx); err != nil {
		return nil, err
	}
	if r.worker.inTransaction() {
		return nil, errOwnTransaction
	}
	var was before
	if doc != "" {
		if err := json.Unmarshal([]byte(doc), &was); err != nil {
			return nil, fmt.Errorf("the journal's record of the statement is damaged: %w", err)
		}
	}
	if err := r.untilDone(ctx, st, &was, opts); err != nil {
		return nil, err
	}
	what := pgddl.Parse(st.Text)
	if doc == "" && what.Kind != pgddl.Again || what.Kind == pgddl.Other && was.Catalog == nil {
		return &database.Outcome{Verdict: database.Unclear, Why: "the journal does not contain the state before the statement"}, nil
	}
	return r.outcome(ctx, st, &what, &was)
}

func (r *run) outcome(ctx context.Context, st sqltext.Statement, what *pgddl.Statement, was *before) (*database.Outcome, error) {
	switch what.Kind {
	case pgddl.Again:
		return &database.Outcome{Verdict: database.NotHappened, Why: "it can be repeated safely", Repeatable: st.Verb() == "ALTER"}, nil
	case pgddl.CreateIndex:
		all, err := r.indexesOf(ctx, was.Table)
		return createdIndex(what, was, all), err
	case pgddl.DropIndex:
		return r.droppedIndex(ctx, was)
	case pgddl.Reindex:
		return r.reindexed(ctx, was)
	case pgddl.Detach:
		return r.detached(ctx, was)
	case pgddl.Exists, pgddl.Publications:
		return r.valueNow(ctx, what, was)
	}
	return r.schemaNow(ctx, st, was)
}

func notHappened(why string, first ...string) *database.Outcome {
	return &database.Outcome{Verdict: database.NotHappened, Why: why, First: first}
}

func happened(why string, first ...string) *database.Outcome {
	return &database.Outcome{Verdict: database.Happened, Why: why, First: first}
}

// valueNow returns the outcome of a statement that creates or drops an object.
func (r *run) valueNow(ctx context.Context, what *pgddl.Statement, was *before) (*database.Outcome, error) {
	var now before
	if err := r.worker.pipeline(ctx, beforeQueries(what, &now)...); err != nil {
		return nil, err
	}
	name := strings.ToLower(what.Object) + " " + what.Name.String()
	if what.Object == "PREPARED" {
		name = "prepared transaction " + literal(what.Name[0])
	}
	switch {
	case now.Value == was.Value && now.Value == "":
		return notHappened("the " + name + " still does not exist"), nil
	case now.Value == was.Value:
		return notHappened("the " + name + " is unchanged"), nil
	case now.Value == "":
		return happened("the " + name + " is gone"), nil
	case was.Value == "":
		return happened("the " + name + " exists"), nil
	}
	return happened("the " + name + " was replaced"), nil
}

func jsonInto(q query, v any) query {
	q.row = func(row *row) error { return json.Unmarshal(row.bytes(), v) }
	return q
}

// schemaNow compares the schema with its earlier state. That is proof only for a statement that
// changes nothing but the schema: changes of data by a procedure, and its progress, are not
// visible.
func (r *run) schemaNow(ctx context.Context, st sqltext.Statement, was *before) (*database.Outcome, error) {
	from, err := catalog.Decode(was.Catalog)
	if err != nil {
		return nil, err
	}
	now, err := r.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	changes := catalog.Compare(from, now)
	first, _, _ := strings.Cut(strings.ToUpper(st.Text), " ")
	switch {
	case len(changes) > 0:
		return &database.Outcome{Verdict: database.Unclear, Why: "the schema changed, but the statement's progress is unknown", Changes: changes}, nil
	case slices.Contains([]string{"CREATE", "ALTER", "DROP"}, first):
		return notHappened("the schema is unchanged"), nil
	}
	return &database.Outcome{Verdict: database.Unclear, Why: "the schema is unchanged, but a statement that commits by itself may have changed data"}, nil
}
