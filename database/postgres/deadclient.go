package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
)

// These limits decide how soon others can proceed after the client's machine or network fails. The
// server isn't notified then, and its kernel would wait for two hours. All limits are below the
// default lock timeout of a waiting process, 15 s.
//
//   - The server's kernel probes a silent client after 4 s, and again every 2 s. With
//     tcp_user_timeout it gives up after 10 s without an answer, also when the server has something
//     to send.
//   - The guard of a run sends a message every 2 s. A server that receives none for 12 s ends the
//     session, even if the kernel's probes only reach a pooler or a proxy.
//   - If a server doesn't answer the guard within 10 s, the run gives it up.
//
// Between two attempts at a step, the engine pauses for up to 30 s.
const (
	beat        = 2 * time.Second
	beatTimeout = 10 * time.Second
	idleGuard   = "12s"
	longestIdle = "60s"
)

// setting is a server setting that detects a dead client.
type setting struct {
	name, value string
	linux       bool // not supported on other systems
	since       int  // major version
}

var deadClient = []setting{
	{name: "client_connection_check_interval", value: "1000", linux: true, since: 14},
	{name: "tcp_keepalives_idle", value: "4"},
	{name: "tcp_keepalives_interval", value: "2"},
	{name: "tcp_keepalives_count", value: "3"},
	{name: "tcp_user_timeout", value: "10000", linux: true},
}

// noticeDeadClient returns an SQL expression that makes the server detect a dead client; set
// returns the expression that changes one setting.
func (c *conn) noticeDeadClient(set func(name, value string) string) (sql string) {
	var always, linux []string
	for _, s := range deadClient {
		switch {
		case c.serverMajor() < s.since:
		case s.linux:
			linux = append(linux, set(s.name, s.value))
		default:
			always = append(always, set(s.name, s.value))
		}
	}
	return all(always...) + ", CASE WHEN pg_catalog.version() OPERATOR(pg_catalog.~*) 'linux' THEN " + all(linux...) + " END"
}

// all returns an SQL expression that evaluates all expressions, in order.
func all(expressions ...string) string {
	return "pg_catalog.num_nulls(" + strings.Join(expressions, ", ") + ")"
}

// forTheTransaction returns an expression that makes the server detect a dead client for the rest
// of the transaction, and sets its timeouts and the application name. The old values are saved
// beside the settings, as in session.Masked. The driver's own sessions detect it until they end.
// It looks up nothing in the search path.
//
// The caller may pause inside the transaction before it sends a script, so a limit for idle
// transactions is raised, and one for whole transactions is removed. A client that is dead is
// noticed anyway.
func (db *Database) forTheTransaction(c *conn, opts database.LockOptions) (sql string) {
	mask := func(name, value string) string {
		return all(saved(name), fmt.Sprintf("pg_catalog.set_config('%s', %s, true)", name, literal(value)))
	}
	switch {
	case c.attends():
	case c.ours():
		sql = ", " + c.noticeDeadClient(forTheSession)
	default:
		sql = ", " + c.noticeDeadClient(mask)
	}
	if limit, set := milliseconds(opts.LockTimeout); set {
		sql += ", " + mask("lock_timeout", limit)
	}
	sql += ", " + raised("idle_in_transaction_session_timeout", mask)
	if c.serverMajor() >= 17 {
		sql += ", CASE WHEN pg_catalog.current_setting('transaction_timeout') OPERATOR(pg_catalog.<>) '0' THEN " + mask("transaction_timeout", "0") + " END"
	}
	if db.sayApp && c.parameter("application_name") != db.opts.App {
		sql += ", " + mask("application_name", ascii(db.opts.App))
	} else { // a script will be named there
		sql += ", " + saved("application_name")
	}
	return sql
}

// saved returns an expression that saves a setting beside it.
func saved(name string) string {
	return fmt.Sprintf("pg_catalog.set_config('whimbrel.%[1]s', pg_catalog.concat('=', pg_catalog.current_setting('%[1]s')), true)", name)
}

// raised returns an expression that raises a limit for idle sessions above the longest pause.
func raised(name string, set func(name, value string) string) string {
	limit := "pg_catalog.current_setting('" + name + "')::interval OPERATOR(pg_catalog."
	return "CASE WHEN " + limit + ">=) '1 ms' AND " + limit + "<=) '" + longestIdle + "' THEN " + set(name, longestIdle) + " END"
}

// forTheSession returns an expression that changes a setting until the session ends.
func forTheSession(name, value string) string {
	return fmt.Sprintf("pg_catalog.set_config('%s', '%s', false)", name, value)
}

// attend does for the worker's session what forTheTransaction does for a transaction. putBack
// reverts it.
//
// A session of our own keeps the settings, and the lock timeout is only set for the statements that
// need it: see limitSession. If a pooler owns the session, the client knows another process id than
// the server's, and nothing is set.
func (r *run) attend() []query {
	r.limit, r.lifted, r.ownLimit, r.task = r.opts.LockTimeout, false, false, ""
	if r.pooled || r.ours && r.worker.isReadyForRuns() {
		return nil
	}
	sql := "SELECT " + r.worker.noticeDeadClient(forTheSession)
	if r.worker.serverMajor() >= 14 {
		sql += ", " + raised("idle_session_timeout", forTheSession)
	}
	if limit, given := milliseconds(r.opts.LockTimeout); given && !r.ours {
		sql += ", " + forTheSession("lock_timeout", limit)
	}
	return []query{{sql: sql + " FROM (SELECT) AS one WHERE pg_catalog.pg_backend_pid() = $1::bigint", args: []arg{number(r.worker.pid())}, quiet: true}}
}

// runsKey marks in a connection's custom data that its session has the settings of attend until it
// ends.
const runsKey = "whimbrel.runs"

func (c *conn) readyForRuns() {
	c.with(func(pc *pgconn.PgConn) {
		pc.CustomData()[runsKey] = true
		if p := preparedOn(pc); p != nil {
			p.attended = true
		}
	})
}

func (c *conn) isReadyForRuns() (is bool) {
	c.with(func(pc *pgconn.PgConn) { is = pc.CustomData()[runsKey] == true })
	return is
}

// holdQueries keep the guard's transaction alive as long as the guard sends messages, and no
// longer.
func holdQueries(c *conn) []query {
	qs := []query{command("SET LOCAL idle_in_transaction_session_timeout = '" + idleGuard + "'")}
	if c.serverMajor() >= 17 {
		qs = append(qs, command("SET LOCAL transaction_timeout = 0"))
	}
	return qs
}

// pulse waits on the guard's connection and sends a message at each beat, until ctx is done or the
// connection is lost. No notification ever arrives.
func pulse(ctx context.Context, guard *conn) error {
	for {
		err := guard.use(func(pc *pgconn.PgConn) error {
			wait, cancel := context.WithTimeout(ctx, beat)
			defer cancel()
			err := pc.WaitForNotification(wait)
			if wait.Err() == nil || ctx.Err() != nil {
				return err
			}
			return beatOnce(pc)
		})
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// beatOnce sends a comment instead of a query. A query would need a snapshot, and CREATE INDEX
// CONCURRENTLY waits for every transaction that it has seen with one.
func beatOnce(pc *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), beatTimeout)
	defer cancel()
	_, err := pc.Exec(ctx, "-- whimbrel: the migration lock is held here").ReadAll()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("no answer within %s: %w", beatTimeout, err)
	}
	return err
}
