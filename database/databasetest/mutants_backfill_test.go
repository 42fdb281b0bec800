package databasetest

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// fills alters each backfill that Backfills returns.
func fills(alter func(*database.Backfill)) func(*alteredDB) {
	return func(d *alteredDB) {
		d.fills = func(ctx context.Context, q database.BackfillQuery) ([]database.Backfill, error) {
			all, err := d.Database.Backfills(ctx, q)
			for i := range all {
				alter(&all[i])
			}
			return all, err
		}
	}
}

// changes alters ChangeBackfill.
func changes(alter func(d *alteredDB, ctx context.Context, c database.BackfillChange) (database.Backfill, error)) func(*alteredDB) {
	return func(d *alteredDB) {
		d.change = func(ctx context.Context, c database.BackfillChange) (database.Backfill, error) {
			return alter(d, ctx, c)
		}
	}
}

// alteredLane calls its functions that are set.
type alteredLane struct {
	database.LaneWork
	lane  func() database.Lane
	batch func(context.Context, int) (database.BatchResult, error)
	close func(context.Context, *database.LaneFailure) error
}

func (l *alteredLane) Lane() database.Lane { return or(l.lane, l.LaneWork.Lane)() }

func (l *alteredLane) Batch(ctx context.Context, rows int) (database.BatchResult, error) {
	return or(l.batch, l.LaneWork.Batch)(ctx, rows)
}

func (l *alteredLane) Close(ctx context.Context, failure *database.LaneFailure) error {
	return or(l.close, l.LaneWork.Close)(ctx, failure)
}

// lanes alters each lane that ClaimLane returns.
func lanes(alter func(*alteredLane)) func(*alteredDB) {
	return func(d *alteredDB) {
		d.claim = func(ctx context.Context, c database.LaneClaim) (database.Backfill, database.LaneWork, error) {
			b, w, err := d.Database.ClaimLane(ctx, c)
			if err != nil || w == nil {
				return b, w, err
			}
			l := &alteredLane{LaneWork: w}
			alter(l)
			return b, l, nil
		}
	}
}

// lane alters what Lane returns.
func lane(alter func(*database.Lane)) func(*alteredDB) {
	return lanes(func(l *alteredLane) {
		l.lane = func() database.Lane {
			is := l.LaneWork.Lane()
			alter(&is)
			return is
		}
	})
}

// ignores lets a batch succeed that returned an error.
func ignores(target error) func(*alteredDB) {
	return lanes(func(l *alteredLane) {
		l.batch = func(ctx context.Context, rows int) (database.BatchResult, error) {
			out, err := l.LaneWork.Batch(ctx, rows)
			if errors.Is(err, target) {
				return database.BatchResult{Done: true}, nil
			}
			return out, err
		}
	})
}

// skips says that the second batch ends its lane, and leaves it out.
func skips() alteration {
	n := 0
	return alteration{db: lanes(func(l *alteredLane) {
		skipped := false
		l.batch = func(ctx context.Context, rows int) (database.BatchResult, error) {
			if n++; n == 2 {
				skipped = true
				return database.BatchResult{Done: true}, nil
			}
			return l.LaneWork.Batch(ctx, rows)
		}
		l.close = func(ctx context.Context, failure *database.LaneFailure) error {
			if skipped {
				return nil
			}
			return l.LaneWork.Close(ctx, failure)
		}
	})}
}

// noLane is a lane that nobody has.
type noLane struct{}

func (noLane) Lane() database.Lane { return database.Lane{} }

func (noLane) Batch(context.Context, int) (database.BatchResult, error) {
	return database.BatchResult{Done: true}, nil
}

func (noLane) Close(context.Context, *database.LaneFailure) error { return nil }

var backfillMutants = []mutant{
	ofDB("CheckBackfill finds no key", fillChecks, func(d *alteredDB) {
		d.target = func(ctx context.Context, s *migration.Script) (database.BackfillTarget, error) {
			t, err := d.Database.CheckBackfill(ctx, s)
			t.Key = nil
			return t, err
		}
	}),
	ofDB("a missing table is another error", fillNoTable, func(d *alteredDB) {
		d.target = func(ctx context.Context, s *migration.Script) (database.BackfillTarget, error) {
			t, err := d.Database.CheckBackfill(ctx, s)
			if errors.Is(err, database.ErrNoTable) {
				err = errors.New("no such table")
			}
			return t, err
		}
	}),
	ofDB("CheckBackfill ignores the key", fillBadKey, func(d *alteredDB) {
		d.target = func(ctx context.Context, s *migration.Script) (database.BackfillTarget, error) {
			other := *s.Backfill
			other.Key = nil
			copied := migration.Text(s.File, "")
			copied.Backfill = &other
			return d.Database.CheckBackfill(ctx, copied)
		}
	}),
	ofDB("a backfill is always there", fillNone, func(d *alteredDB) {
		d.fills = func(ctx context.Context, q database.BackfillQuery) ([]database.Backfill, error) {
			all, err := d.Database.Backfills(ctx, q)
			if len(all) == 0 {
				all = make([]database.Backfill, 1)
			}
			return all, err
		}
	}),
	ofDB("a query returns finished backfills, too", fillSelects, func(d *alteredDB) {
		d.fills = func(ctx context.Context, q database.BackfillQuery) ([]database.Backfill, error) {
			q.Unfinished = false
			return d.Database.Backfills(ctx, q)
		}
	}),
	ofDB("an unknown backfill has no lane", fillUnknown, func(d *alteredDB) {
		d.claim = func(ctx context.Context, c database.LaneClaim) (database.Backfill, database.LaneWork, error) {
			b, w, err := d.Database.ClaimLane(ctx, c)
			if errors.Is(err, database.ErrNoBackfill) {
				err = nil
			}
			return b, w, err
		}
	}),
	ofDB("a backfill has no entry", fillStarts, fills(func(b *database.Backfill) { b.EntryID = 0 })),
	ofTx("Rollback commits", fillStartsInTx, func(tx *alteredTx) {
		tx.rollback = func(ctx context.Context) error {
			_, _ = tx.Tx.Commit(ctx)
			return tx.Tx.Rollback(ctx)
		}
	}),
	ofTx("a second start has no effect", fillReplaces, func(tx *alteredTx) {
		tx.start = func(ctx context.Context, s database.BackfillStart) error {
			all, err := tx.db.Database.Backfills(ctx, database.BackfillQuery{Set: tx.set, Version: &s.Version})
			if err != nil || len(all) > 0 {
				return err
			}
			return tx.Tx.StartBackfill(ctx, s)
		}
	}),
	ofDB("a finished backfill is running", fillFinishes, fills(func(b *database.Backfill) {
		if b.State == database.BackfillDone {
			b.State = database.BackfillRunning
		}
	})),
	ofTx("FinishBackfill ignores what is left", fillUnfinished, func(tx *alteredTx) {
		tx.finish = func(ctx context.Context, version int64) error {
			all, err := tx.db.Database.Backfills(ctx, database.BackfillQuery{Set: tx.set, Version: &version})
			if err != nil || len(all) == 1 && (len(all[0].Lanes) > 0 || !all[0].AllCut()) {
				return err
			}
			return tx.Tx.FinishBackfill(ctx, version)
		}
	}),
	ofTx("EndBackfill does nothing", fillEnds, func(tx *alteredTx) {
		tx.end = func(context.Context, int64) error { return nil }
	}),
	{"a batch is left out", fillOnce, skips},
	{"a batch is left out after rows have changed", fillMoves, skips},
	ofDB("a row is not counted", fillNumbers, fills(func(b *database.Backfill) { b.RowsDone-- })),
	ofDB("an empty table has a last key", fillEmpty, fills(func(b *database.Backfill) {
		if b.Last == nil {
			b.Last = database.Key{"0"}
		}
	})),
	ofDB("lanes have a gap", fillClaims, lane(func(l *database.Lane) {
		if l.ID > 1 {
			l.After = append(slices.Clone(l.After), "gap")
		}
	})),
	ofDB("every worker gets a lane", fillParallel, func(d *alteredDB) {
		d.claim = func(ctx context.Context, c database.LaneClaim) (database.Backfill, database.LaneWork, error) {
			b, w, err := d.Database.ClaimLane(ctx, c)
			if err == nil && w == nil {
				w = noLane{}
			}
			return b, w, err
		}
	}),
	ofDB("ChangeBackfill does not store limits", fillChanges, changes(func(d *alteredDB, ctx context.Context, c database.BackfillChange) (database.Backfill, error) {
		if c.Action == database.ActionSet {
			all, err := d.Database.Backfills(ctx, database.BackfillQuery{Set: c.Set, Version: &c.Version})
			if err != nil {
				return database.Backfill{}, err
			}
			return all[0], nil
		}
		return d.Database.ChangeBackfill(ctx, c)
	})),
	ofDB("changes are not recorded", fillRecords, func(d *alteredDB) {
		d.history = func(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
			return func(yield func(database.Entry, error) bool) {
				for e, err := range d.Database.History(ctx, q) {
					if e.Direction != database.Control && !yield(e, err) {
						return
					}
				}
			}
		}
	}),
	ofDB("what changes nothing is recorded", fillNothing, changes(func(d *alteredDB, ctx context.Context, c database.BackfillChange) (database.Backfill, error) {
		all, err := d.Database.Backfills(ctx, database.BackfillQuery{Set: c.Set, Version: &c.Version})
		if err == nil && c.Action == database.ActionPause && all[0].State == database.BackfillPaused {
			resume := c
			resume.Action = database.ActionResume
			_, err = d.Database.ChangeBackfill(ctx, resume)
		}
		if err != nil {
			return database.Backfill{}, err
		}
		return d.Database.ChangeBackfill(ctx, c)
	})),
	ofDB("an action that is not allowed is ignored", fillRefuses, changes(func(d *alteredDB, ctx context.Context, c database.BackfillChange) (database.Backfill, error) {
		b, err := d.Database.ChangeBackfill(ctx, c)
		if isA[*database.BackfillStateError](err) {
			err = nil
		}
		return b, err
	})),
	ofDB("why it waits is not stored", fillThrottled, fills(func(b *database.Backfill) { b.ThrottledBy = "" })),
	ofDB("a second pass is the first one", fillPasses, changes(func(d *alteredDB, ctx context.Context, c database.BackfillChange) (database.Backfill, error) {
		b, err := d.Database.ChangeBackfill(ctx, c)
		b.Pass = 1
		return b, err
	})),
	ofDB("a lane does not say who has it", laneIsStored, fills(func(b *database.Backfill) {
		for i := range b.Lanes {
			b.Lanes[i].Worker = ""
		}
	})),
	ofDB("Close does nothing if its context is done", laneCloses, lanes(func(l *alteredLane) {
		l.close = func(ctx context.Context, failure *database.LaneFailure) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return l.LaneWork.Close(ctx, failure)
		}
	})),
	ofDB("the token is always the same", laneContinues, lane(func(l *database.Lane) { l.Token = 1 })),
	ofDB("Close does not record the failure", laneFails, lanes(func(l *alteredLane) {
		l.close = func(ctx context.Context, _ *database.LaneFailure) error { return l.LaneWork.Close(ctx, nil) }
	})),
	ofDB("attempts are counted forever", laneRetried, lane(func(l *database.Lane) { l.Attempts = 1 })),
	ofDB("no lane fails for good", laneGivenUp, lanes(func(l *alteredLane) {
		l.close = func(ctx context.Context, failure *database.LaneFailure) error {
			if failure != nil {
				again := *failure
				again.Final, failure = false, &again
			}
			return l.LaneWork.Close(ctx, failure)
		}
	})),
	ofDB("a lost lane is no error", laneLost, ignores(database.ErrLeaseLost)),
	{"closing a lost lane makes it fail", laneLostCloses, func() alteration {
		failed := false
		return alteration{db: func(d *alteredDB) {
			lanes(func(l *alteredLane) {
				l.close = func(ctx context.Context, failure *database.LaneFailure) error {
					failed = failed || failure != nil && failure.Final
					return l.LaneWork.Close(ctx, failure)
				}
			})(d)
			fills(func(b *database.Backfill) {
				for i := range b.Lanes {
					b.Lanes[i].Failed = b.Lanes[i].Failed || failed
				}
			})(d)
		}}
	}},
	ofDB("the error of a batch does not say where", batchFails, lanes(func(l *alteredLane) {
		l.batch = func(ctx context.Context, rows int) (database.BatchResult, error) {
			out, err := l.LaneWork.Batch(ctx, rows)
			var failed *database.BatchError
			if errors.As(err, &failed) {
				err = failed.Err
			}
			return out, err
		}
	})),
	ofDB("a batch that fails moves the lane", batchAtomic, lanes(func(l *alteredLane) {
		moved := int64(0)
		l.batch = func(ctx context.Context, rows int) (database.BatchResult, error) {
			out, err := l.LaneWork.Batch(ctx, rows)
			if err != nil {
				moved++
			}
			return out, err
		}
		l.lane = func() database.Lane {
			is := l.LaneWork.Lane()
			is.Rows += moved
			return is
		}
	})),
	ofDB("a paused backfill continues", batchStops, ignores(database.ErrBackfillStopped)),
	ofDB("a frozen backfill continues", batchFreezes, ignores(database.ErrBackfillStopped)),
}
