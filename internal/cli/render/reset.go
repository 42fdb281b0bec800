package render

import (
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// Object is an object of a database.
type Object struct {
	Type   string `json:"type"`
	Schema string `json:"schema"`
	Name   string `json:"name"`
}

// Kept is an object that a reset keeps, and why.
type Kept struct {
	Object
	Why string `json:"why"`
}

// Reset is the answer of reset.
type Reset struct {
	Database string   `json:"database"`
	DryRun   bool     `json:"dry_run"`
	Dropped  []Object `json:"dropped"`
	Kept     []Kept   `json:"kept"`
	Sets     []string `json:"sets"`
	// Frozen reports that the database is frozen, so that a reset would be refused.
	Frozen   bool   `json:"frozen"`
	Duration Millis `json:"duration_ms"`

	frozen string // by whom, since when and why; "" if the database is not frozen

	Listed bool `json:"-"` // the objects were already shown
}

// NewReset converts the result of Reset.
func NewReset(r *whimbrel.ResetResult) *Reset {
	frozen := FrozenBy(r.Settings)
	return &Reset{
		Frozen: frozen != "", frozen: frozen,
		Database: r.Database, DryRun: r.DryRun, Duration: Millis(r.Duration), Sets: append([]string{}, r.Sets...),
		Dropped: each(r.Dropped, func(o database.Object) Object { return Object(o) }),
		Kept:    each(r.Left, func(l database.Left) Kept { return Kept{Object: Object(l.Object), Why: l.Why} }),
	}
}

func (d *Reset) write(pg *page) {
	if len(d.Sets) == 0 {
		pg.line("Nothing to reset: this database was never migrated.")
		return
	}
	if d.Frozen {
		pg.whileFrozen(d.frozen, "a reset")
	}
	if !d.Listed {
		d.writeObjects(pg)
	}
	sets := plural(len(d.Sets), "set ", "sets ") + strings.Join(each(d.Sets, strconv.Quote), ", ")
	objects, name := count(len(d.Dropped), "object"), clean(strconv.Quote(d.Database))
	if d.DryRun {
		pg.line(pg.warn("Would drop "+objects+" of database "+name+". All migrations of "+sets+" would become pending."), " Nothing was changed.")
		return
	}
	pg.line(pg.good("Dropped " + objects + " of database " + name + ". All migrations of " + sets + " are pending again."))
}

func (d *Reset) writeObjects(pg *page) {
	t := table{head: []string{"", "OBJECT", "WHY"}, give: []int{2, 1}}
	for _, o := range d.Dropped {
		t.add(pg.bad("drop"), o.words(), "")
	}
	for _, l := range d.Kept {
		t.add(pg.faint("keep"), l.words(), l.Why)
	}
	if len(d.Dropped)+len(d.Kept) > 0 {
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

// Ask prints a question.
func (p *Printer) Ask(question string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live.rest()
	p.begun()
	lines := strings.Split(question, "\n")
	for i, line := range lines {
		lines[i] = Hang(line, p.page(p.opts.Err).width, 0)
	}
	p.put(p.opts.Err, strings.Join(lines, "\n"))
}
