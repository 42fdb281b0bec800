package postgres

import (
	"context"
	"math"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// here is a condition: a row a of pg_stat_activity belongs to another process in this database.
const here = `a.pid <> pg_catalog.pg_backend_pid() AND a.datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())`

// isThis is a condition: such a row executes the statement $1. The server truncates a long query.
const isThis = `a.state = 'active' AND a.query <> '' AND (a.query = $1 OR pg_catalog.octet_length(a.query) >= (SELECT setting::int - 5 FROM pg_catalog.pg_settings WHERE name = 'track_activity_query_size') AND pg_catalog.starts_with($1, a.query))`

// worksOn returns a condition: such a row belongs to another process, other than autovacuum, that
// holds the lock on a relation which building and dropping an index concurrently acquire, and which
// only one session can hold.
func worksOn(relation string) string {
	return `a.usesysid IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_locks k WHERE k.pid = a.pid AND k.pid <> pg_catalog.pg_backend_pid() AND k.granted
	AND k.mode = 'ShareUpdateExclusiveLock' AND k.locktype = 'relation' AND k.relation = ` + relation + ` AND k.database = a.datid)`
}

// activity reads a row a of pg_stat_activity in the form of holdersQuery.
const activity = `SELECT '', a.pid, a.usename, coalesce(a.client_hostname, pg_catalog.host(a.client_addr), ''), a.application_name, a.xact_start,
	CASE WHEN a.query <> '<insufficient privilege>' THEN pg_catalog.left(a.query, 200) END
`

// process identifies a process of the server: ids are reused.
type process struct {
	PID   int64 `json:"pid,omitempty"`   // 0: unknown
	Since int64 `json:"since,omitempty"` // in microseconds since 1970; 0: unknown
	User  int64 `json:"-"`               // the oid of the connected role
}

const sinceWhen = `(extract(epoch FROM backend_start) * 1000000)::bigint`

func (p *process) row() func(*row) error { return into(&p.PID, &p.Since, &p.User) }

// read returns the query that identifies the process of a connection.
func (p *process) read() query {
	return query{sql: `SELECT pid, ` + sinceWhen + `, usesysid FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())`, row: p.row()}
}

// untilDone waits until the server process that began a statement no longer executes it, and no
// other process builds anything on the table.
func (r *run) untilDone(ctx context.Context, st sqltext.Statement, was *before, opts database.LockOptions) error {
	return r.db.poll(ctx, r.worker, r.set, opts, func(ctx context.Context) (bool, database.Holder, error) {
		began, args := isThis, []arg{text(st.Text), number(was.Table)}
		if was.PID != 0 {
			began = `a.pid = $1::int AND coalesce(` + sinceWhen + ` = $3::bigint, true) AND a.state IS DISTINCT FROM 'idle'`
			args = []arg{number(was.PID), number(was.Table), number(was.Since)}
		}
		h, found, err := r.another(ctx, began+` OR a.query !~* '^(vacuum|analy[sz]e)\M' AND `+worksOn("$2::oid"), args...)
		return !found, h, err
	})
}

// untilFree waits without limit until no other process works on the table of a statement. Waiting
// inside the server would need a snapshot, for which a CREATE INDEX CONCURRENTLY of the other
// process waits in turn.
func (r *run) untilFree(ctx context.Context, st sqltext.Statement, table int64) error {
	began := time.Now()
	opts := database.LockOptions{Timeout: math.MaxInt64, Waiting: func(h database.Holder) { r.reportBlocker(st, h, time.Since(began)) }}
	return r.db.poll(ctx, r.worker, r.set, opts, func(ctx context.Context) (bool, database.Holder, error) {
		h, found, err := r.another(ctx, worksOn("$1::oid"), number(table))
		return !found, h, err
	})
}

// reportBlocker reports the session for whose end a statement is not sent yet, at most about once
// per second.
func (r *run) reportBlocker(st sqltext.Statement, h database.Holder, waited time.Duration) {
	if r.opts.Blocked == nil || time.Since(r.reportedAt) < drivers.LookUnlimited-drivers.LookUnlimited/10 {
		return
	}
	r.reportedAt = time.Now()
	h.Query = shownQuery(h.Query)
	r.opts.Blocked(database.Blockage{
		SQL: sqltext.Mask(st.Text, sqltext.PostgreSQL), Index: st.Index, Waited: waited,
		Blockers: []database.Blocker{{Holder: h, Kind: database.BlockerSession, Exempt: "the statement is sent when it has ended"}},
	})
}

// another finds another process of the database.
func (r *run) another(ctx context.Context, where string, args ...arg) (h database.Holder, found bool, err error) {
	h, found, err = r.worker.firstHolder(ctx, activity+`FROM pg_catalog.pg_stat_activity a WHERE `+here+` AND (`+where+`) ORDER BY a.xact_start LIMIT 1`, args...)
	if hasCode(err, "22P05") { // the text contains characters that this server can't have received
		err = nil
	}
	return h, found, err
}

// newWatcher returns the watcher of the worker's statements. A pooler assigns the sessions.
func (r *run) newWatcher() *watcher {
	return r.db.newWatcher(r.worker, r.own, r.opts, func() int64 { return r.at.PID })
}

// watchedLimit returns the lock timeout of a statement, for the watcher.
func (r *run) watchedLimit(s *migration.Script, st sqltext.Statement) time.Duration {
	limit := lockLimit(s, r.opts.LockTimeout)
	if r.ownLimit || r.waitsFreely(st, limit) {
		return 0
	}
	return limit
}
