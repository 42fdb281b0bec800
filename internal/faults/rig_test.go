// Package faults breaks migrations at every point at which they can break, and sees what the next process makes of
// it: the same schema, a true history, every row once, and nothing left locked. A bounded part of that belongs to every
// run of the tests; `make faults` tries everything.
package faults

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
)

// patience bounds the wait for what must happen; nothing is said about how soon.
const patience = 10 * time.Minute

// place is a database that scenarios are played in, one after the other.
type place interface {
	// words are what this database says for what scenarios leave open: pairs, as strings.NewReplacer takes them.
	words() []string
	// ways are those in which a process can be broken here.
	ways() []way
	// clean makes it empty.
	clean(context.Context) error
	// open opens it, as a new process does.
	open(context.Context) (database.Database, error)
	// watch returns it as somebody has it who looks on, and keeps it.
	watch(context.Context) (database.Database, error)
	// look tells the tables, the rows, the indexes and whether they are valid, and the locks that somebody still has.
	look(context.Context) (string, error)
}

// way is a way to break a process.
type way struct {
	name string
	// arm prepares the next process that opens the trap to be broken at its n-th point.
	arm func(n int) trap
}

// trap is what a process is lured into.
type trap struct {
	open   func(context.Context) (database.Database, error)
	sprung func() bool
	points func() int // that it has seen so far
	// stuck reports whether the process hangs; free then breaks it. Both are nil where processes don't hang.
	stuck func() bool
	free  func()
}

// rig plays scenarios in a place.
type rig struct {
	place
	// mutate makes a driver that breaks a promise; nil leaves drivers as they are.
	mutate func(database.Database) database.Database
	// schema is all of it after the scenario that was played last without a fault, where it is looked at.
	schema string
}

type opener = func(context.Context) (database.Database, error)

// attempt is one process that executes the scenario's command.
func (r *rig) attempt(ctx context.Context, open opener, s *scenario) error {
	db, err := open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if r.mutate != nil {
		db = r.mutate(db)
	}
	return s.run(ctx, db, r.words())
}

// prepare makes the place what it is before a scenario's command.
func (r *rig) prepare(ctx context.Context, s *scenario) error {
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
	return s.before(ctx, whimbrel.New(db, s.set(r.words()), whimbrel.Options{LockTimeout: patience}))
}

// unbroken plays a scenario without breaking it, and returns what is there afterwards.
func (r *rig) unbroken(ctx context.Context, s *scenario) (string, error) {
	if err := r.prepare(ctx, s); err != nil {
		return "", err
	}
	if err := r.attempt(ctx, r.open, s); err != nil {
		return "", fmt.Errorf("without any fault: %w", err)
	}
	if *every {
		var err error
		if r.schema, err = r.snapshot(ctx); err != nil {
			return "", err
		}
	}
	return r.sight(ctx)
}

// thorough tells after which faults the whole schema is read, which takes a server longer than all the rest.
func thorough(n int) bool { return *every && n%10 == 0 }

// exhaust breaks a scenario in one way, at each step-th point until there is none left, and
// returns how often that was.
func (r *rig) exhaust(ctx context.Context, s *scenario, w way, first, step int) (tried int, err error) {
	want, err := r.unbroken(ctx, s)
	if err != nil {
		return 0, err
	}
	for n, missed := first, 0; ; n += step {
		sprung, err := r.at(ctx, s, w, n, want)
		if err != nil {
			return tried, err
		}
		if !sprung {
			missed++
		} else {
			tried, missed = tried+1, 0
		}
		if missed == 1 && !s.race || missed == 5 { // in a race, the other one has done it sometimes
			return tried, nil
		}
	}
}

// sample breaks a scenario in one way, at so many of its points, and returns how often that was.
func (r *rig) sample(ctx context.Context, s *scenario, w way, points int, random *rand.Rand, want string) (tried int, err error) {
	all, err := r.length(ctx, s, w)
	for i := 0; i < points && err == nil; i++ {
		var sprung bool
		if sprung, err = r.at(ctx, s, w, random.IntN(all), want); sprung {
			tried++
		}
	}
	return tried, err
}

// length is how many points a scenario's command has.
func (r *rig) length(ctx context.Context, s *scenario, w way) (int, error) {
	if err := r.prepare(ctx, s); err != nil {
		return 0, err
	}
	t := w.arm(math.MaxInt)
	err := r.attempt(ctx, t.open, s)
	return t.points(), err
}

// at is one try, at one point.
func (r *rig) at(ctx context.Context, s *scenario, w way, n int, want string) (bool, error) {
	sprung, err := r.try(ctx, s, w.arm(n), n/2, want)
	if err == nil && thorough(n) {
		var schema string
		if schema, err = r.snapshot(ctx); schema != r.schema && err == nil {
			err = fmt.Errorf("the end is another one:\n%s", difference(r.schema, schema))
		}
	}
	if err != nil {
		err = fmt.Errorf("%s at point %d: %w", w.name, n, err)
	}
	return sprung, err
}

// try lures a process into a trap, has another one execute the same command afterwards, and compares what is there then
// with what is wanted. In a race the other one comes after so many points.
func (r *rig) try(ctx context.Context, s *scenario, t trap, rival int, want string) (sprung bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
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
				time.Sleep(50 * time.Microsecond)
			}
			follow()
		}()
	}
	broken, stuck := await(caught, t)
	if !s.race {
		go follow()
	}
	if stuck {
		time.Sleep(10 * time.Millisecond) // so that the next one mostly finds it at work
		t.free()
		broken = <-caught
	}
	sprung = t.sprung()
	err = <-next
	if err == nil && s.race { // neither of the two had to see the end of it
		err = r.attempt(ctx, r.open, s)
	}
	switch {
	case err != nil:
		return sprung, fmt.Errorf("the next process failed: %w\nafter: %v", err, broken)
	case broken != nil && (!sprung || stopsForGood(broken)):
		return sprung, fmt.Errorf("the process, broken: %v, failed: %w", sprung, broken)
	}
	got, err := r.sight(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("the end is another one:\n%s\nafter: %v", difference(want, got), broken)
	}
	return sprung, err
}

func isOver(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// await waits until the process in a trap has ended, or hangs.
func await(ended <-chan error, t trap) (err error, stuck bool) {
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

// stopsForGood tells the errors that a person is asked to do something about. A broken connection is no reason for any.
func stopsForGood(err error) bool {
	var interrupted *whimbrel.InterruptedError
	var conflict *whimbrel.ConflictError
	var mismatch *whimbrel.ChecksumMismatchError
	return errors.As(err, &interrupted) || errors.As(err, &conflict) || errors.As(err, &mismatch)
}

// sight is all that has to be the same in the end, in lines.
func (r *rig) sight(ctx context.Context) (string, error) {
	db, err := r.watch(ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for e, err := range db.History(ctx, database.HistoryQuery{}) {
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "history: %s of version %d %q of %s\n", e.Direction, e.Version, e.Name, e.Set)
	}
	st, err := db.State(ctx, setName)
	if err != nil {
		return "", err
	}
	if st.Interrupted != nil {
		return "", fmt.Errorf("a run is left open: %+v", *st.Interrupted)
	}
	more, err := r.look(ctx)
	b.WriteString(more)
	return b.String(), err
}

func (r *rig) snapshot(ctx context.Context) (string, error) {
	db, err := r.watch(ctx)
	if err != nil {
		return "", err
	}
	s, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		return "", err
	}
	return s.Text(), nil
}

// difference is the lines that only one of two texts has.
func difference(want, got string) string {
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
