package render

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/inspect"
)

// Baselined answers baseline.
type Baselined struct {
	Set      string  `json:"set"`
	Baseline int64   `json:"baseline"`
	Marked   []int64 `json:"marked"`
}

// NewBaselined makes the answer from the engine's.
func NewBaselined(r *whimbrel.Result, version int64) *Baselined {
	return &Baselined{Set: r.Set, Baseline: version, Marked: versions(r.Recorded)}
}

func (d *Baselined) write(pg *page) {
	words := "The schema is recorded as that of version " + pg.digits.Label(d.Baseline)
	if len(d.Marked) > 0 {
		words += ": recorded " + pg.labels(d.Marked) + " as applied"
	}
	pg.line(pg.good(words + ". Nothing was run."))
}

// Squashed answers squash.
type Squashed struct {
	Version  int64    `json:"version"`
	Replaces []int64  `json:"replaces"`
	Files    []string `json:"files"`
	Deleted  []string `json:"deleted"`
	// Irreversible is the file of a migration without a down script, which is why the squash
	// has none.
	Irreversible string `json:"irreversible,omitempty"`
	// Dropped are the statements that a minimal squash has left out, NoDown why it has no
	// down script, where no file is to blame.
	Dropped []Problem `json:"dropped,omitempty"`
	NoDown  string    `json:"no_down,omitempty"`

	minimal bool
}

// SetMinimal adds what was found out about a squash of the schema.
func (d *Squashed) SetMinimal(m *inspect.Minimized) {
	d.minimal = true
	for _, s := range m.Dropped {
		d.Dropped = append(d.Dropped, Problem{Message: s.Why + ": " + s.SQL, File: s.Pos.File, Line: s.Pos.Line, Column: s.Pos.Column})
	}
	if d.Irreversible == "" {
		d.NoDown = m.NoDown
	}
}

func (d *Squashed) write(pg *page) {
	for _, f := range d.Files {
		pg.line(f)
	}
	words := fmt.Sprintf("Joined %s to one.", count(len(d.Replaces), "migration"))
	if d.minimal {
		words = fmt.Sprintf("Wrote the schema of %s as one, and proved on scratch that it is the same.", count(len(d.Replaces), "migration"))
	}
	if len(d.Deleted) > 0 {
		words += fmt.Sprintf(" Deleted %s.", count(len(d.Deleted), "file"))
	} else {
		words += " Delete their files when every database has recorded it."
	}
	pg.line(pg.good(words))
	if d.Irreversible != "" {
		pg.line("It can't be rolled back, since ", clean(d.Irreversible), " has no down script.")
	}
	if d.NoDown != "" {
		pg.line("It has no down script: ", clean(d.NoDown), ".")
	}
	if len(d.Dropped) > 0 {
		pg.line(pg.warn("Left out, so that a new database will not have it:"))
		for _, s := range d.Dropped {
			pg.line("  ", clean(s.place()), ": ", clean(s.Message))
		}
	}
}
