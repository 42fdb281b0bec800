package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// The session of a run can outlive its process and its lock: the network may still hold a statement
// that the process sent, and deliver it after another process has finished the run. A transactional
// statement is then rolled back, since the journal has another token. Any other would be executed.
// So the journal records the session before anything is sent to it, and the process that takes the
// run over terminates that session, even if it is idle, and waits for its end.

// backendColumns are the journal's columns that identify a session. They are NULL if a pooler
// assigns the sessions.
const backendColumns = `backend_pid, backend_start, backend_user`

// ownBackend returns a query for these columns of its own session, NULL if a pooler owns it: then
// the process id that the client knows, an SQL expression, is not that of the server's process.
func ownBackend(client string) string {
	return `SELECT b.pid, b.backend_start, b.usesysid FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) b ON b.pid = ` + client + `::bigint`
}

// recordedQuery reads the session that the journal recorded for a run, if it may still exist.
func (db *Database) recordedQuery(schema, set string, p *process) query {
	return query{
		sql:   db.previousSession(schema, "$1"),
		args:  []arg{keptAsASCII(set)},
		often: true,
		row:   p.row(),
	}
}

// previousSession returns the query of recordedQuery.
func (db *Database) previousSession(schema, set string) string {
	return `SELECT a.pid, coalesce(` + sinceWhen + `, 0), backend_user FROM (SELECT backend_pid AS pid, backend_start, backend_user FROM ` + table(schema, db.names.Journal) + ` WHERE set_name = ` + set + `) a
WHERE a.pid <> pg_catalog.pg_backend_pid() AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity b WHERE b.pid = a.pid)`
}

// endProcess terminates a session and waits for its end. Process ids are reused: if the server
// can't confirm the identity of the process, endProcess only waits.
func (db *Database) endProcess(ctx context.Context, c *conn, set string, p process, opts database.LockOptions) error {
	if p.PID == 0 {
		return nil
	}
	var allowed bool
	err := db.poll(ctx, c, set, opts, func(ctx context.Context) (bool, database.Holder, error) {
		var h database.Holder
		ended := true
		err := c.pipeline(ctx, query{sql: `SELECT pg_catalog.pg_stat_clear_snapshot()`}, query{
			sql: activity + `, CASE WHEN a.backend_start IS NOT NULL AND $2::bigint <> 0 AND (NOT u.rolsuper OR pg_catalog.current_setting('is_superuser') = 'on')
	AND (pg_catalog.pg_has_role(u.oid, 'USAGE') OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')) THEN pg_catalog.pg_terminate_backend(a.pid) IS NOT NULL ELSE false END
FROM pg_catalog.pg_stat_activity a LEFT JOIN pg_catalog.pg_roles u ON u.oid = a.usesysid
WHERE a.pid = $1::int AND ` + here + ` AND a.usesysid = $3::oid AND ($2::bigint = 0 OR coalesce(` + sinceWhen + ` = $2::bigint, true))`,
			args:    []arg{number(p.PID), number(p.Since), number(p.User)},
			formats: append(holderFormats[:len(holderFormats):len(holderFormats)], 0),
			row: func(row *row) error {
				ended = false
				_, h = readHolder(row)
				allowed = row.boolean()
				return row.err
			},
		})
		return ended, h, err
	})
	if locked, ok := drivers.AsType[*database.LockedError](err); ok {
		return stillThere(locked, allowed)
	}
	return err
}

// stillThere adds to the error why another session prevents taking over a run.
func stillThere(locked *database.LockedError, allowed bool) error {
	why := "has not ended yet, although it was terminated"
	if !allowed {
		why = "is still open, and this role may not terminate it (connect as the same role or as a member of pg_signal_backend, or have it terminated with pg_terminate_backend)"
	}
	locked.Why = fmt.Sprintf("a run of set %q was interrupted, and its session %s", locked.Set, why)
	return locked
}

// orphanTimeout limits the wait for the end of a session after its connection broke in this
// process.
const orphanTimeout = 15 * time.Second

// disownQuery removes the session from the journal: the run no longer uses it, but the caller may.
func (r *run) disownQuery() query {
	return query{
		sql:  "UPDATE " + r.journalTable() + " SET (" + backendColumns + ") = (NULL, NULL, NULL) WHERE set_name = $1 AND token = $2",
		args: []arg{keptAsASCII(r.set), text(r.token)},
	}
}
