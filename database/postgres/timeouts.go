package postgres

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// timeouts returns the settings for a script's directives.
func timeouts(d migration.Directives) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if limit, set := milliseconds(d.LockTimeout); set && !yield("lock_timeout", limit) {
			return
		}
		if d.StatementTimeout > 0 {
			yield("statement_timeout", strconv.FormatInt(d.StatementTimeout.Milliseconds(), 10))
		}
	}
}

// milliseconds returns the value of lock_timeout for a limit: "0" for none, which is less than 0.
// The limit 0 leaves the setting as it is.
func milliseconds(d time.Duration) (value string, set bool) {
	if d <= 0 {
		return "0", d < 0
	}
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10), true
}

// lockLimit returns the limit for a script: that of its directives, or else of the options.
func lockLimit(s *migration.Script, otherwise time.Duration) time.Duration {
	if s != nil && s.LockTimeout != 0 {
		return s.LockTimeout
	}
	return otherwise
}

// noTimeouts returns the query that removes the timeouts of a script, before Whimbrel restores the
// session: they are meant for the script alone.
func noTimeouts(local bool) query {
	return query{sql: fmt.Sprintf("SELECT pg_catalog.set_config('lock_timeout', '0', %[1]t), pg_catalog.set_config('statement_timeout', '0', %[1]t)", local)}
}

// setConfig sets a setting to the value of an SQL expression, which must look up nothing.
func setConfig(name, value string, local bool) query {
	return query{sql: fmt.Sprintf("SELECT pg_catalog.set_config(%s, %s, %t)", literal(name), value, local), path: callers}
}

// setsLimit reports whether a statement sets the lock timeout itself.
func setsLimit(st sqltext.Statement) bool {
	return st.Session && strings.Contains(strings.ToLower(st.Text), "lock_timeout")
}

// namesTimeout reports whether a text contains the name of a timeout that a Tx sets.
func namesTimeout(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "lock_timeout") || strings.Contains(text, "idle_in_transaction_session_timeout") || strings.Contains(text, "transaction_timeout")
}

// limiter removes the lock timeout of a Tx for statements that block nobody while they wait: those
// that take weak locks, as long as the transaction holds no other lock.
type limiter struct {
	holds  bool // an earlier statement may have taken a lock that blocks reads or writes
	own    bool // the script has set the timeout itself
	lifted bool // the timeout is removed
}

// before returns the queries to send before a statement, given the limit for its script.
func (l *limiter) before(st sqltext.Statement, limit time.Duration) []query {
	weak := pgddl.BlocksNobody(st.Text)
	lift := weak && !l.holds && !l.own && limit > 0
	l.holds = l.holds || !weak && !takesNoLock(st)
	l.own = l.own || setsLimit(st)
	switch {
	case lift && !l.lifted:
		l.lifted = true
		return []query{command("SELECT pg_catalog.set_config('whimbrel.lifted', pg_catalog.current_setting('lock_timeout'), true), pg_catalog.set_config('lock_timeout', '0', true)")}
	case !lift:
		return l.lower()
	}
	return nil
}

// lower returns the query that restores the timeout.
func (l *limiter) lower() []query {
	if !l.lifted {
		return nil
	}
	l.lifted = false
	return []query{setConfig("lock_timeout", "pg_catalog.current_setting('whimbrel.lifted')", true)}
}

// takesNoLock reports whether a statement certainly takes no lock that blocks others.
func takesNoLock(st sqltext.Statement) bool {
	switch st.Verb() {
	case "SET", "RESET", "SHOW", "SAVEPOINT", "RELEASE", "DISCARD":
		return true
	}
	return false
}

// setTimeouts returns the queries that set the worker's timeouts for a statement of a script,
// unless they are set. own reports that the statement executes in a transaction of its own.
func (r *run) setTimeouts(s *migration.Script, st sqltext.Statement, own bool) (qs []query) {
	if r.timed != s {
		if limit := lockLimit(s, r.opts.LockTimeout); limit != r.limit {
			value := "NULL" // the session's own
			if ms, set := milliseconds(limit); set {
				value = literal(ms)
			}
			qs = append(qs, setConfig("lock_timeout", value, false))
			r.limit, r.lifted, r.ownLimit = limit, false, false
		}
		if s.StatementTimeout > 0 {
			qs = append(qs, setConfig("statement_timeout", literal(fmt.Sprint(s.StatementTimeout.Milliseconds())), false))
		}
	}
	if outside := !own && !r.worker.inTransaction(); outside && r.waitsFreely(st, r.limit) {
		qs = append(qs, r.lift()...)
	} else {
		qs = append(qs, r.lower()...)
	}
	r.ownLimit = r.ownLimit || setsLimit(st)
	return qs
}

// waitsFreely reports whether the lock timeout limit must be removed for a statement, if nothing
// before it in its transaction has taken a lock. After a timeout, a CONCURRENTLY leaves an
// incomplete result, so it has none even if the script or the session set one.
func (r *run) waitsFreely(st sqltext.Statement, limit time.Duration) bool {
	what := pgddl.Parse(st.Text)
	return what.Concurrently() || limit > 0 && !r.ownLimit && pgddl.BlocksNobody(st.Text)
}

// nextLimit returns the queries that set the worker's lock timeout for the statement with which the
// journal says to begin, and name its script, so that this takes no round trip of its own.
func (r *run) nextLimit(j *database.Journal) []query {
	next := r.next
	r.next = sqltext.Statement{}
	if r.pooled || j == nil || j.Begun == "" || next.Text == "" {
		return r.lower()
	}
	free := r.waitsFreely(next, r.limit)
	if r.reset {
		r.reset = false
		return append(r.attend(), r.nextLimitNow(next, free)...)
	}
	if r.ours && !r.stained && !r.limited && free {
		return r.nameAndLift(next.Pos.File)
	}
	return r.nextLimitNow(next, free)
}

// nextLimitNow is nextLimit in any other session.
func (r *run) nextLimitNow(next sqltext.Statement, free bool) []query {
	name := append(r.limitSession(), r.nameTask(next.Pos.File, false)...)
	if free {
		return append(name, r.lift()...)
	}
	return append(name, r.lower()...)
}

// nameAndLift does all that nextLimit does, with one query, in a session of our own in which
// nothing is set.
func (r *run) nameAndLift(file string) []query {
	args := []arg{text(appOf(r.app, file))}
	if file == "" {
		args[0] = text(r.app)
	}
	value, set := milliseconds(r.opts.LockTimeout)
	if r.limited, r.lifted, r.unlifted = true, true, value; !set {
		r.unlifted = sessionsOwn
	}
	r.task, r.named = file, true
	return []query{{sql: "SELECT " + liftColumns(1), args: args, path: callers, often: true}}
}

// liftColumns name the script of the nth parameter in the session, and remove its lock timeout.
// settleColumns undo that.
func liftColumns(n int) string {
	return fmt.Sprintf("pg_catalog.set_config('application_name', $%d, false), pg_catalog.set_config('lock_timeout', '0', false)", n)
}

const settleColumns = "pg_catalog.set_config('application_name', NULL, false), pg_catalog.set_config('lock_timeout', NULL, false)"

// sessionsOwn is the value of a setting that is not set in the session.
const sessionsOwn = "NULL"

// limitSession returns the query that sets the lock timeout of the options in a session of our own,
// unless it is set. settle removes it.
func (r *run) limitSession() []query {
	if !r.ours || r.pooled || r.limited {
		return nil
	}
	r.limited = true
	value, set := milliseconds(r.opts.LockTimeout)
	if !set {
		return nil
	}
	return []query{setConfig("lock_timeout", literal(value), false)}
}

// settle returns the queries that remove from a session of our own what was set for a script.
func (r *run) settle() (qs []query) {
	if !r.ours || r.pooled {
		return nil
	}
	if r.timed != nil && r.timed.StatementTimeout > 0 {
		qs = append(qs, silent("RESET statement_timeout"))
	}
	if r.limited || r.named {
		qs = append(qs, query{sql: "SELECT " + settleColumns, path: callers, quiet: true, often: true})
	}
	return qs
}

// settled notes that they are executed.
func (r *run) settled() {
	if r.ours {
		r.limited, r.lifted, r.ownLimit, r.named = false, false, false, false
		r.timed, r.task, r.changed, r.limit = nil, "", r.stained, r.opts.LockTimeout
	}
}

// lift returns the query that removes the worker's lock timeout, unless a pooler owns the session.
func (r *run) lift() []query {
	if r.pooled || r.lifted {
		return nil
	}
	r.lifted, r.unlifted = true, ""
	return []query{{sql: "SELECT pg_catalog.current_setting('lock_timeout'), pg_catalog.set_config('lock_timeout', '0', false)", row: into(&r.unlifted)}}
}

// lower returns the query that restores it.
func (r *run) lower() []query {
	was := r.lifted && r.unlifted != ""
	r.lifted = false
	if !was {
		return nil
	}
	if r.unlifted == sessionsOwn {
		return []query{setConfig("lock_timeout", sessionsOwn, false)}
	}
	return []query{setConfig("lock_timeout", literal(r.unlifted), false)}
}

// limitsInside returns the queries that set the timeouts of a statement in the transaction that has
// just begun for it, and name its script. They take no snapshot.
func (r *run) limitsInside(s *migration.Script, st sqltext.Statement) (qs []query) {
	limit, local := lockLimit(s, r.opts.LockTimeout), r.setsLocally(st, true)
	value, set := milliseconds(limit)
	switch {
	case limit > 0 && r.waitsFreely(st, limit):
		qs = append(qs, command("SET LOCAL lock_timeout = 0"))
	case set && (r.pooled || local):
		qs = append(qs, command("SET LOCAL lock_timeout = "+value))
	}
	qs = append(qs, r.nameTask(st.Pos.File, r.pooled || local || st.Tx == sqltext.TxBegin)...)
	if (r.pooled || local) && s.StatementTimeout > 0 {
		qs = append(qs, command(fmt.Sprintf("SET LOCAL statement_timeout = %d", s.StatementTimeout.Milliseconds())))
	}
	return qs
}

// beginLimited adds to the statement with which a script begins a transaction what limitsInside
// returns.
func (r *run) beginLimited(s *migration.Script, st sqltext.Statement) sqltext.Statement {
	for _, q := range r.limitsInside(s, st) {
		st.Text += "\n; " + q.sql
	}
	return st
}

// executeLimited executes a statement outside any transaction, or in the script's own. In a session
// that a pooler owns, only a transaction limits the waits, so the statement gets one if it can.
func (r *run) executeLimited(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, limit time.Duration) error {
	limits := lockLimit(s, r.opts.LockTimeout) > 0 || s.StatementTimeout > 0
	if !limits || !r.pooled || r.worker.inTransaction() || st.Tx != sqltext.TxAny {
		return r.execute(ctx, st, data, limit)
	}
	err := r.worker.pipeline(ctx, append([]query{command("BEGIN")}, r.limitsInside(s, st)...)...)
	if err == nil {
		err = r.execute(ctx, st, data, limit)
	}
	if err == nil {
		_, err = r.commit(ctx)
		return err
	}
	r.worker.rollback()
	if hasCode(err, "25001", "2D000") && data == nil && s.LockTimeout <= 0 && s.StatementTimeout <= 0 {
		return r.execute(ctx, st, data, 0)
	}
	return err
}

// fitsPooler returns an error if a pooler's session can't execute the statement as intended:
// outside a transaction no timeout applies there. own is that of setTimeouts.
func (r *run) fitsPooler(s *migration.Script, st sqltext.Statement, own bool) error {
	const direct = "connect to PostgreSQL directly for this migration"
	outside := !own && !r.worker.inTransaction() && st.Tx != sqltext.TxBegin && st.Tx != sqltext.TxAny // see executeLimited
	switch {
	case outside && (s.LockTimeout > 0 || s.StatementTimeout > 0):
		return refused(st, "the script sets a timeout, which a connection pooler does not keep for a statement outside a transaction", direct)
	case outside && lockLimit(s, r.opts.LockTimeout) > 0 && pgddl.RewritesOutside(st.Text):
		return refused(st, "the statement would block others while it waits for its lock, since a connection pooler does not keep a lock timeout for a statement outside a transaction",
			direct+", or let the statement wait without a limit (-- whimbrel: lock-timeout 0)")
	case changesSession(st) && !(r.worker.inTransaction() && forTransaction(st)):
		return refused(st, "the statement changes the session, which a connection pooler shares with other clients", direct)
	}
	return nil
}
