package render

import (
	"path/filepath"

	"github.com/whimbrel-db/whimbrel/source"
)

// Converted is the answer of convert.
type Converted struct {
	From    string       `json:"from"`
	Dir     string       `json:"dir"`
	Out     string       `json:"out"`
	Files   []string     `json:"files"`
	Changes []Conversion `json:"changes"`
	LeftOut []string     `json:"left_out"`
	// Proved reports that both folders made the same schema on scratch databases.
	Proved bool `json:"proved"`

	migrations int
}

// Conversion is a change that convert made.
type Conversion struct {
	File string `json:"file"`
	What string `json:"what"`
	// Checksum reports that the script's checksum differs.
	Checksum bool `json:"checksum"`
}

// NewConverted describes what was written from a folder.
func NewConverted(dir, out string, c *source.Converted) *Converted {
	d := &Converted{From: string(c.Format), Dir: dir, Out: out, Files: []string{}, Changes: []Conversion{}, LeftOut: []string{}, migrations: c.Set.Len()}
	for _, f := range c.Files {
		d.Files = append(d.Files, filepath.Join(out, f.Name))
	}
	for _, each := range c.Changes {
		d.Changes = append(d.Changes, Conversion{File: filepath.Join(out, each.File), What: each.What, Checksum: each.Text})
	}
	for _, name := range c.LeftOut {
		d.LeftOut = append(d.LeftOut, filepath.Join(dir, filepath.FromSlash(name)))
	}
	return d
}

// shownLeftOut is the most files that are listed as left out.
const shownLeftOut = 10

func (d *Converted) write(pg *page) {
	changed := false
	for _, c := range d.Changes {
		pg.line(clean(c.File), ": ", clean(c.What))
		changed = changed || c.Checksum
	}
	for i, name := range d.LeftOut {
		if i == shownLeftOut {
			pg.line("Left out: ", count(len(d.LeftOut)-i, "more file"))
			break
		}
		pg.line("Left out: ", clean(name))
	}
	words := "Wrote " + count(d.migrations, "migration") + " of " + d.From + " to " + clean(d.Out) + "."
	if d.Proved {
		words += " On scratch databases, both folders make the same schema."
	}
	pg.line(pg.good(words))
	if !d.Proved {
		pg.line("Not proved: the folders were not applied to scratch databases.")
	}
	if changed {
		pg.line(`A database that has applied a changed script needs "whimbrel accept VERSION --reason WHY".`)
	}
}
