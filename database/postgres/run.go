package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Guard holds the set's lock in a transaction on a connection of its own, which is watched: if it
// breaks, the statement under the lock is canceled. Everything else runs on the other connection,
// the worker.
func (db *Database) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, database.Found, error) {
	r, err := db.guardOnce(ctx, set, opts)
	if db.elsewhere(err) {
		r, err = db.guardOnce(ctx, set, opts)
	}
	if err != nil {
		return nil, database.Found{}, err
	}
	return r, r.head.found(), nil
}

func (db *Database) guardOnce(ctx context.Context, set string, opts database.LockOptions) (*run, error) {
	worker, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	r := &run{db: db, set: set, worker: worker, ours: worker.isOwn(), opts: opts, limit: opts.LockTimeout}
	if err := r.takeLock(ctx, opts); err != nil {
		r.end()
		return nil, err
	}
	return r, db.opened(&r.Held, r.end, worker)
}

// takeLock acquires the lock on the guard's connection.
func (r *run) takeLock(ctx context.Context, opts database.LockOptions) (err error) {
	if err := r.locate(ctx, opts); err != nil {
		return err
	}
	r.guard = r.db.takeGuard()
	for try := 1; ; try++ {
		kept := r.guard != nil
		if !kept {
			if r.guard, err = r.db.beside(ctx, r.worker); err != nil {
				return fmt.Errorf("a run needs a second connection, which holds the lock: %w", err)
			}
		}
		if err := r.lock(ctx, opts); kept && err != nil && r.guard.broken() && ctx.Err() == nil {
			r.guard.giveBack() // it ended since the last run
			r.guard = nil
			continue
		} else if err != nil {
			return err
		}
		r.watch()
		err := r.begin(ctx, opts)
		r.worker.watch = r.newWatcher()
		if err == nil || !errors.Is(err, errMoved) || try == 3 {
			return err
		}
		r.stopWatch()
		r.guard.rollback()
		if _, err := r.db.relocate(ctx, r.worker); err != nil {
			return err
		}
		if err := r.locate(ctx, opts); err != nil {
			return err
		}
	}
}

type run struct {
	drivers.Held
	db            *Database
	set, schema   string
	own           location
	worker, guard *conn
	ours          bool // the worker is a connection of the driver's own
	opts          database.LockOptions

	head head
	// The worker's state before the first statement. It is unknown for a pooled one, and for one of
	// our own until a statement may change it.
	session session
	names   []string
	pooled  bool              // each statement may run in another session
	timed   *migration.Script // the script whose timeouts are set
	changed bool              // a statement may have changed the session, or a timeout of a script has
	stained bool              // a statement may have changed the session since it was restored
	app     string            // the worker's application_name without a script
	task    string            // the file of the script that it names
	// the worker's lock timeout
	limit    time.Duration     // as last set; of the options at first
	lifted   bool              // it is removed for a statement that blocks nobody
	unlifted string            // its value before that
	ownLimit bool              // the script has set it itself
	next     sqltext.Statement // that Announce was called with, until the journal is written
	limited  bool              // the timeouts are set in a session of our own
	ended    bool              // the last call was Record, and it succeeded
	named    bool              // the session's application_name is that of a script
	free     string            // the text of the announced statement that no other session delays
	// the script's last change of the search path, in the open transaction, was to reset it
	pathReset  bool
	reset      bool              // the session lacks the settings of attend
	at         process           // the worker's; unknown for a pooled one
	reportedAt time.Time         // when a session was last reported that reportBlocker was called with
	token      string            // that of the claim in the journal; "" before
	journal    *database.Journal // as last written
	ahead      *ahead            // what follows; nil: that is not known

	lost      context.Context // done when the guard is lost, with the cause
	stopWatch func()
}

// locate finds the tables, or creates them.
func (r *run) locate(ctx context.Context, opts database.LockOptions) (err error) {
	r.own, err = r.db.ensureTables(ctx, r.worker, opts)
	r.schema = r.own.schema
	return err
}

// lock acquires the lock on the guard.
func (r *run) lock(ctx context.Context, opts database.LockOptions) error {
	return r.db.poll(ctx, r.guard, r.set, opts, func(ctx context.Context) (got bool, holder database.Holder, err error) {
		queries := append(r.db.lockQueries(r.guard, r.own, r.set, opts, &got), holdQueries(r.guard)...)
		err = r.guard.pipeline(ctx, queries...)
		if err == nil {
			r.worker.server = r.guard.server // until the worker's own is known
			err = r.db.checkServer(r.worker, got)
		}
		if err != nil || got {
			return got, holder, err
		}
		holder = r.db.holder(ctx, r.guard, r.own, r.set)
		r.guard.rollback()
		return false, holder, nil
	})
}

// begin reads, on the worker and under the lock, the head of the history, and claims the journal.
// If the session of a previous run may still exist, it terminates that first.
func (r *run) begin(ctx context.Context, opts database.LockOptions) error {
	ctx, stop := r.under(ctx)
	defer stop()
	r.app = r.db.ownApp(r.worker)
	claimed, err := r.claim(ctx, opts, false)
	if err != nil || claimed {
		return err
	}
	var previous process
	if err := r.worker.pipeline(ctx, r.db.recordedQuery(r.schema, r.set, &previous)); err != nil {
		return err
	}
	if err := r.db.endProcess(ctx, r.worker, r.set, previous, opts); err != nil {
		return err
	}
	_, err = r.claim(ctx, opts, true)
	return err
}

// claim claims the journal. Unless alone, it does not if the session of a previous run may still
// exist. A session of the caller's it reads, too, to restore it later.
func (r *run) claim(ctx context.Context, opts database.LockOptions, alone bool) (claimed bool, err error) {
	var known session
	queries := append([]query{beginWriting, r.worker.learnServer()}, r.own.hold(history, journal)...)
	queries = append(queries, r.db.versionQuery(r.schema))
	if !r.ours {
		queries = append(queries, known.read()...)
	}
	// The claim waits for a pending write of another process, and prevents later ones: so the head
	// is read after it.
	queries = append(queries, claimTimeout(opts), r.claimQuery(alone, &claimed), r.db.headQuery(r.schema, r.set, &r.head))
	if r.ours {
		queries = append(queries, r.attend()...)
	}
	err = r.whenFree(ctx, opts, append(queries, command("COMMIT"))...)
	if err := r.worker.checkSameServer(r.guard); r.worker.server.started != "" && err != nil {
		return false, err
	}
	if errors.Is(err, errVersion) {
		if err := r.worker.pipeline(ctx, r.db.headQuery(r.schema, r.set, &r.head)); err != nil {
			return false, err
		}
		return false, r.head.check()
	}
	if err != nil {
		return false, err
	}
	switch {
	case !claimed, r.pooled:
	case r.ours:
		r.worker.prepareFromNowOn(r.at.PID)
		r.worker.readyForRuns()
	default:
		r.session, r.reset = known, true
	}
	return claimed, nil
}

// whenFree sends the queries of a transaction on the worker as soon as no other session locks the
// tables.
func (r *run) whenFree(ctx context.Context, opts database.LockOptions, queries ...query) error {
	return r.db.pollTables(ctx, r.worker, r.own, r.set, opts, func(ctx context.Context) (bool, database.Holder, error) {
		err := r.worker.pipeline(ctx, queries...)
		if err != nil {
			r.worker.rollback()
		}
		return err == nil, database.Holder{}, err
	})
}

// watch detects the end of the guard on both sides.
func (r *run) watch() {
	lost, lose := context.WithCancelCause(context.Background())
	waiting, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := pulse(waiting, r.guard); waiting.Err() == nil {
			lose(&database.LockLostError{Set: r.set, Err: err})
		}
	}()
	r.lost = lost
	r.stopWatch = func() {
		stop()
		<-done
		lose(nil)
	}
}

// under returns a context that ends with ctx and with the guard.
func (r *run) under(ctx context.Context) (context.Context, func()) {
	return drivers.Under(ctx, r.lost)
}

// State reads on the worker's connection, under the lock.
func (r *run) State(ctx context.Context) (*database.State, error) {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return r.db.findState(ctx, r.worker, r.set, nil)
}

// Exec executes one statement outside a transaction, or with the journal in one.
func (r *run) Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r.ended = false
	ctx, stop := r.under(ctx)
	defer stop()
	if err := r.prepare(ctx, s, st, done != nil); err != nil {
		return r.broke(st, err)
	}
	limit := r.watchedLimit(s, st)
	what := pgddl.Parse(st.Text)
	switch {
	case done != nil:
		err = r.transact(ctx, s, st, data, done)
	case what.Concurrently() && !r.worker.inTransaction():
		err = r.concurrently(ctx, st, &what)
	case st.Tx == sqltext.TxBegin && !r.worker.inTransaction():
		err = r.execute(ctx, r.beginLimited(s, st), nil, limit)
	default:
		err = r.executeLimited(ctx, s, st, data, limit)
	}
	if st.Session { // DISCARD ALL, or a function, may have removed them
		r.worker.forgetPrepared()
	}
	return r.broke(st, err)
}

// execute executes a statement outside any transaction, or in the script's own. limit is its lock
// timeout, for the watcher.
func (r *run) execute(ctx context.Context, st sqltext.Statement, data io.Reader, limit time.Duration) error {
	if data != nil {
		return r.worker.copyIn(ctx, st, data, limit)
	}
	one := newChunk(len(st.Text))
	one.limit = limit
	st.Raw, st.Start = st.Text, st.Pos // others recognize it by its text, see isThis
	one.add(st)
	return r.worker.simple(ctx, one)
}

// untouched reports whether the run has a session for itself, which is as it was before the run.
func (r *run) untouched() bool { return !r.pooled && !r.changed && !r.stained && !r.reset }

// broke turns a broken connection into a *database.StatementError.
func (r *run) broke(st sqltext.Statement, err error) error {
	if err == nil || isA[*database.StatementError](err) || isA[*database.LockLostError](err) || isA[*database.CommitUnknownError](err) || !r.worker.broken() {
		return err
	}
	return &database.StatementError{Pos: st.Pos, Index: st.Index, Statement: st.Text, Message: err.Error(), Hint: "the next run checks the outcome of the statement and resumes", Err: err}
}

// prepare sets the script's timeouts, once, and reads the custom settings that the statement may
// change. own reports that the statement executes in a transaction of its own.
func (r *run) prepare(ctx context.Context, s *migration.Script, st sqltext.Statement, own bool) error {
	var qs []query
	timed := r.timed
	if r.pooled {
		if err := r.fitsPooler(s, st, own); err != nil {
			return err
		}
	} else if !r.setsLocally(st, own) {
		if r.reset {
			qs, r.reset = append(qs, r.attend()...), false
		}
		qs = append(qs, r.limitSession()...)
		set := r.setTimeouts(s, st, own)
		qs, r.changed = append(qs, set...), r.changed || len(set) > 0
		if !own && st.Tx != sqltext.TxBegin && !r.worker.inTransaction() {
			qs = append(qs, r.nameTask(st.Pos.File, false)...)
		}
		if st.Session && !r.session.known {
			qs = append(qs, r.session.read()...)
		}
		timed = s
	} else {
		qs = append(qs, r.lower()...)
	}
	r.changed, r.stained = r.changed || st.Session, r.stained || st.Session
	if st.Session && resetsAll.MatchString(st.Text) {
		r.worker.unusable, r.reset = true, true
	}
	if st.Session {
		r.pathReset = resetsPath(st, r.pathReset)
	}
	var unread []string
	for _, name := range customSettings(st) {
		if !slices.Contains(r.names, name) {
			unread = append(unread, name)
		}
	}
	if len(unread) > 0 && !r.pooled {
		qs = append(qs, r.session.readCustom(unread))
		r.names = append(r.names, unread...)
	}
	err := r.worker.pipeline(ctx, qs...)
	if err == nil {
		r.timed = timed
	}
	return err
}

// setsLocally reports whether the timeouts for a statement, and the name of its script, are set in
// the transaction that it opens or that is open. In a session of our own that takes no round trip,
// and nothing is to be restored.
func (r *run) setsLocally(st sqltext.Statement, own bool) bool {
	return r.ours && !r.session.known && !st.Session && (own || st.Tx == sqltext.TxBegin || r.worker.inTransaction())
}

// Record appends entries in a transaction of their own.
func (r *run) Record(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
	recorded, _, err := r.record(ctx, entries, nil)
	return recorded, err
}

// RecordAndAnnounce implements database.RunChainer for a statement that one query describes and
// announces, in a session of our own in which no script has set anything.
func (r *run) RecordAndAnnounce(ctx context.Context, entries []database.Entry, st sqltext.Statement, j *database.Journal) (database.Recorded, bool, error) {
	what := pgddl.Parse(st.Text)
	sql, names := beforeSQL(&what)
	if sql == "" && what.Kind != pgddl.Again || !r.ours || !r.untouched() || !r.waitsFreely(st, r.limit) {
		return r.record(ctx, entries, nil)
	}
	next, err := r.announcing(st, sql, names, j, writing{})
	if err != nil {
		return database.Recorded{}, false, err
	}
	return r.record(ctx, entries, next)
}

// record appends entries. If they end the run, it announces the statement of the next one, unless
// that is nil.
func (r *run) record(ctx context.Context, entries []database.Entry, next *announcing) (recorded database.Recorded, announced bool, err error) {
	ctx, leave, err := r.Held.Enter(ctx)
	if err != nil {
		return recorded, false, err
	}
	defer leave()
	ctx, stop := r.under(ctx)
	defer stop()
	recorded, is, err := r.recordedAhead(ctx, entries)
	if !is {
		err = r.withdraw()
	}
	if is || err != nil {
		return recorded, false, err
	}
	if r.worker.inTransaction() {
		return recorded, false, errOwnTransaction
	}
	if r.stained || !r.ours && r.changed {
		if err := r.putBack(func(qs ...query) error { return r.worker.pipeline(ctx, qs...) }); err != nil {
			return recorded, false, err
		}
	}
	left := r.journal
	var rows []query
	for _, e := range entries {
		e.Set = r.set
		switch {
		case left != nil && left.EndedBy(e):
			left = nil
		case left != nil && left.FailedBy(e):
			failed := *left
			failed.Error = e.Error
			left = &failed
		}
		rows = append(rows, r.db.recordQuery(r.schema, e, sinceBegin, func(e database.Entry) { recorded.Entries = append(recorded.Entries, e) }))
	}
	if left != nil {
		kept := *left
		left = &kept
	}
	var committed bool
	if announced = next != nil && left == nil; announced {
		committed, err = r.commitAndAnnounce(ctx, rows, next)
	} else {
		committed, err = r.commitEntries(ctx, rows, left)
	}
	if n := len(recorded.Entries); committed && n > 0 {
		r.head.mine = recorded.Entries[n-1].ID
	}
	if err != nil {
		return database.Recorded{}, false, err
	}
	recorded.Head = r.head.sum()
	return recorded, announced, nil
}

// commitEntries commits rows of the history, and left as the journal.
func (r *run) commitEntries(ctx context.Context, rows []query, left *database.Journal) (bool, error) {
	queries := append([]query{beginWriting}, r.settle()...)
	committed, err := r.commit(ctx, append(append(queries, rows...), r.putQuery(left, writing{}))...)
	if r.ended = committed && err == nil; committed {
		r.settled()
		if len(rows) > 0 {
			r.journal = left
		}
	}
	return committed, err
}

// commitAndAnnounce commits rows of the history together with the announcement of the next run's
// statement. The session keeps what it has for the statements of runs.
func (r *run) commitAndAnnounce(ctx context.Context, rows []query, next *announcing) (bool, error) {
	limited, lifted, unlifted, named := r.limited, r.lifted, r.unlifted, r.named
	queries := append([]query{beginWriting}, r.nameAndLift(next.st.Pos.File)...)
	committed, err := r.commit(ctx, append(append(queries, rows...), next.queries...)...)
	if r.ended = false; !committed {
		r.limited, r.lifted, r.unlifted, r.named, r.task = limited, lifted, unlifted, named, ""
		next.failed()
		return false, err
	}
	r.journal = next.j
	next.done()
	return true, err
}

// liftTries is how often the query that lifts the timeouts may itself reach the timeout.
const liftTries = 10

// putBack restores the worker's session.
func (r *run) putBack(send func(...query) error) error {
	if !r.session.known {
		return nil
	}
	var now session
	var qs []query
	if r.changed {
		qs = append(qs, noTimeouts(false))
	}
	qs = append(qs, now.read()...)
	if len(r.names) > 0 {
		qs = append(qs, now.readCustom(r.names))
	}
	const canceled = "57014"
	err := send(qs...)
	for try := 1; r.changed && hasCode(err, canceled) && try < liftTries; try++ {
		err = send(qs...)
	}
	if err != nil {
		return err
	}
	r.worker.unusable = r.worker.unusable || now.lost(&r.session)
	if !r.ours { // a session of our own is read later, with the timeouts
		r.timed, r.reset = nil, true
	}
	if err := send(now.undo(&r.session)...); err != nil {
		return err
	}
	r.stained = false
	return nil
}

// Close restores the session, or closes the connection if that fails, and ends the guard.
func (r *run) Close(context.Context) error {
	r.Abandon()
	return nil
}

func (r *run) end() {
	_ = r.withdraw()
	if r.stopWatch != nil {
		r.stopWatch()
	}
	r.worker.rollback()
	err := r.leaveSession()
	r.leaveJournal()
	if err != nil {
		r.worker.closeNow()
	}
	r.worker.watch.close()
	r.worker.giveBack()
	if r.guard != nil {
		r.guard.rollback() // waits: the lock is free when Close returns
		if r.pooled || !r.ended || !r.db.keepGuard(r.guard) {
			r.guard.giveBack()
		}
	}
}

// leaveSession restores the worker's session.
func (r *run) leaveSession() error {
	if r.worker.broken() {
		return nil
	}
	send := func(qs ...query) error {
		if len(qs) == 0 {
			return nil
		}
		return r.worker.within(cancelGrace, pipelined(qs))
	}
	if r.stained || !r.ours {
		if err := r.putBack(send); err != nil {
			return err
		}
	}
	return send(r.settle()...)
}

// leaveJournal removes a claim without progress. From an interrupted run it removes the session,
// which the run no longer uses. The transaction of the guard does so and then releases the lock: a
// round trip less.
func (r *run) leaveJournal() {
	if r.token == "" || r.worker.broken() {
		return
	}
	last := r.unclaimQuery()
	if r.journal.Started() {
		last = r.disownQuery()
	}
	if r.guard != nil && r.guard.inTransaction() && r.guard.within(cancelGrace, pipelined([]query{last, command("COMMIT")})) == nil {
		return
	}
	if r.worker.within(cancelGrace, pipelined([]query{last})) != nil && r.journal.Started() {
		r.worker.closeNow() // the next run terminates the session in the journal
	}
}
