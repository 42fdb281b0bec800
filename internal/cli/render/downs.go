package render

import (
	"errors"
	"fmt"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// problemsOf are the problems of scripts that an error lists, each with its place if it has one.
func problemsOf(err error) []Problem {
	var all *whimbrel.ScriptsError
	if errors.As(err, &all) {
		var list []Problem
		for _, p := range all.Problems {
			list = append(list, problemsOf(p)...)
		}
		return list
	}
	var text *sqltext.Error
	if errors.As(err, &text) {
		return []Problem{{Message: text.Msg, File: text.Pos.File, Line: text.Pos.Line, Column: text.Pos.Column}}
	}
	return []Problem{{Message: err.Error()}}
}

// newDowns are the problems of down scripts in a plan.
func newDowns(downs []whimbrel.DownProblem) (list []DownProblem) {
	for _, d := range downs {
		list = append(list, DownProblem{Version: d.Version, Name: d.Name, Problems: problemsOf(d.Err)})
	}
	return list
}

// SetDowns takes over what is wrong with the down scripts of a plan, which may be nil.
func (r *Result) SetDowns(p *whimbrel.Plan) {
	if p != nil {
		r.Downs = newDowns(p.Downs)
	}
}

// DownProblem is a down script that could not run as it is.
type DownProblem struct {
	Version  int64     `json:"version"`
	Name     string    `json:"name"`
	Problems []Problem `json:"problems"`
}

// lines say what is wrong with the script, one line for each problem. label names its migration.
func (d DownProblem) lines(label string) (lines []string) {
	for _, p := range d.Problems {
		at := clean(p.Message)
		if p.File != "" {
			at = fmt.Sprintf("%s:%d:%d: %s", clean(p.File), p.Line, p.Column, at)
		}
		lines = append(lines, fmt.Sprintf("%s: its down script can't run as it is, so the migration could not be rolled back: %s", label, at))
	}
	return lines
}

// downRefused says so of a script that is about to be recorded. mu is held.
func (p *Printer) downRefused(e whimbrel.DownRefused) {
	if p.silent() {
		return
	}
	pg := p.page(p.opts.Err)
	for _, d := range newDowns([]whimbrel.DownProblem{e.Problem}) {
		for _, line := range d.lines(p.digits.Label(d.Version)) {
			pg.line(pg.warn("WARNING:") + " " + line)
		}
	}
	p.put(p.opts.Err, pg.String())
}
