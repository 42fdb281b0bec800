package adopt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Tool is another migration tool.
type Tool string

// The tools whose tables Detect recognises.
const (
	GolangMigrate Tool = "golang-migrate"
	Goose         Tool = "goose"
	Dbmate        Tool = "dbmate"
	Tern          Tool = "tern"
	SQLMigrate    Tool = "sql-migrate"
	Flyway        Tool = "flyway"
	Liquibase     Tool = "liquibase"
	Atlas         Tool = "atlas"
	Prisma        Tool = "prisma"
	Drizzle       Tool = "drizzle"
	Sqlx          Tool = "sqlx"
	Diesel        Tool = "diesel"
	Sqitch        Tool = "sqitch"
	Hasura        Tool = "hasura"
	Rails         Tool = "rails"
	River         Tool = "river"
	Ecto          Tool = "ecto"
	Django        Tool = "django"
	Alembic       Tool = "alembic"
	Bun           Tool = "bun"
	Pgmigrate     Tool = "pgmigrate"
	Godwit        Tool = "godwit"
)

// Tools returns the tools that Detect recognises, in the order of preference for lists.
func Tools() []Tool {
	var all []Tool
	for _, r := range readers {
		if !slices.Contains(all, r.tool) {
			all = append(all, r.tool)
		}
	}
	return all
}

// Adoptable reports whether From can take over the history of a tool.
func (t Tool) Adoptable() bool {
	r := readerOf(t)
	return r != nil && r.read != nil
}

// Block describes how Options.Block keeps the tool from migrating; "" if nothing can.
func (t Tool) Block() string {
	if r := readerOf(t); r != nil && r.block != nil {
		return r.block.how
	}
	return ""
}

// reader is what is known of one tool.
type reader struct {
	tool Tool
	// tables are the names that its history table can have, in lower case; columns and optional are
	// the columns by which it is recognised, and is has further conditions.
	tables, columns, optional []string
	anyColumns                bool
	is                        func(t *table, beside []*table) bool
	// beside are the other tables that the tool makes for itself.
	beside   []string
	dialects []sqltext.Dialect // none means all
	// read reads the table; nil for a tool that is only detected, why then says what the reason is.
	read func(ctx context.Context, q *querier, t *table) (*history, error)
	why  string
	// component reports that the tool migrates objects of its own only, whose names begin with prefix.
	component bool
	prefix    string
	// lock returns the tool's lock; nil if it has none in this database.
	lock func(ctx context.Context, q *querier, t *table) (*toolLock, error)
	// block keeps the tool out; nil if nothing can.
	block *block
	// single reports that the table keeps one version, up to which everything is applied.
	single bool
	// write makes the table say what Whimbrel's history says.
	write func(ctx context.Context, q *querier, t *table, c changes) error
}

// readers are the tools in the order of Tools.
var readers = []*reader{
	golangMigrate, goose, dbmate, tern, sqlMigrate, flyway, liquibase, atlas, prisma, drizzle, sqlx, diesel, sqitch, hasura, hasuraState, rails,
	river, ecto, django, alembic, bun, pgmigrate, godwit,
}

// companions are tables that distinguish tools whose history tables look alike.
var companions = []string{railsMetadata}

func readerOf(tool Tool) *reader {
	for _, r := range readers {
		if r.tool == tool {
			return r
		}
	}
	return nil
}

// hasBeside reports whether a table of the same schema has a name.
func hasBeside(t *table, beside []*table, name string) bool {
	for _, b := range beside {
		if b.schema == t.schema && strings.EqualFold(b.name, name) {
			return true
		}
	}
	return false
}

// toolLock is the lock that a tool holds while it migrates.
type toolLock struct {
	what string
	// try is a statement that takes the lock until the transaction ends, and free one that only reads
	// whether it could. Both return one truth value.
	try, free string
}

// advisory returns an advisory lock of PostgreSQL with one or more keys. One of a transaction
// excludes one of a session.
func advisory(keys ...int64) *toolLock {
	var names, try, held []string
	for _, key := range keys {
		names = append(names, fmt.Sprint(key))
		try = append(try, fmt.Sprintf("pg_catalog.pg_try_advisory_xact_lock('%d'::pg_catalog.int8)", key))
		held = append(held, fmt.Sprintf("l.classid OPERATOR(pg_catalog.=) '%d'::pg_catalog.oid AND l.objid OPERATOR(pg_catalog.=) '%d'::pg_catalog.oid",
			uint32(uint64(key)>>32), uint32(uint64(key)))) // #nosec G115: the halves
	}
	return &toolLock{
		what: "advisory lock " + strings.Join(names, " or "),
		try:  "SELECT " + strings.Join(try, " AND "),
		free: `SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) l.database
WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND l.locktype OPERATOR(pg_catalog.=) 'advisory'::pg_catalog.text AND l.granted
AND l.objsubid OPERATOR(pg_catalog.=) '1'::pg_catalog.int2 AND (` + strings.Join(held, " OR ") + `))`,
	}
}

// namedLock returns a lock of MySQL. The server releases it with the connection, which is not used
// again.
func namedLock(name string) *toolLock {
	return &toolLock{
		what: fmt.Sprintf("GET_LOCK('%s')", name), try: fmt.Sprintf("SELECT GET_LOCK('%s', 0)", name), free: fmt.Sprintf("SELECT IS_FREE_LOCK('%s')", name),
	}
}

// onPostgres is the lock of a tool that has one key in each database of PostgreSQL, and no other.
func onPostgres(key int64) func(context.Context, *querier, *table) (*toolLock, error) {
	return func(_ context.Context, q *querier, _ *table) (*toolLock, error) {
		if q.dialect != sqltext.PostgreSQL {
			return nil, nil
		}
		return advisory(key), nil
	}
}

// databaseName returns the name of the database.
func (q *querier) databaseName(ctx context.Context) (string, error) {
	statement := "SELECT DATABASE()"
	if q.dialect == sqltext.PostgreSQL {
		statement = "SELECT pg_catalog.current_database()"
	}
	v, err := q.one(ctx, statement)
	return asText(v), err
}

// unsupported reports an error of a driver that can't query, or of a file that does not exist yet.
func unsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist)
}

func adopted(e database.Entry) bool { return strings.HasPrefix(e.Remark, "adopted from ") }
