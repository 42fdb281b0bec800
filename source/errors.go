package source

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Error is one problem of a folder or a file, and its remedy.
type Error struct {
	// File is the file or folder as [Options].Dir shows it.
	File string
	// Line and Column count from 1. They are 0 for the whole file.
	Line, Column int
	Msg          string
	Err          error // the cause, if there is one beyond Msg
	// ReadsAs is a format in which this is no problem, if the folder's format was not given.
	ReadsAs Format
}

func (e *Error) Error() string {
	switch {
	case e.Line == 0 && e.File == "":
		return e.Msg
	case e.Line == 0:
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, max(e.Column, 1), e.Msg)
}

func (e *Error) Unwrap() error { return e.Err }

// FolderError lists all problems of a folder, ordered by file and line. Its text has one line for
// each problem, up to [ShownProblems].
type FolderError struct {
	Problems []*Error
	// ReadsAs is a format in which the folder has no problem, if its format was not given.
	// PassedOver are the files that would then not be read. Auto means that there is none.
	ReadsAs    Format
	PassedOver []string
}

// ShownProblems is the maximum number of problems in a message.
const ShownProblems = 50

func (e *FolderError) Error() string {
	var lines []string
	for _, p := range e.Problems[:min(len(e.Problems), ShownProblems)] {
		lines = append(lines, p.Error())
	}
	if more := len(e.Problems) - ShownProblems; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	if e.ReadsAs != Auto {
		line := fmt.Sprintf("As a folder of %s it has no problem", e.ReadsAs)
		if len(e.PassedOver) > 0 {
			line += "; not read then: " + shownNames(e.PassedOver)
		}
		lines = append(lines, line+".")
	}
	return strings.Join(lines, "\n")
}

func (e *FolderError) Unwrap() []error {
	errs := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		errs[i] = p
	}
	return errs
}

// AmbiguousError reports a folder whose files indicate more than one format.
type AmbiguousError struct {
	// Dir is the folder as [Options].Dir shows it.
	Dir  string
	Seen []Seen
}

// Seen is the evidence for a format.
type Seen struct {
	Format Format
	Files  []string // all of them, in order
	What   string   // what the first of them has
}

// shownFiles is the maximum number of files of each format in a message.
const shownFiles = 3

func (e *AmbiguousError) Error() string {
	var b strings.Builder
	if e.Dir != "" {
		b.WriteString(e.Dir + ": ")
	}
	b.WriteString("the folder has files of more than one format:")
	for _, s := range e.Seen {
		fmt.Fprintf(&b, "\n  %s: %s (%s)", s.Format, shownNames(s.Files), s.What)
	}
	return b.String()
}

// shownNames joins the first few names.
func shownNames(names []string) string {
	if n := len(names) - shownFiles; n > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shownFiles], ", "), n)
	}
	return strings.Join(names, ", ")
}

// problems collects errors and warnings while a folder is read.
type problems struct {
	all      []*Error
	warnings []migration.Warning
}

// warn adds a probable mistake that the folder's tool also accepts.
func (p *problems) warn(file string, line, column int, format string, args ...any) {
	p.warnings = append(p.warnings, migration.Warning{File: file, Line: line, Column: column, Msg: fmt.Sprintf(format, args...)})
}

func (p *problems) add(file string, format string, args ...any) {
	p.at(file, 0, 0, format, args...)
}

func (p *problems) at(file string, line, column int, format string, args ...any) {
	p.all = append(p.all, &Error{File: file, Line: line, Column: column, Msg: fmt.Sprintf(format, args...)})
}

// wrap adds an error of reading a file.
func (p *problems) wrap(file string, err error) {
	if text := (*sqltext.Error)(nil); errors.As(err, &text) {
		p.all = append(p.all, &Error{File: file, Line: text.Pos.Line, Column: text.Pos.Column, Msg: text.Msg, Err: err})
		return
	}
	p.all = append(p.all, &Error{File: file, Msg: "can't be read: " + cause(err), Err: err})
}

// cause returns an error's text without the name of the file, which the message has already.
func cause(err error) string {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// err returns the problems as a *FolderError, nil for none.
func (p *problems) err() error {
	if len(p.all) == 0 {
		return nil
	}
	order.StableBy(p.all, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &FolderError{Problems: p.all}
}
