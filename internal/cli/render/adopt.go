package render

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/adopt"
)

// Unrecorded is what a database without a history has.
type Unrecorded struct {
	// Tables are the history tables of other tools.
	Tables []ToolTable `json:"tables"`
	// Objects is the number of other objects, Example one of them.
	Objects int    `json:"objects"`
	Example string `json:"example,omitempty"`
	// Next is what to do.
	Next string `json:"next"`
}

// ToolTable is the history table of another tool.
type ToolTable struct {
	Tool    string `json:"tool"`
	Table   string `json:"table"`
	Version string `json:"version"`
	Applied int    `json:"applied"`
	Problem string `json:"problem,omitempty"`

	adoptable bool
}

// NewUnrecorded converts what was found, nil for nothing.
func NewUnrecorded(f *adopt.Found) *Unrecorded {
	u := &Unrecorded{Tables: []ToolTable{}, Objects: f.Objects, Example: f.Example}
	for _, t := range f.Tables {
		u.Tables = append(u.Tables, ToolTable{Tool: string(t.Tool), Table: t.Name, Version: t.Newest, Applied: t.Applied, Problem: t.Problem, adoptable: t.Adoptable})
	}
	if len(u.Tables) == 0 && u.Objects == 0 {
		return nil
	}
	u.Next = "whimbrel baseline VERSION"
	if len(u.Tables) == 1 && u.Tables[0].adoptable {
		u.Next = "whimbrel adopt"
	}
	return u
}

// Words say what the database has.
func (u *Unrecorded) Words() string {
	if len(u.Tables) == 0 {
		return fmt.Sprintf("the database has no history, but %s, such as %s", count(u.Objects, "object"), u.Example)
	}
	words := "the database was migrated by "
	for i, t := range u.Tables {
		if i > 0 {
			words += ", and by "
		}
		words += t.Tool
		if t.Version != "" {
			words += " to version " + t.Version
		}
		words += " (table " + t.Table + ")"
	}
	return words + ", not by Whimbrel"
}

// Advice says what to do.
func (u *Unrecorded) Advice() string {
	switch {
	case len(u.Tables) == 0:
		return `If the migrations up to a version made this schema, run "whimbrel baseline VERSION".`
	case len(u.Tables) > 1:
		return `Take one of the histories over: add --from to "whimbrel adopt".`
	case !u.Tables[0].adoptable:
		return `Whimbrel can't read the history of ` + u.Tables[0].Tool + `. Record the version of the schema with "whimbrel baseline VERSION".`
	}
	return `Take its history over with "whimbrel adopt".`
}

// remark says what the database has, and what to do.
func (u *Unrecorded) remark(pg *page) string {
	words := clean(u.Words())
	return pg.warn(strings.ToUpper(words[:1])+words[1:]+".") + " " + pg.aim.at(clean(u.Advice()))
}

// Adopted is the answer of adopt.
type Adopted struct {
	Tool    string             `json:"tool"`
	Table   string             `json:"table"`
	Set     string             `json:"set"`
	Adopted []AdoptedMigration `json:"adopted"`
	Refused []Refusal          `json:"refused"`
	Already int                `json:"already"`
	Guarded bool               `json:"guarded"`
	DryRun  bool               `json:"dry_run"`
	Notes   []string           `json:"notes"`

	// Error is the error if the history does not match: nothing was recorded.
	Error *Failure `json:"error,omitempty"`

	verified bool
}

// AdoptedMigration is a migration that another tool has applied.
type AdoptedMigration struct {
	Version int64   `json:"version"`
	Name    string  `json:"name"`
	ID      string  `json:"id"` // as the tool's table has it
	At      instant `json:"applied_at"`
}

// Refusal is a row or a file that prevents a takeover.
type Refusal struct {
	Version int64  `json:"version"`
	ID      string `json:"id"`
	File    string `json:"file,omitempty"`
	Why     string `json:"why"`
	Reason  string `json:"reason"`
}

// NewRefusals converts refusals.
func NewRefusals(all []adopt.Refused) []Refusal {
	return each(all, func(r adopt.Refused) Refusal {
		return Refusal{Version: r.Version, ID: r.ID, File: r.File, Why: string(r.Why), Reason: r.Reason}
	})
}

func newAdopted(all []adopt.Adopted) []AdoptedMigration {
	return each(all, func(m adopt.Adopted) AdoptedMigration {
		return AdoptedMigration{Version: m.Version, Name: m.Name, ID: m.ID, At: instant(m.At)}
	})
}

// NewAdopted converts the result of adopt.From.
func NewAdopted(r *adopt.Result, dryRun, verified bool) *Adopted {
	return &Adopted{
		Tool: string(r.Tool), Table: r.Table, Set: r.Set, Adopted: newAdopted(r.Adopted), Refused: NewRefusals(r.Refused), Already: r.Already,
		Guarded: r.Blocked, DryRun: dryRun, Notes: append([]string{}, r.Notes...), verified: verified,
	}
}

func (d *Adopted) write(pg *page) {
	for _, n := range d.Notes {
		pg.line(pg.warn("note: "), clean(n))
	}
	if len(d.Adopted) > 0 {
		t := table{head: []string{"VERSION", "NAME", "IN " + clean(d.Tool), "APPLIED (UTC)"}, give: []int{1, 2}}
		for _, m := range d.Adopted {
			t.add(pg.digits.Label(m.Version), clean(m.Name), clean(m.ID), when(m.At))
		}
		pg.table(t)
		pg.line()
	}
	if d.verified {
		pg.line(pg.good("The files make the schema that the database has."))
	}
	words := fmt.Sprintf("Took over %s from %s (%s). Nothing was run.", count(len(d.Adopted), "migration"), d.Tool, d.Table)
	switch {
	case d.DryRun:
		words = fmt.Sprintf("Adopt would take over %s from %s (%s). Nothing was changed.", count(len(d.Adopted), "migration"), d.Tool, d.Table)
	case len(d.Adopted) == 0:
		words = fmt.Sprintf("Nothing to take over: the history has what %s has applied (%s).", d.Tool, d.Table)
	}
	pg.line(pg.good(clean(words)))
	if d.Guarded && !d.DryRun {
		pg.line(clean(d.Tool), " can't migrate this database any more, until ", pg.aim.at(`"whimbrel adopt --reverse".`))
	}
}

// GivenBack is the answer of adopt --reverse.
type GivenBack struct {
	Tool    string             `json:"tool"`
	Table   string             `json:"table"`
	Set     string             `json:"set"`
	Written []AdoptedMigration `json:"written"`
	Removed []AdoptedMigration `json:"removed"`
	DryRun  bool               `json:"dry_run"`
	Notes   []string           `json:"notes"`
}

// NewGivenBack converts the result of adopt.Reverse.
func NewGivenBack(r *adopt.Result, dryRun bool) *GivenBack {
	return &GivenBack{
		Tool: string(r.Tool), Table: r.Table, Set: r.Set, Written: newAdopted(r.Written), Removed: newAdopted(r.Removed), DryRun: dryRun,
		Notes: append([]string{}, r.Notes...),
	}
}

func (d *GivenBack) write(pg *page) {
	for _, n := range d.Notes {
		pg.line(pg.warn("note: "), clean(n))
	}
	for _, m := range d.Written {
		pg.line("added    ", pg.digits.Label(m.Version), " ", clean(m.Name))
	}
	for _, m := range d.Removed {
		pg.line("removed  ", pg.digits.Label(m.Version), " ", clean(m.Name))
	}
	words := fmt.Sprintf("Gave the database back to %s (%s). Nothing was run.", d.Tool, d.Table)
	if d.DryRun {
		words = fmt.Sprintf("Adopt would give the database back to %s (%s). Nothing was changed.", d.Tool, d.Table)
	}
	pg.line(pg.good(clean(words)))
}
