package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// sequenceDB notes the lengths of sequences.
type sequenceDB struct {
	*memdb.Database
	lengths []int
}

func (db *sequenceDB) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
	tx, found, err := db.Database.Begin(ctx, set, opts)
	return db.noting(tx), found, err
}

func (db *sequenceDB) noting(tx database.Tx) database.Tx {
	if tx == nil {
		return nil
	}
	return &sequenceTx{tx.(noted), db}
}

func (db *sequenceDB) StartSequence(ctx context.Context, set string, head int64) database.Sequence {
	return &sequence{db.Database.StartSequence(ctx, set, head), db}
}

type sequence struct {
	database.Sequence
	db *sequenceDB
}

func (s *sequence) CommitEach(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	s.db.lengths = append(s.db.lengths, len(parts))
	next, found, err := s.Sequence.CommitEach(ctx, parts, more, opts, report)
	return s.db.noting(next), found, err
}

type noted interface {
	database.Tx
	database.Sequencer
}

type sequenceTx struct {
	noted
	db *sequenceDB
}

func (tx *sequenceTx) CommitAndBegin(ctx context.Context, opts database.LockOptions) (database.Recorded, database.Tx, database.Found, error) {
	r, next, found, err := database.CommitAndBegin(ctx, tx.noted, opts)
	return r, tx.db.noting(next), found, err
}

func (tx *sequenceTx) CommitEach(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	tx.db.lengths = append(tx.db.lengths, len(parts))
	next, found, err := tx.noted.CommitEach(ctx, parts, more, opts, report)
	return tx.db.noting(next), found, err
}

// Sequences double as long as they are quick.
func TestSequences(t *testing.T) {
	for name, tt := range map[string]struct {
		takes time.Duration // each script
		edit  func(all []script)
		opts  whimbrel.Options
		want  []int
	}{
		"quick":    {want: []int{1, 2, 4, 8, 16, 32, 32, 5}},
		"not slow": {takes: 20 * time.Millisecond, want: slices.Concat([]int{1, 2, 4}, slices.Repeat([]int{3}, 30), []int{2})},
		"slow":     {takes: 60 * time.Millisecond, want: append([]int{1}, slices.Repeat([]int{2}, 33)...)}, // and one by itself
		"a run between": {want: []int{1, 2, 4, 2, 8, 16, 32, 32, 2}, edit: func(all []script) {
			all[9].up = "CREATE INDEX CONCURRENTLY i ON t1 (x)"
		}},
		"long texts": {want: append([]int{1}, slices.Repeat([]int{2}, 49)...), edit: func(all []script) {
			for i := range all {
				all[i].down += " -- " + strings.Repeat("x", 25<<10)
			}
		}},
		"Atomic":                 {opts: whimbrel.Options{Atomic: true}},
		"TerminateBlockersAfter": {opts: whimbrel.Options{TerminateBlockersAfter: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := &sequenceDB{Database: open(t, memdb.New())}
				db.SetHook(func(op string) error {
					if op == memdb.OpTxExec {
						time.Sleep(tt.takes)
					}
					return nil
				})
				all := plain(100)
				if tt.edit != nil {
					tt.edit(all)
				}
				var seen []string
				tt.opts.Observe = func(_ context.Context, e whimbrel.Event) {
					switch e := e.(type) {
					case whimbrel.StepStarted:
						seen = append(seen, fmt.Sprintf("%d/%d", e.Step.Version, e.Index))
					case whimbrel.StepDone:
						seen = append(seen, fmt.Sprintf("%d/%d done", e.Step.Version, e.Index))
					}
				}
				r := mustUp(t, whimbrel.New(db, newSet(t, all...), tt.opts))
				wantEqual(t, "the lengths of the sequences", fmt.Sprint(db.lengths), fmt.Sprint(tt.want))
				wantEqual(t, "the number of migrations applied", len(r.Applied), 100)
				if !tt.opts.Atomic {
					for i := range 100 {
						wantEqual(t, "an event", seen[2*i], fmt.Sprintf("%d/%d", i+1, i))
						wantEqual(t, "an event", seen[2*i+1], fmt.Sprintf("%d/%d done", i+1, i))
					}
				}
				wantEqual(t, "the number of events", len(seen), 200)
			})
		})
	}
}

// A step of a sequence that fails is recorded as if it were by itself.
func TestSequenceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		db := &sequenceDB{Database: open(t, target)}
		all := plain(12)
		all[5].up = "CREATE TABLE t6 (x);\nINSERT INTO missing VALUES (1)"
		m := whimbrel.New(db, newSet(t, all...), whimbrel.Options{})
		r, err := m.Up(t.Context())
		failed := wantError[*whimbrel.MigrationError](t, err)
		wantEqual(t, "the version that failed", failed.Version, 6)
		wantEqual(t, "the line", wantError[*database.StatementError](t, err).Pos.Line, 2)
		wantEqual(t, "what is applied", versions(r.Applied), []int64{1, 2, 3, 4, 5})
		wantEqual(t, "the lengths of the sequences", db.lengths, []int{1, 2, 4})
		wantTables(t, target, "t1", "t2", "t3", "t4", "t5")
		wantEqual(t, "the entries of version 6", entriesOf(t, target, 6), []string{"failed 0"})
		wantEqual(t, "the entries of version 7", entriesOf(t, target, 7), nil)
	})
}

// A step of a sequence that waits too long for a lock is tried again, and only that step counts it.
func TestSequenceIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		db := &sequenceDB{Database: open(t, target)}
		all := plain(12)
		all[5].up = "INSERT INTO t1 VALUES (1)"
		mustUp(t, whimbrel.New(db, newSet(t, all[:1]...), whimbrel.Options{}))
		blockedFor(target, "t1", 5*time.Second)
		var seen observed
		r := mustUp(t, whimbrel.New(db, newSet(t, all...), whimbrel.Options{LockTimeout: time.Second, RetryFor: time.Minute, Observe: seen.observe}))
		wantEqual(t, "the number of migrations applied", len(r.Applied), 11)
		retries := eventsOf[whimbrel.Retrying](&seen)
		for _, e := range retries {
			wantEqual(t, "the version that is tried again", e.Step.Version, 6)
		}
		for _, s := range r.Applied {
			if s.Version == 6 {
				wantEqual(t, "the retries of version 6", s.Retries, len(retries))
			} else {
				wantEqual(t, fmt.Sprintf("the retries of version %d", s.Version), s.Retries, 0)
			}
		}
		wantEqual(t, "whether there were retries", len(retries) > 0, true)
		wantEqual(t, "the lengths of the sequences", db.lengths, []int{1, 1, 2, 4, 1, 2, 3})
	})
}

// If a transaction of a sequence does not begin, its step is done by itself.
func TestSequenceBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		db, begun := &sequenceDB{Database: open(t, target)}, 0
		db.SetHook(func(op string) error {
			if op == memdb.OpBegin {
				if begun++; begun == 3 {
					return errors.New("the wire broke")
				}
			}
			return nil
		})
		r := mustUp(t, whimbrel.New(db, newSet(t, plain(12)...), whimbrel.Options{}))
		wantEqual(t, "the number of migrations applied", len(r.Applied), 12)
		wantEqual(t, "how often a transaction began", begun, 13)
	})
}

// A database that is frozen between two transactions of a sequence stops the migration there.
func TestFrozenInASequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := memdb.New()
		db, other, begun := &sequenceDB{Database: open(t, target)}, open(t, target), 0
		db.SetHook(func(op string) error {
			if op == memdb.OpBegin {
				if begun++; begun == 6 {
					setting(t, other, database.Frozen, "true")
				}
			}
			return nil
		})
		wantError[*whimbrel.FrozenError](t, tryUp(t, whimbrel.New(db, newSet(t, plain(12)...), whimbrel.Options{})))
		wantEqual(t, "the lengths of the sequences", db.lengths, []int{1, 2, 4, 4}) // the last did not begin
		wantTables(t, target, "t1", "t2", "t3", "t4", "t5")
	})
}
