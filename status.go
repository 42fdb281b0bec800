package whimbrel

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// MigrationState says where one version stands.
type MigrationState string

// The states. Modified, StateUnknown and Replaced versions are applied; OutOfOrder ones are pending.
const (
	StateApplied    MigrationState = "applied"
	StatePending    MigrationState = "pending"
	StateOutOfOrder MigrationState = "out_of_order" // pending, below the newest applied version
	StateModified   MigrationState = "modified"     // applied from another text than the set has
	StateUnknown    MigrationState = "unknown"      // applied, and not in the set
	// Replaced versions are applied, and the set has something in their place: a squash, which the
	// next Up records when all that it replaces is applied, or a baseline.
	StateReplaced MigrationState = "replaced"
)

// Status is where a set stands in a database.
type Status struct {
	Set string
	// Database is the target's name, as its server or its file says it.
	Database string
	// Version is the newest applied one, NilVersion if there is none.
	Version int64
	// Dirty reports that a run is open: something of a migration has happened that is not
	// recorded yet.
	Dirty bool
	// Interrupted is that run, nil for none. InterruptedAt is the statement at which it stopped, "" where the set does not
	// have it.
	Interrupted   *database.Journal
	InterruptedAt string
	// Migrations are all versions that the set or the database has, in order.
	Migrations []MigrationStatus
	// Repeatables are all repeatable scripts that the set has or that ran, by name.
	Repeatables []RepeatableStatus
	Settings    database.Settings

	repeats []string
}

// RepeatableStatus is where a repeatable script stands: Applied; Pending where it has never
// run, and Modified where it ran from another text, so that the next Up runs it; or
// Unknown where it ran and the set does not have it.
type RepeatableStatus struct {
	Name  string
	State MigrationState
	// Checksum is the set's, or where it has none the stored one.
	Checksum migration.Checksum
	// RanAt and Duration are of when it ran last; zero where it never did.
	RanAt    time.Time
	Duration time.Duration
	// Problem is what keeps a script from being run that has yet to run: it is unfinished.
	Problem error
}

// MigrationStatus is where one migration stands.
type MigrationStatus struct {
	Version int64
	Name    string
	State   MigrationState
	// ReplacedBy is the version of the squash whose original this is, else NilVersion.
	ReplacedBy int64
	// Checksum is the stored one where the version is applied, else the set's.
	Checksum migration.Checksum
	// AppliedAt and Duration are zero for what is not applied. Marked reports
	// that it was recorded without running it.
	AppliedAt time.Time
	Duration  time.Duration
	Marked    bool
	// Problem is what keeps a version from being applied that is not: its script is unfinished.
	Problem error
}

// Status reads where the set stands, with one question to the database. It locks and
// changes nothing.
func (m *Migrator) Status(ctx context.Context) (*Status, error) {
	m = m.usable()
	st, err := m.db.State(ctx, m.set.Name())
	if err != nil {
		return nil, err
	}
	s := &Status{Set: m.set.Name(), Database: st.Database, Settings: st.Settings, Repeatables: m.repeatables(st)}
	s.Version, s.Dirty = st.Version()
	s.Interrupted, s.InterruptedAt = st.Interrupted, m.interruptedAt(st)
	v := viewOf(m.set, st.Applied)
	for _, mv := range v.repeats(st.Repeated) {
		s.repeats = append(s.repeats, mv.name)
	}
	for entry := range v.entries().All() {
		ms := MigrationStatus{
			Version: entry.Version, Name: entry.Name, Checksum: entry.Checksum, ReplacedBy: NilVersion,
			AppliedAt: entry.AppliedAt, Duration: entry.Duration, Marked: entry.Marked,
		}
		if q, ok := m.set.Squash(entry.Version); ok && v.open(q) {
			ms.ReplacedBy = q.Version
		}
		ms.State = v.stateOf(entry, s.Version)
		if mig, ok := v.get(entry.Version); ok && !v.isApplied(entry.Version) {
			ms.Problem = mig.Up.Problem
		}
		s.Migrations = append(s.Migrations, ms)
	}
	return s, nil
}

// interruptedAt is the text of the statement at which the open run stopped.
func (m *Migrator) interruptedAt(st *database.State) string {
	j := st.Interrupted
	switch {
	case j == nil:
		return ""
	case j.Begun != "":
		return j.Begun
	}
	mv, problem := resumedMove(m.set, st)
	if problem != "" || mv.script == nil { // it is in the history, which is another question
		return ""
	}
	an, err := mv.script.Analyze(m.db.Dialect(), m.db.Tables())
	if err != nil {
		return ""
	}
	n := 0
	for st, err := range an.All() {
		switch {
		case err != nil:
			return ""
		case st.Kind != sqltext.SQL && st.Kind != sqltext.CopyIn:
			continue
		case n == j.Done:
			return an.Mask(st.Text)
		}
		n++
	}
	return ""
}

// entries are all versions that the set or the database has, in order.
func (v view) entries() *database.AppliedSet {
	all := &database.AppliedSet{}
	for a := range v.applied.All() {
		all.Append(a)
	}
	add := func(m migration.Migration) {
		all.Append(database.AppliedMigration{Version: m.Version, Name: m.Name, Checksum: m.Up.Checksum})
	}
	for _, m := range v.set.All() {
		switch {
		case m.Version <= v.covered:
		case len(m.Up.Replaces) == 0 || !v.open(m):
			add(m)
		default:
			for _, r := range m.Up.Replaces {
				o, _ := v.set.Original(r.Version)
				all.Append(database.AppliedMigration{Version: r.Version, Name: o.Name, Checksum: r.Checksum})
			}
		}
	}
	return all
}

// stateOf says where a version stands; newest is the newest applied one.
func (v view) stateOf(entry database.AppliedMigration, newest int64) MigrationState {
	sum, known := v.expected(entry)
	switch {
	case !v.isApplied(entry.Version) && entry.Version < newest:
		return StateOutOfOrder
	case !v.isApplied(entry.Version):
		return StatePending
	case known && sum != entry.Checksum:
		return StateModified
	case v.replaced(entry):
		return StateReplaced
	case !known:
		return StateUnknown
	}
	return StateApplied
}

func (m *Migrator) repeatables(st *database.State) []RepeatableStatus {
	var all []RepeatableStatus
	for _, r := range m.set.Repeatables() {
		ran, ok := st.Repeated[r.Name]
		rs := RepeatableStatus{Name: r.Name, State: StateApplied, Checksum: r.Script.Checksum, RanAt: ran.AppliedAt, Duration: ran.Duration}
		switch {
		case !ok:
			rs.State = StatePending
		case ran.Checksum != r.Script.Checksum:
			rs.State = StateModified
		}
		if rs.State != StateApplied {
			rs.Problem = r.Script.Problem
		}
		all = append(all, rs)
	}
	for name, ran := range st.Repeated {
		if !slices.ContainsFunc(all, func(r RepeatableStatus) bool { return r.Name == name }) {
			all = append(all, RepeatableStatus{Name: name, State: StateUnknown, Checksum: ran.Checksum, RanAt: ran.AppliedAt, Duration: ran.Duration})
		}
	}
	slices.SortFunc(all, func(a, b RepeatableStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// InState returns the versions in any of the given states, in ascending order; never nil.
func (s *Status) InState(states ...MigrationState) []int64 {
	vs := []int64{}
	for _, m := range s.Migrations {
		for _, st := range states {
			if m.State == st {
				vs = append(vs, m.Version)
			}
		}
	}
	return vs
}

// KnownVersions returns the versions that this build knows, ascending.
func (s *Status) KnownVersions() []int64 {
	return s.InState(StateApplied, StatePending, StateOutOfOrder, StateModified, StateReplaced)
}

// AppliedVersions returns the versions recorded in the database, ascending, those that
// this build does not know included.
func (s *Status) AppliedVersions() []int64 {
	return s.InState(StateApplied, StateModified, StateUnknown, StateReplaced)
}

// PendingRepeatables returns the names of the repeatable scripts that the next Up runs; never nil. A build
// that is older than the database runs none.
func (s *Status) PendingRepeatables() []string { return append([]string{}, s.repeats...) }

// PendingVersions returns the versions that are not applied, ascending, those that are out of
// order included.
func (s *Status) PendingVersions() []int64 { return s.InState(StatePending, StateOutOfOrder) }
