package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// How soon others can proceed when the client's machine dies, or its network. Nothing tells the server then, and its
// kernel would wait for two hours. All of these are less than the lock timeout of somebody who waits, 15 s by default.
//
//   - The server's kernel probes a silent client after 4 s, and again every 2 s; tcp_user_timeout gives it up after 10 s
//     without an answer, also when the server itself has something to send.
//   - The guard of a run is asked every 2 s. A server that has heard nothing for 12 s ends it, also where the kernel's
//     probes reach only a pooler or a proxy.
//   - A server that does not answer the guard within 10 s is given up from our side.
const (
	beat         = 2 * time.Second
	beatPatience = 10 * time.Second
	idleGuard    = "12s"
)

// setting is one that tells the server how to notice that its client is gone.
type setting struct {
	name, value string
	linux       bool // other systems can't
	since       int  // major version
}

var deadClient = []setting{
	{name: "client_connection_check_interval", value: "1000", linux: true, since: 14},
	{name: "tcp_keepalives_idle", value: "4"},
	{name: "tcp_keepalives_interval", value: "2"},
	{name: "tcp_keepalives_count", value: "3"},
	{name: "tcp_user_timeout", value: "10000", linux: true},
}

// noticeDeadClient returns an SQL expression that makes the server notice that its client is gone; set is the
// expression that changes one setting.
func noticeDeadClient(pc *pgconn.PgConn, set func(name, value string) string) (sql string) {
	always, linux := "''", "''"
	for _, s := range deadClient {
		switch {
		case serverMajor(pc) < s.since:
		case s.linux:
			linux += " || " + set(s.name, s.value)
		default:
			always += " || " + set(s.name, s.value)
		}
	}
	return always + ", CASE WHEN pg_catalog.version() ~* 'linux' THEN " + linux + " END"
}

// forTheTransaction makes the server notice, for the rest of a transaction, that its client is gone, and says who we
// are. What these settings were is kept beside, as session.Masked.
func (db *Database) forTheTransaction(c *conn) (sql string) {
	mask := func(name, value string) string {
		return fmt.Sprintf("pg_catalog.set_config('whimbrel.%[1]s', '=' || pg_catalog.current_setting('%[1]s'), true) || pg_catalog.set_config('%[1]s', %[2]s, true)", name, literal(value))
	}
	c.use(func(pc *pgx.Conn) error {
		sql = ", " + noticeDeadClient(pc.PgConn(), mask)
		if db.sayApp && pc.PgConn().ParameterStatus("application_name") != db.opts.App {
			sql += ", " + mask("application_name", ascii(db.opts.App))
		}
		return nil
	})
	return sql
}

// attend is for the worker's session what forTheTransaction is for a transaction. putBack takes it away again.
func (r *run) attend() (qs []query) {
	if r.pooled { // the session is the pooler's
		return nil
	}
	set := func(name, value string) string {
		return fmt.Sprintf("pg_catalog.set_config('%s', '%s', false)", name, value)
	}
	r.worker.use(func(pc *pgx.Conn) error {
		qs = []query{{sql: "SELECT " + noticeDeadClient(pc.PgConn(), set), quiet: true}}
		return nil
	})
	return qs
}

// holdQueries keep the guard's transaction alive for as long as it beats, and no longer.
func holdQueries(c *conn) []query {
	qs := []query{command("SET LOCAL idle_in_transaction_session_timeout = '" + idleGuard + "'")}
	c.use(func(pc *pgx.Conn) error {
		if serverMajor(pc.PgConn()) >= 17 {
			qs = append(qs, command("SET LOCAL transaction_timeout = 0"))
		}
		return nil
	})
	return qs
}

// pulse waits on the guard's connection for something that never comes, and lets the server hear from us in between,
// until ctx is done or the connection is lost.
func pulse(ctx context.Context, guard *conn) error {
	for {
		err := guard.use(func(pc *pgx.Conn) error {
			wait, cancel := context.WithTimeout(ctx, beat)
			defer cancel()
			err := pc.PgConn().WaitForNotification(wait)
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

// beatOnce sends a query that is none: any other would need a snapshot, and CREATE INDEX CONCURRENTLY waits for the
// end of every transaction that it has met with one.
func beatOnce(pc *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), beatPatience)
	defer cancel()
	_, err := pc.PgConn().Exec(ctx, "-- whimbrel: the migration lock is held here").ReadAll()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("no answer within %s: %w", beatPatience, err)
	}
	return err
}
