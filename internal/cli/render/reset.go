package render

import (
	"strconv"

	"github.com/whimbrel-db/whimbrel"
)

// Object is something in a database.
type Object struct {
	Type   string `json:"type"`
	Schema string `json:"schema"`
	Name   string `json:"name"`
}

// Left is an object that stays, and why.
type Left struct {
	Object
	Why string `json:"why"`
}

// Reset answers reset.
type Reset struct {
	Database string   `json:"database"`
	DryRun   bool     `json:"dry_run"`
	Dropped  []Object `json:"dropped"`
	Left     []Left   `json:"left"`
	Sets     []string `json:"sets"`
	Duration Millis   `json:"duration_ms"`

	Listed bool `json:"-"` // the objects were shown before
}

// NewReset makes the answer of a reset's result.
func NewReset(r *whimbrel.ResetResult) *Reset {
	d := &Reset{
		Database: r.Database, DryRun: r.DryRun, Duration: Millis(r.Duration),
		Dropped: []Object{}, Left: []Left{}, Sets: append([]string{}, r.Sets...),
	}
	for _, o := range r.Dropped {
		d.Dropped = append(d.Dropped, Object(o))
	}
	for _, l := range r.Left {
		d.Left = append(d.Left, Left{Object: Object(l.Object), Why: l.Why})
	}
	return d
}

func (d *Reset) write(pg *page) {
	if len(d.Sets) == 0 {
		pg.line("Nothing to reset: nothing was ever migrated here.")
		return
	}
	if !d.Listed {
		d.writeObjects(pg)
	}
	sets := "set"
	if len(d.Sets) > 1 {
		sets = "sets"
	}
	for i, set := range d.Sets {
		if i > 0 {
			sets += ","
		}
		sets += " " + strconv.Quote(set)
	}
	objects, name := count(len(d.Dropped), "object"), clean(strconv.Quote(d.Database))
	if d.DryRun {
		pg.line(pg.warn("Would drop "+objects+" of database "+name+". Of "+sets+" nothing would be applied any more."), " Nothing was changed.")
		return
	}
	pg.line(pg.good("Dropped " + objects + " of database " + name + ". Of " + sets + " nothing is applied any more."))
}

func (d *Reset) writeObjects(pg *page) {
	t := table{head: []string{"", "OBJECT", "WHY"}}
	for _, o := range d.Dropped {
		t.add(pg.bad("drop"), o.words(), "")
	}
	for _, l := range d.Left {
		t.add(pg.faint("leave"), l.words(), l.Why)
	}
	if len(d.Dropped)+len(d.Left) > 0 {
		pg.table(t)
		pg.line()
	}
}

func (o Object) words() string {
	if o.Schema == "" {
		return clean(o.Type + " " + o.Name)
	}
	return clean(o.Type + " " + o.Schema + "." + o.Name)
}

// Ask puts a question to whoever sits at the terminal.
func (p *Printer) Ask(question string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(p.opts.Err, question)
}
