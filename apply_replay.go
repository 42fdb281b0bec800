package whimbrel

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// checkPrefix refuses a script whose first statements are not those that were executed: it is then
// unknown which of its statements the database has. The journal may be nil.
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
	for st, err := range executed(an) {
		if err != nil {
			return n, sum, last, err
		}
		if n == limit {
			break
		}
		n, sum, last = n+1, database.NextSum(sum, an.Mask(st.Text)), st
	}
	return n, sum, last, nil
}

// executed yields the statements of a script that the journal counts: those sent to the database.
func executed(an *migration.Analysis) iter.Seq2[sqltext.Statement, error] {
	return func(yield func(sqltext.Statement, error) bool) {
		for st, err := range an.All() {
			if (err != nil || counts(st)) && !yield(st, err) {
				return
			}
		}
	}
}

// counts reports whether a statement is sent: client commands and the data of a COPY are not.
func counts(st sqltext.Statement) bool { return st.Kind == sqltext.SQL || st.Kind == sqltext.CopyIn }

// replay repeats what an executed statement did to the session. If it ran in a transaction of the
// script, replay repeats it in one that ends as that one did: its effect may have ended with the
// transaction, or have been rolled back.
func (x *runner) replay(ctx context.Context, st sqltext.Statement) error {
	within, implied := len(x.again) > 0, x.m.db.Dialect().ImplicitCommit()
	switch {
	case st.Mode&sqltext.ModeNext != 0 && !within:
		x.wait = append(x.wait, st)
		return nil
	case !st.SetsSession() && st.Tx != sqltext.TxBegin:
		x.wait = nil // they were for this transaction
	}
	x.fresh = false
	switch {
	case st.Tx == sqltext.TxBegin && within && !implied: // which changes nothing
	case st.Tx == sqltext.TxBegin:
		err := x.replayOpen(ctx)
		x.again = append(x.wait, st)
		x.wait = nil
		return err
	case within && (st.Tx == sqltext.TxCommit || st.Tx == sqltext.TxRollback):
		return x.replayEnd(ctx, st)
	case within && st.Tx == sqltext.TxCommitChain:
		return x.replayChain(ctx, standIn(sqltext.TxCommit, st))
	case within && st.Tx == sqltext.TxRollbackChain:
		return x.replayChain(ctx, standIn(sqltext.TxRollback, st))
	case within && st.Tx == sqltext.TxNever:
		return x.replayOpen(ctx)
	case within && (st.Tx == sqltext.TxSavepoint || st.SetsSession()):
		x.follow(st)
		x.again = append(x.again, st)
	case st.SetsSession():
		x.follow(st)
		return x.executeAll(ctx, []sqltext.Statement{st})
	}
	return nil
}

// ownModes are the modes that affect one transaction only.
const ownModes = sqltext.ModeOwn | sqltext.ModeNext

// replayEnd replays the end of a transaction.
func (x *runner) replayEnd(ctx context.Context, end sqltext.Statement) error {
	all := append(x.again, end)
	x.again = nil
	if !slices.ContainsFunc(all, func(st sqltext.Statement) bool { return st.SetsSession() && st.Mode&ownModes == 0 }) {
		return nil
	}
	return x.executeAll(ctx, all)
}

// replayChain replays the end of a transaction that begins another one of its kind.
func (x *runner) replayChain(ctx context.Context, end sqltext.Statement) error {
	begin := slices.DeleteFunc(slices.Clone(x.again), func(st sqltext.Statement) bool {
		return st.Tx != sqltext.TxBegin && st.Mode&ownModes == 0
	})
	err := x.replayEnd(ctx, end)
	x.again, x.fresh = begin, true
	return err
}

// replayOpen replays a transaction without an end among the executed statements. One that a chain
// has begun is begun again. Any other is a transaction that MySQL commits before a statement that
// can't be in one. MySQL's session settings do not depend on transactions.
func (x *runner) replayOpen(ctx context.Context) error {
	all := x.again
	x.again = nil
	if x.fresh {
		x.fresh = false
		return x.begin(ctx, all...)
	}
	return x.executeAll(ctx, slices.DeleteFunc(all, func(st sqltext.Statement) bool { return !st.SetsSession() || st.Mode&ownModes != 0 }))
}

func (x *runner) executeAll(ctx context.Context, all []sqltext.Statement) error {
	for _, st := range all {
		if err := x.r.Exec(ctx, x.step.Script, st, nil, nil); err != nil {
			return err
		}
	}
	return nil
}
