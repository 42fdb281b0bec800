package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
)

// postgres is a place on a PostgreSQL server.
type postgres struct {
	wire
	direct string
	// conn and observing do not go through the wire. They stay open, since a new session has to
	// load the catalog.
	conn      *pgx.Conn
	observing database.Database
}

// newPostgres returns a place. Processes connect to url, the rig to direct.
func newPostgres(t testing.TB, url, direct string) *postgres {
	t.Helper()
	p := &postgres{wire: newWire(t, url), direct: direct}
	p.connect(t)
	t.Cleanup(p.disconnect)
	return p
}

func (p *postgres) connect(t testing.TB) {
	t.Helper()
	config, err := pgx.ParseConfig(p.direct)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	if p.conn, err = pgx.ConnectConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if p.observing, err = database.Open(t.Context(), p.direct, database.Options{}); err != nil {
		t.Fatal(err)
	}
}

func (p *postgres) disconnect() {
	p.observing.Close()
	p.conn.Close(context.Background())
}

func (p *postgres) block(ctx context.Context, table string) (func(), error) {
	return p.openTransaction(ctx, "LOCK TABLE "+table)
}

func (p *postgres) observer(context.Context) (database.Database, error) { return p.observing, nil }

func (*postgres) placeholders() []string {
	return []string{
		"{index without a name}", "CREATE INDEX CONCURRENTLY ON a (x)",
		"{concurrently}", " CONCURRENTLY", "{of a}", "", "{of b}", "", "{of m}", "", "{vacuum m}", "VACUUM m",
		"{begin serializable}", "BEGIN ISOLATION LEVEL SERIALIZABLE", "{set seven}", "SET whim.seven = 7", "{insert 7 if seven is set}", "INSERT INTO m SELECT pg_catalog.current_setting('whim.seven')::int",
		"{copy 8 and 9 into m}", "COPY m FROM stdin;\n8\n9\n\\.\n", "{copy 21 and 22 into a}", "COPY a FROM stdin;\n21\n22\n\\.\n",
	}
}

func (p *postgres) clean(ctx context.Context) error {
	_, err := p.conn.PgConn().Exec(ctx, "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public").ReadAll()
	return err
}

const (
	rowsQuery = `SELECT 'rows of ' || relname || ': ' || array_to_string(xpath('//x/text()', query_to_xml('SELECT x FROM public.' || quote_ident(relname) || ' ORDER BY x', false, false, '')), ',')
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'whimbrel%' ORDER BY relname`
	columnsQuery = `SELECT 'schema: ' || c.relkind::text || ' ' || c.relname || ' ' || coalesce(pg_get_indexdef(c.oid), '') || string_agg(coalesce(attname || ' ' || atttypid::regtype, ''), ', ' ORDER BY attnum)
FROM pg_class c LEFT JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 WHERE relnamespace = 'public'::regnamespace GROUP BY c.oid, c.relkind, c.relname ORDER BY c.relname, c.oid`
	invalidQuery = `SELECT 'invalid: ' || indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid OR NOT indisready`
	locksQuery   = `SELECT 'locked: ' || l.mode || ' by ' || coalesce(a.query, '?') FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
)

func (p *postgres) describe(ctx context.Context) (string, error) {
	locks, err := p.locks(ctx)
	if err != nil {
		return "", err
	}
	schema, err := p.lines(ctx, columnsQuery)
	if err != nil {
		return "", err
	}
	rows, err := p.lines(ctx, rowsQuery)
	if err != nil {
		return "", err
	}
	invalid, err := p.lines(ctx, invalidQuery)
	return schema + rows + invalid + locks, err
}

// locks waits until all advisory locks are free, since the server takes a moment to notice that a
// client is gone. It returns the locks that stay.
func (p *postgres) locks(ctx context.Context) (string, error) {
	pause := pauses()
	for deadline := time.Now().Add(testTimeout / 4); ; time.Sleep(pause()) {
		locks, err := p.lines(ctx, locksQuery)
		if err != nil || locks == "" || time.Now().After(deadline) {
			return locks, err
		}
	}
}

// pauses returns a function that returns growing pauses between two looks at a server: what is over
// in a moment is noticed at once, and a long wait costs little.
func pauses() func() time.Duration {
	next := time.Millisecond
	return func() time.Duration {
		next = min(next*2, 100*time.Millisecond)
		return next
	}
}

func (p *postgres) lines(ctx context.Context, sql string) (string, error) {
	rows, err := p.conn.Query(ctx, sql)
	if err != nil {
		return "", err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("%s: %w", sql, err)
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	return b.String(), nil
}
