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

// Interrupted is an interrupted run, or one that another process is still running.
type Interrupted struct {
	Version   int64  `json:"version"`
	Name      string `json:"name"`
	Direction string `json:"direction"`
	// Statement is the number, from 1, of the statement at which the run was interrupted. It is
	// Of+1 if all statements were executed and only the history entry is missing.
	Statement int     `json:"statement"`
	Of        int     `json:"of"`
	SQL       string  `json:"sql"`
	Since     instant `json:"since"`
	Host      string  `json:"host"`
	PID       int64   `json:"pid"`
	User      string  `json:"user"` // the operating system's, or else the database's
	Actor     string  `json:"actor"`
	Error     string  `json:"error"`
	// Running reports that a process is still running it, as far as the database can tell.
	Running bool `json:"running"`
}

// connectionLost is the error of a run that ended without recording one.
const connectionLost = "connection lost"

// NewInterrupted converts a journal; sql is the statement at which the run was interrupted. It
// returns nil for a nil journal.
func NewInterrupted(j *database.Journal, sql string) *Interrupted {
	if j == nil {
		return nil
	}
	i := &Interrupted{
		Version: j.Version, Name: j.Name, Direction: string(j.Direction), Statement: j.Done + 1, Of: j.Of, SQL: sql,
		Since: instant(j.UpdatedAt), Host: j.Host, PID: j.PID, Error: j.Error, Running: j.Held,
		User: cmp.Or(j.OSUser, j.DBUser), Actor: j.Actor,
	}
	if i.Error = cmp.Or(i.Error, connectionLost); i.Running {
		i.Error = "" // of an earlier attempt
	}
	return i
}

// Next returns the command that resumes the run.
func (i *Interrupted) Next() string { return nextCommand(database.Direction(i.Direction)) }

// words describes the run: its migration, and where, when and why it was interrupted.
func (i *Interrupted) words(pg *page) string {
	which := pg.digits.Name(i.Version, i.Name)
	if i.Direction == string(database.Down) {
		which += " (down)"
	}
	return which + ": " + i.where()
}

// where describes where, when and why the run was interrupted.
func (i *Interrupted) where() string {
	at := " at " + statementOf(i.Statement, i.Of)
	if i.Statement > i.Of {
		at = fmt.Sprintf(" after all %d statements, before its history entry was added", i.Of)
	}
	parts := []string{"interrupted" + at}
	if i.Running {
		parts = []string{"running" + at}
	}
	if since := time.Time(i.Since); !since.IsZero() {
		when := ago(time.Since(since))
		if i.Running {
			when = "started " + when
		}
		parts = append(parts, when)
	}
	if i.Host != "" {
		parts = append(parts, "on host "+clean(i.Host))
	}
	if i.PID != 0 {
		parts = append(parts, fmt.Sprintf("pid %d", i.PID))
	}
	if i.Running && i.User != "" {
		parts = append(parts, "user "+oneLine(i.User))
	}
	if i.Running && i.Actor != "" {
		parts = append(parts, oneLine(i.Actor))
	}
	if i.Error != "" {
		parts = append(parts, strings.TrimRight(oneLine(i.Error), ".")) // the caller ends the sentence
	}
	return strings.Join(parts, ", ")
}

// maxStatement is the maximum width of a statement in an excerpt.
const maxStatement = 200

// excerptOf returns the beginning of a statement, on one line. It reads no more than that, since a
// statement can have megabytes.
func excerptOf(sql string) string {
	const enough = 64 * maxStatement // of bytes, with white space that oneLine removes
	return ansi.Truncate(oneLine(sql[:min(len(sql), enough)]), maxStatement, "…")
}

func statementOf(n, of int) string { return fmt.Sprintf("statement %d of %d", n, of) }

// resumesAt describes where an interrupted step resumes. at is the number of the statement, from 1.
func resumesAt(at, of int) string {
	if at > of {
		return fmt.Sprintf("resumes after all %s, to add the history entry", count(of, "statement"))
	}
	return "resumes at " + statementOf(at, of)
}

// ago describes a time in the past, in one unit. Because clocks differ, d may be negative.
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

// Resolved is the answer of resolve.
type Resolved struct {
	Set        string `json:"set"`
	Version    int64  `json:"version"`
	Name       string `json:"name"`
	Resolution string `json:"resolution"`
	// Statement is the number, from 1, of the statement with which the run resumes.
	Statement int `json:"statement"`
	Of        int `json:"of"`

	next string
}

// NewResolved converts the result of Resolve. before is the run before the decision.
func NewResolved(set string, r *whimbrel.Resolved, how whimbrel.Resolution, before *Interrupted) *Resolved {
	return &Resolved{Set: set, Version: r.Version, Name: r.Name, Resolution: string(how), Statement: r.Statement, Of: r.Of, next: before.Next()}
}

func (d *Resolved) write(pg *page) {
	which := pg.digits.Name(d.Version, d.Name)
	then := "continues with " + statementOf(d.Statement, d.Of)
	switch {
	case d.Statement > d.Of:
		then = "adds the history entry, because all statements were executed"
	case d.Statement == 1:
		then = fmt.Sprintf("starts again with statement 1 of %d", d.Of)
	}
	pg.line(pg.good("Recorded the decision for " + which + ": " + d.Resolution + ". Nothing was run."))
	pg.line("\"" + pg.aim.at(d.next) + "\" " + then + ".")
}
