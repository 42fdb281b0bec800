package render

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/inspect"
)

// Baselined is the answer of baseline.
type Baselined struct {
	Set      string  `json:"set"`
	Baseline int64   `json:"baseline"`
	Marked   []int64 `json:"marked"`
}

// NewBaselined converts the result of Baseline.
func NewBaselined(r *whimbrel.Result, version int64) *Baselined {
	return &Baselined{Set: r.Set, Baseline: version, Marked: versions(r.Recorded)}
}

func (d *Baselined) write(pg *page) {
	words := "Recorded the schema as being at version " + pg.digits.Label(d.Baseline)
	if len(d.Marked) > 0 {
		words += " (marked as applied: " + pg.labels(d.Marked) + ")"
	}
	pg.line(pg.good(words + ". Nothing was run."))
}

// Squashed is the answer of squash.
type Squashed struct {
	Version  int64    `json:"version"`
	Replaces []int64  `json:"replaces"`
	Files    []string `json:"files"`
	Deleted  []string `json:"deleted"`
	// Irreversible is the file of a migration without a down script. It is the reason why the
	// squash has none.
	Irreversible string `json:"irreversible,omitempty"`
	// Dropped lists the statements that a minimal squash leaves out. NoDown is why it has no down
	// script, if that is not due to a file.
	Dropped []Problem `json:"dropped,omitempty"`
	NoDown  string    `json:"no_down,omitempty"`

	minimal bool
}

// SetMinimal adds the findings for a minimal squash.
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
	words := fmt.Sprintf("Joined %s into one.", count(len(d.Replaces), "migration"))
	if d.minimal {
		words = fmt.Sprintf("Wrote the schema of %s as one migration, and verified it on a scratch database.", count(len(d.Replaces), "migration"))
	}
	if len(d.Deleted) > 0 {
		words += fmt.Sprintf(" Deleted %s.", count(len(d.Deleted), "file"))
	} else {
		words += " Delete the replaced files when every database has recorded the squash."
	}
	pg.line(pg.good(words))
	if d.Irreversible != "" {
		pg.line("It can't be rolled back, because ", clean(d.Irreversible), " has no down script.")
	}
	if d.NoDown != "" {
		pg.line("It has no down script: ", clean(d.NoDown), ".")
	}
	if len(d.Dropped) > 0 {
		pg.line(pg.warn("Left out, so new databases will lack this:"))
		for _, s := range d.Dropped {
			pg.line("  ", clean(s.place()), ": ", clean(s.Message))
		}
	}
}
