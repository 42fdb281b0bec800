// Package faults interrupts migrations at every possible point, lets another process execute the
// same command, and checks the result: the same schema, the same history, every row once, and no
// lock left. `make test` tries a random part of the points, `make faults` all of them.
package faults

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
)

// testTimeout ends a test that hangs. No test depends on how fast something happens.
const testTimeout = 10 * time.Minute

// place is a database in which scenarios are executed, one after the other.
type place interface {
	// placeholders returns this database's text for each placeholder of the scenarios: pairs for
	// strings.NewReplacer.
	placeholders() []string
	// ways returns the ways in which a process can be broken here.
	ways() []way
	// clean empties the database.
	clean(context.Context) error
	// open opens the database as a new process does.
	open(context.Context) (database.Database, error)
	// block lets another session lock a table until release is called.
	block(ctx context.Context, table string) (release func(), err error)
	// observer returns a Database that stays open and goes through no wire.
	observer(context.Context) (database.Database, error)
	// describe returns the tables, rows, indexes, whether these are valid, and the locks that are
	// still held.
	describe(context.Context) (string, error)
}

// way is a way to break a process.
type way struct {
	name string
	// arm returns a fault that breaks the next process that opens it, at its n-th point.
	arm func(n int) fault
	// passed returns how many points of this way the last process passed that was armed with the
	// place's first way. It is nil in memory, where all points are tried.
	passed func() int
}

// fault breaks the process that opens the database through it.
type fault struct {
	open     func(context.Context) (database.Database, error)
	happened func() bool
	points   func() int // the number of points passed so far
	// stuck reports whether the process hangs; free then breaks it. Both are nil for faults that
	// don't stall.
	stuck func() bool
	free  func()
}

// rig executes scenarios in a place.
type rig struct {
	place
	// mutate returns a driver that breaks a promise; nil leaves the driver unchanged.
	mutate func(database.Database) database.Database
	// schema is the full snapshot after the last scenario without a fault; "" without -every.
	schema string
	// release ends the session that blocks the scenario; nil if there is none.
	release func()
	retried atomic.Bool // a process has tried the scenario's step twice, and tries again
}

// way returns the way of a name.
func (r *rig) way(name string) way {
	ways := r.ways()
	return ways[slices.IndexFunc(ways, func(w way) bool { return w.name == name })]
}

type opener = func(context.Context) (database.Database, error)

// attempt executes the scenario's command as one process.
func (r *rig) attempt(ctx context.Context, open opener, s *scenario) error {
	db, err := open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if r.mutate != nil {
		db = r.mutate(db)
	}
	return s.run(ctx, db, r.placeholders(), r.releaseAfterRetries())
}

// retriedTwice is the attempt after two that failed.
const retriedTwice = 3

// releaseAfterRetries returns an observer that ends the session that blocks, once a process has
// tried twice.
func (r *rig) releaseAfterRetries() func(context.Context, whimbrel.Event) {
	release := r.release
	return func(_ context.Context, e whimbrel.Event) {
		if retry, ok := e.(whimbrel.Retrying); ok && release != nil && retry.Attempt >= retriedTwice {
			r.retried.Store(true)
			release()
		}
	}
}

// prepare brings the place into the state before the scenario's command.
func (r *rig) prepare(ctx context.Context, s *scenario) error {
	if r.release != nil { // the last scenario may have failed
		r.release()
		r.release = nil
	}
	if err := r.clean(ctx); err != nil {
		return fmt.Errorf("cleaning: %w", err)
	}
	if s.before == nil {
		return nil
	}
	db, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	err = s.before(ctx, whimbrel.New(db, s.set(r.placeholders()), whimbrel.Options{MigrationLockTimeout: testTimeout}))
	if err != nil || s.blocked == "" {
		return err
	}
	release, err := r.block(ctx, s.blocked)
	if err == nil {
		r.release = sync.OnceFunc(release)
	}
	return err
}

// playUnbroken executes a scenario without a fault, and returns the final state.
func (r *rig) playUnbroken(ctx context.Context, s *scenario) (string, error) {
	return r.playThrough(ctx, r.open, s)
}

func (r *rig) playThrough(ctx context.Context, open opener, s *scenario) (string, error) {
	if err := r.prepare(ctx, s); err != nil {
		return "", err
	}
	if err := r.attempt(ctx, open, s); err != nil {
		return "", fmt.Errorf("without any fault: %w", err)
	}
	if s.blocked != "" && !r.retried.Swap(false) {
		return "", errors.New("nothing was tried again, although another session blocked the command")
	}
	if *every {
		var err error
		if r.schema, err = r.snapshot(ctx); err != nil {
			return "", err
		}
	}
	return r.finalState(ctx)
}

// comparesSchema reports whether to compare the full schema after the n-th fault. Reading it takes
// longer than the rest of the test, so that happens after every tenth fault.
func comparesSchema(n int) bool { return *every && n%10 == 0 }

// tryEveryPoint breaks a scenario in one way at every step-th point, beginning with first, and
// returns the number of points.
func (r *rig) tryEveryPoint(ctx context.Context, s *scenario, w way, first, step int) (tried int, err error) {
	want, err := r.playUnbroken(ctx, s)
	if err != nil {
		return 0, err
	}
	for n, missed := first, 0; ; n += step {
		happened, err := r.tryPoint(ctx, s, w, n, want)
		if err != nil {
			return tried, err
		}
		if !happened {
			missed++
		} else {
			tried, missed = tried+1, 0
		}
		if missed == 1 && !s.race || missed == 5 { // in a race, the other process is sometimes first
			return tried, nil
		}
	}
}

// reference is what a scenario leads to without a fault, and how many points its command has in
// each way.
type reference struct {
	want   string
	points []int
}

// reference executes a scenario once without a fault.
func (r *rig) reference(ctx context.Context, s *scenario) (e reference, err error) {
	ways := r.ways()
	e.want, err = r.playThrough(ctx, ways[0].arm(math.MaxInt).open, s)
	for _, w := range ways {
		e.points = append(e.points, w.passed())
	}
	return e, err
}

// tryPoint breaks a scenario in one way at one point.
func (r *rig) tryPoint(ctx context.Context, s *scenario, w way, n int, want string) (bool, error) {
	happened, err := r.try(ctx, s, w.arm(n), n/2, want)
	if err == nil && comparesSchema(n) {
		var schema string
		if schema, err = r.snapshot(ctx); schema != r.schema && err == nil {
			err = fmt.Errorf("the final schema differs:\n%s", diffLines(r.schema, schema))
		}
	}
	if err != nil {
		err = fmt.Errorf("%s at point %d: %w", w.name, n, err)
	}
	return happened, err
}

// try breaks a process, has another one execute the same command afterwards, and compares the final
// state with want. In a race, the other process starts as soon as the first one has passed rival
// points.
func (r *rig) try(ctx context.Context, s *scenario, t fault, rival int, want string) (happened bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	if err := r.prepare(ctx, s); err != nil {
		return false, err
	}
	caught, next := make(chan error, 1), make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		caught <- r.attempt(ctx, t.open, s)
	}()
	follow := func() { next <- r.attempt(ctx, r.open, s) }
	if s.race {
		go func() {
			for t.points() < rival && !isOver(ended) {
				time.Sleep(200 * time.Microsecond)
			}
			follow()
		}()
	}
	broken, stuck := awaitEndOrStall(caught, t)
	if !s.race {
		go follow()
	}
	if stuck {
		time.Sleep(10 * time.Millisecond) // usually long enough for the next process to find the first one still working
		t.free()
		broken = <-caught
	}
	happened = t.happened()
	err = <-next
	if err == nil && s.race { // neither of the two has to finish the command
		err = r.attempt(ctx, r.open, s)
	}
	switch {
	case err != nil:
		return happened, fmt.Errorf("the next process failed: %w\nafter: %v", err, broken)
	case broken != nil && (!happened || needsDecision(broken)):
		return happened, fmt.Errorf("the process failed (fault reached: %v): %w", happened, broken)
	}
	got, err := r.finalState(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("the final state differs:\n%s\nafter: %v", diffLines(want, got), broken)
	}
	return happened, err
}

func isOver(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// awaitEndOrStall waits until the process has ended or hangs.
func awaitEndOrStall(ended <-chan error, t fault) (err error, stuck bool) {
	if t.stuck == nil {
		return <-ended, false
	}
	for {
		select {
		case err := <-ended:
			return err, false
		case <-time.After(time.Millisecond):
			if t.stuck() {
				return nil, true
			}
		}
	}
}

// needsDecision reports whether an error asks a person for a decision. A broken connection must not
// lead to one.
func needsDecision(err error) bool {
	var interrupted *whimbrel.InterruptedError
	var conflict *whimbrel.ConflictError
	var mismatch *whimbrel.ChecksumMismatchError
	return errors.As(err, &interrupted) || errors.As(err, &conflict) || errors.As(err, &mismatch)
}

// finalState returns everything that must be the same with and without a fault, as lines.
func (r *rig) finalState(ctx context.Context) (string, error) {
	db, err := r.observer(ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for e, err := range db.History(ctx, database.HistoryQuery{}) {
		if err != nil {
			return "", err
		}
		if e.Direction == database.Failed { // only the interrupted attempt leaves one
			continue
		}
		fmt.Fprintf(&b, "history: %s of version %d %q of %s\n", e.Direction, e.Version, e.Name, e.Set)
	}
	st, err := db.State(ctx, setName)
	if err != nil {
		return "", err
	}
	if st.Interrupted != nil {
		return "", fmt.Errorf("an interrupted run is left: %+v", *st.Interrupted)
	}
	more, err := r.describe(ctx)
	b.WriteString(more)
	return b.String(), err
}

func (r *rig) snapshot(ctx context.Context) (string, error) {
	db, err := r.observer(ctx)
	if err != nil {
		return "", err
	}
	s, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		return "", err
	}
	return s.Text(), nil
}

// diffLines returns the lines that only one of two texts has.
func diffLines(want, got string) string {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	var lines []string
	for _, l := range wants {
		if i := slices.Index(gots, l); i >= 0 {
			gots = slices.Delete(gots, i, i+1)
		} else {
			lines = append(lines, "- "+l)
		}
	}
	for _, l := range gots {
		lines = append(lines, "+ "+l)
	}
	return strings.Join(lines, "\n")
}
