package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A script of one statement that can't be in a transaction takes one message: a transaction that
// announces the statement, the statement, and a transaction that records its end. After an error
// the server ignores the rest of the message. So it executes the statement only if the journal
// announces it, and records the end only if the statement has succeeded.

// ahead is such a script. ExecAnnounced sends the message, and Record returns the result of its
// last part.
type ahead struct {
	statement, entry database.Call
	sent             bool
	recorded         database.Recorded
	err              error
}

// Ahead implements database.RunSequencer. It takes no more than the calls of one script.
func (r *run) Ahead(ctx context.Context, next []database.Call) (int, error) {
	_, leave, err := r.Enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	r.ahead = nil
	if len(next) < 2 || next[0].Entry != nil || next[1].Entry == nil || !r.fitsMessage(next[0]) || !next[0].Journal.EndedBy(*next[1].Entry) {
		return 0, nil
	}
	r.ahead = &ahead{statement: next[0], entry: next[1]}
	return 2, nil
}

// fitsMessage reports whether the message of a statement has all that Announce, Exec and Record
// would send. The session is one of our own in which nothing is set, the statement sets nothing,
// and its success says all about its outcome.
func (r *run) fitsMessage(c database.Call) bool {
	s, st, what := c.Script, c.Statement, pgddl.Parse(c.Statement.Text)
	sql, _ := beforeSQL(&what)
	return (sql != "" || what.Kind == pgddl.Again) && !what.IfNotExists && !st.Session && len(customSettings(st)) == 0 && !needsSimple(st) &&
		s.LockTimeout == 0 && s.StatementTimeout <= 0 && r.waitsFreely(st, r.limit) &&
		r.worker.ours() && r.untouched() && !r.worker.inTransaction()
}

// ExecAnnounced implements database.AnnouncedExecer.
func (r *run) ExecAnnounced(ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) (announced bool, err error) {
	if a := r.ahead; a != nil && !a.sent && a.statement.Script == s && a.statement.Statement.Text == st.Text && a.statement.Journal.Version == j.Version {
		announced, err = r.send(ctx, a, st, j)
		if !errors.Is(err, errSeparately) {
			return announced, err
		}
	}
	if err := r.Announce(ctx, st, j); err != nil {
		return false, err
	}
	return true, r.Exec(ctx, s, st, nil, nil)
}

// errSeparately reports that the server did not accept the announcement, as it is a part of the
// message.
var errSeparately = errors.New("the statement has to be announced by itself")

// send sends the message of a script. The server reports the announcement before the statement,
// which may take long.
func (r *run) send(ctx context.Context, a *ahead, st sqltext.Statement, j *database.Journal) (announced bool, err error) {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	ctx, stop := r.under(ctx)
	defer stop()
	what := pgddl.Parse(st.Text)
	sql, names := beforeSQL(&what)
	an, err := r.announcing(st, sql, names, j, true)
	if err != nil {
		return false, err
	}
	r.ended, r.free = false, ""
	limited, lifted, unlifted, named := r.limited, r.lifted, r.unlifted, r.named
	failed := func(pg *pgconn.PgError) error { return ownError(commitText, pg) }
	var executed, recorded, reached, reachedLast bool
	queries := append([]query{beginWriting}, r.naming(st, an.queries)...)
	queries = unwatched(withCommit(r.worker, queries, failed, &reached, func() error {
		announced = true
		return nil
	}))
	queries[len(queries)-1].flush = true
	queries = append(queries, query{
		sql: st.Text, path: callers, at: &watched{st: st},
		fail: func(pg *pgconn.PgError) error { return statementError(st, pg, st.Text, st.Pos) },
		done: func(pgconn.CommandTag) error {
			executed = true
			return nil
		},
	})
	e := *a.entry.Entry
	e.Set, e.StartedAt = r.set, time.Time{} // the server knows it
	since := "(SELECT started_at FROM " + r.journalTable() + " WHERE set_name OPERATOR(pg_catalog.=) $1)"
	record := r.db.recordQuery(r.schema, e, since, func(e database.Entry) { a.recorded.Entries = append(a.recorded.Entries, e) })
	last := []query{beginWriting, alsoAsking(record, 2, settleColumns), r.putQuery(nil, nil)}
	queries = append(queries, unwatched(withCommit(r.worker, last, failed, &reachedLast, func() error {
		recorded = true
		return nil
	}))...)
	err = r.worker.pipeline(ctx, queries...)
	if announced {
		r.journal = j
	} else {
		r.limited, r.lifted, r.unlifted, r.named, r.task = limited, lifted, unlifted, named, ""
		an.failed()
	}
	switch {
	case recorded:
		r.settled()
		r.journal, r.ended, r.head.mine = nil, true, a.recorded.Entries[0].ID
		a.recorded.Head = r.head.sum()
	case executed:
		a.err = r.db.unknownCommit(r.worker, notCommitted(r.worker, err, reachedLast))
	}
	r.worker.rollback()
	if a.sent = executed; !executed {
		r.ahead = nil // another attempt has another entry
	}
	switch {
	case executed:
		return true, nil
	case announced:
		return true, r.broke(st, r.explainExisting(ctx, &what, err))
	case errors.Is(err, database.ErrFenced): // or another session delays the statement
		return false, errSeparately
	}
	return false, r.db.unknownCommit(r.worker, notCommitted(r.worker, err, reached))
}

// naming makes the first query of an announcement do what nameAndLift does, too.
func (r *run) naming(st sqltext.Statement, announcement []query) []query {
	name := r.nameAndLift(st.Pos.File)
	if len(announcement) == 1 { // it finds no relations
		return append(name, announcement...)
	}
	find := announcement[0]
	find.sql += ", " + liftColumns(len(find.args)+1)
	find.args = append(find.args, name[0].args...)
	return []query{find, announcement[1]}
}

// unwatched returns the queries of a transaction that waits for nobody.
func unwatched(queries []query) []query {
	for i := range queries {
		queries[i].at = nil
	}
	return queries
}

// recordedAhead returns what Record returns for an entry that the message has recorded, or failed
// to record.
func (r *run) recordedAhead(entries []database.Entry) (database.Recorded, bool, error) {
	a := r.ahead
	r.ahead = nil
	if a == nil || !a.sent || len(entries) != 1 || entries[0].Version != a.entry.Entry.Version || entries[0].Direction != a.entry.Entry.Direction {
		return database.Recorded{}, false, nil
	}
	if a.err != nil {
		return database.Recorded{}, true, a.err
	}
	return a.recorded, true, nil
}
