package render

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Kind classifies a failure.
type Kind string

// Failure is an error as the command shows it.
type Failure struct {
	Kind Kind `json:"kind"`
	// Message describes the error, without the position.
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	// Version, Name and Direction identify the migration that failed.
	Version   *int64 `json:"version,omitempty"`
	Name      string `json:"name,omitempty"`
	Direction string `json:"direction,omitempty"`
	// SQLState, Detail and Hint come from the server. Without a hint from the server, Hint is Next.
	SQLState string `json:"sqlstate,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Hint     string `json:"hint,omitempty"`
	// ExecutedStatements is the number of statements of the migration that remain applied.
	ExecutedStatements int `json:"executed_statements,omitempty"`
	// Stored, Expected, Diff and OnlyBlank describe a checksum mismatch. Versions lists all
	// versions that don't match, are out of order, or are missing.
	Stored    string  `json:"stored,omitempty"`
	Expected  string  `json:"expected,omitempty"`
	Diff      string  `json:"diff,omitempty"`
	OnlyBlank bool    `json:"only_blank,omitempty"`
	Versions  []int64 `json:"versions,omitempty"`
	// Holder is the process that holds the lock. Waited is how long the command waited for it.
	Holder *Holder `json:"holder,omitempty"`
	Waited *Millis `json:"waited_ms,omitempty"`
	// Retries is how often the migration was tried again because of a lock, LockWait how long these
	// attempts and the pauses took, and Blockage what was last known to block it.
	Retries  int       `json:"retries,omitempty"`
	LockWait *Millis   `json:"lock_wait_ms,omitempty"`
	Blockage *Blockage `json:"blockage,omitempty"`
	// Reason, By, Since and Until describe the setting that forbids the command.
	Reason string   `json:"reason,omitempty"`
	By     string   `json:"by,omitempty"`
	Since  *instant `json:"since,omitempty"`
	Until  *instant `json:"until,omitempty"`
	// Database is the name that confirms the command.
	Database string `json:"database,omitempty"`
	// Problems lists all problems of a folder or of the scripts of a plan, if there are several.
	Problems []Problem `json:"problems,omitempty"`
	// MoreProblems is the number of problems that are not listed.
	MoreProblems int `json:"more_problems,omitempty"`
	// Differences lists the differences between two schemas that should be equal.
	Differences []Change `json:"differences,omitempty"`
	// Interrupted is an interrupted run that can't resume. Choices lists the possible decisions.
	Interrupted *Interrupted `json:"interrupted,omitempty"`
	Choices     []Choice     `json:"choices,omitempty"`
	// Remaining lists the statements of an interrupted run that prevent it from being abandoned.
	Remaining []Remaining `json:"remaining,omitempty"`
	// Entry is the history entry that another process added, or that of a person who stopped a
	// backfill.
	Entry *Entry `json:"entry,omitempty"`
	// Backfill is the backfill that failed, was stopped, or is not done yet.
	Backfill *Backfill `json:"backfill,omitempty"`

	// Unrecorded is what a database without a history has.
	Unrecorded *Unrecorded `json:"unrecorded,omitempty"`

	Excerpt string `json:"-"` // the lines of the file
	Outcome string `json:"-"` // what the command did before it failed
	Next    string `json:"-"` // what to do now

	Journal  *database.Journal `json:"-"`                  // of the run that the failure interrupted
	Leftover string            `json:"leftover,omitempty"` // what its statement may have left behind
	Digits   Digits            `json:"-"`                  // of the versions in the texts
	Refused  bool              `json:"-"`                  // if no work has begun, the command did nothing
	Unknown  bool              `json:"-"`                  // the answer to a COMMIT was lost
}

// Label formats a version as the set's files have it.
func (f *Failure) Label(version int64) string { return f.Digits.Label(version) }

// Labels joins versions, formatted as the set's files have them.
func (f *Failure) Labels(versions []int64) string { return f.Digits.labels(versions) }

// Choice is one of several possible decisions.
type Choice struct {
	Command string `json:"command"`
	Effect  string `json:"effect"`
}

// Remaining is a statement of an interrupted run that remains applied.
type Remaining struct {
	Statement int    `json:"statement"`
	SQL       string `json:"sql"` // "" if the folder lacks the script as it was executed
	// Outcome is what the database has of the statement at which the run was interrupted.
	Outcome string `json:"outcome,omitempty"`
}

// Problem is one of several problems.
type Problem struct {
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
}

// Holder is the process that holds the migration lock.
type Holder struct {
	PID   int64   `json:"pid,omitempty"`
	User  string  `json:"user,omitempty"`
	Host  string  `json:"host,omitempty"`
	App   string  `json:"app,omitempty"`
	Since instant `json:"since"`
	Task  string  `json:"task,omitempty"` // the script that it executes
	Query string  `json:"query,omitempty"`
}

// NewHolder converts a holder. It returns nil if nothing is known about it.
func NewHolder(h database.Holder) *Holder {
	if h == (database.Holder{}) {
		return nil
	}
	return &Holder{PID: h.PID, User: h.User, Host: h.Host, App: h.App, Since: instant(h.Since), Task: h.Task, Query: h.Query}
}

// NewInstant returns nil for the zero time.
func NewInstant(t time.Time) *instant {
	if t.IsZero() {
		return nil
	}
	i := instant(t)
	return &i
}

// SetVersion sets the version that failed, unless it is that of a script without a version.
func (f *Failure) SetVersion(version int64) {
	if version != database.NilVersion {
		f.Version = &version
	}
}

// Fail prints a failure.
func (p *Printer) Fail(f *Failure) {
	p.aimed(f)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opts.JSON {
		p.encode(map[string]*Failure{"error": f})
		return
	}
	p.writeFailure(f)
}

func (p *Printer) writeFailure(f *Failure) {
	p.live.rest()
	if !f.Refused {
		p.begun()
	}
	p.header = header{}
	if f.Blockage != nil {
		f.Blockage.of = p.told(f.Blockage.of)
	}
	pg := p.page(p.opts.Err)
	f.write(pg)
	p.put(p.opts.Err, pg.String())
}

func (f *Failure) write(pg *page) {
	if len(f.Problems) > 0 {
		for _, pr := range f.Problems {
			pg.problem(pr, "")
		}
		if f.MoreProblems > 0 {
			pg.line(fmt.Sprintf("and %d more", f.MoreProblems))
		}
	} else {
		pg.problem(Problem{Message: f.Message, File: f.File, Line: f.Line, Column: f.Column}, f.SQLState)
	}
	f.writeInterrupted(pg)
	pg.changes("  ", f.Differences)
	f.writeRemaining(pg)
	if f.Excerpt != "" {
		pg.line()
		pg.WriteString(pg.excerpt(cropped(cleanLines(f.Excerpt), pg.width)))
		pg.line()
	}
	pg.labelled("detail", f.Detail)
	if f.Hint != f.Next {
		pg.labelled("hint", f.Hint)
	}
	f.writeBlockage(pg)
	f.writeMismatch(pg)
	if e := f.Entry; e != nil && f.Backfill == nil { // whose message names the author
		what := e.Direction
		if e.Version != database.NilVersion {
			what += " " + pg.digits.Label(e.Version)
		}
		pg.labelled("history", fmt.Sprintf("%s %s %s%s", e.At, what, e.Name, pg.by(*e)))
	}
	if f.Outcome != "" {
		pg.line(pg.wrap(f.Outcome))
	}
	if f.Next != "" {
		pg.line(pg.wrap(f.Next))
	}
	for _, c := range f.Choices {
		pg.raw("  ", pg.bold(clean(c.Command)))
		pg.line("      ", clean(c.Effect))
	}
}

// maxLines is how many lines of an interrupted statement are shown.
const maxLines = 20

func (f *Failure) writeInterrupted(pg *page) {
	i := f.Interrupted
	if i == nil {
		return
	}
	if i.SQL != "" {
		pg.line()
		lines := strings.Split(cleanLines(i.SQL), "\n")
		for _, line := range lines[:min(len(lines), maxLines)] {
			pg.raw("    ", line)
		}
		if more := len(lines) - maxLines; more > 0 {
			pg.line("    ", pg.faint("… "+count(more, "more line")))
		}
		pg.line()
	}
	is := "It was "
	if i.Running {
		is = "It is "
	}
	pg.line(is + i.where() + ".")
	if len(f.Differences) > 0 {
		pg.line("The schema has changed since the statement started:")
	}
}

// writeBlockage describes how often the migration was tried, and what blocked it.
func (f *Failure) writeBlockage(pg *page) {
	now := time.Now()
	if f.Retries > 0 && f.LockWait != nil {
		pg.line(pg.wrap(fmt.Sprintf("It was tried %d times in %s.", f.Retries+1, span(time.Duration(*f.LockWait)))))
	}
	if f.Blockage == nil {
		return
	}
	b := f.Blockage.of
	words := "The statement waited"
	if f.Retries > 0 {
		words = "The last attempt waited"
	}
	if b.Waited > 0 {
		words += " " + span(b.Waited)
	}
	if lock := lockOf(b); lock != "" {
		words += " for " + lock
	}
	end := "."
	if len(b.Blockers) > 0 {
		end = ". It was blocked by:"
	}
	pg.line(pg.wrap(words + end))
	pg.blockers(b, 2, now)
	if b.Queued > 0 {
		pg.line(pg.wrap(fmt.Sprintf("%s waited behind it.", count(b.Queued, "other session"))))
	}
	if b.Hidden != "" {
		pg.labelled("note", b.Hidden)
	}
}

func (f *Failure) writeRemaining(pg *page) {
	for _, s := range f.Remaining {
		sql := excerptOf(s.SQL)
		if s.SQL == "" {
			sql = pg.faint("its text is not in the folder as it was executed")
		}
		pg.line(fmt.Sprintf("  Statement %d: ", s.Statement), sql)
	}
}

func (f *Failure) writeMismatch(pg *page) {
	if f.Stored == "" {
		return
	}
	pg.labelled("applied with", f.Stored)
	pg.labelled("present file", f.Expected)
	if f.OnlyBlank {
		pg.line("Only comments or white space differ.")
	}
	if f.Diff != "" {
		pg.line()
		pg.WriteString(pg.diff(cleanLines(f.Diff)))
		pg.line()
	}
}

// problem writes "place: message", or "error: message" if the position is unknown.
func (pg *page) problem(pr Problem, code string) {
	place := cmp.Or(pr.place(), "error")
	if code != "" {
		code = pg.faint(" (" + code + ")")
	}
	pg.line(pg.bad(clean(place)+":") + " " + pg.bold(cleanLines(pr.Message)) + code)
}

// place returns the position as far as it is known.
func (pr Problem) place() string {
	if pr.File == "" || pr.Line == 0 {
		return pr.File
	}
	return fmt.Sprintf("%s:%d:%d", pr.File, pr.Line, max(pr.Column, 1))
}

func (pg *page) labelled(label, text string) {
	if text != "" {
		pg.line(pg.place(label+":"), " ", strings.ReplaceAll(cleanLines(text), "\n", "\n  "))
	}
}
