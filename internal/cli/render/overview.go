package render

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel"
)

// Initialized is the answer of init.
type Initialized struct {
	Config   string `json:"config"`
	Dir      string `json:"dir"`
	Database string `json:"database"`
}

func (d *Initialized) write(pg *page) {
	pg.line("Created the folder " + d.Dir + " and " + d.Config + " with the database " + d.Database + ".")
	pg.line("Next:")
	pg.line("  " + pg.bold("whimbrel new create_users") + "   # then fill in the files")
	pg.line("  " + pg.bold("whimbrel up"))
}

// Overview is the answer of whimbrel without a command.
type Overview struct {
	Target   string  `json:"target"` // the URL, without its password
	Database string  `json:"database"`
	Set      string  `json:"set"`
	Version  int64   `json:"version"`
	Pending  []int64 `json:"pending"`
	Frozen   bool    `json:"frozen"`
	// Interrupted is the interrupted or running run, nil for none.
	Interrupted *Interrupted `json:"interrupted"`
	// Backfills lists those that were started and are not done.
	Backfills []Backfill `json:"backfills"`
	Drift     string     `json:"drift"` // always "unknown": only a scratch database shows drift
	// Unrecorded is what a database without a history has, nil for nothing.
	Unrecorded *Unrecorded `json:"unrecorded,omitempty"`
	Next       string      `json:"next"`

	place  string // the database, its server and the environment
	status *Status
}

// NewOverview converts the status of a set; place is where the database is, dir the set's folder.
func NewOverview(s *whimbrel.Status, url, place, dir string) *Overview {
	st := NewStatus(s, dir)
	d := &Overview{Target: url, Database: s.Database, Set: s.Set, Version: s.Version, Pending: st.Pending, Frozen: st.frozen != "", Interrupted: st.Interrupted, Drift: "unknown", place: place, status: st, Backfills: []Backfill{}}
	for _, m := range st.Migrations {
		if m.Backfill != nil {
			d.Backfills = append(d.Backfills, *m.Backfill)
		}
	}
	switch {
	case st.Interrupted != nil && st.Interrupted.Running:
		d.Next = "whimbrel status"
	case st.Interrupted != nil && d.Frozen:
		d.Next = "whimbrel thaw"
	case st.Interrupted != nil:
		d.Next = st.Interrupted.Next()
	case len(st.Modified) > 0:
		d.Next = "whimbrel verify"
	case len(st.Migrations) == 0:
		d.Next = "whimbrel new NAME"
	case d.Frozen && len(st.Pending)+len(st.Repeats) > 0:
		d.Next = "whimbrel thaw"
	case len(st.OutOfOrder) > 0:
		d.Next = "whimbrel status"
	case slices.ContainsFunc(d.Backfills, Backfill.stuck):
		d.Next = "whimbrel backfill"
	case !d.Frozen && slices.ContainsFunc(d.Backfills, Backfill.waitsForUp):
		d.Next = "whimbrel up"
	case len(st.Pending)+len(st.Repeats) > 0:
		d.Next = "whimbrel up"
	default:
		d.Next = "whimbrel new NAME"
	}
	return d
}

// SetUnrecorded adds what a database without a history has.
func (d *Overview) SetUnrecorded(u *Unrecorded) {
	if d.Unrecorded = u; u != nil {
		d.Next = u.Next
	}
}

// labelWidth is the width of a label and the space behind it.
const labelWidth = len("Modified ")

func (d *Overview) write(pg *page) {
	pg.hanging("Target   "+clean(d.place)+fmt.Sprintf(", set %q", clean(d.Set)), labelWidth)
	version := "nothing is applied"
	if d.Version != whimbrel.NilVersion {
		version = pg.digits.Label(d.Version)
		for _, m := range d.status.Migrations {
			if m.Version == d.Version {
				version += " " + clean(m.Name)
			}
		}
	}
	pg.hanging("Version  "+version, labelWidth)
	migrations := len(d.Pending)
	pending := pg.warn(listWords(slices.Concat(some(migrations, "migration"), some(len(d.status.Repeats), "repeatable script"))))
	if migrations > 0 && migrations <= 10 {
		pending += ": " + pg.labels(d.Pending)
	}
	switch i := d.Interrupted; {
	case i == nil:
	case i.Running:
		pg.hanging("State    "+pg.warn(i.words(pg)), labelWidth)
	default:
		pg.hanging("State    "+pg.bad(i.words(pg)), labelWidth)
	}
	for i := range d.Backfills {
		pg.hanging("Backfill "+d.Backfills[i].short(pg), labelWidth)
	}
	pg.hanging("Pending  "+cmp.Or(pending, "nothing"), labelWidth)
	if len(d.status.Modified) > 0 {
		pg.hanging("Modified "+pg.bad(pg.labels(d.status.Modified)), labelWidth)
	}
	frozen := "no"
	if d.Frozen {
		frozen = pg.warn(d.status.frozen)
	}
	pg.hanging("Frozen   "+frozen, labelWidth)
	pg.hanging(pg.aim.at("Drift    unknown (\"whimbrel drift\" checks)"), labelWidth)
	if d.Unrecorded != nil {
		pg.line("")
		pg.line(pg.wrap(d.Unrecorded.remark(pg)))
	}
	pg.line("")
	pg.line("Next: " + pg.bold(d.Next))
}
