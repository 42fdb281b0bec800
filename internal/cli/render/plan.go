package render

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// Plan answers plan and --dry-run.
type Plan struct {
	Set  string `json:"set"`
	Goal string `json:"goal"`
	// Atomic: one transaction does all steps. Otherwise each has its own, or none.
	Atomic bool       `json:"atomic"`
	Steps  []PlanStep `json:"steps"`
	// Downs are the down scripts that it records and that could not run as they are.
	Downs []DownProblem `json:"down_problems,omitempty"`

	Idle string `json:"-"`
}

// PlanStep is one migration, up or down.
type PlanStep struct {
	Version    int64  `json:"version"`
	Name       string `json:"name"`
	Direction  string `json:"direction"`
	File       string `json:"file"`
	Mode       string `json:"mode"`
	Why        string `json:"why,omitempty"`
	Statements int    `json:"statements"`
	// Resumes is the statement at which a script goes on that stopped part-way, from 1.
	Resumes   int    `json:"resumes,omitempty"`
	From      string `json:"from"`
	Unwrapped bool   `json:"unwrapped"`
	// StandsFor are the versions that are recorded with it without running them.
	StandsFor []int64 `json:"stands_for,omitempty"`
	Checksum  string  `json:"checksum"`
	// Metadata is the file with the metadata that the migration carries.
	Metadata string `json:"metadata,omitempty"`
	// Secrets are the places of the statements that carry a password which the history will keep.
	Secrets []string `json:"secrets,omitempty"`
}

// NewPlan makes the answer from the engine's plan.
func NewPlan(p *whimbrel.Plan) *Plan {
	d := &Plan{Set: p.Set, Goal: p.Goal.String(), Atomic: p.Atomic, Steps: []PlanStep{}}
	d.Downs = newDowns(p.Downs)
	for _, s := range p.Steps {
		d.Steps = append(d.Steps, PlanStep{
			Version: s.Version, Name: s.Name, Direction: string(s.Direction), File: s.Script.File, Mode: string(s.Mode), Why: s.Why,
			Statements: s.Statements, Resumes: s.Resumes(), From: string(s.From), Unwrapped: s.Unwrapped, StandsFor: s.StandsFor(), Checksum: s.Script.Checksum.String(),
			Metadata: s.Metadata, Secrets: secretPlaces(s),
		})
	}
	return d
}

// secretPlaces says where a step has passwords that the history will keep.
func secretPlaces(s whimbrel.Step) (places []string) {
	for _, p := range s.Secrets {
		places = append(places, p.String())
	}
	return places
}

// keepsSecret warns of passwords in a script whose text the history will keep.
func keepsSecret(places []string) string {
	more := ""
	if n := len(places) - 1; n > 0 {
		more = fmt.Sprintf(" (and %s)", count(n, "more statement"))
	}
	return places[0] + more + ": the statement has a password, and the history keeps the text of the script. To keep only its checksum, put \"-- whimbrel: secret\" at the head of the file."
}

// shownReasons is for how many steps the reason is given why they run outside a transaction. If no
// DDL can be in a transaction, most do.
const shownReasons = 3

func (d *Plan) write(pg *page) {
	if len(d.Steps) == 0 {
		pg.line(d.Idle)
		return
	}
	t := table{head: []string{"TRANSACTION", "", "VERSION", "NAME", "STATEMENTS", "FILE"}, right: map[int]bool{4: true}, give: []int{3}}
	var remarks []string
	steps, scripts, transactions, outside := 0, 0, 0, 0
	for i, s := range d.Steps {
		if s.Version == whimbrel.NilVersion {
			scripts++
		} else {
			steps++
		}
		in := ""
		switch {
		case s.outside():
			outside++
			in = pg.warn("outside")
		case i == 0 || !d.Atomic:
			transactions++
			in = pg.good(fmt.Sprint(transactions))
		}
		t.add(in, s.Direction, strings.TrimSpace(pg.digits.Step(s.Version)), clean(s.Name), fmt.Sprint(s.Statements), clean(s.File))
		if s.Statements == 0 && s.Direction == string(database.Down) {
			remarks = append(remarks, fmt.Sprintf("%s: the down script has no statement; rolling it back changes nothing but the history.", pg.digits.Label(s.Version)))
		}
		if len(s.Secrets) > 0 {
			remarks = append(remarks, pg.warn("warning: ")+clean(keepsSecret(s.Secrets)))
		}
		if remark := pg.standsFor(s); remark != "" {
			remarks = append(remarks, remark)
		}
		if s.Metadata != "" && s.Direction == string(database.Up) {
			remarks = append(remarks, pg.which(s)+": the metadata in "+clean(s.Metadata)+" goes with it.")
		}
		switch {
		case s.Unwrapped:
			remarks = append(remarks, pg.which(s)+": the file's own BEGIN and COMMIT are left out; Whimbrel's transaction takes their place.")
		case s.Resumes > 0:
			remarks = append(remarks, pg.whole(s)+": "+goesOn(s.Resumes, s.Statements)+".")
		case s.outside() && outside <= shownReasons:
			remarks = append(remarks, fmt.Sprintf("%s: its statements run one by one, outside a transaction: %s.", pg.which(s), clean(s.Why)))
		}
	}
	if more := outside - shownReasons; more > 0 {
		remarks = append(remarks, fmt.Sprintf("%d more run outside a transaction, too; --json says why.", more))
	}
	for _, down := range d.Downs {
		remarks = append(remarks, down.lines(pg.digits.Label(down.Version))...)
	}
	pg.table(t)
	pg.line()
	for _, r := range remarks {
		pg.line(r)
	}
	what := count(steps, "migration")
	switch {
	case steps == 0:
		what = count(scripts, "repeatable script")
	case scripts > 0:
		what += " and " + count(scripts, "repeatable script")
	}
	pg.line(fmt.Sprintf("%s in %s, set %q. Nothing was changed.", what, transactionWords(transactions, outside), d.Set))
}

// which names a step: by its version, or the script's name where it belongs to none.
func (pg *page) which(s PlanStep) string {
	if s.Version == whimbrel.NilVersion {
		return clean(s.Name)
	}
	return pg.digits.Label(s.Version)
}

// whole names a step by its version and its name.
func (pg *page) whole(s PlanStep) string {
	if s.Version == whimbrel.NilVersion {
		return clean(s.Name)
	}
	return pg.digits.Label(s.Version) + " " + clean(s.Name)
}

// standsFor says what is recorded with a step without running it, "" for nothing.
func (pg *page) standsFor(s PlanStep) string {
	switch database.Direction(s.Direction) {
	case database.Mark:
		return fmt.Sprintf("%s: recorded without running it; the database has applied what it replaces: %s.", pg.which(s), pg.labels(append(s.StandsFor, s.Version)))
	case database.Baseline:
		return pg.which(s) + ": an empty database starts from this file; all versions up to it are recorded as applied."
	}
	return ""
}

func (s PlanStep) outside() bool { return s.Mode == string(whimbrel.OutsideTransaction) }

// transactionWords says how many transactions a plan takes.
func transactionWords(transactions, outside int) string {
	switch {
	case outside == 0:
		return count(transactions, "transaction")
	case transactions == 0:
		return "no transaction"
	}
	return fmt.Sprintf("%s, %d outside a transaction", count(transactions, "transaction"), outside)
}
