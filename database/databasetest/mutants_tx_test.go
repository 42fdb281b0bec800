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

// statementErrors alters the errors of a transaction's statements.
func statementErrors(alter func(*database.StatementError) error) func(*alteredTx) {
	altered := func(err error) error {
		var st *database.StatementError
		if errors.As(err, &st) {
			return alter(st)
		}
		return err
	}
	return func(tx *alteredTx) {
		tx.run = func(ctx context.Context, s *migration.Script) error { return altered(tx.Tx.Exec(ctx, s)) }
		tx.commit = func(ctx context.Context) (database.Recorded, error) {
			recorded, err := tx.Tx.Commit(ctx)
			return recorded, altered(err)
		}
	}
}

// commitsHead alters the Head that Commit returns.
func commitsHead(head func(tx *alteredTx) int64) func(*alteredTx) {
	return func(tx *alteredTx) {
		tx.commit = func(ctx context.Context) (database.Recorded, error) {
			recorded, err := tx.Tx.Commit(ctx)
			recorded.Head = head(tx)
			return recorded, err
		}
	}
}

// scripts alters the scripts that a transaction executes.
func scripts(alter func(tx *alteredTx, s *migration.Script) *migration.Script) func(*alteredTx) {
	return func(tx *alteredTx) {
		tx.run = func(ctx context.Context, s *migration.Script) error { return tx.Tx.Exec(ctx, alter(tx, s)) }
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

// sequences alters CommitEach.
func sequences(alter func(database.Sequencer) commitEachFunc) func(*alteredTx) {
	return func(tx *alteredTx) {
		tx.chain = func(ctx context.Context, opts database.LockOptions) (database.Recorded, database.Tx, database.Found, error) {
			return (&alteredSequencer{tx.Tx, alter}).CommitAndBegin(ctx, opts)
		}
	}
}

var txMutants = []mutant{
	ofFound("Head counts from Begin", foundHead, false, func(f *database.Found) { f.Head = 0 }),
	ofFound("Head counts from Guard", foundHead, true, func(f *database.Found) { f.Head = 0 }),
	{"Commit does not change Head", recordedHead, func() alteration {
		heads := map[string]int64{}
		return alteration{
			found: func(set string, _ bool, f *database.Found) { heads[set] = f.Head },
			tx:    commitsHead(func(tx *alteredTx) int64 { return heads[tx.set] }),
		}
	}},
	ofTx("Head after Commit counts other processes' entries", recordedHead, commitsHead(func(tx *alteredTx) int64 {
		st, err := tx.db.Database.State(context.Background(), tx.set)
		if err != nil {
			return 0
		}
		return st.Head
	})),
	ofTx("scripts are executed outside of the transaction", txWhole, func(tx *alteredTx) {
		tx.run = func(ctx context.Context, s *migration.Script) error {
			r, _, err := tx.db.Database.Guard(ctx, "aside", database.LockOptions{})
			if err != nil || s.Func() != nil {
				return err
			}
			defer r.Close(ctx)
			return statements(s, func(st sqltext.Statement) error { return r.Exec(ctx, s, st, nil, nil) })
		}
	}),
	ofTx("State does not include the transaction", txState, func(tx *alteredTx) {
		tx.state = func(ctx context.Context) (*database.State, error) { return tx.db.Database.State(ctx, tx.set) }
	}),
	ofTx("a script's own BEGIN is an error", txBody, func(tx *alteredTx) {
		tx.run = func(ctx context.Context, s *migration.Script) error {
			err := statements(s, func(st sqltext.Statement) error {
				if st.Tx.Control() {
					return errors.New("there is a transaction in progress")
				}
				return nil
			})
			if err != nil && s.Func() == nil {
				return err
			}
			return tx.Tx.Exec(ctx, s)
		}
	}),
	ofTx("ROLLBACK TO SAVEPOINT has no effect", txSavepoints, func(tx *alteredTx) {
		tx.run = func(ctx context.Context, s *migration.Script) error {
			text, _, err := s.Text(1 << 20)
			if err != nil || !strings.Contains(text, "ROLLBACK TO") {
				return tx.Tx.Exec(ctx, s)
			}
			return tx.Tx.Exec(ctx, migration.Text(s.File, strings.ReplaceAll(text, "ROLLBACK TO SAVEPOINT a;", "")))
		}
	}),
	ofTx("a Go function's error is not wrapped", txFunc, func(tx *alteredTx) {
		tx.run = func(ctx context.Context, s *migration.Script) error {
			err := tx.Tx.Exec(ctx, s)
			if err != nil && s.Func() != nil {
				return errors.New("a Go function failed")
			}
			return err
		}
	}),
	ofTx("a Go function of another type is ignored", txFunc, func(tx *alteredTx) {
		tx.run = func(ctx context.Context, s *migration.Script) error {
			if err := tx.Tx.Exec(ctx, s); s.File != "foreign" {
				return err
			}
			return tx.restart(ctx)
		}
	}),
	ofTx("directives are ignored", txTimeouts, scripts(func(_ *alteredTx, s *migration.Script) *migration.Script {
		if s.StatementTimeout == 0 {
			return s
		}
		return migration.Text(s.File, "SELECT 1")
	})),
	{"settings leak into the next script", txSession, func() alteration {
		leaked := ""
		return alteration{tx: scripts(func(_ *alteredTx, s *migration.Script) *migration.Script {
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
	{"settings of a rolled back transaction leak", txSession, func() alteration {
		leaked := ""
		return alteration{tx: func(tx *alteredTx) {
			mine := ""
			scripts(func(_ *alteredTx, s *migration.Script) *migration.Script {
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
			})(tx)
			tx.rollback = func(ctx context.Context) error {
				leaked += mine
				return tx.Tx.Rollback(ctx)
			}
			tx.commit = func(ctx context.Context) (database.Recorded, error) {
				mine = ""
				return tx.Tx.Commit(ctx)
			}
		}}
	}},
	ofTx("a statement's error is no *StatementError", txStatement, statementErrors(func(e *database.StatementError) error {
		return errors.New(e.Message)
	})),
	ofTx("the file of an error is lost", statementPos, statementErrors(func(e *database.StatementError) error {
		e.Pos.File = ""
		return e
	})),
	ofTx("lines count from the script's first", statementPos, statementErrors(func(e *database.StatementError) error {
		e.Pos.Line -= 9
		return e
	})),
	ofTx("statements count from 1", statementIndex, statementErrors(func(e *database.StatementError) error {
		e.Index++
		return e
	})),
	ofTx("the code is lost", statementCode, statementErrors(func(e *database.StatementError) error {
		e.Code = ""
		return e
	})),
	ofTx("Recorded has the arguments of Record", recordedEntries, func(tx *alteredTx) {
		var given []database.Entry
		tx.record = func(ctx context.Context, entries ...database.Entry) error {
			given = append(given, entries...)
			return tx.Tx.Record(ctx, entries...)
		}
		tx.commit = func(ctx context.Context) (database.Recorded, error) {
			recorded, err := tx.Tx.Commit(ctx)
			recorded.Entries = given
			return recorded, err
		}
	}),
	ofTx("Record only records its first entry", recordedEntries, func(tx *alteredTx) {
		tx.record = func(ctx context.Context, entries ...database.Entry) error {
			return tx.Tx.Record(ctx, entries[:min(len(entries), 1)]...)
		}
	}),
	ofTx("Rollback does nothing", txRollback, func(tx *alteredTx) {
		tx.rollback = func(context.Context) error { return nil }
	}),
	ofTx("Commit commits nothing", txCommit, func(tx *alteredTx) {
		tx.commit = func(ctx context.Context) (database.Recorded, error) {
			return database.Recorded{}, tx.Tx.Rollback(ctx)
		}
	}),
	ofTx("Commit keeps the lock", txCommit, func(tx *alteredTx) {
		tx.commit = func(ctx context.Context) (database.Recorded, error) {
			recorded, err := tx.Tx.Commit(ctx)
			tx.db.Database.Begin(ctx, tx.set, database.LockOptions{})
			return recorded, err
		}
	}),
	ofTx("CommitAndBegin begins nothing", txChain, func(tx *alteredTx) {
		tx.chain = func(ctx context.Context, opts database.LockOptions) (database.Recorded, database.Tx, database.Found, error) {
			r, next, found, err := database.CommitAndBegin(ctx, tx.Tx, opts)
			if err == nil {
				err = next.Rollback(ctx)
			}
			return r, next, found, err
		}
	}),
	ofTx("CommitAndBegin commits nothing", txChain, func(tx *alteredTx) {
		tx.chain = func(ctx context.Context, opts database.LockOptions) (r database.Recorded, _ database.Tx, _ database.Found, err error) {
			err = tx.restart(ctx)
			return r, tx.Tx, database.Found{}, err
		}
	}),
	ofTx("CommitAndBegin returns another Head", txChain, func(tx *alteredTx) {
		tx.chain = func(ctx context.Context, opts database.LockOptions) (database.Recorded, database.Tx, database.Found, error) {
			r, next, found, err := database.CommitAndBegin(ctx, tx.Tx, opts)
			found.Head--
			return r, next, found, err
		}
	}),
	ofTx("CommitEach leaves a failing part out", txEach, sequences(func(tx database.Sequencer) commitEachFunc {
		return func(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
			works := slices.DeleteFunc(slices.Clone(parts), func(p database.Part) bool {
				text, _, _ := p.Script.Text(1 << 20)
				return text == failing
			})
			return tx.CommitEach(ctx, works, more, opts, report)
		}
	})),
	ofTx("CommitEach reports nothing", txEach, sequences(func(tx database.Sequencer) commitEachFunc {
		return func(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
			report.Committed = func(database.Recorded) {}
			return tx.CommitEach(ctx, parts, more, opts, report)
		}
	})),
	ofTx("CommitEach reports a part that failed", txEach, sequences(func(tx database.Sequencer) commitEachFunc {
		return func(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
			next, found, err := tx.CommitEach(ctx, parts, more, opts, report)
			if err != nil {
				report.Committed(database.Recorded{})
			}
			return next, found, err
		}
	})),
	ofTx("CommitEach returns another Head", txEach, sequences(func(tx database.Sequencer) commitEachFunc {
		return func(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
			committed := report.Committed
			report.Committed = func(r database.Recorded) {
				r.Head--
				committed(r)
			}
			return tx.CommitEach(ctx, parts, more, opts, report)
		}
	})),
	ofTx("CommitEach executes the first part only", txEach, sequences(func(tx database.Sequencer) commitEachFunc {
		return func(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
			return tx.CommitEach(ctx, parts[:1], more, opts, report)
		}
	})),
	ofDB("StartSequence begins whatever the head is", txStart, func(db *alteredDB) {
		db.start = func(ctx context.Context, set string, _ int64) database.Sequence {
			st, err := db.Database.State(ctx, set)
			if err != nil {
				return nil
			}
			return db.Database.StartSequence(ctx, set, st.Head)
		}
	}),
	ofTx("Commit after an error commits the statements before it", txCommitFails, func(tx *alteredTx) {
		var well []*migration.Script
		failed := false
		tx.run = func(ctx context.Context, s *migration.Script) error {
			err := tx.Tx.Exec(ctx, s)
			failed = failed || err != nil
			if !failed {
				well = append(well, s)
			}
			return err
		}
		tx.commit = func(ctx context.Context) (database.Recorded, error) {
			if failed {
				tx.restart(ctx)
				for _, s := range well {
					tx.Tx.Exec(ctx, s)
				}
			}
			return tx.Tx.Commit(ctx)
		}
	}),
	ofTx("a transaction that is over returns no errors", txOver, func(tx *alteredTx) {
		over := false
		tx.commit = func(ctx context.Context) (database.Recorded, error) {
			if over {
				return database.Recorded{}, nil
			}
			over = true
			return tx.Tx.Commit(ctx)
		}
		tx.record = func(ctx context.Context, entries ...database.Entry) error {
			if over {
				return nil
			}
			return tx.Tx.Record(ctx, entries...)
		}
		tx.run = func(ctx context.Context, s *migration.Script) error {
			if over {
				return nil
			}
			return tx.Tx.Exec(ctx, s)
		}
	}),
	ofTx("Rollback commits", txRollback, func(tx *alteredTx) {
		over := false
		tx.commit = func(ctx context.Context) (database.Recorded, error) {
			over = true
			return tx.Tx.Commit(ctx)
		}
		tx.rollback = func(ctx context.Context) error {
			if over {
				return tx.Tx.Rollback(ctx)
			}
			return commitTx(ctx, tx)
		}
	}),
	ofTx("Rollback keeps the lock", txRollback, func(tx *alteredTx) {
		tx.rollback = func(ctx context.Context) error { tx.restart(ctx); return nil }
	}),
	ofTx("Rollback after Commit is an error", txRollbackAny, func(tx *alteredTx) {
		over := false
		tx.rollback = func(ctx context.Context) error {
			if over {
				return errors.New("the transaction is over")
			}
			over = true
			return tx.Tx.Rollback(ctx)
		}
		tx.commit = func(ctx context.Context) (database.Recorded, error) {
			over = true
			return tx.Tx.Commit(ctx)
		}
	}),
	ofTx("Rollback depends on its context", txRollbackAny, func(tx *alteredTx) {
		tx.rollback = func(ctx context.Context) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return tx.Tx.Rollback(ctx)
		}
	}),
	ofTx("a cancelled statement's error is its own", cancelling, func(tx *alteredTx) {
		tx.run = func(ctx context.Context, s *migration.Script) error {
			err := tx.Tx.Exec(ctx, s)
			if isContext(err) {
				return errors.New("canceling statement due to user request")
			}
			return err
		}
	}),
}

// execs alters how a run executes statements.
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
	ofFound("Guard finds no interrupted run", foundInterrupted, true, func(f *database.Found) { f.Interrupted = false }),
	ofRun("Record does not change Head", recordedHead, func(r *alteredRun) {
		st, serr := r.Run.State(context.Background())
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			recorded, err := r.Run.Record(ctx, entries...)
			if serr == nil {
				recorded.Head = st.Head
			}
			return recorded, err
		}
	}),
	ofRun("statements are rolled back by Close", runExec, func(r *alteredRun) {
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
	ofRun("a statement's error in a run is no *StatementError", runExecError, execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
		if err := r.Run.Exec(ctx, s, st, data, done); err != nil && !isContext(err) {
			return errors.New(err.Error())
		}
		return nil
	})),
	ofRun("transaction control is ignored", runTransaction, execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
		if st.Tx.Control() {
			return nil
		}
		return r.Run.Exec(ctx, s, st, data, done)
	})),
	ofRun("SET is ignored", runSession, execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
		if strings.HasPrefix(st.Text, "SET ") {
			return nil
		}
		return r.Run.Exec(ctx, s, st, data, done)
	})),
	ofRun("statements are executed in a transaction", guardLocks, execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
		if st.Tx == sqltext.TxNever {
			return &database.StatementError{Pos: st.Pos, Code: "25001", Message: "cannot run inside a transaction block"}
		}
		return r.Run.Exec(ctx, s, st, data, done)
	})),
	ofRun("the lock is only held while a statement is executed", runHolds, func(r *alteredRun) {
		r.exec = func(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
			err := r.Run.Exec(ctx, s, st, data, done)
			r.Run.Close(ctx)
			if next, _, gerr := r.db.Database.Guard(ctx, r.set+" ", database.LockOptions{}); gerr == nil {
				r.Run = next
			}
			return err
		}
	}),
	ofRun("the reason of a run's entry is lost", runRecord, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			entries = slices.Clone(entries)
			for i := range entries {
				entries[i].Reason = ""
			}
			return r.Run.Record(ctx, entries...)
		}
	}),
	ofRun("Record returns its arguments", runRecord, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			recorded, err := r.Run.Record(ctx, entries...)
			recorded.Entries = entries
			return recorded, err
		}
	}),
	ofRun("Record in the script's transaction returns no error", runRecordTx, func(r *alteredRun) {
		open := false
		execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
			if st.Tx.Control() && st.Tx != sqltext.TxSavepoint {
				open = st.Tx == sqltext.TxBegin
			}
			return r.Run.Exec(ctx, s, st, data, done)
		})(r)
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			got, err := r.Run.Record(ctx, entries...)
			if open {
				err = nil
			}
			return got, err
		}
	}),
	ofRun("Close keeps the lock of a run", runClose, func(r *alteredRun) {
		r.close = func(context.Context) error { return nil }
	}),
	ofRun("Close commits the script's open transaction", runClose, func(r *alteredRun) {
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
	ofRun("Close of a run depends on its context", runCloseAny, func(r *alteredRun) {
		r.close = func(ctx context.Context) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return r.Run.Close(ctx)
		}
	}),
}
