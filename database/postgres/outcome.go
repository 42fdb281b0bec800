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

// before is what the target held of what a statement may change, as the journal keeps it. Objects are kept
// by their oids: the session that asks again may have another search path.
type before struct {
	process                 // that was to execute it
	Table   int64           `json:"table,omitempty"`   // whose index it is, or from which a partition is detached
	Object  int64           `json:"object,omitempty"`  // the index that is dropped, the partition that is detached
	Schema  string          `json:"schema,omitempty"`  // that is reindexed
	Indexes []int64         `json:"indexes,omitempty"` // those of the table; those that REINDEX CONCURRENTLY had left
	Value   string          `json:"value,omitempty"`   // what becomes another when the statement happens; all, where the whole database is reindexed
	Catalog json.RawMessage `json:"catalog,omitempty"` // the schema
}

// Before reads what Outcome will want to know of the statement: mostly the oids of a few objects, and the
// whole schema where it is not known what the statement does.
func (r *run) Before(ctx context.Context, st sqltext.Statement) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return "", errOver
	}
	if r.worker.inTransaction() {
		return "", errOwnTransaction
	}
	ctx, stop := r.under(ctx)
	defer stop()
	what := pgddl.Parse(st.Text)
	was, err := r.before(ctx, &what)
	if err != nil {
		return "", err
	}
	was.process = r.at
	doc, err := json.Marshal(was)
	return string(doc), err
}

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

// beforeQueries ask for a before.
func beforeQueries(what *pgddl.Statement, into *before) []query {
	switch what.Kind {
	case pgddl.CreateIndex:
		return []query{findRelations(what.Table), jsonInto(query{
			sql: `SELECT pg_catalog.json_build_object('table', coalesce(t.oid::bigint, 0), 'indexes', ` + oidsOf(`SELECT indexrelid AS oid FROM pg_catalog.pg_index WHERE indrelid = t.oid`) + `)
FROM (SELECT ` + relation(1) + ` AS oid) t`,
		}, into)}
	case pgddl.DropIndex:
		return []query{findRelations(what.Name), jsonInto(query{
			sql: `SELECT pg_catalog.json_build_object('object', coalesce(o.oid::bigint, 0), 'table', coalesce((SELECT indrelid::bigint FROM pg_catalog.pg_index WHERE indexrelid = o.oid), 0))
FROM (SELECT ` + relation(1) + ` AS oid) o`,
		}, into)}
	case pgddl.Detach:
		return []query{findRelations(what.Table, what.Name), jsonInto(query{
			sql: `SELECT pg_catalog.json_build_object('table', coalesce(t.oid::bigint, 0), 'object', coalesce((SELECT inhrelid::bigint FROM pg_catalog.pg_inherits WHERE inhrelid = p.oid AND inhparent = t.oid), 0))
FROM (SELECT ` + relation(1) + ` AS oid) t, (SELECT ` + relation(2) + ` AS oid) p`,
		}, into)}
	case pgddl.Reindex:
		return reindexQueries(what, into)
	}
	return []query{jsonInto(query{
		sql:  "SELECT pg_catalog.json_build_object('value', coalesce((" + valueQueries[what.Object] + "), ''))",
		args: []arg{text(what.Name[len(what.Name)-1])},
	}, into)}
}

func oidsOf(subquery string) string {
	return `(SELECT coalesce(pg_catalog.json_agg(oid::bigint), '[]') FROM (` + subquery + `) AS all_of_them)`
}

// leftByReindex finds the indexes that REINDEX CONCURRENTLY makes for a while, and those that it takes the place of, where
// it was interrupted.
const leftByReindex = `SELECT i.indexrelid AS oid, i.indrelid, x.relname, x.relnamespace FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
WHERE NOT i.indisvalid AND x.relkind = 'i' AND x.relname ~ '_cc(new|old)[0-9]*$'`

func reindexQueries(what *pgddl.Statement, into *before) []query {
	table, schema, all := "NULL::oid", "''", "''"
	var queries []query
	var args []arg
	switch what.Object {
	case "TABLE":
		queries, table = []query{findRelations(what.Name)}, relation(1)
	case "INDEX":
		queries, table = []query{findRelations(what.Name)}, "(SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = "+relation(1)+")"
	case "DATABASE", "SYSTEM":
		all = "'all'"
	case "SCHEMA":
		schema, args = "$1::name::text", []arg{text(what.Name[len(what.Name)-1])}
	}
	return append(queries, jsonInto(query{
		sql:  `SELECT pg_catalog.json_build_object('table', coalesce(` + table + `::bigint, 0), 'schema', ` + schema + `, 'value', ` + all + `, 'indexes', ` + oidsOf(leftByReindex) + `)`,
		args: args,
	}, into))
}

// valueQueries ask for something of which there is another, or nothing, when a statement has happened that makes or
// drops an object of a kind.
var valueQueries = map[string]string{
	"DATABASE":     `SELECT oid::text FROM pg_catalog.pg_database WHERE datname = $1::name`,
	"TABLESPACE":   `SELECT oid::text FROM pg_catalog.pg_tablespace WHERE spcname = $1::name`,
	"SUBSCRIPTION": `SELECT subname || ': ' || pg_catalog.array_to_string(subpublications, ', ') FROM pg_catalog.pg_subscription WHERE subname = $1::name AND subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())`,
	"PREPARED":     `SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE gid = $1 AND database = pg_catalog.current_database()`,
}

// schemaBefore keeps the whole schema. One that can't be read is no reason not to migrate: then nobody can tell later.
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

// Outcome waits until no server process is at the statement any more, and looks at what it has left.
func (r *run) Outcome(ctx context.Context, st sqltext.Statement, doc string, opts database.LockOptions) (*database.Outcome, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return nil, errOver
	}
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
			return nil, fmt.Errorf("what the journal keeps of the statement is not as it should be: %w", err)
		}
	}
	if err := r.untilDone(ctx, st, &was, opts); err != nil {
		return nil, err
	}
	what := pgddl.Parse(st.Text)
	if doc == "" && what.Kind != pgddl.Again || what.Kind == pgddl.Other && was.Catalog == nil {
		return &database.Outcome{Verdict: database.Unclear, Why: "the journal doesn't say what there was before"}, nil
	}
	return r.look(ctx, st, &what, &was)
}

func (r *run) look(ctx context.Context, st sqltext.Statement, what *pgddl.Statement, was *before) (*database.Outcome, error) {
	switch what.Kind {
	case pgddl.Again:
		return &database.Outcome{Verdict: database.NotHappened, Why: "it can be executed again without harm"}, nil
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

// valueNow says whether an object has come or gone.
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
		return notHappened("there is no " + name + ", as before"), nil
	case now.Value == was.Value:
		return notHappened("the " + name + " is as it was before"), nil
	case now.Value == "":
		return happened("the " + name + " is gone"), nil
	case was.Value == "":
		return happened("the " + name + " is there"), nil
	}
	return happened("the " + name + " is another than before"), nil
}

func jsonInto(q query, v any) query {
	q.row = func(row *row) error { return json.Unmarshal(row.bytes(), v) }
	return q
}

// schemaNow compares the schema with what it was. That is no proof of anything but for a statement that does nothing else: what a procedure has
// done to the data can't be seen, nor how far it has come.
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
		return &database.Outcome{Verdict: database.Unclear, Why: "the schema has changed: how far the statement has come can't be told", Changes: changes}, nil
	case slices.Contains([]string{"CREATE", "ALTER", "DROP"}, first):
		return notHappened("the schema is as it was before"), nil
	}
	return &database.Outcome{Verdict: database.Unclear, Why: "the schema is as it was before, but what a statement that commits by itself has done to the data can't be told"}, nil
}
