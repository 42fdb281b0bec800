package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// server is a place on a server, with a wire in front of it. The points of a process are its messages.
type server struct {
	wire
	direct string
	// Past the wire, and kept, since what is new to the catalogue has to read all of it.
	conn     *pgx.Conn
	watching database.Database
}

// wire is what leads to a server.
type wire struct {
	url     string
	proxies map[string]*testdb.Proxy // by what is done to them
}

// newPostgres makes a place of a database; url is how processes get there, direct how the rig does.
func newPostgres(t testing.TB, url, direct string) *server {
	t.Helper()
	p := &server{wire: newWire(t, url), direct: direct}
	p.connect(t)
	t.Cleanup(p.disconnect)
	return p
}

func (p *server) connect(t testing.TB) {
	t.Helper()
	config, err := pgx.ParseConfig(p.direct)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	if p.conn, err = pgx.ConnectConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if p.watching, err = database.Open(t.Context(), p.direct, database.Options{}); err != nil {
		t.Fatal(err)
	}
}

func (p *server) disconnect() {
	p.watching.Close()
	p.conn.Close(context.Background())
}

func newWire(t testing.TB, url string) wire {
	t.Helper()
	w := wire{url, map[string]*testdb.Proxy{}}
	for _, how := range []string{cut, cutAlone, reset, stall} {
		p := testdb.NewProxy(t, url)
		p.Quiet = 0
		switch how {
		case cutAlone:
			p.CutAlone()
		case reset:
			p.CutAbruptly()
		}
		w.proxies[how] = p
	}
	return w
}

// What is done to a wire: all connections end, or the one on which the message passes; or all end and lose what was
// sent last; or nothing passes any more, and they end only then.
const (
	cut      = "cut"
	cutAlone = "cut of one connection"
	reset    = "reset"
	stall    = "stall"
)

func (w *wire) open(ctx context.Context) (database.Database, error) {
	return database.Open(ctx, w.url, database.Options{})
}

// ways: something is done to the wire after the n-th message in one of the directions.
func (w *wire) ways() []way {
	var all []way
	for _, d := range []testdb.Direction{testdb.ToServer, testdb.ToClient} {
		for _, how := range []string{cut, cutAlone, reset, stall} {
			all = append(all, way{how + " " + d.String(), func(n int) trap { return w.trap(how, d, n) }})
		}
	}
	return all
}

func (w *wire) trap(how string, d testdb.Direction, n int) trap {
	p := w.proxies[how]
	p.Cut()
	p.Reset()
	t := trap{
		open:   func(ctx context.Context) (database.Database, error) { return database.Open(ctx, p.URL, database.Options{}) },
		sprung: func() bool { return p.Messages(d) >= n },
	}
	if how != stall {
		p.CutAfter(d, n)
		return t
	}
	p.StallAfter(d, n)
	t.stuck = p.Stalled
	t.free = func() {
		p.Cut()
		p.Resume()
	}
	return t
}

func (p *server) watch(context.Context) (database.Database, error) { return p.watching, nil }

func (*server) words() []string {
	return []string{
		"{concurrently}", " CONCURRENTLY", "{of a}", "", "{of b}", "", "{of m}", "", "{vacuum m}", "VACUUM m",
		"{set seven}", "SET whim.seven = 7", "{insert 7 if seven is set}", "INSERT INTO m SELECT pg_catalog.current_setting('whim.seven')::int",
		"{copy 8 and 9 into m}", "COPY m FROM stdin;\n8\n9\n\\.\n",
	}
}

func (p *server) clean(ctx context.Context) error {
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

func (p *server) look(ctx context.Context) (string, error) {
	locks, err := p.locks(ctx)
	if err != nil {
		return "", err
	}
	schema, err := p.schema(ctx)
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

// locks waits until nobody has a lock, since the server takes a moment to see that a client is gone.
func (p *server) locks(ctx context.Context) (string, error) {
	for deadline := time.Now().Add(patience / 4); ; time.Sleep(2 * time.Millisecond) {
		locks, err := p.lines(ctx, locksQuery)
		if err != nil || locks == "" || time.Now().After(deadline) {
			return locks, err
		}
	}
}

// schema is a snapshot where there is time for it, and otherwise what the scenarios are about.
func (p *server) schema(ctx context.Context) (string, error) {
	if !*every {
		return p.lines(ctx, columnsQuery)
	}
	snapshot, err := database.Snapshot(ctx, p.watching, catalog.Options{})
	if err != nil {
		return "", err
	}
	return snapshot.Text(), nil
}

func (p *server) lines(ctx context.Context, sql string) (string, error) {
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
