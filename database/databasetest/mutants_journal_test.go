package databasetest

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// journals alters what Journal is given, without the caller's seeing it.
func journals(alter func(r *alteredRun, ctx context.Context, j *database.Journal) error) func(*alteredRun) {
	return func(r *alteredRun) {
		r.journal = func(ctx context.Context, j *database.Journal) error { return alter(r, ctx, j) }
	}
}

// marks alters how a statement is executed that has a mark.
func marks(alter func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error) func(*alteredRun) {
	return execs(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, j *database.Journal) error {
		if j == nil {
			return r.Run.Exec(ctx, s, st, data, nil)
		}
		return alter(r, ctx, s, st, j)
	})
}

// written alters the journal in what a Run has written, on the way to the caller.
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

// outcomes alters what Outcome says.
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

// interrupted alters what every State says of the open run.
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

// endsNot keeps a run open that the events end.
func endsNot(promise *promise, name string, stays func(j *database.Journal, e database.Entry) bool) mutant {
	return ofRun(name, promise, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			st, err := r.Run.State(ctx)
			if err != nil {
				return database.Recorded{}, err
			}
			got, err := r.Run.Record(ctx, entries...)
			if j := st.Interrupted; err == nil && j != nil && stays(j, entries[0]) {
				err = r.Run.Journal(ctx, j)
			}
			return got, err
		}
	})
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
	{"a run that is broken goes on writing", guardAlone, func() alteration {
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
	{"somebody is always at work", stateHeld, func() alteration {
		return interrupted(func(_ string, j *database.Journal) *database.Journal {
			if j != nil {
				j.Held = true
			}
			return j
		})
	}},
	ofRun("Journal writes nothing", journalMakes, journals(func(*alteredRun, context.Context, *database.Journal) error { return nil })),
	ofRun("the texts of a journal are cut", journalMakes, written(func(j *database.Journal) { j.Begun, j.Before, j.Error = "", "", "" })),
	{"a journal is in the process's memory", journalMakes, func() alteration {
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
	ofRun("a journal stays until it is ended", journalOne, journals(func(r *alteredRun, ctx context.Context, j *database.Journal) error {
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
	ofRun("Journal says nothing of an open transaction", journalTx, journals(func(r *alteredRun, ctx context.Context, j *database.Journal) error {
		r.Run.Journal(ctx, j)
		return nil
	})),
	ofRun("the journal has no time", journalWhen, written(func(j *database.Journal) { j.UpdatedAt = time.Time{} })),
	ofRun("Journal tells nobody who it is", journalFills, journals(func(r *alteredRun, ctx context.Context, j *database.Journal) error {
		if j == nil {
			return r.Run.Journal(ctx, nil)
		}
		kept := *j
		err := r.Run.Journal(ctx, &kept)
		j.StartedAt, j.UpdatedAt = kept.StartedAt, kept.UpdatedAt
		return err
	})),
	ofRun("a run begins anew with each mark", journalFills, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		j.StartedAt = time.Time{}
		return r.Run.Exec(ctx, s, st, nil, j)
	})),
	endsNot(journalEnded, "Mark ends nothing", func(_ *database.Journal, e database.Entry) bool { return e.Direction == database.Mark }),
	endsNot(journalEnded, "a repeatable script that ran ends nothing", func(_ *database.Journal, e database.Entry) bool { return e.Direction == database.Repeat }),
	ofRun("Accept ends a run", journalEnded, func(r *alteredRun) {
		r.record = func(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
			got, err := r.Run.Record(ctx, entries...)
			if err == nil && entries[0].Direction == database.Accept {
				err = r.Run.Journal(ctx, nil)
			}
			return got, err
		}
	}),
	ofRun("a statement has no mark", execDone, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, _ *database.Journal) error {
		return r.Run.Exec(ctx, s, st, nil, nil)
	})),
	ofRun("a mark stands for its statement", execDone, marks(func(r *alteredRun, ctx context.Context, _ *migration.Script, _ sqltext.Statement, j *database.Journal) error {
		return r.Run.Journal(ctx, j)
	})),
	ofRun("COMMIT has no mark", execCommit, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		if st.Tx == sqltext.TxCommit {
			j = nil
		}
		return r.Run.Exec(ctx, s, st, nil, j)
	})),
	ofRun("what can't be in a transaction has happened, without its mark", execNever, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		if st.Tx == sqltext.TxNever {
			return r.Run.Exec(ctx, s, st, nil, nil)
		}
		return r.Run.Exec(ctx, s, st, nil, j)
	})),
	ofRun("what can't be in a transaction has happened, and is refused", neverBegun, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		err := r.Run.Exec(ctx, s, st, nil, j)
		if errors.Is(err, database.ErrNoTransaction) {
			r.Run.Exec(ctx, s, st, nil, nil)
		}
		return err
	})),
	ofRun("a statement that failed has its mark", execNothing, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		err := r.Run.Exec(ctx, s, st, nil, j)
		if err != nil && !errors.Is(err, database.ErrNoTransaction) {
			r.Run.Journal(context.WithoutCancel(ctx), j)
		}
		return err
	})),
	ofRun("the mark comes before its statement", execNothing, marks(func(r *alteredRun, ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) error {
		if err := r.Run.Journal(ctx, j); err != nil {
			return err
		}
		return r.Run.Exec(ctx, s, st, nil, nil)
	})),
	ofRun("Before says nothing", beforeTells, func(r *alteredRun) {
		r.before = func(context.Context, sqltext.Statement) (string, error) { return "", nil }
	}),
	ofRun("what was begun has happened", outcomeTells, outcomes(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, o *database.Outcome) error {
		o.Verdict = database.Happened
		return nil
	})),
	ofRun("what was begun has not happened", outcomeTells, outcomes(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, o *database.Outcome) error {
		o.Verdict = database.NotHappened
		return nil
	})),
	ofRun("Outcome doesn't say why", outcomeTells, outcomes(func(_ *alteredRun, _ context.Context, _ sqltext.Statement, o *database.Outcome) error {
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
	endsNot(recordEnds, "Record ends no run", func(*database.Journal, database.Entry) bool { return true }),
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
	ofFound("a transaction knows of no run", foundInterrupted, false, func(f *database.Found) { f.Interrupted = false }),
	{"a transaction goes by what was interrupted once", foundInterrupted, func() alteration {
		once := map[string]bool{}
		return alteration{found: func(set string, run bool, f *database.Found) {
			if !run {
				once[set] = once[set] || f.Interrupted
				f.Interrupted = once[set]
			}
		}}
	}},
	{"a transaction's events end no run", txEnds, func() alteration {
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
	{"Reset ends the run of its own set alone", resetEnds, func() alteration {
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
	ofDB("State doesn't say how far a run is", stateRun, states(func(_ *alteredDB, st *database.State) {
		if st.Interrupted != nil {
			st.Interrupted.Done, st.Interrupted.DoneSum = 0, migration.Checksum{}
		}
	})),
	ofDB("the open run of one set is every set's", stateNoRun, states(func(d *alteredDB, st *database.State) {
		if other, err := d.Database.State(context.Background(), "s"); err == nil && st.Interrupted == nil {
			st.Interrupted = other.Interrupted
		}
	})),
	ofDB("an open run is not dirty", stateVersion, states(func(_ *alteredDB, st *database.State) { st.Interrupted = nil })),
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
