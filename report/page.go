package report

import (
	"cmp"
	_ "embed" // for the style
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/diagram"
	"github.com/whimbrel-db/whimbrel/internal/times"
)

//go:embed page.css
var pageStyle string

// view is what the page shows.
type view struct {
	Title   string
	Lead    badge // the state of all targets in a sentence
	Made    time.Time
	Tool    string
	Targets []*targetView
	// Rows are the migrations of all targets.
	Rows        []migrationRow
	Differences []differenceView
	Schema      *schemaView
}

// Write writes the page.
func (p Page) Write(w io.Writer) error {
	v := &view{
		Title: cmp.Or(p.Title, "Database report"), Made: p.Made, Tool: whimbrel.ToolVersion(),
	}
	if v.Made.IsZero() {
		v.Made = time.Now()
	}
	for i, t := range p.Targets {
		v.Targets = append(v.Targets, newTargetView(t, i))
	}
	v.Lead = lead(v.Targets)
	v.Rows = migrationRows(v.Readable())
	if len(v.Readable()) > 1 {
		v.Differences = differences(p.Targets, v.Targets)
	}
	v.Schema = schemaOf(p.Targets, v.Targets)
	_, err := io.WriteString(w, string(v.html()))
	return err
}

// Smallest is the width to which a narrow window shrinks the picture. Below that, it scrolls.
func (s *schemaView) Smallest() float64 { return s.Width * 0.7 }

// Readable returns the targets that could be read.
func (v *view) Readable() []*targetView {
	return slices.DeleteFunc(slices.Clone(v.Targets), func(t *targetView) bool { return t.Status == nil })
}

// targetView is a target as shown.
type targetView struct {
	*Target
	ID      string
	digits  int
	Badges  []badge // the most important first
	Applied int
	Pending int
	Version string
	Steps   []stepView
	Days    []day // of the history, newest first
	Entries int
	Server  string
}

// badge is a state with its level: bad, warn, info or good.
type badge struct{ Level, Word, Detail string }

func newTargetView(t *Target, i int) *targetView {
	v := &targetView{Target: t, ID: fmt.Sprintf("t%d", i+1), digits: digits(t.Set)}
	if t.Name == "" {
		v.Name = "Database"
	}
	if s := t.Status; s != nil {
		v.Applied, v.Pending = len(s.AppliedVersions()), len(s.PendingVersions())
		if v.Version = "none"; s.Version != whimbrel.NilVersion {
			v.Version = v.label(s.Version)
		}
	}
	if t.Snapshot != nil {
		v.Server = strings.TrimSpace(dialectName(t.Snapshot.Dialect) + " " + t.Snapshot.Server)
	}
	v.Badges = v.badges()
	v.Steps = v.steps()
	v.Days, v.Entries = v.days(), len(t.History)
	return v
}

func dialectName(dialect string) string {
	for _, name := range []string{"PostgreSQL", "SQLite", "MySQL"} {
		if strings.EqualFold(name, dialect) {
			return name
		}
	}
	return dialect
}

// lead says which targets need attention: those whose most important state is bad or a warning.
func lead(targets []*targetView) badge {
	level, names := "good", []string{}
	for _, t := range targets {
		if len(t.Badges) > 0 && (t.Badges[0].Level == "bad" || t.Badges[0].Level == "warn") {
			names = append(names, t.Name)
			if level != "bad" {
				level = t.Badges[0].Level
			}
		}
	}
	switch {
	case len(targets) == 0:
		return badge{}
	case len(names) > 0:
		return badge{level, fmt.Sprintf("%d of %s", len(names), count(len(targets), "database")), attention(len(names)) + " attention: " + strings.Join(names, ", ") + "."}
	}
	return badge{"good", "Nothing needs attention", ""}
}

func attention(n int) string {
	if n == 1 {
		return "needs"
	}
	return "need"
}

// badges returns the states of a target, the most important first.
func (v *targetView) badges() []badge {
	switch {
	case v.Problem != nil:
		return []badge{{"bad", "can't be read", v.Problem.Error()}}
	case v.Status == nil:
		return nil
	}
	all := slices.Concat(v.stopped(), v.drifted(), v.doubtful())
	if n := v.Pending + len(v.Status.PendingRepeatables()); n > 0 {
		all = append(all, badge{"info", fmt.Sprintf("%d pending", n), "The next up applies " + count(n, "script") + "."})
	}
	if len(all) == 0 {
		all = append(all, badge{"good", "up to date", "Everything is applied."})
	}
	return all
}

// stopped returns the states in which a migration waits for somebody.
func (v *targetView) stopped() (all []badge) {
	j := v.Status.Interrupted
	switch {
	case j != nil && j.Held:
		all = append(all, badge{"info", "running", v.interrupted(j)})
	case j != nil:
		all = append(all, badge{"bad", "interrupted", v.interrupted(j)})
	}
	if by, frozen := frozenBy(v.Status.Settings); frozen {
		all = append(all, badge{"warn", "frozen", by})
	}
	for _, m := range v.Status.Migrations {
		if m.Backfill != nil {
			all = append(all, badge{backfillLevels[m.Backfill.State], "backfill " + string(m.Backfill.State), v.label(m.Version) + " " + m.Name + ": " + progress(m.Backfill) + "."})
		}
	}
	return all
}

var backfillLevels = map[database.BackfillState]string{
	database.BackfillRunning: "info", database.BackfillWaiting: "warn", database.BackfillPaused: "warn",
	database.BackfillFailed: "bad", database.BackfillCancelled: "bad",
}

// progress says how far a backfill is, and why it does not continue.
func progress(b *whimbrel.BackfillStatus) string {
	words := count(int(b.RowsDone), "row") + " done"
	if b.Percent >= 0 {
		words = fmt.Sprintf("%.0f %% done, %s", math.Floor(b.Percent), words)
	}
	switch {
	case b.Error != "":
		words += "; " + b.Error
	case b.State == database.BackfillWaiting:
		words += "; " + b.ThrottledBy
	}
	return words
}

// drifted returns the state of the schema beside the history.
func (v *targetView) drifted() []badge {
	switch {
	case v.DriftProblem != nil:
		return []badge{{"warn", "drift unknown", v.DriftProblem.Error()}}
	case len(v.Drift) > 0:
		return []badge{{"bad", "drift", count(len(v.Drift), "difference") + " between the database and its history."}}
	}
	return nil
}

// doubtful returns the states of the set beside the history that need a look.
func (v *targetView) doubtful() (all []badge) {
	if v.Refused != nil && v.Status.Interrupted == nil {
		all = append(all, badge{"bad", "blocked", "The next up would be refused: " + v.Refused.Error()})
	}
	for _, m := range []struct {
		state        whimbrel.MigrationState
		word, detail string
	}{
		{whimbrel.StateModified, "modified", "The file changed after it was applied: "},
		{whimbrel.StateUnknown, "unknown", "Applied, but without a file: "},
		{whimbrel.StateOutOfOrder, "out of order", "Pending below the newest applied version: "},
	} {
		if vs := v.Status.InState(m.state); len(vs) > 0 {
			all = append(all, badge{"warn", m.word, m.detail + v.labels(vs) + "."})
		}
	}
	return all
}

// interrupted describes a run that was interrupted or is running.
func (v *targetView) interrupted(j *database.Journal) string {
	words := fmt.Sprintf("%s %s (%s): statement %d of %d", v.label(j.Version), j.Name, j.Direction, min(j.Done+1, j.Of), j.Of)
	if !j.UpdatedAt.IsZero() {
		words += ", since " + times.Format(j.UpdatedAt)
	}
	if j.Host != "" {
		words += fmt.Sprintf(", process %d on %s", j.PID, j.Host)
	}
	if j.Error != "" && !j.Held {
		words += ": " + j.Error
	}
	return words
}

func frozenBy(settings database.Settings) (words string, frozen bool) {
	s, err := settings.Get(database.Frozen)
	if err != nil || !settings.Bool(database.Frozen) {
		return "", false
	}
	words = "By " + cmp.Or(s.ChangedBy, "an unknown user")
	if !s.ChangedAt.IsZero() {
		words += " since " + times.Format(s.ChangedAt)
	}
	if !s.Until.IsZero() {
		words += " until " + times.Format(s.Until)
	}
	if s.Reason != "" {
		words += ": " + s.Reason
	}
	return words, true
}

// day is a day of the history.
type day struct {
	At      time.Time
	Entries []entryView
}

type entryView struct {
	database.Entry
	Label, Level, Words, Who string
	Tries                    string // how often it was tried again because of a lock; "" for never
}

// directionWords describe entries in the timeline.
var directionWords = map[database.Direction]string{
	database.Up: "applied", database.Down: "rolled back", database.Mark: "marked as applied", database.Forget: "marked as not applied",
	database.Accept: "edit accepted", database.Baseline: "baseline applied", database.Repeat: "repeatable script ran",
	database.Seed: "development data added", database.Reset: "database emptied", database.Drift: "drift accepted",
	database.Setting: "setting changed", database.Metadata: "metadata changed", database.Query: "statement executed",
	database.Resolve: "interruption resolved", database.Failed: "failed", database.Abandon: "abandoned",
	database.Terminate: "session terminated", database.Start: "backfill started", database.Finish: "backfill done",
	database.Control: "backfill changed",
}

// days returns the history by days, newest first.
func (v *targetView) days() []day {
	var all []day
	for _, e := range slices.Backward(v.History) {
		at := e.StartedAt.UTC().Truncate(24 * time.Hour)
		if len(all) == 0 || !all[len(all)-1].At.Equal(at) {
			all = append(all, day{At: at})
		}
		last := &all[len(all)-1]
		last.Entries = append(last.Entries, v.entry(e))
	}
	return all
}

func (v *targetView) entry(e database.Entry) entryView {
	ev := entryView{Entry: e, Words: cmp.Or(directionWords[e.Direction], string(e.Direction)), Who: who(e)}
	if e.Tried != "" {
		ev.Words = string(e.Tried) + " " + ev.Words
	}
	if e.Retries > 0 {
		ev.Tries = fmt.Sprintf("blocked by other sessions for %s, tried %d times", e.LockWait.Round(100*time.Millisecond), e.Retries+1)
	}
	if e.Version != whimbrel.NilVersion {
		ev.Label = v.label(e.Version)
	}
	switch e.Direction {
	case database.Up, database.Baseline, database.Repeat, database.Start, database.Finish:
		ev.Level = "good"
	case database.Down, database.Reset, database.Forget, database.Abandon, database.Terminate:
		ev.Level = "warn"
	case database.Failed:
		ev.Level = "bad"
	default:
		ev.Level = "info"
	}
	return ev
}

// who says who added an entry: "app on db1, OS user kim, GitHub Actions run 7".
func who(e database.Entry) string {
	words := e.DBUser
	if e.Host != "" {
		words += " on " + e.Host
	}
	if e.OSUser != "" && e.OSUser != e.DBUser {
		words += ", OS user " + e.OSUser
	}
	if e.Actor != "" {
		words += ", " + e.Actor
	}
	return strings.TrimPrefix(words, ", ")
}

// schemaView is the diagram of a schema, and its tables as lists.
type schemaView struct {
	Target  *targetView
	Picture string  // SVG
	Width   float64 // of the picture, in pixels
	Diagram *diagram.Diagram
	Objects int
	Others  bool // other targets have schemas too
}

func schemaOf(targets []*Target, views []*targetView) *schemaView {
	for i, t := range targets {
		if t.Snapshot == nil {
			continue
		}
		d := diagram.New(t.Snapshot, t.Metadata)
		picture := d.Picture()
		return &schemaView{
			Target: views[i], Diagram: d, Objects: t.Snapshot.Count(), Others: len(targets) > 1,
			Width:   picture.Width,
			Picture: picture.SVG,
		}
	}
	return nil
}
