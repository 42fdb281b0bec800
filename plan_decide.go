package whimbrel

import (
	"errors"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// move is a step as planning decides on it, before its script is read.
type move struct {
	version   int64 // NilVersion for a script without a version
	name      string
	direction database.Direction
	from      ScriptFrom
	script    *migration.Script // nil until it is read from the history

	up, down *migration.Script           // for the history; down is nil if there is none
	applied  database.AppliedMigration   // what is rolled back, or ran last under the name
	resume   *database.Journal           // the interrupted run that the move resumes, nil for none
	metadata *migration.Script           // that the migration carries; nil for none
	marks    []migration.Migration       // recorded as applied with a baseline or a loaded schema
	repeats  []migration.Named           // recorded as run with a loaded schema
	forgets  []database.AppliedMigration // recorded as part of a squash
	ends     []int64                     // versions whose backfills the move removes
	fill     *database.Backfill          // the one that the move continues; nil if it has not been read
}

// applies reports whether the move applies a migration by its own script.
func (m move) applies() bool { return m.direction == database.Up || m.direction == database.Start }

// decide is the core of planning, and a pure function: it returns the moves that lead from what is
// applied to the goal.
func decide(set *migration.Set, st *database.State, g Goal, allowOutOfOrder bool) ([]move, error) {
	switch {
	case g.kind == goalSeed:
		return decideSeeds(set, st, g.pinned.seeds)
	case g.kind == goalLoad:
		return decideLoad(set, st, g.pinned.load)
	case st.Interrupted != nil:
		return decideResumed(set, st, g, allowOutOfOrder)
	}
	return decideFrom(set, st, g, allowOutOfOrder, nil)
}

// decideFrom is decide for a database without an interrupted run. The goal has already rolled back
// taken.
func decideFrom(set *migration.Set, st *database.State, g Goal, allowOutOfOrder bool, taken []database.AppliedMigration) ([]move, error) {
	v := viewOf(set, st.Applied)
	var moves []move
	var err error
	if g.kind != goalLatest {
		if moves, err = v.downMoves(g); err != nil {
			return nil, err
		}
	}
	downs := make(map[int64]bool, len(taken)+len(moves))
	for _, a := range taken {
		downs[a.Version] = true
	}
	for _, m := range moves {
		downs[m.applied.Version] = true
	}
	c := &climb{view: v, goal: g, downs: downs}
	ups, err := c.run()
	if err != nil {
		return nil, err
	}
	if !allowOutOfOrder {
		if err := checkOrder(set, st.Applied, downs, ups); err != nil {
			return nil, err
		}
	}
	if moves = append(moves, c.continued(st.Backfills)...); len(moves) == 0 {
		moves = ups // as nearly always, without a copy
	} else {
		moves = append(moves, ups...)
	}
	if g.kind == goalLatest {
		moves = append(moves, v.repeats(st.Repeated)...)
	}
	return moves, nil
}

// downMoves returns the moves that roll back what the goal does, newest first.
func (v view) downMoves(g Goal) ([]move, error) {
	downs, err := v.chooseDowns(g)
	if err != nil {
		return nil, err
	}
	moves := make([]move, len(downs))
	for i, a := range downs {
		if moves[i], err = v.downMove(a, g); err != nil {
			return nil, err
		}
	}
	return moves, nil
}

// chooseDowns returns the migrations that the goal rolls back, newest first.
func (v view) chooseDowns(g Goal) ([]database.AppliedMigration, error) {
	newestFirst := slices.Collect(v.applied.All())
	slices.Reverse(newestFirst)
	switch g.kind {
	case goalVersion, goalUpTo, goalDownTo:
		everything := g.version == NilVersion || g.version == 0 && g.kind != goalUpTo // no version is below 0
		if !everything && !v.known(g.version) {
			return nil, unknownVersion(v.set, v.applied, g.version)
		}
		if g.kind == goalUpTo {
			return nil, nil
		}
		n := 0
		for n < len(newestFirst) && newestFirst[n].Version > g.version {
			n++
		}
		return newestFirst[:n], nil
	case goalSteps, goalRedo:
		n := g.steps
		if g.kind == goalSteps {
			n = -n
		}
		if n > len(newestFirst) {
			return nil, &TooFewAppliedError{Asked: n, AppliedCount: len(newestFirst)}
		}
		return newestFirst[:max(n, 0)], nil
	case goalPinned: // and what has been applied above it
		n := 0
		for i, a := range newestFirst {
			if g.pinned.rollsBack(a) {
				n = i + 1
			}
		}
		return newestFirst[:n], nil
	}
	return nil, nil
}

// downMove finds the script that rolls a version back.
func (v view) downMove(a database.AppliedMigration, g Goal) (move, error) {
	down := move{version: a.Version, name: a.Name, direction: database.Down, from: FromHistory, applied: a}
	m, inSet := v.get(a.Version)
	edited := inSet && m.Up.Checksum != a.Checksum
	if inSet && !edited {
		down.metadata = m.Metadata
	}
	if a.Unfinished || inSet && m.Up.Backfill != nil {
		down.ends = []int64{a.Version}
	}
	switch {
	case g.kind == goalRedo && !inSet:
		return down, &UnknownVersionError{Set: v.set.Name(), Version: a.Version, Redo: true}
	case a.Version == v.covered:
		return down, &IrreversibleError{Set: v.set.Name(), Version: a.Version, Name: a.Name, Baseline: true}
	case inSet && m.Down != nil && !(edited && a.HasDownText):
		down.name, down.from, down.script, down.down = m.Name, FromSet, m.Down, m.Down
	case !a.HasDownText:
		return down, &IrreversibleError{Set: v.set.Name(), Version: a.Version, Name: a.Name, TextNotKept: !a.DownChecksum.IsZero()}
	}
	return down, nil
}

// checkOrder refuses to apply a version below one that remains applied.
func checkOrder(set *migration.Set, applied *database.AppliedSet, downs map[int64]bool, ups []move) error {
	if len(ups) == 0 {
		return nil
	}
	newest := NilVersion
	for a := range applied.All() {
		if !downs[a.Version] {
			newest = a.Version
		}
	}
	var late []migration.Migration
	for _, m := range ups {
		if m.applies() && m.version < newest {
			late = append(late, migration.Migration{Version: m.version, Name: m.name, Up: m.up, Down: m.down})
		}
	}
	if len(late) == 0 {
		return nil
	}
	return &OutOfOrderError{Set: set.Name(), Migrations: late, Newest: newest}
}

// decideSeeds leaves out the seeds that another process has run since they were chosen.
func decideSeeds(set *migration.Set, st *database.State, seeds []move) (moves []move, err error) {
	for _, m := range seeds {
		now := st.Seeded[m.name]
		if now.EntryID == m.applied.EntryID || now.Checksum != m.up.Checksum {
			m.applied = now
			moves = append(moves, m)
		}
	}
	if st.Interrupted == nil {
		return moves, nil
	}
	return resumeSeed(set.Name(), moves, *st.Interrupted)
}

// resumeSeed puts the seed of an interrupted run first.
func resumeSeed(set string, seeds []move, j database.Journal) ([]move, error) {
	for i, m := range seeds {
		if m.isRun(&j) {
			m.resume = &j
			return slices.Insert(slices.Delete(seeds, i, i+1), 0, m), nil
		}
	}
	return nil, &InterruptedError{Set: set, Journal: j, Problem: "it must be resumed before seeds can run"}
}

// decideResumed is decide for a database with an interrupted run. The run comes first, whatever the
// goal. If this build lacks its files, that prevents a plan only if something is pending.
func decideResumed(set *migration.Set, st *database.State, g Goal, allowOutOfOrder bool) ([]move, error) {
	j := st.Interrupted
	first, problem := resumedMove(set, st)
	if problem != "" {
		closed := st.Clone()
		closed.Interrupted = nil
		if moves, err := decide(set, closed, g, allowOutOfOrder); err == nil && len(moves) == 0 {
			return nil, nil
		}
		return nil, &InterruptedError{Set: set.Name(), Journal: *j, Problem: problem, Missing: j.Direction != database.Seed && j.Direction != database.Reset && j.Direction != database.Load}
	}
	first.resume = j
	next := after(st, first)
	next.Interrupted = nil
	var taken []database.AppliedMigration
	switch down := j.Direction == database.Down; {
	case g.kind == goalSteps && g.steps > 0 && !down:
		g.steps--
	case g.kind == goalSteps && g.steps < 0 && down:
		g.steps++
	case g.kind == goalRedo && down:
		g.steps--
		taken = append(taken, first.applied)
	}
	rest, err := decideFrom(set, next, g, allowOutOfOrder, taken)
	if e := (*IrreversibleError)(nil); errors.As(err, &e) {
		e.Interrupted = e.Version == first.version && j.Direction == database.Up
	}
	return append([]move{first}, rest...), err
}

// resumedMove finds the migration or script of an interrupted run, or says why it can't.
func resumedMove(set *migration.Set, st *database.State) (m move, problem string) {
	j, v := st.Interrupted, viewOf(set, st.Applied)
	switch j.Direction {
	case database.Down:
		a, ok := st.Applied.Get(j.Version)
		if !ok {
			return m, "the version is no longer applied"
		}
		m, err := v.downMove(a, Goal{})
		if err != nil {
			return m, err.Error()
		}
		return m, ""
	case database.Baseline:
		b, ok := set.Baseline(j.Version)
		if !ok {
			return m, "the baseline is not among the files"
		}
		return v.baselineMove(b), ""
	case database.Repeat:
		for _, r := range set.Repeatables() {
			if r.Name == j.Name {
				return namedMove(r, database.Repeat, st.Repeated[r.Name]), ""
			}
		}
		return m, "the repeatable script is not among the files"
	case database.Reset: // of a database that can't roll back a DROP
		return m, "a reset was interrupted before it dropped everything"
	case database.Seed:
		return m, "it is a seed, which is not part of the set"
	case database.Load:
		return m, "it creates the schema from a text that is not part of the set"
	}
	up, ok := v.get(j.Version)
	if !ok {
		up, ok = set.Original(j.Version)
	}
	if !ok {
		return m, "the migration is not among the files"
	}
	return upMove(up), ""
}

// isRun reports whether an interrupted run is of the move's script.
func (m move) isRun(j *database.Journal) bool {
	return j != nil && j.Version == m.version && j.Direction == m.direction && (m.version != NilVersion || j.Name == m.name)
}

// after returns the state that moves lead to.
func after(st *database.State, moves ...move) *database.State {
	next := st.Clone()
	for _, m := range moves {
		for _, e := range m.foldable() {
			next.Fold(e)
		}
	}
	return next
}

// foldable returns the entries of a move without texts, as planning needs them.
func (m move) foldable() []database.Entry {
	all, _ := m.entries(noTexts) // which reads nothing that could fail
	for i := range all {
		all[i].HasDownText = !all[i].DownChecksum.IsZero()
	}
	return all
}
