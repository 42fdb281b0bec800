package render

import (
	"errors"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// problemsOf returns the problems that an error lists, with their positions if known.
func problemsOf(err error) []Problem {
	var all *whimbrel.ScriptsError
	if errors.As(err, &all) {
		return slices.Concat(each(all.Problems, problemsOf)...)
	}
	var text *sqltext.Error
	if errors.As(err, &text) {
		return []Problem{{Message: text.Msg, File: text.Pos.File, Line: text.Pos.Line, Column: text.Pos.Column}}
	}
	return []Problem{{Message: err.Error()}}
}

// newDowns converts the problems of down scripts.
func newDowns(downs []whimbrel.DownProblem) []DownProblem {
	return each(downs, func(d whimbrel.DownProblem) DownProblem {
		return DownProblem{Version: d.Version, Name: d.Name, Problems: problemsOf(d.Err)}
	})
}

// SetDowns copies the problems of down scripts from a plan, which may be nil.
func (r *Result) SetDowns(p *whimbrel.Plan) {
	if p != nil {
		r.Downs = newDowns(p.Downs)
	}
}

// DownProblem is a down script that can't run.
type DownProblem struct {
	Version  int64     `json:"version"`
	Name     string    `json:"name"`
	Problems []Problem `json:"problems"`
}

// lines returns one line for each problem, after a label of the migration.
func (d DownProblem) lines(label string) (lines []string) {
	for _, p := range d.Problems {
		at := clean(p.Message)
		if p.File != "" {
			at = fmt.Sprintf("%s:%d:%d: %s", clean(p.File), p.Line, p.Column, at)
		}
		lines = append(lines, fmt.Sprintf("%s can't be rolled back, because its down script can't run: %s", label, at))
	}
	return lines
}

// downRefused warns about a down script that is about to be recorded. p.mu is held.
func (p *Printer) downRefused(e whimbrel.DownRefused) {
	if p.silent() {
		return
	}
	pg := p.page(p.opts.Err)
	for _, d := range newDowns([]whimbrel.DownProblem{e.Problem}) {
		for _, line := range d.lines("migration " + p.digits.Label(d.Version)) {
			pg.line(pg.warn("WARNING:") + " " + line)
		}
	}
	p.put(p.opts.Err, pg.String())
}
