package databasetest

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// journals alters Journal.
func journals(alter func(r *alteredRun, ctx context.Context, j *database.Journal) error) func(*alteredRun) {
	return func(r *alteredRun) {
		r.journal = func(ctx context.Context, j *database.Journal) error { return alter(r, ctx, j) }
	}
}

// announces alters Announce.
func announces(alter func(r *alteredRun, ctx context.Context, st sqltext.Statement, j *database.Journal) error) func(*alteredRun) {
	return func(r *alteredRun) {
		r.announce = func(ctx context.Context, st sqltext.Statement, j *database.Journal) error {
			return alter(r, ctx, st, j)
		}
	}
}

// marks alters how a statement with a journal is executed.
func marks(alter func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error) func(*alteredRun) {
	return execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, j *database.Journal) error {
		if j == nil {
			return r.Run.Exec(ctx, s, st, data, nil)
		}
		return alter(r, ctx, s, st, j)
	})
}

// written alters each journal after a Run has written it.
func written(alter func(j *database.Journal)) func(*alteredRun) {
	return func(r *alteredRun) {
		r.journal = func(ctx context.Context, j *database.Journal) error {
			err := r.Run.Journal(ctx, j)
			if j != nil && err == nil {
				alter(j)
				kept := *j
				err = r.Run.Journal(ctx, &kept)
			}
			return err
		}
	}
}

// outcomes alters what Outcome returns.
func outcomes(alter func(r *alteredRun, ctx context.Context, st sqltext.Statement, o *database.Outcome) error) func(*alteredRun) {
	return func(r *alteredRun) {
		r.outcome = func(ctx context.Context, st sqltext.Statement, before string, opts database.LockOptions) (*database.Outcome, error) {
			o, err := r.Run.Outcome(ctx, st, before, opts)
			if err == nil {
				err = alter(r, ctx, st, o)
			}
			return o, err
		}
	}
}

// interrupted alters State.Interrupted of every State.
func interrupted(alter func(set string, j *database.Journal) *database.Journal) alteration {
	altered := func(st *database.State, err error) (*database.State, error) {
		if err == nil {
			st.Interrupted = alter(st.Set, st.Interrupted)
		}
		return st, err
	}
	return alteration{
		db: func(d *alteredDB) {
			d.state = func(ctx context.Context, set string) (*database.State, error) {
				return altered(d.Database.State(ctx, set))
			}
		},
		tx: func(tx *alteredTx) {
			tx.state = func(ctx context.Context) (*database.State, error) { return altered(tx.Tx.State(ctx)) }
		},
		run: func(r *alteredRun) {
			r.state = func(ctx context.Context) (*database.State, error) { return altered(r.Run.State(ctx)) }
		},
	}
}

// keepsRun keeps a run interrupted that an entry ends.
func keepsRun(promise *promise, name string, keeps func(j *database.Journal, e database.Entry) bool) mutant {
	return ofRun(name, promise, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			st, err := r.Run.State(ctx)
			if err != nil {
				return database.Recorded{}, err
			}
			got, err := r.Run.Record(ctx, entries...)
			if j := st.Interrupted; err == nil && j != nil && keeps(j, entries[0]) {
				err = r.Run.Journal(ctx, j)
			}
			return got, err
		}
	})
}

// eachOfRun alters CommitEach under the lock of a Run.
func eachOfRun(alter func(*alteredRun, commitEachFunc) commitEachFunc) func(*alteredRun) {
	return func(r *alteredRun) {
		r.sequence = func(ctx context.Context, head int64) database.Sequence {
			s := database.StartSequenceUnder(ctx, r.Run, head)
			return &alteredSequence{s, alter(r, s.CommitEach)}
		}
	}
}

var journalMutants = []mutant{
	ofRun("State has no journal", runStateJournal, func(r *alteredRun) {
		r.state = func(ctx context.Context) (*database.State, error) {
			st, err := r.Run.State(ctx)
			if err == nil {
				st.Interrupted = nil
			}
			return st, err
		}
	}),
	{"a run with a broken connection still writes", guardAlone, func() alteration {
		var late *database.Journal
		a := interrupted(func(_ string, j *database.Journal) *database.Journal {
			if late != nil {
				return late
			}
			return j
		})
		a.run = journals(func(r *alteredRun, ctx context.Context, j *database.Journal) error {
			err := r.Run.Journal(ctx, j)
			if err != nil {
				late = j
			}
			return err
		})
		return a
	}},
	{"every interrupted run is held", stateHeld, func() alteration {
		return interrupted(func(_ string, j *database.Journal) *database.Journal {
			if j != nil {
				j.Held = true
			}
			return j
		})
	}},
	ofRun("Journal writes nothing", journalMakes, journals(func(*alteredRun, context.Context, *database.Journal) error { return nil })),
	ofRun("the texts of a journal are lost", journalMakes, written(func(j *database.Journal) { j.Begun, j.Before, j.Error = "", "", "" })),
	{"a journal is only in the process's memory", journalMakes, func() alteration {
		return alteration{run: func(r *alteredRun) {
			var mine *database.Journal
			r.journal = func(_ context.Context, j *database.Journal) error { mine = j; return nil }
			r.state = func(ctx context.Context) (*database.State, error) {
				st, err := r.Run.State(ctx)
				if err == nil {
					st.Interrupted = mine
				}
				return st, err
			}
		}}
	}},
	ofRun("a journal can't be replaced", journalOne, journals(func(r *alteredRun, ctx context.Context, j *database.Journal) error {
		if st, err := r.Run.State(ctx); err != nil || j != nil && st.Interrupted != nil && st.Interrupted.Version != j.Version {
			return err
		}
		return r.Run.Journal(ctx, j)
	})),
	ofRun("a journal is never ended", journalNil, journals(func(r *alteredRun, ctx context.Context, j *database.Journal) error {
		if j == nil {
			return nil
		}
		return r.Run.Journal(ctx, j)
	})),
	ofRun("Journal in the script's transaction returns no error", journalTx, journals(func(r *alteredRun, ctx context.Context, j *database.Journal) error {
		r.Run.Journal(ctx, j)
		return nil
	})),
	ofRun("the journal has no time", journalWhen, written(func(j *database.Journal) { j.UpdatedAt = time.Time{} })),
	ofRun("Journal does not return the writer", journalFills, journals(func(r *alteredRun, ctx context.Context, j *database.Journal) error {
		if j == nil {
			return r.Run.Journal(ctx, nil)
		}
		kept := *j
		err := r.Run.Journal(ctx, &kept)
		j.StartedAt, j.UpdatedAt = kept.StartedAt, kept.UpdatedAt
		return err
	})),
	ofRun("each journal of a statement has a new StartedAt", journalFills, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		j.StartedAt = time.Time{}
		return r.Run.Exec(ctx, s, st, nil, j)
	})),
	keepsRun(journalEnded, "Mark ends nothing", func(_ *database.Journal, e database.Entry) bool { return e.Direction == database.Mark }),
	keepsRun(journalEnded, "a repeatable script that ran ends nothing", func(_ *database.Journal, e database.Entry) bool { return e.Direction == database.Repeat }),
	ofRun("Accept ends a run", journalEnded, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			got, err := r.Run.Record(ctx, entries...)
			if err == nil && entries[0].Direction == database.Accept {
				err = r.Run.Journal(ctx, nil)
			}
			return got, err
		}
	}),
	ofRun("a statement has no journal", execDone, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, _ *database.Journal) error {
		return r.Run.Exec(ctx, s, st, nil, nil)
	})),
	ofRun("a journal replaces its statement", execDone, marks(func(r *alteredRun, ctx context.Context, _ *migration.Script, _ sqltext.Statement, j *database.Journal) error {
		return r.Run.Journal(ctx, j)
	})),
	ofRun("COMMIT has no journal", execCommit, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		if st.Tx == sqltext.TxCommit {
			j = nil
		}
		return r.Run.Exec(ctx, s, st, nil, j)
	})),
	ofRun("a statement that can't be in a transaction is executed without its journal", execNever, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		if st.Tx == sqltext.TxNever {
			return r.Run.Exec(ctx, s, st, nil, nil)
		}
		return r.Run.Exec(ctx, s, st, nil, j)
	})),
	ofRun("a statement that can't be in a transaction is executed and refused", neverBegun, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		err := r.Run.Exec(ctx, s, st, nil, j)
		if errors.Is(err, database.ErrNoTransaction) {
			r.Run.Exec(ctx, s, st, nil, nil)
		}
		return err
	})),
	ofRun("a statement that failed has its journal", execNothing, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		err := r.Run.Exec(ctx, s, st, nil, j)
		if err != nil && !errors.Is(err, database.ErrNoTransaction) {
			r.Run.Journal(context.WithoutCancel(ctx), j)
		}
		return err
	})),
	ofRun("the journal is written before its statement", execNothing, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		if err := r.Run.Journal(ctx, j); err != nil {
			return err
		}
		return r.Run.Exec(ctx, s, st, nil, nil)
	})),
	ofRun("Announce does not describe the target", announceTells, announces(func(r *alteredRun, ctx context.Context, _ sqltext.Statement, j *database.Journal) error {
		return r.Run.Journal(ctx, j)
	})),
	ofRun("Announce writes nothing", announceMakes, announces(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, j *database.Journal) error {
		j.PID, j.StartedAt, j.UpdatedAt = int64(os.Getpid()), started, started
		return nil
	})),
	ofRun("Announce in the script's transaction returns no error", announceTx, announces(func(r *alteredRun, ctx context.Context, st sqltext.Statement, j *database.Journal) error {
		r.Run.Announce(ctx, st, j)
		return nil
	})),
	ofRun("a Run ends with its first script", runNext, func(r *alteredRun) {
		ended := false
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			ended = ended || entries[0].Version == 0
			return r.Run.Record(ctx, entries...)
		}
		r.announce = func(ctx context.Context, st sqltext.Statement, j *database.Journal) error {
			if ended {
				return errors.New("the run has ended")
			}
			return r.Run.Announce(ctx, st, j)
		}
	}),
	keepsRun(recordBegun, "Record ends no run whose statement is announced", func(j *database.Journal, _ database.Entry) bool { return j.Begun != "" }),
	ofRun("every interrupted statement has happened", outcomeTells, outcomes(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, o *database.Outcome) error {
		o.Verdict = database.Happened
		return nil
	})),
	ofRun("no interrupted statement has happened", outcomeTells, outcomes(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, o *database.Outcome) error {
		o.Verdict = database.NotHappened
		return nil
	})),
	ofRun("something remains of every statement", outcomeRemains, outcomes(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, o *database.Outcome) error {
		o.Remains = true
		return nil
	})),
	ofRun("nothing remains of any statement", outcomeRemains, outcomes(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, o *database.Outcome) error {
		o.Remains = false
		return nil
	})),
	ofRun("every statement that has not happened is repeatable", outcomeRepeats, outcomes(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, o *database.Outcome) error {
		o.Repeatable = o.Verdict == database.NotHappened
		return nil
	})),
	ofRun("no statement is repeatable", outcomeRepeats, outcomes(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, o *database.Outcome) error {
		o.Repeatable = false
		return nil
	})),
	ofRun("Outcome has no reason", outcomeTells, outcomes(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, o *database.Outcome) error {
		o.Why = ""
		return nil
	})),
	ofRun("Outcome ends the run", outcomeChanges, outcomes(func(r *alteredRun, ctx context.Context, _ sqltext.Statement, _ *database.Outcome) error {
		return r.Run.Journal(ctx, nil)
	})),
	ofRun("Outcome executes the statement", outcomeChanges, outcomes(func(r *alteredRun, ctx context.Context, st sqltext.Statement, o *database.Outcome) error {
		if o.Verdict == database.NotHappened {
			return r.Run.Exec(ctx, text(st.Text), st, nil, nil)
		}
		return nil
	})),
	keepsRun(recordEnds, "Record ends no run", func(*database.Journal, database.Entry) bool { return true }),
	ofRun("the failure of any version is the journal's", journalFailed, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			got, err := r.Run.Record(ctx, entries...)
			st, serr := r.Run.State(ctx)
			if j := st.Interrupted; err == nil && serr == nil && j != nil && entries[0].Direction == database.Failed && j.Error == "" {
				j.Error = entries[0].Error
				err = r.Run.Journal(ctx, j)
			}
			return got, err
		}
	}),
	ofTx("Record of a failed attempt in a transaction leaves the journal unchanged", txFails, records(func(e *database.Entry) {
		if e.Direction == database.Failed {
			e.Name += " "
		}
	})),
	keepsRun(recordFails, "Record of a failed attempt leaves the journal unchanged", func(_ *database.Journal, e database.Entry) bool { return e.Direction == database.Failed }),
	ofRun("calls that were told ahead do nothing", aheadDoes, func(r *alteredRun) {
		r.tell = func(_ context.Context, next []database.Call) (int, error) {
			r.together = func(context.Context, *migration.Script, sqltext.Statement, *database.Journal) (bool, error) {
				return true, nil
			}
			return len(next), nil
		}
	}),
	ofRun("calls that were told ahead are executed after one that fails", aheadStops, func(r *alteredRun) {
		r.tell = func(_ context.Context, next []database.Call) (int, error) {
			r.together = func(ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) (bool, error) {
				announced, err := database.ExecAnnounced(ctx, r.Run, s, st, j)
				if last := next[len(next)-2]; err != nil {
					err = errors.Join(err, r.Run.Exec(ctx, last.Script, last.Statement, nil, nil))
				}
				return announced, err
			}
			return len(next), nil
		}
	}),
	ofRun("StartSequence of a Run begins whatever the head is", runSequence, func(r *alteredRun) {
		r.sequence = func(ctx context.Context, _ int64) database.Sequence {
			st, err := r.db.Database.State(ctx, r.set)
			if err != nil {
				return nil
			}
			return database.StartSequenceUnder(ctx, r.Run, st.Head)
		}
	}),
	ofRun("CommitEach under the lock of a Run releases the lock", runSequence, eachOfRun(func(r *alteredRun, each commitEachFunc) commitEachFunc {
		return func(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
			next, found, err := each(ctx, parts, more, opts, report)
			r.Run.Close(ctx)
			return next, found, err
		}
	})),
	ofRun("CommitEach under the lock of a Run leaves a failing part out", runSequence, eachOfRun(func(_ *alteredRun, each commitEachFunc) commitEachFunc {
		return func(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
			works := slices.DeleteFunc(slices.Clone(parts), func(p database.Part) bool {
				text, _, _ := p.Script.Text(1 << 20)
				return text == failing
			})
			return each(ctx, works, more, opts, report)
		}
	})),
	ofRun("RecordAndAnnounce announces nothing", recordNext, func(r *alteredRun) {
		r.chain = func(ctx context.Context, entries []database.Entry, _ sqltext.Statement, _ *database.Journal) (database.Recorded, bool, error) {
			recorded, err := r.Run.Record(ctx, entries...)
			return recorded, true, err
		}
	}),
	ofRun("RecordAndAnnounce does not say that it announces", recordNext, func(r *alteredRun) {
		r.chain = func(ctx context.Context, entries []database.Entry, st sqltext.Statement, j *database.Journal) (database.Recorded, bool, error) {
			recorded, _, err := database.RecordAndAnnounce(ctx, r.Run, entries, st, j)
			return recorded, false, err
		}
	}),
	ofRun("RecordAndAnnounce records nothing", recordNext, func(r *alteredRun) {
		r.chain = func(ctx context.Context, _ []database.Entry, st sqltext.Statement, j *database.Journal) (database.Recorded, bool, error) {
			return database.Recorded{}, true, r.Run.Announce(ctx, st, j)
		}
	}),
	ofRun("RecordAndAnnounce says nothing about the target", recordNext, func(r *alteredRun) {
		r.chain = func(ctx context.Context, entries []database.Entry, st sqltext.Statement, j *database.Journal) (database.Recorded, bool, error) {
			recorded, announced, err := database.RecordAndAnnounce(ctx, r.Run, entries, st, j)
			j.Before = ""
			return recorded, announced, err
		}
	}),
	ofRun("Record ends any run", recordEnds, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			got, err := r.Run.Record(ctx, entries...)
			if err == nil {
				err = r.Run.Journal(ctx, nil)
			}
			return got, err
		}
	}),
	ofRun("Close ends the run", closeLeaves, func(r *alteredRun) {
		r.close = func(ctx context.Context) error {
			r.Run.Journal(ctx, nil)
			return r.Run.Close(ctx)
		}
	}),
	ofFound("Begin finds a new history", foundNew, false, func(f *database.Found) { f.New = true }),
	ofFound("Begin finds no interrupted run", foundInterrupted, false, func(f *database.Found) { f.Interrupted = false }),
	{"Begin remembers an interrupted run that has ended", foundInterrupted, func() alteration {
		once := map[string]bool{}
		return alteration{found: func(set string, run bool, f *database.Found) {
			if !run {
				once[set] = once[set] || f.Interrupted
				f.Interrupted = once[set]
			}
		}}
	}},
	{"a transaction's entries end no run", txEnds, func() alteration {
		left := map[string]*database.Journal{}
		a := interrupted(func(set string, j *database.Journal) *database.Journal {
			if j == nil {
				return left[set]
			}
			return j
		})
		a.tx = func(tx *alteredTx) {
			st, err := tx.Tx.State(context.Background())
			tx.commit = func(ctx context.Context) (database.Recorded, error) {
				if err == nil {
					left[tx.set] = st.Interrupted
				}
				return tx.Tx.Commit(ctx)
			}
		}
		return a
	}},
	{"Reset only ends the run of its own set", resetEnds, func() alteration {
		left := map[string]*database.Journal{}
		a := interrupted(func(set string, j *database.Journal) *database.Journal {
			if j == nil {
				return left[set]
			}
			return j
		})
		a.tx = resets(func(tx *alteredTx, ctx context.Context, e database.Entry) (*database.Emptied, error) {
			out, err := tx.Tx.Reset(ctx, nil, e)
			for _, set := range out.Sets {
				if st, err := tx.db.Database.State(ctx, set); err == nil && set != tx.set {
					left[set] = st.Interrupted
				}
			}
			return out, err
		})
		return a
	}},
	ofDB("Whimbrel's own set has no State", stateOwn, func(d *alteredDB) {
		d.state = func(ctx context.Context, set string) (*database.State, error) {
			st, err := d.Database.State(ctx, set)
			if err == nil && st.Head > 0 && set == migration.ReservedSet {
				return nil, &database.TablesError{Problem: database.TablesEmpty, Msg: "the history lacks its first entry"}
			}
			return st, err
		}
	}),
	ofDB("State has no position of the run", stateRun, states(func(_ *alteredDB, st *database.State) {
		if st.Interrupted != nil {
			st.Interrupted.Done, st.Interrupted.DoneSum = 0, migration.Checksum{}
		}
	})),
	ofDB("every set has the interrupted run of one set", stateNoRun, states(func(d *alteredDB, st *database.State) {
		if other, err := d.Database.State(context.Background(), "s"); err == nil && st.Interrupted == nil {
			st.Interrupted = other.Interrupted
		}
	})),
	ofDB("Version ignores an interrupted run", stateVersion, states(func(_ *alteredDB, st *database.State) { st.Interrupted = nil })),
	ofDB("scripts may mention the journal", notMentions, func(d *alteredDB) {
		d.tables = func() []string {
			var names []string
			for _, name := range d.Database.Tables() {
				if name != "whimbrel_journal" && name != "app_journal" {
					names = append(names, name)
				}
			}
			return names
		}
	}),
}
