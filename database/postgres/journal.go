package postgres

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A run claims its set's journal row with a token of its own, and writes to the row only while the
// token is there. The server may still execute a statement of a killed process, whose transaction
// ends with a write to the row: that write fails, and rolls the statement back. A row that contains
// only a claim records no progress.

// isOpen is a condition: a journal row records that a part of a run has happened, or may have.
const isOpen = `(done OPERATOR(pg_catalog.>) 0 OR begun OPERATOR(pg_catalog.<>) '')`

// claimTimeout limits one attempt to claim the row. Another transaction may have written it: one of
// a killed process whose session is still open, or one whose statement is still running.
func claimTimeout(opts database.LockOptions) query {
	timeout := max(min(opts.Timeout, time.Second/2), time.Millisecond)
	return query{
		sql:   "SELECT pg_catalog.set_config('lock_timeout', $1, true)",
		args:  []arg{text(fmt.Sprint(timeout.Milliseconds()))},
		often: true,
	}
}

// claimQuery claims the row for the worker's session: at once if no other session may still use the
// row, else not at all.
func (r *run) claimQuery(alone bool, claimed *bool) query {
	r.token = rand.Text()
	unless := ""
	if !alone {
		unless = " WHERE NOT EXISTS (" + r.db.previousSession(r.schema, "$2") + ")"
	}
	return query{
		sql: "INSERT INTO " + r.journalTable() + " AS j (set_name, token, lock_key, " + backendColumns + ") SELECT $2, $3, " + lockKey + ", a.pid, a.backend_start, a.usesysid FROM (" + ownBackend("$4") +
			") a" + unless + " ON CONFLICT (set_name) DO UPDATE SET token = excluded.token, lock_key = excluded.lock_key, (" + backendColumns + ") = (excluded.backend_pid, excluded.backend_start, excluded.backend_user)" +
			" RETURNING backend_pid, coalesce(" + sinceWhen + ", 0), backend_user, CASE WHEN " + isOpen + " THEN pg_catalog.to_json(j)::text END",
		args:  []arg{r.own.historyID(), keptAsASCII(r.set), text(r.token), number(r.worker.pid())},
		often: true,
		row: func(row *row) (err error) {
			r.at = process{PID: row.number(), Since: row.number(), User: row.number()}
			r.pooled, *claimed = r.at.PID == 0, true
			r.journal, err = row.journal()
			return err
		},
		fail: func(pg *pgconn.PgError) error {
			err := r.own.explain(pg, history, journal)
			if busy := (*tablesBusyError)(nil); errors.As(err, &busy) {
				busy.row = true
			}
			return err
		},
	}
}

// reclaimQuery changes the token, unless another process has claimed the row.
func (r *run) reclaimQuery(done *bool) query {
	old := r.token
	r.token = rand.Text()
	return query{
		sql: "UPDATE " + r.journalTable() + " AS j SET token = $3, (" + backendColumns + ") = (" + ownBackend("$4") + ") WHERE set_name = $1 AND token = $2 RETURNING CASE WHEN " +
			isOpen + " THEN pg_catalog.to_json(j)::text END",
		args: []arg{keptAsASCII(r.set), text(old), text(r.token), number(r.worker.pid())},
		row: func(row *row) (err error) {
			*done = true
			r.journal, err = row.journal()
			return err
		},
	}
}

func (r *run) journalTable() string { return table(r.schema, r.db.names.Journal) }

// journal reads an interrupted run, nil for none.
func (r *row) journal() (*database.Journal, error) {
	doc := r.bytes()
	if doc == nil {
		return nil, r.err
	}
	j := &database.Journal{}
	if err := json.Unmarshal(doc, j); err != nil {
		return nil, fmt.Errorf("a row of the journal is damaged: %w", err)
	}
	for _, text := range []*string{&j.Name, &j.Begun, &j.Before, &j.Error, &j.OSUser, &j.Host, &j.App, &j.Actor} {
		*text = unescape(*text)
	}
	j.StartedAt, j.UpdatedAt = j.StartedAt.UTC(), j.UpdatedAt.UTC()
	return j, r.err
}

// writing says how to write the journal.
type writing struct {
	with *description // the journal's Before is what that adds to it
	// ahead is set for statements that share a message. The query fails if another session delays
	// the statement, or if a setting has changed since the run began: if the run has lost its lock,
	// a freeze does not wait for it.
	ahead bool
	again bool // the same message has begun the run, and StartedAt stays as it is
}

// putQuery writes the journal; nil means that no run is interrupted. It looks up nothing in the
// search path.
func (r *run) putQuery(j *database.Journal, how writing) query {
	if j == nil {
		j = &database.Journal{Version: database.NilVersion}
	}
	p := r.db.process
	args := []arg{
		keptAsASCII(r.set), text(r.token), number(j.Version), keptAsASCII(j.Name), text(string(j.Direction)), text(j.Checksum.Digits()), number(int64(j.Of)),
		number(int64(j.Done)), text(j.DoneSum.Digits()), keptAsASCII(j.Begun), keptAsASCII(j.Before), keptAsASCII(j.Error),
		keptAsASCII(p.Host), keptAsASCII(p.App), number(int64(os.Getpid())), keptAsASCII(p.OSUser), keptAsASCII(p.Actor),
	}
	bind := func(a arg) string {
		args = append(args, a)
		return fmt.Sprintf("$%d", len(args))
	}
	started, ours := "pg_catalog.clock_timestamp()", "set_name OPERATOR(pg_catalog.=) $1 AND token OPERATOR(pg_catalog.=) $2"
	if at := moment(j.StartedAt); at != nil {
		started = bind(at)
	} else if how.again {
		started = "started_at"
	}
	if how.ahead {
		ours += fmt.Sprintf(" AND (SELECT pg_catalog.max(id) FROM %s WHERE set_name OPERATOR(pg_catalog.=) '%s') OPERATOR(pg_catalog.=) %s::bigint",
			table(r.schema, r.db.names.History), migration.ReservedSet, bind(number(r.head.own)))
	}
	with, was, before, columns, one := how.with, "", "$11", "", "(SELECT pg_catalog.count(*) FROM mine)"
	if with != nil {
		was = "was AS MATERIALIZED (SELECT doc FROM (" + with.sql + ") AS described (doc)), "
		before = "(SELECT (doc::pg_catalog.jsonb OPERATOR(pg_catalog.||) $11::pg_catalog.jsonb)::pg_catalog.text FROM was)"
		columns = ", before, " + delayed
		if how.ahead {
			columns, one = ", before, false", "("+one+" OPERATOR(pg_catalog.=) 1 AND NOT "+delayed+")::int"
		}
	}
	return query{
		sql: `WITH ` + was + `mine AS (UPDATE ` + r.journalTable() + ` SET version = $3, name = $4, direction = $5, checksum = $6, statements = $7,
	done = $8, done_checksum = $9, begun = $10, before = ` + before + `, error = $12, host = $13, app = $14, pid = $15, os_user = $16, actor = $17, db_user = session_user,
	started_at = ` + started + `, updated_at = pg_catalog.clock_timestamp()
	WHERE ` + ours + ` RETURNING started_at, updated_at, db_user, before)
SELECT 1 OPERATOR(pg_catalog./) ` + one + `, started_at, updated_at, db_user` + columns + ` FROM (SELECT) AS one LEFT JOIN mine ON true`,
		args:    args,
		path:    callers,
		formats: []int16{0, 1, 1, 0, 0, 0}[:4+2*strings.Count(columns, ", before")],
		often:   true,
		fail:    fenced,
		row: func(row *row) error {
			row.next = 1
			j.StartedAt, j.UpdatedAt, j.DBUser = row.time(), row.time(), row.text()
			if with != nil {
				with.row(row)
			}
			j.OSUser, j.Host, j.App, j.Actor, j.PID = p.OSUser, p.Host, p.App, p.Actor, int64(os.Getpid())
			return row.err
		},
	}
}

// putAsOurselves writes the journal as the role that the run began with, whatever the script
// changed in the session, and without the script's timeouts. What follows, such as triggers
// deferred to COMMIT, sees the script's session again.
func (r *run) putAsOurselves(j *database.Journal, how writing) []query {
	if !r.changed || r.pooled || !r.ours && !r.session.known {
		return []query{r.putQuery(j, how)}
	}
	const set, was = "pg_catalog.set_config('%s', %s, true)", "pg_catalog.set_config('whimbrel.was_%[1]s', pg_catalog.current_setting('%[1]s'), true)"
	var keep, ours, theirs []string
	all := [][2]string{{"session_authorization", r.session.User}, {"role", r.session.Role}, {"statement_timeout", "0"}, {"lock_timeout", "0"}}
	if !r.session.known { // only the timeouts are changed
		all = all[2:]
	}
	for _, s := range all {
		keep = append(keep, fmt.Sprintf(was, s[0]))
		ours = append(ours, fmt.Sprintf(set, s[0], literal(s[1])))
		theirs = append(theirs, fmt.Sprintf(set, s[0], "pg_catalog.current_setting('whimbrel.was_"+s[0]+"')"))
	}
	ask := func(calls []string) query {
		return query{sql: "SELECT " + strings.Join(calls, ", "), path: callers, quiet: true}
	}
	return []query{ask(keep), ask(ours), r.putQuery(j, how), ask(theirs)}
}

// fenced reports that the row does not have our token, in which case the query divided by zero.
func fenced(pg *pgconn.PgError) error {
	if pg.Code == divisionByZero {
		return database.ErrFenced
	}
	return ownError("", pg)
}

// unclaimQuery removes a claim without progress.
func (r *run) unclaimQuery() query {
	return query{
		sql:   "DELETE FROM " + r.journalTable() + " WHERE set_name = $1 AND token = $2 AND NOT " + isOpen,
		args:  []arg{keptAsASCII(r.set), text(r.token)},
		often: true,
	}
}

// endQuery removes the interrupted run that an entry ends, or the claim of a process killed before
// it did anything. If the entry says that the run failed, it stores the entry's error in the row.
func (b *transaction) endQuery(e database.Entry) query {
	if e.Direction == database.Failed {
		return query{
			sql:  "UPDATE " + table(b.schema, b.db.names.Journal) + " SET error = $5 WHERE set_name = $1 AND version = $2 AND direction = $3 AND name = $4",
			args: []arg{keptAsASCII(e.Set), number(e.Version), text(string(e.Tried)), keptAsASCII(e.Name), keptAsASCII(e.Error)},
		}
	}
	q := query{
		sql:  "DELETE FROM " + table(b.schema, b.db.names.Journal) + " WHERE set_name = $1 AND (NOT " + isOpen,
		args: []arg{keptAsASCII(e.Set)},
	}
	ran := e.Direction // of a script without a version
	if e.Direction == database.Abandon {
		ran = e.Tried
		if e.Version != database.NilVersion {
			ran = database.Forget // which ends it by its version, too
		}
	}
	switch ran {
	case database.Up, database.Down, database.Mark, database.Forget, database.Baseline, database.Load:
		q.sql += fmt.Sprintf(" OR version = $2 AND version <> %d)", database.NilVersion)
		q.args = append(q.args, number(e.Version))
	case database.Repeat, database.Seed:
		q.sql += " OR direction = $2 AND name = $3)"
		q.args = append(q.args, text(string(ran)), keptAsASCII(e.Name))
	case database.Reset:
		q.sql += " OR true)"
	default:
		q.sql += ")"
	}
	return q
}

// Journal writes the set's row.
func (r *run) Journal(ctx context.Context, j *database.Journal) error {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if r.worker.inTransaction() {
		return errOwnTransaction
	}
	ctx, stop := r.under(ctx)
	defer stop()
	if err := r.reconnect(ctx); err != nil {
		return err
	}
	return r.put(ctx, j, r.putAsOurselves(j, writing{})...)
}

// put writes the set's row in a transaction of its own, with the given queries.
func (r *run) put(ctx context.Context, j *database.Journal, put ...query) error {
	r.ended = false
	queries := []query{{sql: "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", path: callers, often: true}}
	_, err := r.commit(ctx, append(append(queries, r.nextLimit(j)...), put...)...)
	if err == nil {
		r.journal = j
	} else {
		r.task = ""
	}
	return err
}

// reconnect replaces the worker's broken connection. The server may still execute what was sent on
// it, so reconnect terminates that session and changes the claim's token: behind a pooler, only the
// token prevents the session from writing the journal. If the session has already written there,
// the next run resumes from that.
func (r *run) reconnect(ctx context.Context) error {
	if !r.worker.broken() {
		return nil
	}
	c, err := r.db.beside(ctx, r.guard)
	if err != nil {
		return err
	}
	c.watch = r.worker.watch
	r.worker.giveBack()
	r.worker, r.session, r.names, r.timed = c, session{}, nil, nil
	r.ours, r.stained, r.limited, r.named = true, false, false, false
	if err := c.pipeline(ctx, c.learnServer()); err != nil {
		return err
	}
	if err := c.checkSameServer(r.guard); err != nil {
		return err
	}
	if err := r.db.endProcess(ctx, c, r.set, r.at, database.LockOptions{Timeout: orphanTimeout}); err != nil {
		return err
	}
	knew, claimed := r.journal, false
	if err := r.worker.pipeline(ctx, append(r.attend(), r.reclaimQuery(&claimed), r.at.read())...); err != nil {
		return err
	}
	if r.pooled {
		r.at = process{}
	} else {
		r.worker.readyForRuns()
	}
	if !claimed {
		return database.ErrFenced
	}
	if knew == nil != (r.journal == nil) || knew != nil && (knew.Version != r.journal.Version || knew.Done != r.journal.Done || knew.Begun != r.journal.Begun) {
		r.token = "" // this run must not write any more
		return fmt.Errorf("%w: the statement whose connection broke has finished", database.ErrFenced)
	}
	return nil
}

var errOwnTransaction = errors.New("the script left a transaction open; it must end it")

// commitText is the statement in an error of our COMMIT.
const commitText = "COMMIT"

// commit sends queries and COMMIT, and leaves no transaction open.
func (r *run) commit(ctx context.Context, queries ...query) (bool, error) {
	committed, err := commit(ctx, r.worker, queries, func(pg *pgconn.PgError) error { return ownError(commitText, pg) })
	r.worker.rollback()
	return committed, r.db.unknownCommit(r.worker, err)
}

// transact executes a statement and writes the journal in one transaction: the one that the
// statement ends, or one of its own.
func (r *run) transact(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
	put := r.putAsOurselves(done, writing{})
	if r.pathReset {
		put = append(put, command("RESET search_path")) // again, since the path was pinned after it
		defer func() { r.pathReset = r.pathReset && r.worker.inTransaction() }()
	}
	begin := command("BEGIN")
	if r.changed { // the script may have made read-only the default
		begin.sql = "BEGIN READ WRITE"
	}
	limits, limit := r.limitsInside(s, st), r.watchedLimit(s, st)
	var err error
	switch own := r.worker.inTransaction(); {
	case own && st.Tx != sqltext.TxCommit:
		return errOwnTransaction
	case own:
		_, err = r.commit(ctx, put...)
	case data != nil || needsSimple(st):
		if err = r.worker.pipeline(ctx, append([]query{begin}, limits...)...); err == nil {
			if err = r.execute(ctx, st, data, limit); err == nil {
				_, err = r.commit(ctx, put...)
			}
		}
	default:
		queries := append([]query{begin}, limits...)
		queries = append(queries, query{sql: st.Text, path: callers, at: &watched{st: st, limit: limit}, fail: func(pg *pgconn.PgError) error {
			return statementError(st, pg, st.Text, st.Pos)
		}})
		_, err = r.commit(ctx, append(queries, put...)...)
	}
	if err != nil {
		r.worker.rollback()
		r.task = ""
	} else {
		r.journal = done
	}
	// a deferred constraint of this statement, or of one in its transaction
	if e, ok := drivers.AsType[*database.StatementError](err); ok && e.Statement == commitText {
		e.Pos, e.Index, e.Statement = st.Pos, st.Index, st.Text
	}
	if hasCode(err, "25001", "2D000") {
		return fmt.Errorf("%w: %w", database.ErrNoTransaction, err)
	}
	return err
}
