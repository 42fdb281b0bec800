package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// NoTextError reports that neither the history nor the given files have the text of a script that
// the expected schema needs.
type NoTextError struct{ Event database.Entry }

func (e *NoTextError) Error() string {
	why := "it was larger than the limit, or a Go function"
	if e.Event.Direction == database.Down && e.Event.DownDirectives.Secret || e.Event.Direction != database.Down && e.Event.UpDirectives.Secret {
		why = "it is secret"
	}
	return fmt.Sprintf("the history does not keep the text of migration %d %s of set %q (history entry %d): %s",
		e.Event.Version, e.Event.Name, e.Event.Set, e.Event.ID, why)
}

// text is a script to run to create the expected schema.
type text struct {
	event database.Entry
	sql   string
	file  *migration.Script // has the text if the history doesn't
	run   *migration.Script // what runs on scratch
}

// directives returns the directives that the history recorded with the text, without timeouts:
// these protect the migrated database, while a scratch database has no other users.
func (t *text) directives() migration.Directives {
	if t.event.Direction == database.Down {
		return t.event.DownDirectives
	}
	return t.event.UpDirectives
}

// replayer derives from a history the texts that create its schema. A text that replaces many
// migrations (a baseline, or an accepted schema) covers them: they don't run again, but a down
// script that reverts one of them does.
type replayer struct {
	base  []*text // those that cover others; they run first
	sets  map[string]*setReplay
	order []string // sets, by first appearance
	files *migration.Set
}

type setReplay struct {
	state   database.State
	byID    map[int64]database.Entry
	covered map[int64]bool
	marking int64   // version of the baseline or loaded schema whose marks follow, else NilVersion
	loading bool    // the repeatable scripts that a loaded schema includes follow
	downs   []*text // down scripts of covered migrations
}

// history returns the texts that create the schema, in the orders to try: set by set and, if it
// differs, as recorded.
func history(ctx context.Context, db database.Database, files *migration.Set) (orders [][]*text, err error) {
	r := &replayer{sets: map[string]*setReplay{}, files: files}
	for e, err := range db.History(ctx, database.HistoryQuery{Texts: true}) {
		if err != nil {
			return nil, err
		}
		if e.Set != migration.ReservedSet && e.Direction != database.Failed && e.Direction != database.Abandon {
			r.event(e)
		}
	}
	texts, err := r.texts()
	if err != nil {
		return nil, err
	}
	orders = [][]*text{texts}
	if len(r.order) > 1 {
		orders = append(orders, recorded(texts, len(r.base)))
	}
	return orders, nil
}

// recorded orders the texts of several sets as they were recorded, after those that cover others:
// one set may have needed an object that another has dropped since.
func recorded(texts []*text, base int) []*text {
	texts = slices.Clone(texts)
	order.StableBy(texts[base:], func(a, b *text) int {
		repeated := func(t *text) int {
			if t.event.Direction == database.Repeat {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(repeated(a), repeated(b)), cmp.Compare(a.event.ID, b.event.ID))
	})
	return texts
}

func (r *replayer) set(name string) *setReplay {
	s := r.sets[name]
	if s == nil {
		s = &setReplay{byID: map[int64]database.Entry{}, covered: map[int64]bool{}, marking: whimbrel.NilVersion}
		r.sets[name] = s
		r.order = append(r.order, name)
	}
	return s
}

// event processes one history entry.
func (r *replayer) event(e database.Entry) {
	s := r.set(e.Set)
	marked := e.Direction == database.Mark && e.Version <= s.marking
	included := s.loading && e.Direction == database.Repeat // recorded before the marks
	if !marked && !included {
		s.marking = whimbrel.NilVersion
	}
	s.loading = included
	switch {
	case e.Direction == database.Drift:
		r.base = []*text{{event: e, sql: e.UpText}}
		for _, s := range r.sets {
			s.cover()
		}
	case e.Direction == database.Reset:
		r.base = slices.DeleteFunc(r.base, func(t *text) bool { return t.event.Direction == database.Drift || t.event.Set == e.Set })
		delete(r.sets, e.Set)
		r.order = slices.DeleteFunc(r.order, func(name string) bool { return name == e.Set })
	case e.Direction == database.Baseline, e.Direction == database.Load:
		r.base = append(r.base, &text{event: e, sql: e.UpText})
		if s.loading = e.Direction == database.Load; s.loading { // the database was empty
			s.state, s.downs = database.State{}, nil
		}
		s.covered[e.Version], s.marking = true, e.Version
	case included:
	case marked:
		s.covered[e.Version] = true
	case s.covered[e.Version] && e.Direction == database.Down:
		delete(s.covered, e.Version)
		s.downs = append(s.downs, &text{event: e, sql: e.DownText})
	case s.covered[e.Version] && e.Direction == database.Forget:
		delete(s.covered, e.Version)
	case s.covered[e.Version] && e.Direction == database.Accept:
	default:
		s.state.Fold(e)
		s.byID[e.ID] = e
	}
}

// cover marks everything applied as covered.
func (s *setReplay) cover() {
	for v := range s.state.Applied.All() {
		s.covered[v.Version] = true
	}
	s.state, s.downs = database.State{}, nil
}

// texts returns what to run: covering texts, then for each set its migrations as in a new database,
// and its repeatable scripts.
func (r *replayer) texts() ([]*text, error) {
	all := slices.Clone(r.base)
	for _, name := range r.order {
		s := r.sets[name]
		var versioned, repeated []*text
		for a := range s.state.Applied.All() {
			versioned = append(versioned, &text{event: s.byID[a.EntryID], sql: s.byID[a.EntryID].UpText})
		}
		if len(s.downs) > 0 { // then the recorded order matters
			versioned = append(versioned, s.downs...)
			order.By(versioned, func(a, b *text) int { return cmp.Compare(a.event.ID, b.event.ID) })
		}
		for _, a := range s.state.Repeated {
			repeated = append(repeated, &text{event: s.byID[a.EntryID], sql: s.byID[a.EntryID].UpText})
		}
		order.By(repeated, func(a, b *text) int { return cmp.Compare(a.event.Name, b.event.Name) })
		all = append(append(all, versioned...), repeated...)
	}
	for _, t := range all {
		sum := t.event.Checksum
		if t.event.Direction == database.Down {
			sum = t.event.DownChecksum
		}
		if t.sql != "" || sum == migration.Sum("") {
			continue
		}
		if t.file = r.fromFiles(t.event, sum); t.file == nil {
			return nil, &NoTextError{Event: t.event}
		}
	}
	return all, nil
}

// fromFiles returns the script of an entry from the files, or nil.
func (r *replayer) fromFiles(e database.Entry, sum migration.Checksum) *migration.Script {
	if r.files == nil {
		return nil
	}
	var scripts []*migration.Script
	for _, find := range []func(int64) (migration.Migration, bool){r.files.Get, r.files.Original, r.files.Baseline} {
		m, _ := find(e.Version)
		scripts = append(scripts, m.Up, m.Down)
	}
	for _, n := range r.files.Repeatables() {
		scripts = append(scripts, n.Script)
	}
	i := slices.IndexFunc(scripts, func(s *migration.Script) bool { return s != nil && s.Checksum == sum })
	if i < 0 {
		return nil
	}
	return scripts[i]
}

// script returns the script that runs a text.
func (t *text) script(d sqltext.Dialect) (*migration.Script, error) {
	if t.file != nil { // it has its own directives
		return t.file, nil
	}
	s := migration.Text(t.name(), t.sql)
	if fill, err := migration.ParseBackfill(t.name(), t.sql, d); err == nil { // only a backfill begins like one
		return fill, nil
	}
	a, err := s.Analyze(d, nil)
	if err != nil {
		return nil, err
	}
	// The script ran before, so its transaction control is right even without a directive.
	s.NoTransaction = t.directives().NoTransaction || a.Control != nil
	return s, nil
}

func (t *text) name() string {
	return fmt.Sprintf("history entry %d (%s %s)", t.event.ID, t.event.Direction, t.event.Name)
}

// forHistory checks the texts of a history, which are the same in each order, and sets their form
// for scratch.
func (s Scratch) forHistory(ctx context.Context, texts []*text) (*trial, error) {
	var scripts []*migration.Script
	for _, t := range texts {
		script, err := t.script(s.Dialect)
		if err != nil {
			return nil, err
		}
		t.run, scripts = script, append(scripts, script)
	}
	t, as, err := s.newTrial(ctx, true, scripts)
	for _, text := range texts {
		text.run = as[text.run]
	}
	return t, err
}

// replay runs the texts in an empty database.
func (t *trial) replay(ctx context.Context, db database.Database, texts []*text) error {
	var all []migration.Migration
	for i, one := range texts {
		all = append(all, migration.Migration{Version: int64(i), Name: one.name(), Up: one.run})
	}
	set, err := migration.NewSet("replay", all...)
	if err != nil {
		return err
	}
	_, err = whimbrel.New(db, set, t.reporting(texts).options(whimbrel.Options{TextLimit: -1})).Up(ctx)
	return err
}

// reporting returns the trial with progress that names the entries of the history. Their scripts
// are in a set of its own, with other versions.
func (t *trial) reporting(texts []*text) *trial {
	named := *t
	if t.Progress != nil {
		named.Progress = func(p Trying) {
			e := texts[p.Version].event
			p.Version, p.Name, p.Direction = e.Version, e.Name, e.Direction
			t.Progress(p)
		}
	}
	return &named
}
