package render

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Kind says in one word what went wrong.
type Kind string

// Failure is an error as a command tells it.
type Failure struct {
	Kind Kind `json:"kind"`
	// Message says what is wrong, without the place.
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	// Version, Name and Direction are the migration's.
	Version   *int64 `json:"version,omitempty"`
	Name      string `json:"name,omitempty"`
	Direction string `json:"direction,omitempty"`
	// SQLState, Detail and Hint are the server's; where it says no hint, Hint is Next.
	SQLState string `json:"sqlstate,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Hint     string `json:"hint,omitempty"`
	// ExecutedStatements are those of the migration that were executed and stand.
	ExecutedStatements int `json:"executed_statements,omitempty"`
	// Stored, Expected, Diff and OnlyBlank are of a checksum mismatch, of which
	// Versions has all versions; else Versions are those that are out of order.
	Stored    string  `json:"stored,omitempty"`
	Expected  string  `json:"expected,omitempty"`
	Diff      string  `json:"diff,omitempty"`
	OnlyBlank bool    `json:"only_blank,omitempty"`
	Versions  []int64 `json:"versions,omitempty"`
	// Holder has the lock, for which was waited.
	Holder *Holder `json:"holder,omitempty"`
	Waited *Millis `json:"waited_ms,omitempty"`
	// Reason, By and Since tell of a setting that forbids it.
	Reason string   `json:"reason,omitempty"`
	By     string   `json:"by,omitempty"`
	Since  *instant `json:"since,omitempty"`
	Until  *instant `json:"until,omitempty"`
	// Database is the name of the database that is protected.
	Database string `json:"database,omitempty"`
	// Problems are all that is wrong with a folder, or with the scripts of a plan, if it is more than one.
	Problems []Problem `json:"problems,omitempty"`
	// MoreProblems is how many there are that are not listed.
	MoreProblems int `json:"more_problems,omitempty"`
	// Differences are those between two schemas that should be the same.
	Differences []Change `json:"differences,omitempty"`
	// Interrupted is a run that stopped part-way and that can't go on, Choices what can be said of it.
	Interrupted *Interrupted `json:"interrupted,omitempty"`
	Choices     []Choice     `json:"choices,omitempty"`
	// Event is what another process did.
	Event *Event `json:"event,omitempty"`

	Excerpt string `json:"-"` // the lines of the file
	Stands  string `json:"-"` // what was done and stands
	Next    string `json:"-"` // what to do now

	Open *database.Journal `json:"-"` // the run that the failure leaves open
}

// Choice is one of several things that can be done.
type Choice struct {
	Command string `json:"command"`
	Effect  string `json:"effect"`
}

// Problem is one of several things that are wrong.
type Problem struct {
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
}

// Holder is who holds the migration lock.
type Holder struct {
	PID   int64   `json:"pid,omitempty"`
	User  string  `json:"user,omitempty"`
	Host  string  `json:"host,omitempty"`
	App   string  `json:"app,omitempty"`
	Since instant `json:"since"`
	Query string  `json:"query,omitempty"`
}

// NewHolder returns nil where nothing is known.
func NewHolder(h database.Holder) *Holder {
	if h == (database.Holder{}) {
		return nil
	}
	return &Holder{PID: h.PID, User: h.User, Host: h.Host, App: h.App, Since: instant(h.Since), Query: h.Query}
}

// NewInstant returns nil for the zero time.
func NewInstant(t time.Time) *instant {
	if t.IsZero() {
		return nil
	}
	i := instant(t)
	return &i
}

// Fail shows a failure.
func (p *Printer) Fail(f *Failure) {
	if f.Hint == "" {
		f.Hint = f.Next
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opts.JSON {
		p.encode(struct {
			Error *Failure `json:"error"`
		}{f})
		return
	}
	p.writeFailure(f)
}

func (p *Printer) writeFailure(f *Failure) {
	p.live.hide()
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
	if f.Excerpt != "" {
		pg.line()
		pg.WriteString(pg.excerpt(cleanLines(f.Excerpt)))
		pg.line()
	}
	pg.labelled("detail", f.Detail)
	if f.Hint != f.Next {
		pg.labelled("hint", f.Hint)
	}
	f.writeMismatch(pg)
	if e := f.Event; e != nil {
		what := e.Direction
		if e.Version != database.NilVersion {
			what += " " + pg.digits.Label(e.Version)
		}
		pg.labelled("history", fmt.Sprintf("%s UTC %s %s%s", when(time.Time(e.At)), what, e.Name, pg.by(*e)))
	}
	if f.Stands != "" {
		pg.line(f.Stands)
	}
	if f.Next != "" {
		pg.line(pg.wrap(f.Next))
	}
	for _, c := range f.Choices {
		pg.line("  ", pg.bold(clean(c.Command)))
		pg.line("      ", clean(c.Effect))
	}
}

// maxLines is how much of a statement that is in question is shown.
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
			pg.line("    ", line)
		}
		if more := len(lines) - maxLines; more > 0 {
			pg.line("    ", pg.faint("… "+count(more, "more line")))
		}
		pg.line()
	}
	is := "It "
	if i.Running {
		is = "It is "
	}
	pg.line(is + i.where() + ".")
	if len(f.Differences) > 0 {
		pg.line("Since the statement was begun the schema has changed:")
	}
}

func (f *Failure) writeMismatch(pg *page) {
	if f.Stored == "" {
		return
	}
	pg.labelled("applied with", f.Stored)
	pg.labelled("now", f.Expected)
	if f.OnlyBlank {
		pg.line("Only comments or white space differ.")
	}
	if f.Diff != "" {
		pg.line()
		pg.WriteString(pg.diff(cleanLines(f.Diff)))
		pg.line()
	}
}

// problem writes "place: message", or "error: message" where no place is known.
func (pg *page) problem(pr Problem, code string) {
	place := cmp.Or(pr.place(), "error")
	if code != "" {
		code = pg.faint(" (" + code + ")")
	}
	pg.line(pg.bad(clean(place)+":"), " ", pg.bold(cleanLines(pr.Message)), code)
}

// place says where it is, as far as that is known.
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
