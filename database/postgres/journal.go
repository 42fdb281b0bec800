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
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A run claims its set's row of the journal with a token of its own, and writes to the row only while
// it has that token. The server may still be at a statement of a process that was killed, whose transaction ends
// with a write to the row: it fails then, and takes back the statement with it. A row of which nothing
// is done or begun is such a claim, and says nothing.

// isOpen is whether a row of the journal says that something of a run has happened, or may have.
const isOpen = `(done OPERATOR(pg_catalog.>) 0 OR begun OPERATOR(pg_catalog.<>) '')`

// claimTimeout bounds one attempt to claim the row. Another transaction can have written it: that of a
// killed process whose session is still open, or of a statement that still runs.
func claimTimeout(opts database.LockOptions) query {
	timeout := max(min(opts.Timeout, time.Second/2), time.Millisecond)
	return query{
		sql:  "SELECT pg_catalog.set_config('lock_timeout', $1, true)",
		args: []arg{text(fmt.Sprint(timeout.Milliseconds()))},
	}
}

// claimQuery takes the row over for the worker's session.
func (r *run) claimQuery() query {
	r.token = rand.Text()
	return query{
		sql: "INSERT INTO " + r.journalTable() + " AS j (set_name, token, lock_key, " + backendColumns + ") SELECT $2, $3, " + lockKey + ", a.pid, a.backend_start, a.usesysid FROM (" + r.ownBackend() +
			") a ON CONFLICT (set_name) DO UPDATE SET token = excluded.token, lock_key = excluded.lock_key, (" + backendColumns + ") = (excluded.backend_pid, excluded.backend_start, excluded.backend_user)" +
			" RETURNING CASE WHEN " + isOpen + " THEN pg_catalog.to_json(j)::text END",
		args: []arg{r.own.historyID(), keptAsASCII(r.set), text(r.token)},
		row: func(row *row) (err error) {
			r.journal, err = row.journal()
			return err
		},
		fail: func(pg *pgconn.PgError) error {
			err := r.own.explain(pg)
			if busy := (*tablesBusyError)(nil); errors.As(err, &busy) {
				busy.row = true
			}
			return err
		},
	}
}

// reclaimQuery changes the token, as long as nobody else has done so.
func (r *run) reclaimQuery(done *bool) query {
	old := r.token
	r.token = rand.Text()
	return query{
		sql: "UPDATE " + r.journalTable() + " AS j SET token = $3, (" + backendColumns + ") = (" + r.ownBackend() + ") WHERE set_name = $1 AND token = $2 RETURNING CASE WHEN " +
			isOpen + " THEN pg_catalog.to_json(j)::text END",
		args: []arg{keptAsASCII(r.set), text(old), text(r.token)},
		row: func(row *row) (err error) {
			*done = true
			r.journal, err = row.journal()
			return err
		},
	}
}

func (r *run) journalTable() string { return table(r.schema, r.db.names.Journal) }

// journal reads an open run, nil for none.
func (r *row) journal() (*database.Journal, error) {
	doc := r.bytes()
	if doc == nil {
		return nil, r.err
	}
	j := &database.Journal{}
	if err := json.Unmarshal(doc, j); err != nil {
		return nil, fmt.Errorf("a row of the journal is not as it should be: %w", err)
	}
	for _, text := range []*string{&j.Name, &j.Begun, &j.Before, &j.Error, &j.Host, &j.App} {
		*text = unescape(*text)
	}
	j.StartedAt, j.UpdatedAt = j.StartedAt.UTC(), j.UpdatedAt.UTC()
	return j, r.err
}

// putQuery writes the journal, or what says that no run is open.
func (r *run) putQuery(j *database.Journal) query {
	if j == nil {
		j = &database.Journal{Version: database.NilVersion}
	}
	started := "pg_catalog.clock_timestamp()"
	args := []arg{
		keptAsASCII(r.set), text(r.token), number(j.Version), keptAsASCII(j.Name), text(string(j.Direction)), text(j.Checksum.Digits()), number(int64(j.Of)),
		number(int64(j.Done)), text(j.DoneSum.Digits()), keptAsASCII(j.Begun), keptAsASCII(j.Before), keptAsASCII(j.Error),
		keptAsASCII(r.db.host), keptAsASCII(r.db.app), number(int64(os.Getpid())),
	}
	if at := moment(j.StartedAt); at != nil {
		started = "$16"
		args = append(args, at)
	}
	return query{
		sql: `WITH mine AS (UPDATE ` + r.journalTable() + ` SET version = $3, name = $4, direction = $5, checksum = $6, statements = $7,
	done = $8, done_checksum = $9, begun = $10, before = $11, error = $12, host = $13, app = $14, pid = $15, db_user = session_user,
	started_at = ` + started + `, updated_at = pg_catalog.clock_timestamp() WHERE set_name = $1 AND token = $2 RETURNING started_at, updated_at, db_user)
SELECT 1 / (SELECT pg_catalog.count(*) FROM mine), started_at, updated_at, db_user FROM (SELECT) AS one LEFT JOIN mine ON true`,
		args:    args,
		formats: []int16{0, 1, 1, 0},
		fail:    fenced,
		row: func(row *row) error {
			row.next = 1
			j.StartedAt, j.UpdatedAt, j.DBUser = row.time(), row.time(), row.text()
			j.Host, j.App, j.PID = r.db.host, r.db.app, int64(os.Getpid())
			return row.err
		},
	}
}

// putAsOurselves writes the journal as the role that the run began with, whatever the script has made of the session, and
// without its timeouts; what follows, triggers that are deferred to COMMIT among it, finds the session as it was.
func (r *run) putAsOurselves(j *database.Journal) []query {
	if !r.changed || !r.session.known {
		return []query{r.putQuery(j)}
	}
	const set, was = "pg_catalog.set_config('%s', %s, true)", "pg_catalog.set_config('whimbrel.was_%[1]s', pg_catalog.current_setting('%[1]s'), true)"
	var keep, ours, theirs []string
	for _, s := range [][2]string{{"session_authorization", r.session.User}, {"role", r.session.Role}, {"statement_timeout", "0"}, {"lock_timeout", "0"}} {
		keep = append(keep, fmt.Sprintf(was, s[0]))
		ours = append(ours, fmt.Sprintf(set, s[0], literal(s[1])))
		theirs = append(theirs, fmt.Sprintf(set, s[0], "pg_catalog.current_setting('whimbrel.was_"+s[0]+"')"))
	}
	ask := func(calls []string) query {
		return query{sql: "SELECT " + strings.Join(calls, ", "), path: callers, quiet: true}
	}
	return []query{ask(keep), ask(ours), r.putQuery(j), ask(theirs)}
}

// fenced says that the row was not there with our token, when it was divided by nought rows.
func fenced(pg *pgconn.PgError) error {
	if pg.Code == divisionByZero {
		return database.ErrFenced
	}
	return ownError("", pg)
}

// unclaimQuery removes a claim that says nothing.
func (r *run) unclaimQuery() query {
	return query{
		sql:  "DELETE FROM " + r.journalTable() + " WHERE set_name = $1 AND token = $2 AND NOT " + isOpen,
		args: []arg{keptAsASCII(r.set), text(r.token)},
	}
}

// endQuery ends the open run that an event ends, and the claim of one that was killed before it did anything.
func (b *batch) endQuery(e database.Entry) query {
	q := query{
		sql:  "DELETE FROM " + table(b.schema, b.db.names.Journal) + " WHERE set_name = $1 AND (NOT " + isOpen,
		args: []arg{keptAsASCII(e.Set)},
	}
	switch e.Direction {
	case database.Up, database.Down, database.Mark, database.Forget, database.Baseline:
		q.sql += fmt.Sprintf(" OR version = $2 AND version <> %d)", database.NilVersion)
		q.args = append(q.args, number(e.Version))
	case database.Repeat, database.Seed:
		q.sql += " OR direction = $2 AND name = $3)"
		q.args = append(q.args, text(string(e.Direction)), keptAsASCII(e.Name))
	case database.Reset:
		q.sql += " OR true)"
	default:
		q.sql += ")"
	}
	return q
}

// Journal writes to the set's row.
func (r *run) Journal(ctx context.Context, j *database.Journal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return errOver
	}
	if r.worker.inTransaction() {
		return errOwnTransaction
	}
	ctx, stop := r.under(ctx)
	defer stop()
	if err := r.reconnect(ctx); err != nil {
		return err
	}
	_, err := r.commit(ctx, append([]query{command("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")}, r.putAsOurselves(j)...)...)
	if err == nil {
		r.journal = j
	}
	return err
}

// reconnect replaces the worker's connection if it is broken. The server may still execute what was sent on the old one,
// so reconnect ends that session and gives the claim another token: behind a pooler nothing else keeps the session from
// writing to the journal. If the session has already written there, the next run continues from that.
func (r *run) reconnect(ctx context.Context) error {
	if !r.worker.broken() {
		return nil
	}
	c, err := r.db.beside(ctx, r.guard)
	if err != nil {
		return err
	}
	r.worker.giveBack()
	r.worker, r.session, r.names, r.timed = c, session{}, nil, nil
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
	}
	if !claimed {
		return database.ErrFenced
	}
	if knew == nil != (r.journal == nil) || knew != nil && (knew.Done != r.journal.Done || knew.Begun != r.journal.Begun) {
		r.token = "" // nothing is written by this run any more
		return fmt.Errorf("%w: the statement whose connection broke has come to its end", database.ErrFenced)
	}
	return nil
}

var errOwnTransaction = errors.New("the script has opened a transaction and left it open; it must end it")

// commitText is the statement in the error of a COMMIT of ours.
const commitText = "COMMIT"

// commit sends queries and COMMIT, and leaves no transaction open.
func (r *run) commit(ctx context.Context, queries ...query) (bool, error) {
	committed, err := commit(ctx, r.worker, queries, func(pg *pgconn.PgError) error { return ownError(commitText, pg) })
	r.worker.rollback()
	return committed, r.db.unknownCommit(r.worker, err)
}

// transact executes a statement and writes the journal in one transaction: that which the statement itself
// ends, or one of its own.
func (r *run) transact(ctx context.Context, st sqltext.Statement, data io.Reader, done *database.Journal) error {
	put := r.putAsOurselves(done)
	if r.pathReset {
		put = append(put, command("RESET search_path")) // once more, since the path was pinned behind it
		defer func() { r.pathReset = r.pathReset && r.worker.inTransaction() }()
	}
	begin := command("BEGIN")
	if r.changed { // the script may have made reading only the default
		begin.sql = "BEGIN READ WRITE"
	}
	var err error
	switch own := r.worker.inTransaction(); {
	case own && st.Tx != sqltext.TxCommit:
		return errOwnTransaction
	case own:
		_, err = r.commit(ctx, put...)
	case data != nil || needsSimple(st):
		if err = r.worker.pipeline(ctx, begin); err == nil {
			if err = r.alone(ctx, st, data); err == nil {
				_, err = r.commit(ctx, put...)
			}
		}
	default:
		_, err = r.commit(ctx, append([]query{begin, {sql: st.Text, path: callers, fail: func(pg *pgconn.PgError) error {
			return statementError(st, pg, st.Text, st.Pos)
		}}}, put...)...)
	}
	if err != nil {
		r.worker.rollback()
	} else {
		r.journal = done
	}
	var e *database.StatementError
	if errors.As(err, &e) && e.Statement == commitText { // a deferred constraint: it is the statement's, or one's of its transaction
		e.Pos, e.Index, e.Statement = st.Pos, st.Index, st.Text
	}
	if hasCode(err, "25001", "2D000") {
		return fmt.Errorf("%w: %w", database.ErrNoTransaction, err)
	}
	return err
}
