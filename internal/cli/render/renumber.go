package render

import (
	"fmt"
	"path/filepath"

	"github.com/whimbrel-db/whimbrel/source"
)

// Renumbered is the answer of renumber.
type Renumbered struct {
	Renumbered []NewVersion `json:"renumbered"`
	DryRun     bool         `json:"dry_run"`
}

// NewVersion is a migration with a new version.
type NewVersion struct {
	Version int64   `json:"version"`
	To      int64   `json:"to"`
	Name    string  `json:"name"`
	Why     string  `json:"why"`
	Files   []Moved `json:"files"`
	// Edits are the directives of other files that name the new version.
	Edits []Edited `json:"edits"`
	// After are pending migrations that had a higher version and now run first.
	After []int64 `json:"after"`
}

// Edited is a directive with another text. File is the file's name before.
type Edited struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Moved
}

// Moved is a file with a new name.
type Moved struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Add adds what Renumber returned for a folder.
func (d *Renumbered) Add(dir string, all []source.Renumbered) {
	d.Renumbered = []NewVersion{}
	for _, m := range all {
		n := NewVersion{Version: m.Version, To: m.To, Name: m.Name, Why: m.Why, After: append([]int64{}, m.After...), Files: []Moved{}, Edits: []Edited{}}
		for _, r := range m.Renames {
			n.Files = append(n.Files, Moved{filepath.Join(dir, r.From), filepath.Join(dir, r.To)})
		}
		for _, e := range m.Edits {
			n.Edits = append(n.Edits, Edited{filepath.Join(dir, e.File), e.Line, Moved{e.From, e.To}})
		}
		d.Renumbered = append(d.Renumbered, n)
	}
}

func (d *Renumbered) write(pg *page) {
	if len(d.Renumbered) == 0 {
		pg.line("Nothing to renumber: no pending migration was overtaken.")
		return
	}
	for _, n := range d.Renumbered {
		for _, f := range n.Files {
			pg.line(clean(f.From), " → ", clean(f.To))
		}
		for _, e := range n.Edits {
			pg.line(clean(fmt.Sprintf("%s:%d: %s → %s", e.File, e.Line, e.From, e.To)))
		}
		pg.line("  because ", clean(n.Why))
		if len(n.After) > 0 {
			pg.line("  ", pg.warn("It now runs after "+pg.labels(n.After)+"."))
		}
	}
	words := "Renumbered " + count(len(d.Renumbered), "migration") + "."
	if d.DryRun {
		words = "Dry run: nothing was renamed."
	}
	pg.line(pg.good(words))
}
