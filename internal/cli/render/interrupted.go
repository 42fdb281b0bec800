package render

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// Interrupted is a run that stopped part-way.
type Interrupted struct {
	Version   int64  `json:"version"`
	Name      string `json:"name"`
	Direction string `json:"direction"`
	// Statement is the number of the statement at which it stopped, from 1, Of how many there are: one
	// more than that where all stand, and only the history lacks it.
	Statement int     `json:"statement"`
	Of        int     `json:"of"`
	SQL       string  `json:"sql"`
	Since     instant `json:"since"`
	Host      string  `json:"host"`
	PID       int64   `json:"pid"`
	Error     string  `json:"error"`
	// Running says that a process is at it just now, where the database can tell.
	Running bool `json:"running"`
}

// connectionLost is why a run stopped that nobody could write anything about any more.
const connectionLost = "connection lost"

// NewInterrupted makes it from a journal and the statement at which it stopped; nil for none.
func NewInterrupted(j *database.Journal, sql string) *Interrupted {
	if j == nil {
		return nil
	}
	i := &Interrupted{
		Version: j.Version, Name: j.Name, Direction: string(j.Direction), Statement: j.Done + 1, Of: j.Of, SQL: sql,
		Since: instant(j.UpdatedAt), Host: j.Host, PID: j.PID, Error: j.Error, Running: j.Held,
	}
	if i.Error = cmp.Or(i.Error, connectionLost); i.Running {
		i.Error = "" // that of an attempt before, if there is one
	}
	return i
}

// Next is the command that goes on with it.
func (i *Interrupted) Next() string { return nextCommand(database.Direction(i.Direction)) }

// words say where it stopped, when, on whose account and why.
func (i *Interrupted) words(pg *page) string {
	which := clean(i.Name)
	if i.Version != whimbrel.NilVersion {
		which = pg.digits.Label(i.Version) + " " + which
	}
	if i.Direction == string(database.Down) {
		which += " (down)"
	}
	return which + ": " + i.where()
}

func (i *Interrupted) where() string {
	at := "at " + statementOf(i.Statement, i.Of)
	if i.Statement > i.Of {
		at = fmt.Sprintf("after all %d statements, before it was recorded", i.Of)
	}
	parts := []string{"stopped " + at}
	if i.Running {
		parts = []string{"running, " + at}
	}
	if since := time.Time(i.Since); !since.IsZero() {
		when := ago(time.Since(since))
		if i.Running {
			when = "begun " + when
		}
		parts = append(parts, when)
	}
	if i.Host != "" {
		parts = append(parts, "on host "+clean(i.Host))
	}
	if i.PID != 0 {
		parts = append(parts, fmt.Sprintf("pid %d", i.PID))
	}
	if i.Error != "" {
		parts = append(parts, strings.TrimRight(oneLine(i.Error), ".")) // a sentence ends behind it
	}
	return strings.Join(parts, ", ")
}

// maxStatement is how much of a statement is shown where it is not the point.
const maxStatement = 200

// excerptOf is the beginning of a statement, on one line.
func excerptOf(sql string) string { return ansi.Truncate(oneLine(sql), maxStatement, "…") }

func statementOf(n, of int) string { return fmt.Sprintf("statement %d of %d", n, of) }

// goesOn says with what a step goes on that was left open: at is Step.Resumes.
func goesOn(at, of int) string {
	if at > of {
		return fmt.Sprintf("all %s stand, and are to be recorded", count(of, "statement"))
	}
	return "goes on at " + statementOf(at, of)
}

// ago says how long something is past, in one unit. Clocks differ, so it may be to come.
func ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return "just now"
	case d < time.Minute:
		return count(int64(d/time.Second), "second") + " ago"
	case d < time.Hour:
		return count(int64(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return count(int64(d/time.Hour), "hour") + " ago"
	}
	return count(int64(d/(24*time.Hour)), "day") + " ago"
}

// Resolved answers resolve.
type Resolved struct {
	Set        string `json:"set"`
	Version    int64  `json:"version"`
	Name       string `json:"name"`
	Resolution string `json:"resolution"`
	// Statement is that with which the run goes on, from 1.
	Statement int `json:"statement"`
	Of        int `json:"of"`

	next string
}

// NewResolved makes the answer of the engine's; before is the run as it was.
func NewResolved(set string, r *whimbrel.Resolved, how whimbrel.Resolution, before *Interrupted) *Resolved {
	return &Resolved{Set: set, Version: r.Version, Name: r.Name, Resolution: string(how), Statement: r.Statement, Of: r.Of, next: before.Next()}
}

func (d *Resolved) write(pg *page) {
	which := clean(d.Name)
	if d.Version != whimbrel.NilVersion {
		which = pg.digits.Label(d.Version) + " " + which
	}
	goes := "goes on with " + statementOf(d.Statement, d.Of)
	switch {
	case d.Statement > d.Of:
		goes = "records it: all its statements stand"
	case d.Statement == 1:
		goes = fmt.Sprintf("begins anew, with statement 1 of %d", d.Of)
	}
	pg.line(pg.good("Recorded for " + which + ": " + d.Resolution + ". Nothing was run."))
	pg.line("\"" + d.next + "\" " + goes + ".")
}
