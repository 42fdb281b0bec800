package render

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel/report"
)

// Report is the answer of report.
type Report struct {
	File    string         `json:"file"`
	Targets []ReportTarget `json:"targets"`
}

// ReportTarget is a database that the page is about.
type ReportTarget struct {
	Name    string `json:"name"`
	Problem string `json:"problem,omitempty"` // why it can't be read
}

// Add adds a database.
func (d *Report) Add(t *report.Target) {
	rt := ReportTarget{Name: t.Name}
	if t.Problem != nil {
		rt.Problem = t.Problem.Error()
	}
	d.Targets = append(d.Targets, rt)
}

// Failed reports whether a database can't be read.
func (d *Report) Failed() bool {
	for _, t := range d.Targets {
		if t.Problem != "" {
			return true
		}
	}
	return false
}

func (d *Report) write(pg *page) {
	names := clean(d.Targets[0].Name)
	if len(d.Targets) > 1 {
		names = count(len(d.Targets), "environment")
	}
	pg.line(fmt.Sprintf("Wrote the report about %s to %s.", names, clean(d.File)))
	for _, t := range d.Targets {
		if t.Problem != "" {
			pg.line(pg.wrap(pg.bad(clean(t.Name)+" can't be read: ") + clean(t.Problem)))
		}
	}
}
