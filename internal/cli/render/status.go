package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Status is the answer of status.
type Status struct {
	Set      string `json:"set"`
	Database string `json:"database"`
	Version  int64  `json:"version"`
	// Interrupted is the interrupted or running run, nil for none.
	Interrupted *Interrupted      `json:"interrupted"`
	All         []int64           `json:"all"`
	Applied     []int64           `json:"applied"`
	Pending     []int64           `json:"pending"`
	Unknown     []int64           `json:"unknown"`
	Modified    []int64           `json:"modified"`
	OutOfOrder  []int64           `json:"out_of_order"`
	Replaced    []int64           `json:"replaced"`
	Migrations  []MigrationStatus `json:"migrations"`
	// Repeats lists the repeatable scripts that the next up runs, Repeatables all of them.
	Repeats     []string           `json:"repeats"`
	Repeatables []RepeatableStatus `json:"repeatables"`
	// Running is the process that migrates now, if it is not that of Interrupted.
	Running *Running `json:"running,omitempty"`
	// Refused is why the next up would fail, for status --exit-code.
	Refused *Failure `json:"refused,omitempty"`
	// Unrecorded is what a database without a history has, nil for nothing.
	Unrecorded *Unrecorded `json:"unrecorded,omitempty"`

	frozen   string // by whom, since when and why; "" if the database is not frozen
	dir      string
	problems []string // of unfinished scripts
}

// MigrationStatus is the state of one migration.
type MigrationStatus struct {
	Version   int64              `json:"version"`
	Name      string             `json:"name"`
	State     string             `json:"state"`
	AppliedAt instant            `json:"applied_at"`
	Duration  *Millis            `json:"duration_ms"`
	Checksum  migration.Checksum `json:"checksum"`
	Marked    bool               `json:"marked"`
	// ReplacedBy is the version of the squash that replaces it.
	ReplacedBy *int64 `json:"replaced_by,omitempty"`
	// Backfill says how far a backfill is that was started and is not done.
	Backfill *Backfill `json:"backfill,omitempty"`
	// Problem prevents it from being applied.
	Problem string `json:"problem,omitempty"`
}

// RepeatableStatus is the state of one repeatable script.
type RepeatableStatus struct {
	Name     string             `json:"name"`
	State    string             `json:"state"`
	RanAt    instant            `json:"ran_at"`
	Duration *Millis            `json:"duration_ms"`
	Checksum migration.Checksum `json:"checksum"`
	Problem  string             `json:"problem,omitempty"`
}

// The states of a migration whose run has not ended: a process is working on it, or none is.
const (
	stateRunning     = "running"
	stateInterrupted = "interrupted"
	// stateUnfinished is an applied backfill whose rows are not all changed yet.
	stateUnfinished = "unfinished"
)

// NewStatus converts a status; dir is the folder of the set.
func NewStatus(s *whimbrel.Status, dir string) *Status {
	d := &Status{
		Set: s.Set, Database: s.Database, Version: s.Version,
		All: s.KnownVersions(), Applied: s.AppliedVersions(), Pending: s.PendingVersions(),
		Unknown:    s.InState(whimbrel.StateUnknown),
		Modified:   s.InState(whimbrel.StateModified),
		OutOfOrder: s.InState(whimbrel.StateOutOfOrder),
		Replaced:   s.InState(whimbrel.StateReplaced),
		Migrations: make([]MigrationStatus, 0, len(s.Migrations)),
		Repeats:    s.PendingRepeatables(), Repeatables: []RepeatableStatus{},
		Interrupted: NewInterrupted(s.Interrupted, s.InterruptedAt),
		dir:         dir,
	}
	took := make([]Millis, len(s.Migrations)) // one allocation for all
	for n, m := range s.Migrations {
		ms := MigrationStatus{
			Version: m.Version, Name: m.Name, State: string(m.State), AppliedAt: instant(m.AppliedAt),
			Checksum: m.Checksum, Marked: m.Marked,
		}
		if i := d.Interrupted; i != nil && i.Version == m.Version {
			ms.State = stateInterrupted
			if i.Running {
				ms.State = stateRunning
			}
		}
		if m.Running {
			ms.State = stateRunning
		}
		if !m.AppliedAt.IsZero() {
			took[n] = Millis(m.Duration)
			ms.Duration = &took[n]
		}
		if m.Problem != nil {
			ms.Problem = m.Problem.Error()
			d.problems = append(d.problems, ms.Problem)
		}
		if m.Backfill != nil {
			ms.Backfill = Pointer(NewBackfill(*m.Backfill))
		}
		if m.Unfinished && ms.State == string(whimbrel.StateApplied) {
			ms.State = stateUnfinished
		}
		if m.ReplacedBy != whimbrel.NilVersion {
			ms.ReplacedBy = Pointer(m.ReplacedBy)
		}
		d.Migrations = append(d.Migrations, ms)
	}
	for _, r := range s.Repeatables {
		rs := RepeatableStatus{Name: r.Name, State: string(r.State), RanAt: instant(r.RanAt), Checksum: r.Checksum}
		if r.Problem != nil {
			rs.Problem = r.Problem.Error()
			d.problems = append(d.problems, rs.Problem)
		}
		if !r.RanAt.IsZero() {
			rs.Duration = Pointer(Millis(r.Duration))
		}
		d.Repeatables = append(d.Repeatables, rs)
	}
	if r := s.Running; r != nil {
		d.Running = &Running{Holder: *cmp.Or(NewHolder(r.Holder), &Holder{})}
		for _, m := range s.Migrations {
			if m.Running {
				d.Running.Version, d.Running.name = Pointer(m.Version), m.Name
			}
		}
	}
	d.frozen = FrozenBy(s.Settings)
	return d
}

// Running is a process that migrates.
type Running struct {
	Holder
	Version *int64 `json:"version,omitempty"` // that it applies or rolls back, if known
	name    string
}

// words describes the process, and what it does as far as that is known.
func (r *Running) words(pg *page) string {
	parts := []string{"Another process is migrating"}
	if r.Version != nil {
		parts[0] = pg.digits.Name(*r.Version, r.name) + ": running"
	}
	if since := time.Time(r.Since); !since.IsZero() {
		parts = append(parts, "started "+ago(time.Since(since)))
	}
	if r.Host != "" {
		parts = append(parts, "on host "+oneLine(r.Host))
	}
	if r.PID != 0 {
		parts = append(parts, fmt.Sprintf("pid %d", r.PID))
	}
	if r.User != "" {
		parts = append(parts, "user "+oneLine(r.User))
	}
	return strings.Join(parts, ", ")
}

func (s *Status) write(pg *page) {
	defer func() {
		for _, line := range s.remarks(pg) {
			pg.line(line)
		}
	}()
	if len(s.Migrations)+len(s.Repeatables) == 0 {
		pg.line(fmt.Sprintf("There are no migrations in %s, and set %q has none applied.", s.dir, s.Set))
		pg.line(pg.aim.at(`Create the first one with "whimbrel new NAME".`))
		return
	}
	t := table{head: []string{"VERSION", "NAME", "STATE", "APPLIED (UTC)", "TOOK"}, right: map[int]bool{4: true}, give: []int{1}, drop: []int{4}}
	t.grow(len(s.Migrations) + len(s.Repeatables))
	for _, m := range s.Migrations {
		t.add(pg.digits.Label(m.Version), clean(m.Name), pg.state(m.State), when(m.AppliedAt), m.took())
	}
	for _, r := range s.Repeatables {
		t.add("R", clean(r.Name), pg.repeatState(r.State), when(r.RanAt), r.Duration.took())
	}
	pg.table(t)
	pg.line()
	pg.line(s.summary(pg))
}

// repeatState formats the state of a repeatable script, for which "modified" is normal.
func (pg *page) repeatState(state string) string {
	if whimbrel.MigrationState(state) == whimbrel.StateModified {
		return pg.warn(state)
	}
	return pg.state(state)
}

func (m MigrationStatus) took() string {
	if m.Marked {
		return "marked"
	}
	return m.Duration.took()
}

func (pg *page) state(state string) string {
	words := strings.ReplaceAll(state, "_", " ")
	switch whimbrel.MigrationState(state) {
	case whimbrel.StateApplied:
		return pg.good(words)
	case whimbrel.StatePending, stateRunning, stateUnfinished:
		return pg.warn(words)
	case whimbrel.StateModified, whimbrel.StateOutOfOrder, stateInterrupted:
		return pg.bad(words)
	}
	return pg.faint(words)
}

func (s *Status) summary(pg *page) string {
	at := pg.bold("nothing is applied")
	if s.Version != whimbrel.NilVersion {
		at = pg.bold("at version "+pg.digits.Label(s.Version)) + fmt.Sprintf("; %d applied", len(s.Applied))
	}
	also := ""
	if n := len(s.Repeats); n > 0 {
		also = ", " + count(n, "repeatable script") + " to run"
	}
	return fmt.Sprintf("Set %q: %s, %d pending%s.", s.Set, at, len(s.Pending), also)
}

// lacks reports whether the folder lacks the file to resume a run. A down script may come from the
// history.
func (s *Status) lacks(i *Interrupted) bool {
	return i.Direction == string(database.Up) && i.Statement <= i.Of && i.SQL == "" && !slices.Contains(s.All, i.Version)
}

// remarks explains the states that need attention, and what to do.
func (s *Status) remarks(pg *page) []string {
	var all []string
	if s.Unrecorded != nil {
		all = append(all, s.Unrecorded.remark(pg))
	}
	if s.Running != nil {
		all = append(all, pg.warn(s.Running.words(pg))+".")
	}
	if i := s.Interrupted; i != nil {
		switch {
		case i.Running:
			all = append(all, pg.warn(i.words(pg))+".")
		case s.lacks(i):
			all = append(all, pg.bad(i.words(pg))+". Its file is missing from "+s.dir+`. Restore it, or use a build that has it, then run "`+pg.aim.at(i.Next())+`" to resume.`)
		default:
			all = append(all, pg.bad(i.words(pg))+`. Run "`+pg.aim.at(i.Next())+`" to resume.`)
		}
		if i.SQL != "" {
			all = append(all, fmt.Sprintf("Statement %d: %s", i.Statement, excerptOf(i.SQL)))
		}
	}
	for i := range s.Migrations {
		if b := s.Migrations[i].Backfill; b != nil {
			all = append(all, b.remark(pg))
		}
	}
	if len(s.Modified) > 0 {
		all = append(all, pg.bad("Modified: "+pg.labels(s.Modified))+pg.aim.at(` — the file changed after it was applied. "whimbrel verify" shows the difference.`))
	}
	if len(s.OutOfOrder) > 0 {
		all = append(all, pg.bad("Out of order: "+pg.labels(s.OutOfOrder))+pg.aim.at(` — pending below the newest applied version. Run "whimbrel renumber" to give it the next version, or "whimbrel up --allow-out-of-order".`))
	}
	if len(s.Replaced) > 0 {
		all = append(all, "Replaced: "+pg.labels(s.Replaced)+" — applied, and now part of a squash or baseline. Up records a squash without running it.")
	}
	if len(s.Unknown) > 0 {
		all = append(all, "Unknown: "+pg.labels(s.Unknown)+" — applied, but not in "+s.dir+" (from a newer build, or the file was deleted).")
	}
	for _, p := range s.problems {
		all = append(all, pg.warn("Unfinished: ")+clean(p))
	}
	if s.frozen != "" {
		all = append(all, pg.warn("Frozen ")+s.frozen+".")
	}
	return all
}

// Pointer returns a pointer to a copy of v, as new of Go 1.26 does.
func Pointer[T any](v T) *T { return &v }
