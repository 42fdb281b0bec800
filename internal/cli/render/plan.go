package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// Plan is the answer of plan and --dry-run.
type Plan struct {
	Set   string     `json:"set"`
	Goal  string     `json:"goal"`
	Steps []PlanStep `json:"steps"`
	// Frozen reports that the database is frozen, so that the plan would be refused.
	Frozen bool `json:"frozen"`
	// Downs lists the down scripts that the plan records and that can't run.
	Downs []DownProblem `json:"down_problems,omitempty"`

	// Warnings lists what in the scripts may not be meant.
	Warnings []Problem `json:"warnings,omitempty"`
	// Unrecorded is what a database without a history has, nil for nothing: up would be refused.
	Unrecorded *Unrecorded `json:"unrecorded,omitempty"`

	Idle string `json:"-"`

	frozen string // by whom, since when and why; "" if the database is not frozen
}

// PlanStep is what a plan does with one migration or script.
type PlanStep struct {
	Version   int64  `json:"version"`
	Name      string `json:"name"`
	Direction string `json:"direction"`
	// Transaction is the number of the step's transaction, from 1. Steps with the same number share
	// one. It is nil for a step that runs outside a transaction, and WhyNoTransaction says why.
	Transaction      *int   `json:"transaction"`
	WhyNoTransaction string `json:"why_no_transaction,omitempty"`
	File             string `json:"file"`
	Statements       int    `json:"statements"`
	// Resumes is the number, from 1, of the statement at which an interrupted script resumes.
	Resumes   int    `json:"resumes,omitempty"`
	From      string `json:"from"`
	Unwrapped bool   `json:"unwrapped"`
	// Records lists the versions that are recorded with the step without running them.
	Records  []int64 `json:"records,omitempty"`
	Checksum string  `json:"checksum"`
	// Metadata is the file with the metadata that the migration carries.
	Metadata string `json:"metadata,omitempty"`
	// Secrets lists the positions of statements with a password that the history will keep.
	Secrets []string `json:"secrets,omitempty"`
	// Backfill is what a backfill changes, and how.
	Backfill *PlanBackfill `json:"backfill,omitempty"`
	// After lists the backfills that must be done before the step.
	After []PlanAfter `json:"after,omitempty"`
}

// NewPlan converts a plan. frozen describes the freeze of the database, "" for none.
func NewPlan(p *whimbrel.Plan, frozen string) *Plan {
	d := &Plan{Set: p.Set, Goal: p.Goal.String(), Steps: []PlanStep{}, Downs: newDowns(p.Downs), Frozen: frozen != "", frozen: frozen}
	for _, w := range p.Warnings {
		d.Warnings = append(d.Warnings, Problem{Message: w.Msg, File: w.File, Line: w.Line, Column: w.Column})
	}
	transactions := 0
	for i, s := range p.Steps {
		var transaction *int
		if s.Mode != whimbrel.OutsideTransaction && s.Mode != whimbrel.InBatches {
			if i == 0 || !p.Atomic {
				transactions++
			}
			n := transactions
			transaction = &n
		}
		d.Steps = append(d.Steps, PlanStep{
			Version: s.Version, Name: s.Name, Direction: string(s.Direction), Transaction: transaction, WhyNoTransaction: s.Why,
			File: s.Script.File, Statements: s.Statements, Resumes: s.Resumes(), From: string(s.From), Unwrapped: s.Unwrapped,
			Records: s.Records(), Checksum: s.Script.Checksum.String(), Metadata: s.Metadata, Secrets: secretPlaces(s),
			Backfill: newPlanBackfill(s), After: newPlanAfter(s.After),
		})
	}
	return d
}

// secretPlaces returns the positions of passwords in a step that the history will keep.
func secretPlaces(s whimbrel.Step) (places []string) {
	for _, p := range s.Secrets {
		places = append(places, p.String())
	}
	return places
}

// keepsSecret returns a warning about passwords in a script whose text the history will keep.
func keepsSecret(places []string) string {
	more := ""
	if n := len(places) - 1; n > 0 {
		more = fmt.Sprintf(" (and %s)", count(n, "more statement"))
	}
	return places[0] + more + ": the statement has a password, and the history will keep the script's text. To keep only its checksum, write \"-- whimbrel: secret\" at the top of the file."
}

// shownReasons is for how many steps outside a transaction the plan says why. Some databases run
// most that way.
const shownReasons = 3

func (d *Plan) write(pg *page) {
	if len(d.Steps) == 0 {
		pg.line(d.Idle)
		return
	}
	if d.Frozen {
		pg.whileFrozen(d.frozen, "this plan")
	}
	if d.Unrecorded != nil {
		pg.line(pg.wrap(d.Unrecorded.remark(pg)))
		pg.line("Until then, this plan would be refused.")
		pg.line()
	}
	t := table{head: []string{"TRANSACTION", "STEP", "VERSION", "NAME", "STATEMENTS", "FILE"}, right: map[int]bool{4: true}, give: []int{3}, drop: []int{5, 4}}
	last := 0
	for _, s := range d.Steps {
		transaction, does := pg.warn("none"), s.Direction
		if s.Transaction != nil {
			transaction = ""
			if *s.Transaction != last {
				transaction = pg.good(fmt.Sprint(*s.Transaction))
			}
			last = *s.Transaction
		}
		if s.Backfill != nil {
			transaction, does = s.Backfill.words()
		}
		t.add(transaction, does, strings.TrimSpace(pg.digits.Step(s.Version)), clean(s.Name), fmt.Sprint(s.Statements), clean(s.File))
	}
	pg.table(t)
	pg.line()
	for _, r := range d.remarks(pg) {
		pg.line(pg.wrap(r))
	}
	d.writeSync(pg)
	pg.line(pg.wrap(d.summary()))
	pg.line("Nothing was changed.")
}

// whileFrozen says before the answer of a dry run that the database is frozen, so that the real
// run would be refused.
func (pg *page) whileFrozen(frozen, what string) {
	pg.line(pg.wrap(pg.warn("The database is frozen " + frozen + ".")))
	pg.line("While it is frozen, " + what + " would be refused.")
	pg.line()
}

// remarks explains the steps.
func (d *Plan) remarks(pg *page) (remarks []string) {
	outside := 0
	for _, s := range d.Steps {
		if s.Statements == 0 && s.Direction == string(database.Down) {
			remarks = append(remarks, fmt.Sprintf("%s: the down script has no statement; rolling back changes only the history.", pg.which(s)))
		}
		if len(s.Secrets) > 0 {
			remarks = append(remarks, pg.warn("warning: ")+clean(keepsSecret(s.Secrets)))
		}
		if remark := pg.records(s); remark != "" {
			remarks = append(remarks, remark)
		}
		if s.Metadata != "" && s.Direction == string(database.Up) {
			remarks = append(remarks, pg.which(s)+": applies the metadata in "+clean(s.Metadata)+".")
		}
		if s.Unwrapped {
			remarks = append(remarks, pg.which(s)+": the BEGIN and COMMIT in the file are left out, because the step runs in a transaction.")
		}
		if words := s.afterWords(pg); words != "" {
			remarks = append(remarks, words)
		}
		switch {
		case s.Backfill != nil:
			remarks = append(remarks, s.Backfill.lines(pg, s)...)
		case s.Resumes > 0:
			remarks = append(remarks, pg.digits.Name(s.Version, s.Name)+": "+resumesAt(s.Resumes, s.Statements)+".")
		case s.Transaction == nil:
			if outside++; outside <= shownReasons {
				remarks = append(remarks, fmt.Sprintf("%s: runs statement by statement, outside a transaction: %s.", pg.which(s), clean(s.WhyNoTransaction)))
			}
		}
	}
	if more := outside - shownReasons; more > 0 {
		remarks = append(remarks, fmt.Sprintf("%s outside a transaction; --json shows why.", count(more, "more step")))
	}
	for _, down := range d.Downs {
		remarks = append(remarks, down.lines(pg.digits.Label(down.Version)+":")...)
	}
	return remarks
}

// summary counts the steps and transactions.
func (d *Plan) summary() string {
	migrations, scripts, transactions, outside, batches := 0, 0, 0, 0, 0
	for _, s := range d.Steps {
		if s.Version == whimbrel.NilVersion {
			scripts++
		} else {
			migrations++
		}
		switch {
		case s.Backfill != nil:
			batches++
		case s.Transaction == nil:
			outside++
		default:
			transactions = *s.Transaction
		}
	}
	what := slices.Concat(some(migrations, "migration"), some(scripts, "repeatable script"))
	where := some(transactions, "transaction")
	if outside > 0 {
		where = append(where, count(outside, "step")+" outside a transaction")
	}
	where = append(where, some(batches, "backfill")...)
	return fmt.Sprintf("%s (set %q): %s.", listWords(what), d.Set, listWords(where))
}

// which names a step by its version or, without one, by the script's name.
func (pg *page) which(s PlanStep) string {
	if s.Version == whimbrel.NilVersion {
		return clean(s.Name)
	}
	return pg.digits.Label(s.Version)
}

// records describes what is recorded with a step without running it, "" for nothing.
func (pg *page) records(s PlanStep) string {
	switch database.Direction(s.Direction) {
	case database.Mark:
		return fmt.Sprintf("%s: recorded without running, because the database has applied what it replaces: %s.", pg.which(s), pg.labels(append(s.Records, s.Version)))
	case database.Baseline:
		return pg.which(s) + ": an empty database starts from this file; all versions up to it are recorded as applied."
	}
	return ""
}
