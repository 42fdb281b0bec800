package render

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel"
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
}

func (d *Squashed) write(pg *page) {
	for _, f := range d.Files {
		pg.line(f)
	}
	words := fmt.Sprintf("Joined %s to one.", count(len(d.Replaces), "migration"))
	if len(d.Deleted) > 0 {
		words += fmt.Sprintf(" Deleted %s.", count(len(d.Deleted), "file"))
	} else {
		words += " Delete their files when every database has recorded it."
	}
	pg.line(pg.good(words))
	if d.Irreversible != "" {
		pg.line("It can't be rolled back, since ", clean(d.Irreversible), " has no down script.")
	}
}
