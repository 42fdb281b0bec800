package whimbrel

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
)

// MigrationState is the state of one version.
type MigrationState string

// The states. A version in StateModified, StateUnknown or StateReplaced is applied too; one in
// StateOutOfOrder is pending too.
const (
	StateApplied    MigrationState = "applied"
	StatePending    MigrationState = "pending"
	StateOutOfOrder MigrationState = "out_of_order" // pending, below the newest applied version
	StateModified   MigrationState = "modified"     // applied, and its file was edited since
	StateUnknown    MigrationState = "unknown"      // applied, and not in the set
	// StateReplaced is an applied version that a squash or a baseline of the set replaces. The next
	// Up records the squash if everything that it replaces is applied.
	StateReplaced MigrationState = "replaced"
)

// Status is the state of a set in a database.
type Status struct {
	Set string
	// Database is the database's name: what its server says, or the name of its file.
	Database string
	// Version is the newest applied version, or NilVersion.
	Version int64
	// Interrupted is the journal of an interrupted run, or of one that another process is
	// executing; nil for none. InterruptedAt is its next statement, or "" if the set lacks the
	// script.
	Interrupted   *database.Journal
	InterruptedAt string
	// Migrations are all versions of the set and of the database, in order.
	Migrations []MigrationStatus
	// Repeatables are all repeatable scripts of the set and of the database, ordered by name.
	Repeatables []RepeatableStatus
	// Running is the process that migrates the set now, up or down. It is nil if there is none, or if
	// the database can't tell.
	Running  *Running
	Settings database.Settings

	repeats []string
}

// Running is a process that migrates.
type Running struct {
	database.Holder
	// Version is the migration that the process applies or rolls back, or NilVersion if that is
	// unknown.
	Version int64
}

// RepeatableStatus is the state of a repeatable script. StatePending means that it never ran,
// StateModified that its text has changed since: the next Up runs both. StateUnknown means that it
// ran and the set lacks it.
type RepeatableStatus struct {
	Name  string
	State MigrationState
	// Checksum is the set's, or the stored one if the set lacks the script.
	Checksum migration.Checksum
	// RanAt and Duration are those of its last execution, or zero.
	RanAt    time.Time
	Duration time.Duration
	// Problem is the reason why a script that the next Up would run can't run: it is unfinished.
	Problem error
}

// MigrationStatus is the state of one migration.
type MigrationStatus struct {
	Version int64
	Name    string
	State   MigrationState
	// ReplacedBy is the version of the squash that replaces it, or NilVersion.
	ReplacedBy int64
	// Checksum is the stored one if the version is applied, else the set's.
	Checksum migration.Checksum
	// AppliedAt and Duration are zero if the version is not applied. Marked reports that it was
	// recorded without running it.
	AppliedAt time.Time
	Duration  time.Duration
	Marked    bool
	// Unfinished reports that it is a backfill that was started and is not done. Backfill says how
	// far it is; nil if the database has not been asked.
	Unfinished bool
	Backfill   *BackfillStatus
	// Running reports that Status.Running applies it now, or rolls it back. Its State does not change
	// before its transaction is committed.
	Running bool
	// Problem is the reason why a pending version can't be applied: its script is unfinished.
	Problem error
}

// Status reads the state of the set, and the process that migrates. It locks and changes nothing.
func (m *Migrator) Status(ctx context.Context) (*Status, error) {
	m = m.call(ctx)
	st, holder, err := database.StateAndHolder(ctx, m.db, m.set.Name())
	if err == nil {
		err = ReadBackfills(ctx, m.db, st)
	}
	if err != nil {
		return nil, err
	}
	return m.StatusFrom(st, holder)
}

// StatusFrom is Status of what the caller has read with [database.StateAndHolder]. It asks the
// database for nothing.
func (m *Migrator) StatusFrom(st *database.State, holder *database.Holder) (*Status, error) {
	m = m.usable()
	if err := m.needState(st); err != nil {
		return nil, err
	}
	if st.Interrupted != nil { // perhaps in a down script
		var err error
		if m, err = m.complete(context.Background()); err != nil {
			return nil, err
		}
	}
	s := &Status{Set: m.set.Name(), Database: st.Database, Settings: st.Settings, Repeatables: m.repeatables(st)}
	s.Version, _ = st.Version()
	s.Interrupted, s.InterruptedAt = st.Interrupted, m.interruptedAt(st)
	v := viewOf(m.set, st.Applied)
	for _, mv := range v.repeats(st.Repeated) {
		s.repeats = append(s.repeats, mv.name)
	}
	all := v.entries()
	s.Migrations = make([]MigrationStatus, 0, all.Len())
	for entry := range all.All() {
		ms := MigrationStatus{
			Version: entry.Version, Name: entry.Name, Checksum: entry.Checksum, ReplacedBy: NilVersion,
			AppliedAt: entry.AppliedAt, Duration: entry.Duration, Marked: entry.Marked,
			Unfinished: entry.Unfinished, Backfill: backfillOf(st, entry.Version),
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
	if holder != nil {
		s.setRunning(*holder)
	}
	return s, nil
}

// setRunning stores the process that migrates.
func (s *Status) setRunning(h database.Holder) {
	s.Running = &Running{Holder: h, Version: NilVersion}
	version, ok := versionOf(h)
	for i := range s.Migrations {
		if ms := &s.Migrations[i]; ok && ms.Version == version {
			ms.Running, s.Running.Version = true, version
		}
	}
}

// versionOf returns the version of the script that a process executes, if its task, or else the
// name of its application ("whimbrel: 0005_orders_by_time"), names one.
func versionOf(h database.Holder) (version int64, ok bool) {
	task := h.Task
	if task == "" {
		_, task, _ = strings.Cut(h.App, ": ")
	}
	digits := task[:len(task)-len(strings.TrimLeft(task, "0123456789"))]
	version, err := strconv.ParseInt(digits, 10, 64)
	return version, err == nil
}

// interruptedAt returns the text of the statement at which the interrupted run resumes.
func (m *Migrator) interruptedAt(st *database.State) string {
	j := st.Interrupted
	switch {
	case j == nil:
		return ""
	case j.Begun != "":
		return j.Begun
	}
	mv, problem := resumedMove(m.set, st)
	if problem != "" || mv.script == nil { // it is in the history, which would be a second query
		return ""
	}
	an, err := mv.script.Analyze(m.db.Dialect(), m.db.Tables())
	if err != nil {
		return ""
	}
	n, _, next, err := prefix(an, j.Done+1)
	if err != nil || n <= j.Done {
		return ""
	}
	return an.Mask(next.Text)
}

// entries returns all versions of the set and of the database, in order.
func (v view) entries() *database.AppliedSet {
	all := v.applied.Clone()
	add := func(m migration.Migration) {
		all.Append(database.AppliedMigration{Version: m.Version, Name: m.Name, Checksum: m.Up.Checksum})
	}
	for m := range v.set.Each() {
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

// stateOf returns the state of a version; newest is the newest applied one.
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
	order.By(all, func(a, b RepeatableStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// InState returns the versions in any of the given states, in ascending order; never nil.
func (s *Status) InState(states ...MigrationState) []int64 {
	vs := []int64{}
	for _, m := range s.Migrations {
		if slices.Contains(states, m.State) {
			vs = append(vs, m.Version)
		}
	}
	return vs
}

// KnownVersions returns the versions that the set has, ascending.
func (s *Status) KnownVersions() []int64 {
	return s.InState(StateApplied, StatePending, StateOutOfOrder, StateModified, StateReplaced)
}

// AppliedVersions returns the applied versions, ascending, including those that the set lacks.
func (s *Status) AppliedVersions() []int64 {
	return s.InState(StateApplied, StateModified, StateUnknown, StateReplaced)
}

// PendingRepeatables returns the names of the repeatable scripts that the next Up runs; never nil.
// If the database is ahead of the set, Up runs none.
func (s *Status) PendingRepeatables() []string { return append([]string{}, s.repeats...) }

// PendingVersions returns the versions that are not applied, ascending, including those that are
// out of order.
func (s *Status) PendingVersions() []int64 { return s.InState(StatePending, StateOutOfOrder) }
