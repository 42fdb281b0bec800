package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Scripts whose statements can't be in a transaction share one message: a transaction that
// announces the first statement, that statement, a transaction that announces the next one, and so
// on. What follows the last statement of a script also records the script. Each statement is
// committed before what follows it, which could otherwise roll back its last transaction. After an
// error the server ignores the rest of the message. So it executes a statement only if the journal
// announces it, and records a script only if its statements have succeeded.

// ahead are such scripts. The first ExecAnnounced sends their message. Each call reads the answers
// up to its own.
type ahead struct {
	statements []aheadStatement
	commits    []aheadCommit // before each statement, and after the last one
	now        int           // the statement whose call comes next
	executed   bool          // that call is Record
	message    *message      // nil: it was not sent
}

type aheadStatement struct {
	database.Call
	ends     *database.Entry // of the script; nil: another statement follows
	executed bool
	recorded database.Entry
}

type aheadCommit struct {
	reached bool // COMMIT is the next query to execute
	done    bool
}

// Ahead implements database.RunSequencer.
func (r *run) Ahead(ctx context.Context, next []database.Call) (int, error) {
	_, leave, err := r.Enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	a, n := &ahead{}, 0
	var script []aheadStatement
	for i, c := range next {
		if c.Entry == nil && r.fitsMessage(c) {
			script = append(script, aheadStatement{Call: c})
		} else if last := len(script) - 1; c.Entry != nil && last >= 0 && script[last].Journal.EndedBy(*c.Entry) {
			script[last].ends, n = c.Entry, i+1
			a.statements, script = append(a.statements, script...), nil
		} else {
			break
		}
	}
	if n > 0 {
		a.commits = make([]aheadCommit, len(a.statements)+1)
		r.ahead = a
	}
	return n, nil
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
	is, announced, err := r.execAhead(ctx, s, st, j)
	if is {
		return announced, err
	}
	if err := r.Announce(ctx, st, j); err != nil {
		return false, err
	}
	return true, r.Exec(ctx, s, st, nil, nil)
}

// execAhead is ExecAnnounced for a statement of the message; is reports whether it is one. It does
// not count as one if the server has refused the announcement, which is then made by itself.
func (r *run) execAhead(ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) (is, announced bool, err error) {
	ctx, leave, err := r.Held.Enter(ctx)
	if err != nil {
		return true, false, err
	}
	defer leave()
	a := r.ahead
	if a == nil || a.executed {
		return false, false, nil
	}
	of := &a.statements[a.now]
	if of.Script != s || of.Statement.Text != st.Text || of.Journal.Version != j.Version || of.Journal.Done != j.Done {
		return false, false, nil
	}
	ctx, stop := r.under(ctx)
	defer stop()
	limited, lifted, unlifted, named := r.limited, r.lifted, r.unlifted, r.named
	var queries []query
	if a.message == nil {
		if queries, err = r.messageOf(a); err != nil {
			return true, false, err
		}
		r.ended, r.free = false, ""
	}
	err = r.readAhead(ctx, queries, func() bool { return of.executed }, watched{st: st})
	if announced = a.commits[a.now].done; announced {
		*j = of.Journal
		r.journal, r.task = j, st.Pos.File
	} else if a.now == 0 {
		r.limited, r.lifted, r.unlifted, r.named, r.task = limited, lifted, unlifted, named, ""
	}
	if of.executed {
		if a.executed = of.ends != nil; !a.executed {
			a.now++
		}
		return true, true, nil
	}
	r.ahead = nil // another attempt has another entry
	what := pgddl.Parse(st.Text)
	switch {
	case announced:
		return true, true, r.broke(st, r.explainExisting(ctx, &what, err))
	case errors.Is(err, database.ErrFenced): // or another session delays the statement
		return false, false, nil
	}
	return true, false, r.db.unknownCommit(r.worker, notCommitted(r.worker, err, a.commits[a.now].reached))
}

// messageOf returns the queries of a message. The server reports an announcement before the
// statement, which may take long.
func (r *run) messageOf(a *ahead) (all []query, err error) {
	own := []query{beginWriting} // of the next transaction of Whimbrel's own
	for i := range a.statements {
		of := &a.statements[i]
		st := of.Statement
		what := pgddl.Parse(st.Text)
		sql, names := beforeSQL(&what)
		first := i == 0 || a.statements[i-1].ends != nil
		an, err := r.announcing(st, sql, names, &of.Journal, writing{ahead: true, again: !first})
		if err != nil {
			return nil, err
		}
		if first {
			own = append(own, r.naming(st, an.queries)...)
		} else {
			own = append(own, an.queries...)
		}
		own = r.committing(own, &a.commits[i])
		own[len(own)-1].flush = true
		fail := func(pg *pgconn.PgError) error { return statementError(st, pg, st.Text, st.Pos) }
		all = append(append(all, own...), query{sql: st.Text, path: callers, at: &watched{st: st}, fail: fail})
		// The last transaction of a CONCURRENTLY remains open until the next Sync or COMMIT. Without
		// BEGIN, the server would warn of that.
		all = append(all, query{sql: "BEGIN", path: callers, often: true, fail: fail}, query{
			sql: commitText, path: callers, often: true, fail: fail,
			done: func(pgconn.CommandTag) error {
				of.executed = true
				return nil
			},
		})
		if own = []query{beginWriting}; of.ends != nil {
			e := *of.ends
			e.Set, e.StartedAt = r.set, time.Time{} // the server knows it
			since := "(SELECT started_at FROM " + r.journalTable() + " WHERE set_name OPERATOR(pg_catalog.=) $1)"
			own = append(own, r.db.recordQuery(r.schema, e, since, func(e database.Entry) { of.recorded = e }))
		}
	}
	own[1] = alsoAsking(own[1], 2, settleColumns)
	return append(all, r.committing(append(own, r.putQuery(nil, writing{})), &a.commits[len(a.statements)])...), nil
}

// committing adds COMMIT to a transaction of Whimbrel's own, which waits for nobody.
func (r *run) committing(queries []query, c *aheadCommit) []query {
	queries = withCommit(r.worker, queries, func(pg *pgconn.PgError) error { return ownError(commitText, pg) }, &c.reached, func() error {
		c.done = true
		return nil
	})
	for i := range queries {
		queries[i].at = nil
	}
	return queries
}

// readAhead reads the answers to the message until enough returns true. With queries, it sends it
// first. If ctx ends, it stops the rest of the message.
func (r *run) readAhead(ctx context.Context, queries []query, enough func() bool, at ...watched) error {
	a, w := r.ahead, r.worker.watch
	if a.message != nil && a.message.over {
		return drivers.Stopped(ctx, a.message.failure())
	}
	stop := w.watch(sent{statements: at})
	err := r.worker.do(ctx, func(inner context.Context, pc *pgconn.PgConn) error {
		if a.message == nil {
			a.message = sendMessage(inner, pc, queries)
		}
		err := a.message.read(w, enough)
		if ctx.Err() != nil {
			err = a.message.read(nil, nil)
		}
		return err
	})
	stop()
	if a.message == nil {
		return err
	}
	if ctx.Err() != nil {
		r.worker.stop(a.message) // the context has ended between two calls
	}
	if a.message.over {
		r.worker.rollback()
	}
	return err
}

// Enter begins a method. It stops what is left of the message.
func (r *run) Enter(ctx context.Context) (context.Context, func(), error) {
	ctx, leave, err := r.Held.Enter(ctx)
	if err == nil {
		if err = r.withdraw(); err != nil {
			leave()
		}
	}
	return ctx, leave, err
}

// withdraw stops what is left of the message. The server may have executed more than the calls that
// were made, so what the caller does next may be wrong: the error is [database.ErrFenced].
func (r *run) withdraw() error {
	a := r.ahead
	if r.ahead = nil; a == nil || a.message == nil {
		return nil
	}
	r.worker.stop(a.message)
	r.worker.rollback()
	for i := max(a.now, 1); i < len(a.commits) && a.commits[i].done; i++ {
		if before := a.statements[i-1]; before.ends != nil {
			r.head.mine = before.recorded.ID
		}
		if r.journal = nil; i < len(a.statements) {
			r.journal = &a.statements[i].Journal
		}
	}
	return database.ErrFenced
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

// recordedAhead returns what Record returns for an entry of the message; is reports whether it is
// one. It does not count as one if the server has refused the announcement in its transaction.
func (r *run) recordedAhead(ctx context.Context, entries []database.Entry) (recorded database.Recorded, is bool, err error) {
	a := r.ahead
	if a == nil || !a.executed || len(entries) != 1 {
		return recorded, false, nil
	}
	of, c := &a.statements[a.now], &a.commits[a.now+1]
	if entries[0].Version != of.ends.Version || entries[0].Direction != of.ends.Direction {
		return recorded, false, nil
	}
	err = r.readAhead(ctx, nil, func() bool { return c.done })
	last := a.now == len(a.statements)-1
	if !c.done {
		r.ahead = nil
		err = notCommitted(r.worker, err, c.reached)
		return recorded, last || isA[*database.CommitUnknownError](err), r.db.unknownCommit(r.worker, err)
	}
	r.head.mine = of.recorded.ID
	recorded = database.Recorded{Entries: []database.Entry{of.recorded}, Head: r.head.sum()}
	if last {
		r.settled()
		r.ahead, r.journal, r.ended = nil, nil, true
		return recorded, true, nil
	}
	a.now, a.executed = a.now+1, false
	next := &a.statements[a.now]
	r.journal, r.task = &next.Journal, next.Statement.Pos.File
	return recorded, true, nil
}
