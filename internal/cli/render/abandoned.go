package render

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// Abandoned is the answer of abandon.
type Abandoned struct {
	Set       string `json:"set"`
	Version   int64  `json:"version"`
	Name      string `json:"name"`
	Direction string `json:"direction"`
	// Statement is the number, from 1, of the statement at which the run was interrupted.
	Statement int `json:"statement"`
	Of        int `json:"of"`
	// Outcome is what the database had of that statement. Removed lists the statements that removed
	// it.
	Outcome string   `json:"outcome"`
	Removed []string `json:"removed"`
	DryRun  bool     `json:"dry_run"`
	// Frozen reports that the database is frozen, so that the command would be refused.
	Frozen bool `json:"frozen"`

	next   string
	frozen string // by whom, since when and why; "" if the database is not frozen
}

// NewAbandoned converts the result of Abandon. before is the run that it ended.
func NewAbandoned(a *whimbrel.Abandoned, before *Interrupted) *Abandoned {
	frozen := FrozenBy(a.Settings)
	return &Abandoned{
		Set: a.Set, Version: a.Version, Name: a.Name, Direction: string(a.Direction), Statement: a.Statement, Of: a.Of,
		Outcome: a.Outcome, Removed: append([]string{}, a.Removed...), DryRun: a.DryRun, next: before.Next(),
		Frozen: frozen != "", frozen: frozen,
	}
}

func (d *Abandoned) write(pg *page) {
	if d.Outcome != "" {
		pg.line(pg.wrap(fmt.Sprintf("Statement %d of %d: %s.", d.Statement, d.Of, oneLine(d.Outcome))))
	}
	did := "Executed: "
	if d.DryRun {
		did = "Would execute: "
	}
	for _, sql := range d.Removed {
		pg.line(did, oneLine(sql))
	}
	which := pg.digits.Name(d.Version, d.Name)
	after := fmt.Sprintf("%q starts it with its first statement.", d.next)
	if d.Version != database.NilVersion {
		after = "It is pending again: " + after
	}
	if d.Direction == string(database.Down) {
		which, after = "the rollback of "+which, "The migration remains applied."
	}
	if d.DryRun {
		pg.line(pg.warn("Would abandon "+which+"."), " Nothing was changed.")
		if d.Frozen {
			pg.whileFrozen(d.frozen, "abandon")
		}
		return
	}
	pg.line(pg.good("Abandoned " + which + "."))
	pg.line(pg.wrap(pg.aim.at(after)))
}
