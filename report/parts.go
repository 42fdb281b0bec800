package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// maxScript is how much of a script the page shows, in bytes.
const maxScript = 64 << 10

// stepView is a step of a plan.
type stepView struct {
	Label, Name string
	Direction   string
	Mode, Why   string
	Statements  int
	Resumes     int
	SQL         string // "" if there is none to show
	Remark      string // why there is none
	Open        bool
}

// openSteps is the number of scripts up to which the page shows their text at once.
const openSteps = 3

// steps returns the steps of the plan.
func (v *targetView) steps() []stepView {
	if v.Plan == nil {
		return nil
	}
	var all []stepView
	for _, s := range v.Plan.Steps {
		sv := stepView{
			Name: s.Name, Direction: string(s.Direction), Mode: "in a transaction", Why: s.Why,
			Statements: s.Statements, Resumes: s.Resumes(), Open: len(v.Plan.Steps) <= openSteps,
		}
		if s.Version != whimbrel.NilVersion {
			sv.Label = v.label(s.Version)
		}
		switch s.Mode {
		case whimbrel.OutsideTransaction:
			sv.Mode = string(whimbrel.OutsideTransaction)
		case whimbrel.InBatches:
			sv.Mode = "in batches of rows"
		}
		sv.SQL, sv.Remark = text(s, dialectOf(v.Target))
		all = append(all, sv)
	}
	return all
}

// text returns a script's text with masked passwords, or the reason why there is none.
func text(s whimbrel.Step, d sqltext.Dialect) (text, remark string) {
	if s.Script == nil || s.Direction == database.Mark {
		return "", "Only recorded, nothing runs."
	}
	if s.Script.Func() != nil {
		return "", "A Go function."
	}
	text, ok, err := s.Script.Text(maxScript)
	switch {
	case err != nil:
		return "", "The script can't be read: " + err.Error()
	case !ok:
		return "", fmt.Sprintf("The script has %d bytes, too many to show: %s", s.Script.Size, s.Script.File)
	}
	return s.Script.Mask(text, d), ""
}

// dialectOf returns the dialect of a target, by its snapshot. An unknown one is read as PostgreSQL.
func dialectOf(t *Target) sqltext.Dialect {
	if t.Snapshot != nil {
		for _, d := range []sqltext.Dialect{sqltext.SQLite, sqltext.MySQL} {
			if strings.EqualFold(d.String(), t.Snapshot.Dialect) {
				return d
			}
		}
	}
	return sqltext.PostgreSQL
}

// migrationRow is a migration with its state in each target.
type migrationRow struct {
	Label, Name string
	Cells       []cell
	differs     bool
}

// Differs reports that the states of the targets are not the same.
func (r migrationRow) Differs() bool { return r.differs }

type cell struct {
	State, Level, Detail string
	At                   time.Time
	Duration             time.Duration
}

var stateLevels = map[whimbrel.MigrationState]string{
	whimbrel.StateApplied: "good", whimbrel.StatePending: "info", whimbrel.StateOutOfOrder: "warn",
	whimbrel.StateModified: "warn", whimbrel.StateUnknown: "warn", whimbrel.StateReplaced: "good",
}

// rowKey identifies a row: a version, or the name of a repeatable script.
type rowKey struct {
	version    int64
	repeatable string
}

// migrationRows returns the migrations of all targets by version, then the repeatable scripts by
// name.
func migrationRows(targets []*targetView) []migrationRow {
	rows := map[rowKey]*migrationRow{}
	for i, t := range targets {
		for k, r := range t.rows() {
			if rows[k] == nil {
				rows[k] = &migrationRow{Label: r.Label, Name: r.Name, Cells: make([]cell, len(targets))}
			}
			rows[k].Cells[i] = r.Cells[0]
		}
	}
	keys := slices.Collect(maps.Keys(rows))
	order.By(keys, func(a, b rowKey) int {
		return cmp.Or(strings.Compare(a.repeatable, b.repeatable), cmp.Compare(a.version, b.version))
	})
	var all []migrationRow
	for _, k := range keys {
		r := rows[k]
		r.differs = slices.ContainsFunc(r.Cells, func(c cell) bool { return c.State != r.Cells[0].State })
		all = append(all, *r)
	}
	return all
}

// rows returns the rows of one target.
func (v *targetView) rows() map[rowKey]migrationRow {
	all := map[rowKey]migrationRow{}
	for _, m := range v.Status.Migrations {
		c := cell{State: words(m.State), Level: stateLevels[m.State], At: m.AppliedAt, Duration: m.Duration}
		if m.Marked {
			c.Detail = "marked"
		}
		if m.Unfinished && m.State == whimbrel.StateApplied {
			c.State, c.Level = "unfinished", "warn"
		}
		if m.Problem != nil {
			c.Detail = m.Problem.Error()
		}
		all[rowKey{version: m.Version}] = migrationRow{Label: v.label(m.Version), Name: m.Name, Cells: []cell{c}}
	}
	for _, r := range v.Status.Repeatables {
		c := cell{State: words(r.State), Level: stateLevels[r.State], Detail: "repeatable", At: r.RanAt, Duration: r.Duration}
		if r.Problem != nil {
			c.Detail = r.Problem.Error()
		}
		all[rowKey{repeatable: r.Name}] = migrationRow{Name: r.Name, Cells: []cell{c}}
	}
	return all
}

func words(s whimbrel.MigrationState) string { return strings.ReplaceAll(string(s), "_", " ") }

// differenceView says how a target's schema differs from the first one's.
type differenceView struct {
	From, To *targetView
	Changes  []changeView
	Remark   string
}

type changeView struct {
	Sign, Level, Words string
	Expected, Found    string
}

// differences compares the schema of the first target with those of the others.
func differences(targets []*Target, views []*targetView) []differenceView {
	var all []differenceView
	for i := 1; i < len(targets); i++ {
		d := differenceView{From: views[0], To: views[i]}
		a, b := targets[0].Snapshot, targets[i].Snapshot
		switch {
		case a == nil || b == nil:
			d.Remark = "One of the two schemas could not be read."
		case a.Dialect != b.Dialect:
			d.Remark = "The databases are of different kinds, so their schemas are not compared."
		default:
			d.Changes = changeViews(catalog.Compare(a, b), dialectOf(targets[0]))
			if a.Server != b.Server && len(d.Changes) > 0 {
				d.Remark = "The servers have different releases, which can write one definition in two ways."
			}
		}
		all = append(all, d)
	}
	return all
}

// DriftChanges returns the differences between the database and its history.
func (v *targetView) DriftChanges() []changeView { return changeViews(v.Drift, dialectOf(v.Target)) }

func changeViews(changes []catalog.Change, d sqltext.Dialect) []changeView {
	var all []changeView
	for _, c := range changes {
		cv := changeView{Sign: "~", Level: "warn", Expected: sqltext.Mask(c.Expected, d), Found: sqltext.Mask(c.Found, d)}
		switch c.Change {
		case catalog.Added:
			cv.Sign, cv.Level = "+", "good"
		case catalog.Removed:
			cv.Sign, cv.Level = "−", "bad"
		}
		cv.Words = strings.TrimSpace(string(c.Kind) + " " + c.Name + " " + c.Change)
		if c.Change == catalog.Changed {
			cv.Words = strings.TrimSpace(string(c.Kind) + " " + c.Name + ": " + c.Detail)
		}
		all = append(all, cv)
	}
	return all
}

// digits returns the number of digits to which the file names of a set pad their versions.
func digits(set *migration.Set) int {
	if set == nil {
		return 0
	}
	return set.Digits()
}

func (v *targetView) label(version int64) string { return fmt.Sprintf("%0*d", v.digits, version) }

func (v *targetView) labels(versions []int64) string {
	const most = 10
	var all []string
	for i, version := range versions {
		if i == most {
			all = append(all, fmt.Sprintf("and %d more", len(versions)-i))
			break
		}
		all = append(all, v.label(version))
	}
	return strings.Join(all, ", ")
}

func took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
	case d < time.Second:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	return d.Round(time.Second).String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
