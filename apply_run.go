package whimbrel

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// runOutside executes the statements of a step's script one by one under the guard, and marks each
// in the journal. It resumes an interrupted run of the step.
func (a *applier) runOutside(ctx context.Context, index, _ int) (err error) {
	ours := a.retry.between()
	if err := a.pauseBefore(ctx); err != nil {
		return err
	}
	g, found, err := a.guard(ctx)
	if err != nil {
		return err
	}
	r, keep := g.run, false
	defer func() {
		if err == nil && keep {
			a.kept = g
			return
		}
		a.ahead.next = 0
		g.next.withdraw(ctx, r)
		if cerr := r.Close(ctx); err == nil {
			err = cerr
		}
	}()
	ours = ours && found.Head == a.expect.Head
	todo, interrupted, err := a.check(ctx, r, found, index, index+1)
	if err == nil && len(todo) > 0 && a.retry.pausing {
		todo, interrupted, err = a.pause(ctx, r, index, index+1)
	}
	if err != nil || len(todo) == 0 {
		keep = err == nil && interrupted == nil && a.keeps(g, a.following(index))
		return err
	}
	s := a.plan.Steps[index]
	if interrupted != nil && !s.move.isRun(interrupted) {
		return a.begunMeanwhile(interrupted)
	}
	if err := a.m.cancelBackfills(ctx, s.move.ends); err != nil {
		return a.failed(todo, index, nil, err)
	}
	if interrupted == nil && a.retry.tries == 1 {
		if err := a.tellAhead(ctx, g, index); err != nil {
			return err
		}
	}
	a.start(index)
	a.retry.start()
	x := &runner{
		m: a.m, result: &a.result, attempt: &a.attempt, retry: a.retry, head: &a.expect.Head, ours: ours,
		r: r, step: s, opts: g.opts, journal: interrupted, next: g.next, tx: sqltext.TxState{Dialect: a.m.db.Dialect()}, groups: grouperOf(r),
	}
	start := time.Now()
	err = x.run(ctx)
	if err == nil && (s.metadata != nil || len(s.move.ends) > 0) {
		if err = x.catchUp(ctx); err == nil {
			err = r.Close(ctx)
		}
		if err == nil {
			return a.recordWithMetadata(ctx, x, index, start)
		}
	}
	var recorded database.Recorded
	if err == nil {
		keep = a.ahead.next > index+1 || interrupted == nil && a.retry.tries == 1 && !x.leaves && a.keeps(g, index+1)
		if g.next = nil; keep && a.ahead.next <= index { // it was not told that Record follows
			g.next = a.announcement(index + 1)
		}
		recorded, err = a.recordRun(ctx, r, s, start, g.next)
	}
	if err != nil {
		x.catchUpAfter(ctx, err)
		return a.failed(todo, index, x.journal, err)
	}
	a.stepDone(index, recorded.Entries)
	a.expect.Head = recorded.Head
	return nil
}

// The lock is held for more than one step for turnAfter at most, with nothing but moments between
// them. Then it is free for turnPause, so that another process, or a person who freezes the
// database, gets a turn.
const (
	turnAfter = time.Second
	turnPause = 10 * time.Millisecond
)

// holds reports whether the lock, held since a time, may be held for the next step, too, if that
// remains to be done.
func (a *applier) holds(since time.Time, next int) bool {
	if next == len(a.plan.Steps) || !a.left[next] || a.plan.Steps[next].Mode == InBatches || len(a.plan.Steps[next].After) > 0 {
		return false
	}
	a.turn = time.Since(since) > turnAfter
	return !a.turn
}

// giveTurn lets others have the lock before it is taken again, if that is due.
func (a *applier) giveTurn(ctx context.Context) error {
	if !a.turn {
		return nil
	}
	a.turn = false
	timer := time.NewTimer(turnPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// guarded is a run that has the lock since a time.
type guarded struct {
	run   database.Run
	opts  database.LockOptions
	since time.Time
	next  *announcement // of the step that keeps the lock; nil: none is possible
}

// announcement is that of a step's first statement, written together with the end of the run
// before.
type announcement struct {
	st      sqltext.Statement
	journal database.Journal
	written bool // and the statement has not begun
}

// announcement returns that of a step that has the lock of the step before, if its script begins
// with a statement that can't be in a transaction.
func (a *applier) announcement(index int) *announcement {
	s := a.plan.Steps[index]
	an, err := s.Script.Analyze(a.m.db.Dialect(), a.m.db.Tables())
	if err != nil || len(s.move.ends) > 0 {
		return nil
	}
	for st, err := range an.All() {
		switch {
		case err != nil:
			return nil
		case !counts(st):
			continue
		case st.Kind != sqltext.SQL || st.Tx != sqltext.TxNever || st.Mode != 0:
			return nil
		}
		n := &announcement{st: st, journal: (&runner{step: s}).mark()}
		n.journal.Begun = a.m.masked(s.Script, st.Text)
		return n
	}
	return nil
}

// take returns the journal if it is what the database has and announces a statement.
func (n *announcement) take(begun string) (database.Journal, bool) {
	if n == nil || !n.written || n.journal.Begun != begun {
		return database.Journal{}, false
	}
	n.written = false
	return n.journal, true
}

// withdraw removes an announcement whose statement was not begun. If that fails, the next run
// determines that the statement had no effect.
func (n *announcement) withdraw(ctx context.Context, r database.Run) {
	if n == nil || !n.written {
		return
	}
	n.written = false
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	_ = r.Journal(last, nil)
}

// guard takes the lock for a run, unless the run before has kept it. The history is then as that
// run left it.
func (a *applier) guard(ctx context.Context) (guarded, database.Found, error) {
	if g := a.kept; g.run != nil {
		a.kept = guarded{}
		return g, database.Found{Head: a.expect.Head}, nil
	}
	if err := a.giveTurn(ctx); err != nil {
		return guarded{}, database.Found{}, err
	}
	opts := a.retry.lockOptions()
	opts.Blocked = func(b database.Blockage) { a.current.Load().blocked(b) }
	if opts.Terminate != nil {
		opts.Terminate = func(b database.Blocker) bool { return a.current.Load().terminates(b) }
		opts.Terminated = func(b database.Blocker) { a.current.Load().hasTerminated(b) }
	}
	r, found, err := a.m.db.Guard(ctx, a.m.set.Name(), opts)
	return guarded{run: r, opts: opts, since: time.Now()}, found, err
}

// following returns the index of the step that remains to be done after another.
func (a *applier) following(index int) int {
	for index++; index < len(a.left) && !a.left[index]; index++ {
	}
	return index
}

// keeps reports whether the next step has the same lock: it is a run, too, or part of a sequence
// that a run follows, and follows soon enough.
func (a *applier) keeps(g guarded, next int) bool {
	if g.run == nil || !a.holds(g.since, next) {
		return false
	}
	if _, can := g.run.(database.SequenceRun); can {
		for end := next + longestSequence; next < end && a.short(next); {
			next++
		}
	}
	return next < len(a.plan.Steps) && a.left[next] && a.plan.Steps[next].Mode == OutsideTransaction
}

// letGo ends a run that keeps the lock for the next step.
func (a *applier) letGo(ctx context.Context) error {
	g := a.kept
	if a.kept = (guarded{}); g.run == nil {
		return nil
	}
	a.ahead.next = 0
	g.next.withdraw(ctx, g.run)
	return g.run.Close(ctx)
}

// recordRun records a run that has executed all its statements. With next, it announces that, too.
func (a *applier) recordRun(ctx context.Context, r database.Run, s Step, start time.Time, next *announcement) (recorded database.Recorded, err error) {
	entries, err := a.entries(s, start)
	if err != nil {
		return database.Recorded{}, err
	}
	endings := a.retry.endings()
	entries = append(entries, endings...)
	if next == nil {
		recorded, err = r.Record(ctx, entries...)
	} else {
		recorded, next.written, err = database.RecordAndAnnounce(ctx, r, entries, next.st, &next.journal)
	}
	if err != nil {
		return recorded, err
	}
	a.retry.recorded(len(endings))
	return recorded, checkRecorded(recorded.Entries, len(entries))
}

// recordWithMetadata records a run that has executed all its statements, together with the
// metadata that its migration carries. The journal remains until that is committed, so the next
// process does the same after an interruption.
func (a *applier) recordWithMetadata(ctx context.Context, x *runner, index int, start time.Time) error {
	return a.inTransaction(ctx, index, index+1, x.journal, func(tx database.Tx, todo []int, interrupted *database.Journal) error {
		if (interrupted == nil) != (x.journal == nil) || interrupted != nil && (!x.step.move.isRun(interrupted) || interrupted.Done != x.journal.Done) {
			return &ConflictError{Set: a.m.set.Name(), Version: x.step.Version, Problem: "was taken over by another process in the meantime"}
		}
		if err := endBackfills(ctx, tx, x.step.move.ends); err != nil {
			return a.failed(todo, index, x.journal, err)
		}
		if err := a.conclude(ctx, tx, x.step, start); err != nil {
			return a.failed(todo, index, x.journal, err)
		}
		return nil
	})
}

// begunMeanwhile returns the error for an interrupted run that began after the plan was made.
func (a *applier) begunMeanwhile(j *database.Journal) error {
	return &InterruptedError{Set: a.m.set.Name(), Journal: *j, Problem: "another process started it in the meantime and was interrupted"}
}

// runner executes one script.
type runner struct {
	m       *Migrator
	result  *Result
	attempt *attempt
	retry   *retrier
	head    *int64 // of the history, as far as the applier knows
	ours    bool   // this process has left the interrupted run, to retry it
	r       database.Run
	step    Step
	opts    database.LockOptions
	journal *database.Journal // as the database has it; nil or not Started if no run is interrupted
	next    *announcement     // of the first statement; nil: none
	owed    *database.Journal // as it must become: the statement that it announces is done
	from    int               // how many statements had been executed before
	leaves  bool              // a statement may have left something in the session
	groups  grouper

	seen  int                 // statements that have been executed, in this run or before
	sum   migration.Checksum  // of these
	tx    sqltext.TxState     // the transaction that the script has begun, after these
	again []sqltext.Statement // of that transaction: its BEGIN, and what replay may have to repeat
}

func (x *runner) run(ctx context.Context) error {
	an, err := x.step.Script.Analyze(x.m.db.Dialect(), x.m.db.Tables())
	if err != nil {
		return err
	}
	if x.journal != nil {
		if err := x.resume(ctx, an); err != nil {
			return err
		}
	}
	pull, stop := iter.Pull2(an.All())
	defer stop()
	all := &lookahead{pull: pull}
	for {
		st, err, ok := all.next()
		if err != nil {
			return err
		}
		if !ok {
			if x.tx.Open() && x.seen > x.from { // and the script leaves it empty
				return x.send(ctx, sqltext.TxRollback, x.tx.Begin[0])
			}
			return nil
		}
		if !counts(st) {
			continue // the data of a COPY that was executed before
		}
		var data io.Reader
		if st.Kind == sqltext.CopyIn && x.seen >= x.from {
			data = database.CopyData(all.next)
		}
		if group := x.group(st, all); group != nil {
			for group != nil {
				if group, err = x.executeGroup(ctx, group, all); err != nil {
					return err
				}
			}
			continue
		}
		if err := x.statement(ctx, st, data); err != nil {
			return err
		}
	}
}

// resume determines how far an interrupted run got.
func (x *runner) resume(ctx context.Context, an *migration.Analysis) error {
	if err := checkPrefix(x.m.set.Name(), x.step.Script, an, x.journal); err != nil {
		return err
	}
	if x.ours && x.journal.Begun == "" {
		x.from = x.journal.Done
		return nil
	}
	if x.journal.Begun == "" { // tell other processes that this one executes it now
		x.recordLost(ctx)
		now := *x.journal
		now.Error = ""
		if err := x.write(ctx, now); err != nil {
			return err
		}
	} else {
		if err := x.settle(ctx, an); err != nil {
			return err
		}
		// The statement may have taken effect, and the file may have changed since.
		if err := checkPrefix(x.m.set.Name(), x.step.Script, an, x.journal); err != nil {
			return err
		}
	}
	x.from = x.journal.Done
	c := ResumedStep{Version: x.step.Version, Name: x.step.Name, FromStatement: x.from + 1}
	x.result.Resumed = append(x.result.Resumed, c)
	x.m.observe(Resumed{Step: x.step, From: c.FromStatement, Of: x.step.Statements, Journal: *x.journal})
	return nil
}

// settle determines the outcome of the statement that was begun last.
func (x *runner) settle(ctx context.Context, an *migration.Analysis) error {
	st, err := x.begun(an)
	if err != nil {
		return err
	}
	o, err := x.r.Outcome(ctx, st, x.journal.Before, x.opts)
	if err != nil {
		return err
	}
	if o.Verdict == database.Unclear {
		return &InterruptedError{
			Set: x.m.set.Name(), Journal: *x.journal, File: x.step.Script.File, Pos: st.Pos, SQL: an.Mask(st.Text), Problem: o.Why, Changes: o.Changes,
		}
	}
	if err := x.repair(ctx, st, o); err != nil {
		return err
	}
	x.recordLost(ctx)
	now := *x.journal
	now.Error = ""
	if !o.Remains { // otherwise it remains begun until it is announced again
		now.Begun, now.Before = "", ""
	}
	if o.Verdict == database.Happened {
		now.Add(sqltext.Statement{Text: an.Mask(st.Text)})
	}
	if err := x.write(ctx, now); err != nil {
		return err
	}
	if x.journal == nil {
		x.journal = &now // nothing of it remains
	}
	return nil
}

// begun returns the statement that was begun last, with its place in the script if the script
// still has it.
func (x *runner) begun(an *migration.Analysis) (sqltext.Statement, error) {
	n, _, st, err := prefix(an, x.journal.Done+1)
	if err != nil || n > x.journal.Done && an.Mask(st.Text) == x.journal.Begun {
		return st, err
	}
	return announced(x.journal), nil
}

// announced returns the statement whose beginning a journal announces. It has no place.
func announced(j *database.Journal) sqltext.Statement {
	return outsideTx(j.Begun, sqltext.Statement{Index: j.Done})
}

// outsideTx returns a statement that can't be in a transaction, with the place of another one.
func outsideTx(sql string, at sqltext.Statement) sqltext.Statement {
	return sqltext.Statement{Raw: sql, Text: sql, Pos: at.Pos, Start: at.Pos, Index: at.Index, Tx: sqltext.TxNever}
}

// repair executes the cleanup statements of an outcome.
func (x *runner) repair(ctx context.Context, st sqltext.Statement, o *database.Outcome) error {
	for _, sql := range o.First {
		x.m.observe(CleanedUp{Step: x.step, Statement: x.m.masked(x.step.Script, st.Text), SQL: x.m.masked(x.step.Script, sql), Why: o.Why})
		if err := x.r.Exec(ctx, x.step.Script, outsideTx(sql, st), nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// write stores the journal, or ends the run if no statement of it remains.
func (x *runner) write(ctx context.Context, j database.Journal) error {
	if !j.Started() {
		if err := x.r.Journal(ctx, nil); err != nil {
			return err
		}
		x.wrote(nil)
		return nil
	}
	if err := x.r.Journal(ctx, &j); err != nil {
		return err
	}
	x.wrote(&j)
	return nil
}

// wrote notes what the database has as its journal. Every journal that is written says which
// statements are done.
func (x *runner) wrote(j *database.Journal) { x.journal, x.owed = j, nil }

// catchUp writes that the statement that the journal announces is done, unless it is written.
func (x *runner) catchUp(ctx context.Context) error {
	if x.owed == nil {
		return nil
	}
	return x.write(ctx, *x.owed)
}

// catchUpAfter is catchUp after an error. If it fails, too, the journal announces a statement that
// is done, and the next run determines its outcome.
func (x *runner) catchUpAfter(ctx context.Context, err error) {
	if errors.As(err, new(*database.CommitUnknownError)) { // it may be written
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	_ = x.catchUp(last)
}

// mark returns the journal with all statements that have been executed.
func (x *runner) mark() database.Journal {
	j := database.Journal{
		Version: x.step.Version, Name: x.step.Name, Direction: x.step.Direction, Checksum: x.step.Script.Checksum,
		Of: x.step.Statements, Done: x.seen, DoneSum: x.sum,
	}
	if x.journal != nil {
		j.StartedAt = x.journal.StartedAt
	}
	return j
}

// statement executes one statement, and marks it as done.
func (x *runner) statement(ctx context.Context, st sqltext.Statement, data io.Reader) error {
	before := x.mark()
	x.leaves = x.leaves || st.Session
	shown := x.count(st)
	if x.seen <= x.from {
		return x.replay(ctx, st)
	}
	if x.seen == x.from+1 {
		if err := x.endReplay(ctx); err != nil {
			return err
		}
	}
	if !x.tx.Open() {
		x.retry.start()
	}
	started := x.starts(st, shown, 1)
	x.m.observe(started)
	err := x.commitBefore(ctx, st, before)
	for was := x.tx; err == nil; x.tx = was {
		if err = x.execute(ctx, st, data, before); err == nil {
			break
		}
		x.catchUpAfter(ctx, err)
		if !x.retries(ctx, st, data, was, err) {
			break
		}
		if err = x.pause(ctx); err == nil {
			x.retry.start()
			x.m.observe(started)
		}
	}
	if err != nil {
		return x.stopped(ctx, st, err)
	}
	if !x.tx.Open() {
		x.retry.committed()
	}
	return nil
}

// count adds a statement to those that have been executed, and returns it as it is shown.
func (x *runner) count(st sqltext.Statement) string {
	shown := x.m.masked(x.step.Script, st.Text)
	x.seen, x.sum = x.seen+1, database.NextSum(x.sum, shown)
	return shown
}

// starts returns the event for the last statement that was counted, and others after it.
func (x *runner) starts(st sqltext.Statement, shown string, together int) StatementStarted {
	return StatementStarted{
		Step: x.step, Index: x.seen - 1, Of: x.step.Statements, Together: together, SQL: shown,
		Backend: database.Backend(x.r), Leftover: st.Leftover(x.m.db.Dialect()),
	}
}

// retries reports whether to execute a statement again that failed because of a lock, in the same
// run. Otherwise the run may begin again, without what it has executed: if the statement was in a
// transaction of the script, or if its data has been read.
func (x *runner) retries(ctx context.Context, st sqltext.Statement, data io.Reader, was sqltext.TxState, err error) bool {
	s := x.step.Script
	if was.Open() || st.Tx.Control() || data != nil || ctx.Err() != nil || !x.retry.may(s, err) || !x.undone(ctx, st, err) {
		return false
	}
	x.m.maskError(err, s)
	return x.retry.again(x.step, x.seen, err)
}

// pause waits before the statement is executed again. A database that was frozen meanwhile ends the
// run.
func (x *runner) pause(ctx context.Context) error {
	err := x.retry.sleep(ctx)
	if ctx.Err() != nil {
		return x.retry.cancelled(err)
	}
	if err != nil {
		return err
	}
	st, err := x.r.State(ctx)
	if err != nil {
		return err
	}
	return checkFrozen(st.Settings)
}

// commitBefore sends the COMMIT that the database would execute by itself before a statement: the
// journal must be written in the same transaction, and only the engine has the journal.
func (x *runner) commitBefore(ctx context.Context, st sqltext.Statement, before database.Journal) error {
	if !x.tx.CommitsBefore(st) {
		return nil
	}
	readOnly := x.tx.ReadOnly
	x.tx.Close()
	return x.commit(ctx, st, readOnly, before)
}

func (x *runner) execute(ctx context.Context, st sqltext.Statement, data io.Reader, before database.Journal) error {
	was := x.tx
	x.tx.Follow(st)
	switch {
	case was.Open():
		return x.within(ctx, st, data, was.ReadOnly)
	// Statements for the next transaction are executed right before it. Without an open
	// transaction, clients warn of a COMMIT or do nothing.
	case st.Mode&sqltext.ModeNext != 0, st.Tx == sqltext.TxCommit, st.Tx == sqltext.TxRollback:
		return x.write(ctx, x.mark())
	case st.Tx == sqltext.TxBegin:
		if err := x.catchUp(ctx); err != nil {
			return err
		}
		return x.executeAll(ctx, x.tx.Begin)
	case len(x.tx.Next) == 0: // the statement is the next transaction
		if err := x.executeAll(ctx, was.Next); err != nil {
			return err
		}
	}
	if st.Tx != sqltext.TxAny {
		return x.alone(ctx, st, data, before)
	}
	if err := x.catchUp(ctx); err != nil {
		return err
	}
	err := x.inOne(ctx, st, data, x.mark())
	if errors.Is(err, database.ErrNoTransaction) {
		return x.alone(ctx, st, data, before)
	}
	return err
}

// within executes a statement in the transaction that the script has begun.
func (x *runner) within(ctx context.Context, st sqltext.Statement, data io.Reader, readOnly bool) error {
	switch st.Tx {
	case sqltext.TxCommit:
		return x.commit(ctx, st, readOnly, x.mark())
	case sqltext.TxCommitChain:
		if err := x.commit(ctx, st, readOnly, x.mark()); err != nil {
			return err
		}
		return x.executeAll(ctx, x.tx.Begin)
	case sqltext.TxRollbackChain:
		if err := x.send(ctx, sqltext.TxRollback, st); err != nil {
			return err
		}
		return x.executeAll(ctx, x.tx.Begin)
	}
	return x.r.Exec(ctx, x.step.Script, st, data, nil)
}

// commit ends the script's transaction with the given statement. The journal is written in the same
// transaction. In a read-only transaction nothing can be written: then the journal follows it, and
// executing the transaction a second time changes nothing.
func (x *runner) commit(ctx context.Context, st sqltext.Statement, readOnly bool, done database.Journal) error {
	if readOnly {
		if err := x.send(ctx, sqltext.TxCommit, st); err != nil {
			return err
		}
		return x.write(ctx, done)
	}
	if st.Tx != sqltext.TxCommit {
		st = standIn(sqltext.TxCommit, st)
	}
	return x.inOne(ctx, st, nil, done)
}

// send ends a transaction. Errors have the place of the statement.
func (x *runner) send(ctx context.Context, t sqltext.Tx, at sqltext.Statement) error {
	return x.r.Exec(ctx, x.step.Script, standIn(t, at), nil, nil)
}

// standIn returns a plain COMMIT or ROLLBACK with the place of a statement.
func standIn(t sqltext.Tx, at sqltext.Statement) sqltext.Statement {
	text := "COMMIT"
	if t == sqltext.TxRollback {
		text = "ROLLBACK"
	}
	return sqltext.Statement{Raw: text, Text: text, Pos: at.Pos, Start: at.Pos, Index: at.Index, Tx: t}
}

// inOne executes a statement and marks it in one transaction.
func (x *runner) inOne(ctx context.Context, st sqltext.Statement, data io.Reader, done database.Journal) error {
	err := x.r.Exec(ctx, x.step.Script, st, data, &done)
	if err == nil {
		x.wrote(&done)
	}
	return err
}

// alone executes a statement that can't be in a transaction. The journal announces it. The write
// that announces the next statement, or ends the run, says that it is done. If something else
// follows, which may take long, catchUp does so before.
func (x *runner) alone(ctx context.Context, st sqltext.Statement, data io.Reader, before database.Journal) error {
	before.Begun = x.m.masked(x.step.Script, st.Text)
	announced, err := x.execAnnounced(ctx, st, data, &before)
	if announced {
		x.wrote(&before)
	}
	if err != nil {
		return err
	}
	done := x.mark()
	x.owed = &done
	return nil
}

// execAnnounced announces a statement, unless the step before has done so, and executes it.
// announced is false if the journal was not written.
func (x *runner) execAnnounced(ctx context.Context, st sqltext.Statement, data io.Reader, j *database.Journal) (announced bool, err error) {
	if next, written := x.next.take(j.Begun); written {
		*j = next
		return true, x.r.Exec(ctx, x.step.Script, st, data, nil)
	}
	if data == nil {
		return database.ExecAnnounced(ctx, x.r, x.step.Script, st, j)
	}
	if err := x.r.Announce(ctx, st, j); err != nil {
		return false, err
	}
	return true, x.r.Exec(ctx, x.step.Script, st, data, nil)
}

// stopped cleans up after a statement that failed, as far as that is still possible, and records
// the reason in the history and the journal.
func (x *runner) stopped(ctx context.Context, st sqltext.Statement, err error) error {
	x.m.maskError(err, x.step.Script)
	var unknown *database.CommitUnknownError
	if errors.As(err, &unknown) { // the journal may have been written, too
		return err
	}
	undone := ctx.Err() == nil && x.undone(ctx, st, err)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if x.tx.Open() { // it failed or was cancelled, and nothing of it remains
		_ = x.send(last, sqltext.TxRollback, st)
	}
	if undone && x.retry.may(x.step.Script, err) { // the run begins again
		return err
	}
	if forALock(err) {
		x.retry.ended(x.step.Script, time.Now())
	}
	if x.recordFailure(last, err) != nil && x.journal != nil {
		j := *x.journal
		if x.owed != nil {
			j = *x.owed
		}
		j.Error = keptError(err)
		if x.write(last, j) == nil && !x.attempt.recorded { // the driver may have connected again
			_ = x.recordFailure(last, err)
		}
	}
	return err
}

// undone cleans up after a statement that failed, and reports whether it can be executed again.
func (x *runner) undone(ctx context.Context, st sqltext.Statement, err error) bool {
	if x.owed != nil { // the journal could not be written
		return false
	}
	if x.journal == nil || x.journal.Begun == "" { // it was in a transaction
		return true
	}
	if !errors.As(err, new(*database.StatementError)) {
		return false
	}
	again, remains := x.cleanedUp(ctx, st, x.journal.Before)
	if !again || remains { // then it remains begun until it is announced again
		return again
	}
	j := *x.journal
	j.Begun, j.Before = "", ""
	// If writing fails, the previous journal is still true.
	return x.write(ctx, j) == nil
}

// cleanedUp cleans up after a failed statement. It reports whether the statement can be executed
// again, and whether something of it remains until then. It waits for other sessions no longer than
// for the lock, since the next run can clean up as well.
func (x *runner) cleanedUp(ctx context.Context, st sqltext.Statement, before string) (again, remains bool) {
	ctx, cancel := context.WithTimeout(ctx, max(x.opts.Timeout, lastWords))
	defer cancel()
	o, err := x.r.Outcome(ctx, st, before, x.opts)
	if err != nil || o.Verdict != database.NotHappened {
		return false, false
	}
	return x.repair(ctx, st, o) == nil, o.Remains
}
