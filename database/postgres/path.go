package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A server resolves operators, functions, types and tables through the search path, and picks the
// best match for the arguments in any of its schemas. A role that may create an operator in one of
// them can thereby have other roles execute it with their rights. Whimbrel's own queries are
// therefore pinned: they see only pg_catalog. Scripts see the path of the session.

// searchPath is the search path that a query sees.
type searchPath int8

const (
	// inPgCatalog is the default: pg_catalog, followed by the session's temporary objects. These
	// must be named, or the server looks tables and types up among them first.
	inPgCatalog searchPath = iota
	// callers is the session's path, perhaps changed by a script. Scripts see it, and so do own
	// queries that ask about it, or that create or drop objects for which an event trigger may run.
	// Such a query must look up nothing: it qualifies every name, and writes every operator as
	// OPERATOR(pg_catalog.…).
	callers
	// found is the schema in which an earlier query of the same pipeline, a transaction of its own,
	// found Whimbrel's tables. The rules for callers apply here, too.
	found
)

// command returns a query that looks up nothing: it controls the transaction or the session, or
// qualifies every name.
func command(sql string) query { return query{sql: sql, path: callers} }

// columnType matches a column and its type in CREATE TABLE, unless the type is a word of the SQL
// grammar.
var columnType = lazyregexp.New(`(?m)^(\t\w+) (text|timestamptz|oid|name|json|jsonb)\b`)

// makeTable returns a command that creates a table or an index, for which an event trigger may run.
// It qualifies the column types with pg_catalog.
func makeTable(format string, names ...any) query {
	return command(fmt.Sprintf(columnType.ReplaceAllString(format, "$1 pg_catalog.$2"), names...))
}

const (
	// pinPath sets the path until the end of the transaction, and saves the previous one.
	pinPath = `SELECT pg_catalog.set_config('search_path', CASE WHEN pg_catalog.set_config('whimbrel.path', pg_catalog.current_setting('search_path'), true) IS NOT NULL THEN 'pg_catalog, pg_temp' END, true)`
	// unpinPath restores the saved path. It resets the path to the default (NULL) first, and sets
	// the saved one only if it differs: a path that was never set in the session must not look as
	// if it was.
	unpinPath = `SELECT CASE WHEN pg_catalog.set_config('search_path', NULL, true) OPERATOR(pg_catalog.<>) pg_catalog.current_setting('whimbrel.path') THEN pg_catalog.set_config('search_path', pg_catalog.current_setting('whimbrel.path'), true) END`
	// pinAlone sets the path if nothing must be restored.
	pinAlone = `SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)`
)

// withPaths adds the queries that switch the search path to a pipeline. A pipeline starts and ends
// with the callers' path, so anything sent in another way sees that path.
//
// Without an open transaction, the pipeline is one: at its end the path is restored.
func withPaths(queries []query, inTransaction bool) []query {
	queries = slices.Clone(queries)
	for i := range queries {
		if controlsTransaction(queries[i].sql) { // a pin before BEGIN would outlast the pipeline
			queries[i].path = callers
		}
	}
	alone, finds := true, false
	for _, q := range queries {
		alone, finds = alone && q.path == inPgCatalog, finds || q.path == found
	}
	alone = (alone || finds) && !inTransaction
	all := make([]query, 0, len(queries)+4)
	path := callers
	for i, q := range queries {
		switch {
		case q.path == path, q.path == found: // already set by the previous query
		case q.path == inPgCatalog && alone:
			all = append(all, between(pinAlone, q))
		case q.path == inPgCatalog:
			all = append(all, between(pinPath, q))
		default:
			all = append(all, between(unpinPath, queries[i-1]))
		}
		path = q.path
		all = append(all, q)
	}
	if path == inPgCatalog && !alone {
		all = append(all, between(unpinPath, queries[len(queries)-1]))
	}
	return all
}

func controlsTransaction(sql string) bool {
	word, _, _ := strings.Cut(sql, " ")
	return slices.Contains([]string{"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"}, strings.ToUpper(word))
}

// between returns a query that sets the path before or after q, and explains its errors like those
// of q.
func between(sql string, q query) query {
	return query{sql: sql, path: callers, fail: q.fail, quiet: true, often: q.often}
}

// findRelations resolves names as a script's statement would. Later queries of its pipeline refer
// to the results as relation(1), relation(2), ….
func findRelations(names ...pgddl.Name) query {
	q := query{path: callers, often: true}
	var calls []string
	for i, name := range names {
		calls = append(calls, fmt.Sprintf("pg_catalog.set_config('whimbrel.relation_%[1]d', coalesce(pg_catalog.to_regclass($%[1]d)::pg_catalog.oid::pg_catalog.text, ''), true)", i+1))
		q.args = append(q.args, text(name.String()))
	}
	q.sql = "SELECT " + strings.Join(calls, ", ")
	return q
}

// relation returns an SQL expression for the oid of a relation that findRelations found, or NULL.
// It looks up nothing in the search path.
func relation(n int) string {
	return fmt.Sprintf("(CASE WHEN pg_catalog.current_setting('whimbrel.relation_%[1]d') OPERATOR(pg_catalog.<>) '' THEN pg_catalog.current_setting('whimbrel.relation_%[1]d')::pg_catalog.oid END)", n)
}

// resetsPath reports whether the search path is reset after a statement; was is the same before it.
// If a reset path is pinned, it looks after COMMIT as if it was set to the same value, so it is
// reset again.
func resetsPath(st sqltext.Statement, was bool) bool {
	l := sqltext.List(st.Text, sqltext.PostgreSQL)
	if l.Is(0, "RESET") {
		return was || l.Any(1, "search_path", "ALL")
	}
	if !strings.Contains(strings.ToLower(st.Text), "search_path") { // also in what is called or executed
		return was
	}
	i := l.Skip(0, "SET", "SESSION")
	return l.Is(i, "search_path") && l.Any(i+1, "=", "TO") && l.Is(i+2, "DEFAULT") && len(l) == i+3
}

// validatePinned makes the queries with which pgx checks target_session_attrs see only pg_catalog.
func validatePinned(validate pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	return func(ctx context.Context, pc *pgconn.PgConn) error {
		if _, err := pc.Exec(ctx, "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp").ReadAll(); err != nil {
			return err
		}
		err := validate(ctx, pc)
		if _, rerr := pc.Exec(ctx, "ROLLBACK").ReadAll(); rerr != nil {
			return rerr
		}
		return err // unwrapped: pgx checks its type
	}
}
