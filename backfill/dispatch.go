package backfill

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/whimbrel-db/whimbrel/database"
)

const (
	// every is how often the periodic job looks for backfills that can have more workers.
	every = 5 * time.Second
	// dispatchOnce is the time in which the periodic job starts at most one dispatch.
	dispatchOnce = 15 * time.Second
	// lookFor limits a look of the periodic job.
	lookFor = 10 * time.Second
	// grace is how much longer than its turn a slot can take to begin and to end.
	grace = 5 * time.Second
	// slotPriority is behind that of dispatching and of hooks, which have River's highest, 1.
	slotPriority = 2
	// recent is how long ago a backfill may have ended for which a hook is still called.
	recent = time.Hour
)

// periodic returns the job that River's leader inserts while a backfill can have more workers. Its
// constructor must not block, so it returns what the look found that the previous call has begun.
func (r *runner) periodic() *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(every), func() (river.JobArgs, *river.InsertOpts) {
		if r.looking.CompareAndSwap(false, true) {
			go r.look()
		}
		if !r.offered.Load() {
			return nil, nil
		}
		return DispatchArgs{}, &river.InsertOpts{Queue: r.Queue, UniqueOpts: river.UniqueOpts{ByPeriod: dispatchOnce}}
	}, &river.PeriodicJobOpts{ID: DispatchArgs{}.Kind(), RunOnStart: true})
}

func (r *runner) look() {
	defer r.looking.Store(false)
	ctx, stop := context.WithTimeout(r.drain, lookFor)
	defer stop()
	all, err := r.read(ctx, database.BackfillQuery{})
	r.offered.Store(err == nil && slices.ContainsFunc(all, r.needsDispatch))
}

func (r *runner) needsDispatch(b database.Backfill) bool {
	return b.Detached && (offers(b) || r.hooked(b.State) && isRecent(b))
}

// isRecent reports whether a backfill has changed lately.
func isRecent(b database.Backfill) bool { return b.Now.Sub(b.UpdatedAt) < recent }

type dispatchWorker struct {
	river.WorkerDefaults[DispatchArgs]
	r *runner
}

// NextRetry implements river.Worker.
func (w *dispatchWorker) NextRetry(j *river.Job[DispatchArgs]) time.Time { return retryAt(j.Attempt) }

// Work inserts the jobs that are missing.
func (w *dispatchWorker) Work(ctx context.Context, _ *river.Job[DispatchArgs]) error {
	q, err := queueFrom(ctx)
	if err != nil {
		return err
	}
	return w.r.dispatch(ctx, q)
}

// queueFrom returns the client that works on a job.
func queueFrom(ctx context.Context) (queue, error) {
	if c, err := river.ClientFromContextSafely[pgx.Tx](ctx); err == nil {
		return c, nil
	}
	c, err := river.ClientFromContextSafely[*sql.Tx](ctx)
	if err != nil {
		return nil, errors.New("the job is worked on by a River client of an unknown driver")
	}
	return c, nil
}

// dispatch inserts the slots that are missing, and jobs for hooks. Any number of processes may call
// it at the same time: from the same state, they insert the same jobs, and River keeps one of each.
func (r *runner) dispatch(ctx context.Context, q queue) error {
	all, err := r.read(ctx, database.BackfillQuery{})
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(b database.Backfill) bool { return !r.needsDispatch(b) })
	if len(all) == 0 {
		return nil
	}
	for _, b := range all {
		if r.hooked(b.State) {
			if err := r.insertEnd(ctx, q, b.BackfillID, b.State); err != nil {
				return err
			}
		}
	}
	all = slices.DeleteFunc(all, func(b database.Backfill) bool { return !offers(b) })
	if len(all) == 0 || r.frozen(ctx, all[0].Set) {
		return nil
	}
	jobs, err := slots(ctx, q)
	if err != nil {
		return err
	}
	var missing []river.InsertManyParams
	for _, b := range all {
		for _, args := range missingSlots(b, jobs[b.BackfillID], time.Now(), r.Turn) {
			missing = append(missing, river.InsertManyParams{Args: args, InsertOpts: &river.InsertOpts{
				Queue: r.Queue, Priority: slotPriority, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinishedStates},
			}})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = q.InsertMany(ctx, missing)
	return err
}

// frozen reports whether the database is frozen, as far as it can be told.
func (r *runner) frozen(ctx context.Context, set string) bool {
	m, err := r.migrator(set)
	if err != nil {
		return false
	}
	settings, err := m.Settings(ctx)
	if err != nil {
		return false
	}
	return settings.Bool(database.Frozen)
}

// isFailure reports whether an entry says that a backfill has failed.
func isFailure(e database.Entry) bool { return strings.HasPrefix(e.Remark, "failed") }

// unfinishedStates are those of jobs that work, or will.
var unfinishedStates = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// slot is the job of a slot.
type slot struct {
	SlotArgs
	running bool
	since   time.Time // if it is running
}

// manySlots is the most slots of all backfills together.
const manySlots = 10_000

// slots reads the jobs that work, or will.
func slots(ctx context.Context, q queue) (map[database.BackfillID][]slot, error) {
	list, err := q.JobList(ctx, river.NewJobListParams().Kinds(SlotArgs{}.Kind()).States(unfinishedStates...).First(manySlots))
	if err != nil {
		return nil, err
	}
	found := map[database.BackfillID][]slot{}
	for _, j := range list.Jobs {
		s := slot{running: j.State == rivertype.JobStateRunning}
		if json.Unmarshal(j.EncodedArgs, &s.SlotArgs) != nil {
			continue // not ours
		}
		if j.AttemptedAt != nil {
			s.since = *j.AttemptedAt
		}
		id := database.BackfillID{Set: s.Set, Version: s.Version}
		found[id] = append(found[id], s)
	}
	return found, nil
}

// missingSlots returns the slots that a backfill has too few of. It is a pure function of the
// backfill and its jobs: whoever computes it gets the same slots.
//
// A process that was killed leaves its job in the state "running", for an hour by default. As it no
// longer extends the lease of its lane, such a job is recognised and replaced.
func missingSlots(b database.Backfill, jobs []slot, now time.Time, turn time.Duration) (missing []SlotArgs) {
	limit := turn + b.Timeout + time.Minute
	alive, lives := map[int]bool{}, map[int]int{}
	var late []slot // they may be lost
	young := 0
	for _, j := range jobs {
		lives[j.Slot] = max(lives[j.Slot], j.Life+1)
		switch {
		case !j.running:
			alive[j.Slot] = true
		case now.Sub(j.since) < turn+grace:
			alive[j.Slot] = true
			young++
		case now.Sub(j.since) < limit:
			late = append(late, j)
		}
	}
	// Of those that are late, no more can be alive than lanes have a worker that is not young.
	leased := 0
	for _, l := range b.Lanes {
		if l.Worker != "" && l.LeasedUntil.After(b.Now) {
			leased++
		}
	}
	slices.SortFunc(late, func(a, b slot) int { return b.since.Compare(a.since) })
	for _, j := range late[:min(len(late), max(leased-young, 0))] {
		alive[j.Slot] = true
	}
	for i := range b.Parallel {
		if !alive[i] {
			missing = append(missing, SlotArgs{Set: b.Set, Version: b.Version, Slot: i, Life: lives[i], Limit: limit})
		}
	}
	return missing
}
