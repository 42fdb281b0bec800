package render

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/inspect"
)

// Snapshot answers snapshot.
type Snapshot struct {
	Dialect     string `json:"dialect"`
	Server      string `json:"server"`
	Fingerprint string `json:"fingerprint"`
	Objects     int    `json:"objects"`
	File        string `json:"file,omitempty"` // where it was written to
	Text        string `json:"text,omitempty"` // the SQL, if it was not written to a file
}

func (d *Snapshot) write(pg *page) {
	if d.File == "" {
		pg.WriteString(d.Text)
		return
	}
	pg.line("Wrote " + count(d.Objects, "object") + " to " + d.File + ".")
}

// Change is a difference between two schemas.
type Change struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Change   string `json:"change"`
	Detail   string `json:"detail,omitempty"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
	Order    bool   `json:"order,omitempty"`

	words string
}

// NewChanges makes the changes of a comparison.
func NewChanges(changes []catalog.Change) []Change {
	all := []Change{}
	for _, c := range changes {
		all = append(all, Change{
			Kind: string(c.Kind), Name: c.Name, Change: c.Change, Detail: c.Detail,
			Expected: c.Expected, Found: c.Found, Order: c.Order, words: c.String(),
		})
	}
	return all
}

func (pg *page) changes(indent string, changes []Change) {
	for _, c := range changes {
		text := c.words
		switch c.Change {
		case catalog.Added:
			text = "+ " + text
		case catalog.Removed:
			text = "- " + text
		default:
			text = "~ " + text
		}
		pg.line(indent + pg.warn(text))
	}
}

// Drift answers drift and diff.
type Drift struct {
	Drift   bool     `json:"drift"`
	Objects []Change `json:"objects"`

	// What the two sides are, in words.
	Expected string `json:"-"`
	Found    string `json:"-"`
}

func (d *Drift) write(pg *page) {
	if !d.Drift {
		pg.line(pg.good("No difference: " + d.Found + " is what " + d.Expected + " says."))
		return
	}
	pg.line(count(len(d.Objects), "difference") + " between " + d.Expected + " and " + d.Found + " (+ only in the second, - only in the first):")
	pg.changes("  ", d.Objects)
}

// DriftAccepted answers drift --accept.
type DriftAccepted struct {
	Set    string `json:"set"`
	Reason string `json:"reason"`
}

func (d *DriftAccepted) write(pg *page) {
	pg.line(pg.good("Recorded that the database is meant to be as it is now. Nothing was changed."))
}

// Proof is what was found out about one migration on scratch.
type Proof struct {
	Version     int64    `json:"version"`
	Name        string   `json:"name"`
	Up          string   `json:"up"`
	Down        string   `json:"down"`
	Inverse     *bool    `json:"inverse"` // null where it could not be found out
	Differences []Change `json:"differences"`

	ok bool
}

// Proved answers verify --scratch.
type Proved struct {
	Set        string   `json:"set"`
	OK         bool     `json:"ok"`
	Migrations []Proof  `json:"migrations"`
	Left       []Change `json:"left"`  // after everything was rolled back
	Again      []Change `json:"again"` // after everything was applied a second time
}

// NewProved makes the answer of what was found.
func NewProved(v *inspect.Verified) *Proved {
	d := &Proved{Set: v.Set, OK: v.OK(), Migrations: []Proof{}, Left: NewChanges(v.Left), Again: NewChanges(v.Again)}
	for _, p := range v.Migrations {
		m := Proof{Version: p.Version, Name: p.Name, Up: "ok", Down: "ok", Differences: NewChanges(p.Differences), ok: p.OK()}
		switch {
		case p.Up != nil:
			m.Up = p.Up.Error()
		case p.Down != nil:
			m.Down = p.Down.Error()
		}
		if p.NoDown {
			m.Down = "none"
		} else if p.Tried && p.Up == nil && p.Down == nil {
			inverse := p.Inverse()
			m.Inverse = &inverse
		}
		d.Migrations = append(d.Migrations, m)
	}
	return d
}

func (d *Proved) write(pg *page) {
	bad, noDown := 0, 0
	for _, m := range d.Migrations {
		if m.Down == "none" {
			noDown++
		}
		if m.ok {
			continue
		}
		bad++
		pg.line(fmt.Sprintf("%s %s", pg.digits.Label(m.Version), m.Name))
		switch {
		case m.Up != "ok":
			pg.line("  up fails: " + m.Up)
		case m.Down != "ok":
			pg.line("  down fails: " + m.Down)
		default:
			pg.line("  down is not the inverse of up; after both, compared with before:")
			pg.changes("    ", m.Differences)
		}
	}
	if len(d.Left) > 0 {
		pg.line("After everything was rolled back this is left:")
		pg.changes("  ", d.Left)
	}
	if len(d.Again) > 0 {
		pg.line("Applied a second time, the schema is another:")
		pg.changes("  ", d.Again)
	}
	if d.OK {
		pg.line(pg.good("Verified " + count(len(d.Migrations), "migration") + " on scratch: every up works, and every down takes back exactly what its up does."))
		if noDown > 0 {
			pg.line(count(noDown, "migration") + " without a down script can't be taken back.")
		}
		return
	}
	pg.line(count(bad, "migration") + " of " + fmt.Sprint(len(d.Migrations)) + " did not pass.")
}
