package databasetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// statementErrors alters the errors of statements, whenever a batch returns them.
func statementErrors(alter func(*database.StatementError) error) func(*alteredBatch) {
	altered := func(err error) error {
		if st, ok := errors.AsType[*database.StatementError](err); ok {
			return alter(st)
		}
		return err
	}
	return func(b *alteredBatch) {
		b.run = func(ctx context.Context, s *migration.Script) error { return altered(b.Tx.Exec(ctx, s)) }
		b.commit = func(ctx context.Context) (database.Recorded, error) {
			recorded, err := b.Tx.Commit(ctx)
			return recorded, altered(err)
		}
	}
}

// commitsHead alters the Head that Commit returns.
func commitsHead(head func(b *alteredBatch) int64) func(*alteredBatch) {
	return func(b *alteredBatch) {
		b.commit = func(ctx context.Context) (database.Recorded, error) {
			recorded, err := b.Tx.Commit(ctx)
			recorded.Head = head(b)
			return recorded, err
		}
	}
}

// scripts alters the scripts that a batch runs.
func scripts(alter func(b *alteredBatch, s *migration.Script) *migration.Script) func(*alteredBatch) {
	return func(b *alteredBatch) {
		b.run = func(ctx context.Context, s *migration.Script) error { return b.Tx.Exec(ctx, alter(b, s)) }
	}
}

// statements calls do for each statement of a script.
func statements(s *migration.Script, do func(sqltext.Statement) error) error {
	a, err := s.Analyze(sqltext.PostgreSQL, nil)
	if err != nil {
		return err
	}
	for st, err := range a.All() {
		if err == nil {
			err = do(st)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var batchMutants = []mutant{
	ofFound("Head counts from Begin on", foundHead, false, func(f *database.Found) { f.Head = 0 }),
	ofFound("Head counts from Guard on", foundHead, true, func(f *database.Found) { f.Head = 0 }),
	{"Head doesn't move at Commit", recordedHead, func() alteration {
		heads := map[string]int64{}
		return alteration{
			found: func(set string, _ bool, f *database.Found) { heads[set] = f.Head },
			batch: commitsHead(func(b *alteredBatch) int64 { return heads[b.set] }),
		}
	}},
	ofBatch("Head after Commit has what others recorded", recordedHead, commitsHead(func(b *alteredBatch) int64 {
		st, err := b.db.Database.State(context.Background(), b.set)
		if err != nil {
			return 0
		}
		return st.Head
	})),
	ofBatch("scripts run outside of the transaction", txWhole, func(b *alteredBatch) {
		b.run = func(ctx context.Context, s *migration.Script) error {
			r, _, err := b.db.Database.Guard(ctx, "aside", database.LockOptions{})
			if err != nil || s.Func() != nil {
				return err
			}
			defer r.Close(ctx)
			return statements(s, func(st sqltext.Statement) error { return r.Exec(ctx, s, st, nil, nil) })
		}
	}),
	ofBatch("State is what others see", txState, func(b *alteredBatch) {
		b.state = func(ctx context.Context) (*database.State, error) { return b.db.Database.State(ctx, b.set) }
	}),
	ofBatch("a script's own BEGIN is an error", txBody, func(b *alteredBatch) {
		b.run = func(ctx context.Context, s *migration.Script) error {
			err := statements(s, func(st sqltext.Statement) error {
				if st.Tx.Control() {
					return errors.New("there is a transaction in progress")
				}
				return nil
			})
			if err != nil && s.Func() == nil {
				return err
			}
			return b.Tx.Exec(ctx, s)
		}
	}),
	ofBatch("nothing goes back to a savepoint", txSavepoints, func(b *alteredBatch) {
		b.run = func(ctx context.Context, s *migration.Script) error {
			text, _, err := s.Text(1 << 20)
			if err != nil || !strings.Contains(text, "ROLLBACK TO") {
				return b.Tx.Exec(ctx, s)
			}
			return b.Tx.Exec(ctx, migration.Text(s.File, strings.ReplaceAll(text, "ROLLBACK TO SAVEPOINT a;", "")))
		}
	}),
	ofBatch("a Go function's error is put in other words", txFunc, func(b *alteredBatch) {
		b.run = func(ctx context.Context, s *migration.Script) error {
			err := b.Tx.Exec(ctx, s)
			if err != nil && s.Func() != nil {
				return errors.New("a Go function failed")
			}
			return err
		}
	}),
	ofBatch("a Go function of another type is passed over", txFunc, func(b *alteredBatch) {
		b.run = func(ctx context.Context, s *migration.Script) error {
			if err := b.Tx.Exec(ctx, s); s.File != "foreign" {
				return err
			}
			return b.restart(ctx)
		}
	}),
	ofBatch("directives are passed over", txTimeouts, scripts(func(_ *alteredBatch, s *migration.Script) *migration.Script {
		if s.StatementTimeout == 0 {
			return s
		}
		return migration.Text(s.File, "SELECT 1")
	})),
	{"settings leak into the next script", txSession, func() alteration {
		leaked := ""
		return alteration{batch: scripts(func(_ *alteredBatch, s *migration.Script) *migration.Script {
			text, ok, _ := s.Text(1 << 20)
			if !ok {
				return s
			}
			before := leaked
			if strings.HasPrefix(text, "SET ") {
				leaked += text + ";"
			}
			altered := migration.Text(s.File, before+text)
			altered.Line = s.Line
			return altered
		})}
	}},
	{"settings leak out of what is rolled back", txSession, func() alteration {
		leaked := ""
		return alteration{batch: func(b *alteredBatch) {
			mine := ""
			scripts(func(_ *alteredBatch, s *migration.Script) *migration.Script {
				text, ok, _ := s.Text(1 << 20)
				if !ok {
					return s
				}
				if strings.HasPrefix(text, "SET ") {
					mine += strings.Split(text, ";")[0] + ";"
				}
				altered := migration.Text(s.File, leaked+text)
				altered.Line = s.Line
				return altered
			})(b)
			b.rollback = func(ctx context.Context) error {
				leaked += mine
				return b.Tx.Rollback(ctx)
			}
			b.commit = func(ctx context.Context) (database.Recorded, error) {
				mine = ""
				return b.Tx.Commit(ctx)
			}
		}}
	}},
	ofBatch("a statement's error is any error", txStatement, statementErrors(func(e *database.StatementError) error {
		return errors.New(e.Message)
	})),
	ofBatch("the file of an error is lost", statementPos, statementErrors(func(e *database.StatementError) error {
		e.Pos.File = ""
		return e
	})),
	ofBatch("lines count from the script's first", statementPos, statementErrors(func(e *database.StatementError) error {
		e.Pos.Line -= 9
		return e
	})),
	ofBatch("statements count from 1", statementIndex, statementErrors(func(e *database.StatementError) error {
		e.Index++
		return e
	})),
	ofBatch("the code is lost", statementCode, statementErrors(func(e *database.StatementError) error {
		e.Code = ""
		return e
	})),
	ofBatch("Recorded is what Record was given", recordedEntries, func(b *alteredBatch) {
		var given []database.Entry
		b.record = func(ctx context.Context, entries ...database.Entry) error {
			given = append(given, entries...)
			return b.Tx.Record(ctx, entries...)
		}
		b.commit = func(ctx context.Context) (database.Recorded, error) {
			recorded, err := b.Tx.Commit(ctx)
			recorded.Entries = given
			return recorded, err
		}
	}),
	ofBatch("Record records its first entry alone", recordedEntries, func(b *alteredBatch) {
		b.record = func(ctx context.Context, entries ...database.Entry) error {
			return b.Tx.Record(ctx, entries[:min(len(entries), 1)]...)
		}
	}),
	ofBatch("Rollback does nothing", txRollback, func(b *alteredBatch) {
		b.rollback = func(context.Context) error { return nil }
	}),
	ofBatch("Commit commits nothing", txCommit, func(b *alteredBatch) {
		b.commit = func(ctx context.Context) (database.Recorded, error) {
			return database.Recorded{}, b.Tx.Rollback(ctx)
		}
	}),
	ofBatch("Commit keeps the lock", txCommit, func(b *alteredBatch) {
		b.commit = func(ctx context.Context) (database.Recorded, error) {
			recorded, err := b.Tx.Commit(ctx)
			b.db.Database.Begin(ctx, b.set, database.LockOptions{})
			return recorded, err
		}
	}),
	ofBatch("Commit after an error commits what went well", txCommitFails, func(b *alteredBatch) {
		var well []*migration.Script
		failed := false
		b.run = func(ctx context.Context, s *migration.Script) error {
			err := b.Tx.Exec(ctx, s)
			failed = failed || err != nil
			if !failed {
				well = append(well, s)
			}
			return err
		}
		b.commit = func(ctx context.Context) (database.Recorded, error) {
			if failed {
				b.restart(ctx)
				for _, s := range well {
					b.Tx.Exec(ctx, s)
				}
			}
			return b.Tx.Commit(ctx)
		}
	}),
	ofBatch("a batch that is over says nothing", txOver, func(b *alteredBatch) {
		over := false
		b.commit = func(ctx context.Context) (database.Recorded, error) {
			if over {
				return database.Recorded{}, nil
			}
			over = true
			return b.Tx.Commit(ctx)
		}
		b.record = func(ctx context.Context, entries ...database.Entry) error {
			if over {
				return nil
			}
			return b.Tx.Record(ctx, entries...)
		}
		b.run = func(ctx context.Context, s *migration.Script) error {
			if over {
				return nil
			}
			return b.Tx.Exec(ctx, s)
		}
	}),
	ofBatch("Rollback commits", txRollback, func(b *alteredBatch) {
		over := false
		b.commit = func(ctx context.Context) (database.Recorded, error) {
			over = true
			return b.Tx.Commit(ctx)
		}
		b.rollback = func(ctx context.Context) error {
			if over {
				return b.Tx.Rollback(ctx)
			}
			return commitTx(ctx, b)
		}
	}),
	ofBatch("Rollback keeps the lock", txRollback, func(b *alteredBatch) {
		b.rollback = func(ctx context.Context) error { b.restart(ctx); return nil }
	}),
	ofBatch("Rollback after Commit is an error", txRollbackAny, func(b *alteredBatch) {
		over := false
		b.rollback = func(ctx context.Context) error {
			if over {
				return errors.New("the transaction is over")
			}
			over = true
			return b.Tx.Rollback(ctx)
		}
		b.commit = func(ctx context.Context) (database.Recorded, error) {
			over = true
			return b.Tx.Commit(ctx)
		}
	}),
	ofBatch("Rollback heeds its context", txRollbackAny, func(b *alteredBatch) {
		b.rollback = func(ctx context.Context) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return b.Tx.Rollback(ctx)
		}
	}),
	ofBatch("a cancelled statement's error is its own", cancelling, func(b *alteredBatch) {
		b.run = func(ctx context.Context, s *migration.Script) error {
			err := b.Tx.Exec(ctx, s)
			if isContext(err) {
				return errors.New("canceling statement due to user request")
			}
			return err
		}
	}),
}

// execs alters what a run executes.
func execs(alter func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error) func(*alteredRun) {
	return func(r *alteredRun) {
		r.exec = func(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
			return alter(r, ctx, s, st, data, done)
		}
	}
}

var runMutants = []mutant{
	ofRun("State is of the time of Guard", runState, func(r *alteredRun) {
		st, err := r.Run.State(context.Background())
		r.state = func(context.Context) (*database.State, error) { return st, err }
	}),
	ofFound("a run knows of no other", foundInterrupted, true, func(f *database.Found) { f.Interrupted = false }),
	ofRun("Head doesn't move at Record", recordedHead, func(r *alteredRun) {
		st, serr := r.Run.State(context.Background())
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			recorded, err := r.Run.Record(ctx, entries...)
			if serr == nil {
				recorded.Head = st.Head
			}
			return recorded, err
		}
	}),
	ofRun("statements stand after Close", runExec, func(r *alteredRun) {
		begun := false
		r.exec = func(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
			if begin, err := sqltext.Split("BEGIN", sqltext.PostgreSQL, sqltext.Options{}); err == nil && !begun && st.Tx == sqltext.TxAny {
				begun = true
				r.Run.Exec(ctx, s, begin[0], nil, nil)
			}
			return r.Run.Exec(ctx, s, st, data, done)
		}
	}),
	ofRun("COPY has no data", runCopy, execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
		if data != nil {
			io.Copy(io.Discard, data)
		}
		return r.Run.Exec(ctx, s, st, nil, done)
	})),
	ofRun("a statement's error in a run is any error", runExecError, execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
		if err := r.Run.Exec(ctx, s, st, data, done); err != nil && !isContext(err) {
			return errors.New(err.Error())
		}
		return nil
	})),
	ofRun("transaction control is passed over", runTransaction, execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
		if st.Tx.Control() {
			return nil
		}
		return r.Run.Exec(ctx, s, st, data, done)
	})),
	ofRun("SET is passed over", runSession, execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
		if strings.HasPrefix(st.Text, "SET ") {
			return nil
		}
		return r.Run.Exec(ctx, s, st, data, done)
	})),
	ofRun("statements run in a transaction", guardLocks, execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
		if st.Tx == sqltext.TxNever {
			return &database.StatementError{Pos: st.Pos, Code: "25001", Message: "cannot run inside a transaction block"}
		}
		return r.Run.Exec(ctx, s, st, data, done)
	})),
	ofRun("the lock is held while a statement runs, and not longer", runHolds, func(r *alteredRun) {
		r.exec = func(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
			err := r.Run.Exec(ctx, s, st, data, done)
			r.Run.Close(ctx)
			if next, _, gerr := r.db.Database.Guard(ctx, r.set+" ", database.LockOptions{}); gerr == nil {
				r.Run = next
			}
			return err
		}
	}),
	ofRun("the note of a run's event is lost", runRecord, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			entries = slices.Clone(entries)
			for i := range entries {
				entries[i].Note = ""
			}
			return r.Run.Record(ctx, entries...)
		}
	}),
	ofRun("Record returns what it was given", runRecord, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			recorded, err := r.Run.Record(ctx, entries...)
			recorded.Entries = entries
			return recorded, err
		}
	}),
	ofRun("Record says nothing of an open transaction", runRecordTx, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			got, err := r.Run.Record(ctx, entries...)
			if err != nil && strings.Contains(err.Error(), "opened a transaction") {
				err = nil
			}
			return got, err
		}
	}),
	ofRun("Close keeps the lock of a run", runClose, func(r *alteredRun) {
		r.close = func(context.Context) error { return nil }
	}),
	ofRun("Close commits what the script left open", runClose, func(r *alteredRun) {
		r.close = func(ctx context.Context) error {
			if commit, err := sqltext.Split("COMMIT", sqltext.PostgreSQL, sqltext.Options{}); err == nil {
				r.Run.Exec(ctx, text(""), commit[0], nil, nil)
			}
			return r.Run.Close(ctx)
		}
	}),
	ofRun("a second Close of a run is an error", runCloseAny, func(r *alteredRun) {
		closed := false
		r.close = func(ctx context.Context) error {
			if closed {
				return errors.New("it is closed")
			}
			closed = true
			return r.Run.Close(ctx)
		}
	}),
	ofRun("Close of a run heeds its context", runCloseAny, func(r *alteredRun) {
		r.close = func(ctx context.Context) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return r.Run.Close(ctx)
		}
	}),
}
