package whimbrel

import (
	"context"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// checkPrefix refuses a script whose first statements differ from those that were executed: then it
// is unknown which of its statements the database has. The journal may be nil.
func checkPrefix(set string, s *migration.Script, an *migration.Analysis, j *database.Journal) error {
	if j == nil || j.Done == 0 {
		return nil
	}
	n, sum, last, err := prefix(an, j.Done)
	if err != nil {
		return err
	}
	e := &InterruptedError{Set: set, Journal: *j, File: s.File, Edited: true}
	switch {
	case n < j.Done:
		e.Problem = fmt.Sprintf("the file was edited: it has %d statements, but %d were executed before", n, j.Done)
	case sum != j.DoneSum:
		e.Pos, e.SQL = last.Pos, an.Mask(last.Text)
		e.Problem = fmt.Sprintf("the file was edited: its first %d statements differ from those that were executed", n)
		if n == 1 {
			e.Problem = "the file was edited: its first statement differs from the one that was executed"
		}
	default:
		return nil
	}
	return e
}

// prefix counts the first statements of a script, up to limit, and returns their checksum and the
// last of them.
func prefix(an *migration.Analysis, limit int) (n int, sum migration.Checksum, last sqltext.Statement, err error) {
	for st, err := range an.All() {
		switch {
		case err != nil:
			return n, sum, last, err
		case n == limit:
			return n, sum, last, nil
		case counts(st):
			n, sum, last = n+1, database.NextSum(sum, an.Mask(st.Text)), st
		}
	}
	return n, sum, last, nil
}

// counts reports whether the journal counts a statement: it does not count client commands and the
// data of a COPY.
func counts(st sqltext.Statement) bool { return st.Kind == sqltext.SQL || st.Kind == sqltext.CopyIn }

// replay repeats what an executed statement did to the session. If it ran in a transaction of the
// script, replay repeats it in one that ends as that one did: its effect may have ended with the
// transaction, or have been rolled back.
func (x *runner) replay(ctx context.Context, st sqltext.Statement) (err error) {
	if x.tx.CommitsBefore(st) {
		err = x.replayCommitted(ctx)
	}
	was := x.tx.Open()
	x.tx.Follow(st)
	begins := x.tx.Open() && x.tx.Empty
	switch {
	case err != nil:
		return err
	case was && begins: // after a chain
		end := sqltext.TxCommit
		if st.Tx == sqltext.TxRollbackChain {
			end = sqltext.TxRollback
		}
		err = x.replayEnd(ctx, standIn(end, st))
	case was && !x.tx.Open():
		return x.replayEnd(ctx, st)
	case was && (st.Tx == sqltext.TxSavepoint || st.SetsSession()):
		x.again = append(x.again, st)
	case !was && st.SetsSession() && st.Mode&sqltext.ModeNext == 0:
		return x.executeAll(ctx, []sqltext.Statement{st})
	}
	if begins {
		x.again = slices.Clone(x.tx.Begin)
	}
	return err
}

// settles reports whether a statement changes settings of the session that outlive the transaction.
func settles(st sqltext.Statement) bool {
	return st.SetsSession() && st.Mode&(sqltext.ModeOwn|sqltext.ModeNext) == 0
}

// replayEnd replays the end of a transaction.
func (x *runner) replayEnd(ctx context.Context, end sqltext.Statement) error {
	all := append(x.again, end)
	x.again = nil
	if !slices.ContainsFunc(all, settles) {
		return nil
	}
	return x.executeAll(ctx, all)
}

// replayCommitted replays a transaction that the database has committed by itself. Its session
// settings did not depend on it.
func (x *runner) replayCommitted(ctx context.Context) error {
	all := x.again
	x.again = nil
	x.tx.Close()
	return x.executeAll(ctx, slices.DeleteFunc(all, func(st sqltext.Statement) bool { return !settles(st) }))
}

// endReplay prepares the session for the first remaining statement. It begins an empty transaction
// again. The database has committed any other by itself: a journal is written when a transaction
// ends.
func (x *runner) endReplay(ctx context.Context) error {
	if x.tx.Open() && x.tx.Empty {
		return x.executeAll(ctx, x.tx.Begin)
	}
	return x.replayCommitted(ctx)
}

func (x *runner) executeAll(ctx context.Context, all []sqltext.Statement) error {
	for _, st := range all {
		if err := x.r.Exec(ctx, x.step.Script, st, nil, nil); err != nil {
			return err
		}
	}
	return nil
}
