package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
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

// untilFree waits without limit until no other process works on a table. Waiting inside the server
// would need a snapshot, for which a CREATE INDEX CONCURRENTLY of the other process waits in turn.
func (r *run) untilFree(ctx context.Context, table int64) error {
	return r.db.poll(ctx, r.worker, r.set, database.LockOptions{Timeout: math.MaxInt64, Waiting: r.reportBlocker}, func(ctx context.Context) (bool, database.Holder, error) {
		h, found, err := r.another(ctx, worksOn("$1::oid"), number(table))
		return !found, h, err
	})
}

// reportBlocker reports the session that blocks the running statement, at most once per interval.
func (r *run) reportBlocker(h database.Holder) {
	r.reporting.Lock()
	defer r.reporting.Unlock()
	if r.blocked != nil && time.Since(r.reportedAt) >= blockedInterval {
		r.reportedAt = time.Now()
		r.blocked(database.Blockage{Blockers: []database.Blocker{{Holder: h}}})
	}
}

// another finds another process of the database.
func (r *run) another(ctx context.Context, where string, args ...arg) (h database.Holder, found bool, err error) {
	h, found, err = r.worker.firstHolder(ctx, activity+`FROM pg_catalog.pg_stat_activity a WHERE `+here+` AND (`+where+`) ORDER BY a.xact_start LIMIT 1`, args...)
	if hasCode(err, "22P05") { // the text contains characters that this server can't have received
		err = nil
	}
	return h, found, err
}

// The driver checks once per blockedCheck whether a statement is blocked. It reports that at most
// once per blockedInterval.
const (
	blockedCheck    = time.Second
	blockedInterval = blockedCheck - blockedCheck/10
)

// reportBlockers reports, until stop is called, which session blocks a statement. It uses a
// connection of its own, opened for the first statement that takes longer: the guard's query would
// need a snapshot in its long transaction, for which CREATE INDEX CONCURRENTLY would wait.
func (r *run) reportBlockers(st sqltext.Statement) (stop func()) {
	if r.blocked == nil {
		return func() {}
	}
	return drivers.Every(blockedCheck, blockedCheck, func(ctx context.Context) bool {
		if r.monitor == nil || r.monitor.broken() {
			var err error
			if r.monitor, err = r.db.beside(ctx, r.guard); err != nil {
				r.monitor = nil
				return false // the report is optional
			}
		}
		if h, found, err := r.blocker(ctx, st); err == nil && found {
			r.reportBlocker(h)
		}
		return true
	})
}

// blocker returns the session that the worker waits for. CREATE INDEX CONCURRENTLY waits for one
// transaction after the other.
func (r *run) blocker(ctx context.Context, st sqltext.Statement) (h database.Holder, found bool, err error) {
	worker, args := `SELECT $1::int AS pid`, []arg{number(r.at.PID)}
	if r.pooled {
		worker, args = `SELECT a.pid FROM pg_catalog.pg_stat_activity a WHERE `+here+` AND `+isThis, []arg{text(st.Text)}
	}
	return r.monitor.firstHolder(ctx, fmt.Sprintf(`SELECT '', b.pid, a.usename, coalesce(a.client_hostname, pg_catalog.host(a.client_addr), ''), a.application_name, a.xact_start,
	CASE WHEN b.pid = 0 THEN 'a prepared transaction' WHEN a.query <> '<insufficient privilege>' THEN pg_catalog.left(a.query, 200) END
FROM (%s) w CROSS JOIN LATERAL (SELECT pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid))
	UNION SELECT p.current_locker_pid FROM pg_catalog.pg_stat_progress_create_index p WHERE p.pid = w.pid AND p.current_locker_pid > 0) b(pid)
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid ORDER BY a.xact_start LIMIT 1`, worker), args...)
}
