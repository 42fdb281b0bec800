package postgres

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
)

// A server looks up operators, functions, types and tables in the search path, and takes the one that fits the
// arguments best, whatever schema it is in. So any role that can create an operator in a schema of the path can have it
// executed by another role, with that role's rights. Whimbrel's own queries are therefore pinned: they see pg_catalog
// and nothing else. Scripts see the path of the session.

// searchPath is the search path that a query sees.
type searchPath int8

const (
	// inPgCatalog is the default: pg_catalog, and behind it the session's temporary objects. Those have to be named, or
	// the server looks up tables and types among them first.
	inPgCatalog searchPath = iota
	// callers is the session's path, or what a script has made of it. Scripts see it, and so does an own query that
	// asks about it, or that creates or drops something for which an event trigger may be called. Such a query must
	// look up nothing: every name in it has its schema, and every operator is written OPERATOR(pg_catalog.…).
	callers
	// found is the schema that Whimbrel's tables were found in by a query before, in a pipeline that is a transaction by itself. What
	// holds for callers holds for it, too.
	found
)

// command is a statement in which nothing is looked up: it controls the transaction or the session, or names all that
// it is about with a schema.
func command(sql string) query { return query{sql: sql, path: callers} }

// columnType is a column's name and its type in the statements that make tables, unless the type is a word of SQL's grammar.
var columnType = regexp.MustCompile(`(?m)^(\t\w+) (text|timestamptz|oid|name|json|jsonb)\b`)

// makeTable is a command that makes a table, or an index: an event trigger may be called for it. Columns have types of
// pg_catalog.
func makeTable(format string, names ...any) query {
	return command(fmt.Sprintf(columnType.ReplaceAllString(format, "$1 pg_catalog.$2"), names...))
}

const (
	// pinPath sets the path until the transaction ends, and keeps what it was.
	pinPath = `SELECT pg_catalog.set_config('search_path', CASE WHEN pg_catalog.set_config('whimbrel.path', pg_catalog.current_setting('search_path'), true) IS NOT NULL THEN 'pg_catalog, pg_temp' END, true)`
	// unpinPath sets it back. It sets the default (NULL) first and the path that was kept only where that is another:
	// so a path that nobody has set in the session does not look as if somebody had.
	unpinPath = `SELECT CASE WHEN pg_catalog.set_config('search_path', NULL, true) OPERATOR(pg_catalog.<>) pg_catalog.current_setting('whimbrel.path') THEN pg_catalog.set_config('search_path', pg_catalog.current_setting('whimbrel.path'), true) END`
	// pinAlone sets the path where there is nothing to set back.
	pinAlone = `SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)`
)

// withPaths returns the queries of a pipeline with what sets the search path between them. A pipeline begins and ends
// with the callers' path, so that whatever is sent in another way sees that.
//
// All of a pipeline is one transaction, also where none is open: with its end the path is what it was.
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
		case q.path == path, q.path == found: // which the query before has set
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
	switch strings.ToUpper(word) {
	case "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE":
		return true
	}
	return false
}

// between is a query that sets the path for another one, or behind it: what is wrong with it is explained likewise.
func between(sql string, q query) query {
	return query{sql: sql, path: callers, fail: q.fail, quiet: true, often: q.often}
}

// findRelations looks up names as a script's statement would. What it finds is relation(1), relation(2) … in the queries
// behind it in its pipeline.
func findRelations(names ...pgddl.Name) query {
	q := query{path: callers}
	var calls []string
	for i, name := range names {
		calls = append(calls, fmt.Sprintf("pg_catalog.set_config('whimbrel.relation_%[1]d', coalesce(pg_catalog.to_regclass($%[1]d)::pg_catalog.oid::pg_catalog.text, ''), true)", i+1))
		q.args = append(q.args, text(name.String()))
	}
	q.sql = "SELECT " + strings.Join(calls, ", ")
	return q
}

// relation is the oid of a relation that findRelations has found, or NULL, as an SQL expression.
func relation(n int) string {
	return fmt.Sprintf("nullif(pg_catalog.current_setting('whimbrel.relation_%d'), '')::oid", n)
}

// What a statement may do to the search path. A path that was reset and then pinned would look, after COMMIT, like one that
// somebody has set, with the same value: so it is reset again.
var (
	searchPathSet   = regexp.MustCompile(`(?i)search_path|^reset\s+all\b`)
	searchPathReset = regexp.MustCompile(`(?i)^(reset\s+(search_path|all)|set\s+(session\s+)?search_path\s*(=|\bto\b)\s*default)$`)
)

// validatePinned makes what pgx asks a server for target_session_attrs see pg_catalog only.
func validatePinned(validate pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	return func(ctx context.Context, pc *pgconn.PgConn) error {
		if _, err := pc.Exec(ctx, "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp").ReadAll(); err != nil {
			return err
		}
		err := validate(ctx, pc)
		if _, rerr := pc.Exec(ctx, "ROLLBACK").ReadAll(); rerr != nil {
			return rerr
		}
		return err // of a type that pgx knows
	}
}
