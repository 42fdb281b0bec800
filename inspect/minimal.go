package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// MinimalOptions are the options of Minimal.
type MinimalOptions struct {
	// From and To are the first and last version of the range.
	From, To int64
	// Downs, if not nil, returns a script that reverts the range. Minimal tries it if it can't
	// derive a down script from the schema, or if that one fails.
	Downs func() (string, error)
	// DropData leaves out the statements of the range whose effects a schema doesn't contain.
	// Without it they are a *DataError.
	DropData bool
}

// Minimized is a range of migrations reduced to the statements that create its schema.
type Minimized struct {
	Up string
	// Down reverts Up: it drops what Up creates, newest first, or is the result of Downs. If
	// HasDown is false, NoDown is the reason.
	Down    string
	HasDown bool
	NoDown  string
	// Dropped are the statements left out of Up because a schema doesn't contain their effects.
	Dropped []DataStatement
}

// Minimal runs a range of a set's migrations on a scratch database and writes one script that
// creates the same schema. It proves the script on another scratch database and returns a
// *NotSameError if the schemas differ. It also returns a *NotSameError if the range alters objects
// that existed before it: a snapshot contains how to create an object or add to it, not how to
// alter it.
//
// Minimal proves the down script, too. If a migration of the range has no down script, the result
// has none.
func Minimal(ctx context.Context, set *migration.Set, opts MinimalOptions, scratch Scratch) (*Minimized, error) {
	m := &minimizer{opts: opts, answer: &Minimized{}}
	if err := m.choose(set); err != nil {
		return nil, err
	}
	if err := m.data(scratch.Dialect); err != nil {
		return nil, err
	}
	if err := m.confine(ctx, scratch); err != nil {
		return nil, err
	}
	if err := m.trial.on(ctx, func(db database.Database) error { return m.original(ctx, db) }); err != nil {
		return nil, err
	}
	if err := m.write(); err != nil {
		return nil, err
	}
	prove := func(db database.Database) error { return m.prove(ctx, db) }
	if err := m.trial.on(ctx, prove); err != nil {
		return nil, err
	}
	if m.answer.HasDown || m.irreversible || opts.Downs == nil {
		return m.answer, nil
	}
	why := m.answer.NoDown
	var err error
	if m.answer.Down, err = opts.Downs(); err != nil {
		m.answer.NoDown = why + "; and the down scripts can't be joined: " + err.Error()
		return m.answer, nil
	}
	m.answer.HasDown, m.answer.NoDown = true, ""
	if err := m.trial.on(ctx, prove); err != nil {
		return nil, err
	}
	if !m.answer.HasDown {
		m.answer.NoDown = why + "; and with the down scripts joined " + m.answer.NoDown
	}
	return m.answer, nil
}

// NotSameError reports that a script made from the schema can't replace the range.
type NotSameError struct {
	From, To int64
	// Before reports that the range changes objects that existed before it. Otherwise the script
	// creates a different schema.
	Before  bool
	Changes []catalog.Change
	// Omitted lists what the range creates and a snapshot can't represent, such as user mappings.
	Omitted []string
}

func (e *NotSameError) Error() string {
	what := fmt.Sprintf("a script made from the schema does not recreate what migrations %d to %d create; the differences are", e.From, e.To)
	if e.Before {
		what = fmt.Sprintf("migrations %d to %d alter objects that existed before them, which a script made from the schema can't do; the changes are", e.From, e.To)
	}
	if len(e.Omitted) > 0 {
		return fmt.Sprintf("migrations %d to %d create objects that a snapshot can't represent: %s", e.From, e.To, strings.Join(e.Omitted, "; "))
	}
	var list strings.Builder
	const shown = 10
	for i, c := range e.Changes {
		if i == shown {
			fmt.Fprintf(&list, "\n  and %d more", len(e.Changes)-shown)
			break
		}
		list.WriteString("\n  " + c.String())
	}
	return what + ":" + list.String()
}

type minimizer struct {
	opts   MinimalOptions
	answer *Minimized
	trial  *trial

	start  []migration.Migration // the baseline that the files begin with, if any
	before []migration.Migration
	pieces []migration.Migration
	ups    []migration.Migration // the pieces as they run on scratch

	first, last *catalog.Snapshot // before and after the range
	grown       string            // the first existing object that the range adds to

	irreversible bool // a migration has no down script
}

// choose determines the migrations of the range and those before it. Later ones don't matter.
func (m *minimizer) choose(set *migration.Set) error {
	if b, ok := startOf(set); ok {
		m.start = []migration.Migration{b}
	}
	for _, each := range set.All() {
		switch {
		case each.Version < m.opts.From:
			m.before = append(m.before, each)
		case each.Version <= m.opts.To:
			m.pieces = append(m.pieces, each)
		}
	}
	if len(m.pieces) == 0 {
		return fmt.Errorf("the set has no migrations from %d to %d", m.opts.From, m.opts.To)
	}
	return nil
}

// data finds the statements that would be lost.
func (m *minimizer) data(dialect sqltext.Dialect) (err error) {
	if m.answer.Dropped, err = DataStatements(m.pieces, dialect); err != nil {
		return err
	}
	if len(m.answer.Dropped) > 0 && !m.opts.DropData {
		return &DataError{Statements: m.answer.Dropped}
	}
	return nil
}

// confine checks the scripts that will run, and keeps their form for scratch.
func (m *minimizer) confine(ctx context.Context, scratch Scratch) (err error) {
	var scripts []*migration.Script
	for _, each := range slices.Concat(m.start, m.before, m.pieces) {
		scripts = append(scripts, each.Up)
	}
	for _, each := range m.pieces {
		if each.Down != nil {
			scripts = append(scripts, each.Down)
		}
	}
	var as forms
	if m.trial, as, err = scratch.newTrial(ctx, false, scripts); err != nil {
		return err
	}
	m.ups = slices.Clone(m.pieces)
	for _, list := range [][]migration.Migration{m.start, m.before, m.ups} {
		for i := range list {
			list[i].Up = as[list[i].Up]
		}
	}
	return nil
}

// startOf returns the baseline to start an empty database from, if the files of all migrations up
// to it are gone.
func startOf(set *migration.Set) (start migration.Migration, ok bool) {
	all := set.All()
	for _, b := range set.Baselines() {
		if len(all) == 0 || all[0].Version > b.Version {
			start, ok = b, true
		}
	}
	return start, ok
}

// migrator applies the migrations before the range, and returns a migrator for the rest.
func (m *minimizer) migrator(ctx context.Context, db database.Database, rest []migration.Migration) (*whimbrel.Migrator, error) {
	set, err := migration.Contents{Migrations: slices.Concat(m.before, rest), Baselines: m.start}.Set("")
	if err != nil {
		return nil, err
	}
	by := whimbrel.New(db, set, m.trial.options(whimbrel.Options{TextLimit: -1, ReadMetadata: noMetadata}))
	for _, before := range [][]migration.Migration{m.start, m.before} {
		if len(before) == 0 {
			continue
		}
		if _, err := by.Migrate(ctx, whimbrel.UpTo(before[len(before)-1].Version), whimbrel.ApplyOptions{}); err != nil {
			return nil, fmt.Errorf("on scratch, before the range: %w", err)
		}
	}
	return by, nil
}

// original runs the original migrations of the range.
func (m *minimizer) original(ctx context.Context, db database.Database) error {
	by, err := m.migrator(ctx, db, m.ups)
	if err != nil {
		return err
	}
	if m.first, err = database.Snapshot(ctx, db, catalog.Options{}); err != nil {
		return err
	}
	if _, err := by.Migrate(ctx, whimbrel.UpTo(m.opts.To), whimbrel.ApplyOptions{}); err != nil {
		return fmt.Errorf("on scratch: %w", err)
	}
	m.last, err = database.Snapshot(ctx, db, catalog.Options{})
	return err
}

// write creates the scripts from the difference between the two snapshots.
func (m *minimizer) write() error {
	if omitted := slices.DeleteFunc(slices.Clone(m.last.Omitted), func(what string) bool { return slices.Contains(m.first.Omitted, what) }); len(omitted) > 0 {
		return &NotSameError{From: m.opts.From, To: m.opts.To, Omitted: omitted}
	}
	created, err := m.created()
	if err != nil {
		return err
	}
	m.answer.Up = (&catalog.Snapshot{Dialect: m.last.Dialect, Preamble: preamble(m.last, created), Objects: created}).Text()
	i := slices.IndexFunc(m.pieces, func(p migration.Migration) bool { return p.Down == nil })
	if i >= 0 {
		m.irreversible, m.answer.NoDown = true, m.pieces[i].Up.File+" has no down script"
		return nil
	}
	if m.grown != "" {
		m.answer.NoDown = "the range adds to an existing object: " + m.grown
		return nil
	}
	m.answer.Down, m.answer.NoDown = dropAll(created, m.last.Dialect)
	m.answer.HasDown = m.answer.NoDown == ""
	return nil
}

// preamble returns the snapshot's preamble if the statements need it.
func preamble(s *catalog.Snapshot, created []catalog.Object) []string {
	if s.Dialect == sqltext.MySQL.String() && len(created) > 0 {
		return s.Preamble // it affects the meaning of all statements
	}
	for i := range created {
		if k := created[i].Kind; k == catalog.Function || k == catalog.Procedure {
			return s.Preamble
		}
	}
	return nil
}

// created returns what only the last snapshot has: objects, and statements about older objects such
// as a GRANT. Any other change is an error.
func (m *minimizer) created() ([]catalog.Object, error) {
	before := map[string]*catalog.Object{}
	for i := range m.first.Objects {
		o := &m.first.Objects[i]
		before[o.ID()] = o
	}
	var created []catalog.Object
	own := map[string]bool{} // the IDs of objects created by statements of their own
	whole := ""              // the object whose parts follow
	for _, o := range m.last.Objects {
		if !o.Part {
			whole = o.ID()
		}
		was := before[o.ID()]
		switch {
		case was == nil && o.Part && before[whole] != nil: // the owner's statement covers it
		case was == nil:
			created, own[o.ID()] = append(created, o), true
		case addTo(was, &o):
			created, own[o.ID()] = append(created, o), true
			m.grown = cmp.Or(m.grown, o.ID())
		}
	}
	changes := slices.DeleteFunc(catalog.Compare(m.first, m.last), func(c catalog.Change) bool {
		return c.Change != catalog.Removed && !c.Order && own[string(c.Kind)+" "+c.Name]
	})
	if len(changes) > 0 {
		return nil, &NotSameError{From: m.opts.From, To: m.opts.To, Before: true, Changes: changes}
	}
	return created, nil
}

// addTo reduces an object to the statements added since, and reports whether there are any.
func addTo(was, is *catalog.Object) bool {
	sql, ok := added(was.SQL, is.SQL)
	late, okToo := added(was.Late, is.Late)
	is.SQL, is.Late = sql, late
	return ok && okToo && len(sql)+len(late) > 0
}

// added returns the statements of is that are not in was. ok is false if a statement is missing, or
// if one creates the object itself.
func added(was, is []string) (more []string, ok bool) {
	for _, s := range was {
		if !slices.Contains(is, s) {
			return nil, false
		}
	}
	for _, s := range is {
		switch {
		case slices.Contains(was, s):
		case strings.HasPrefix(s, "CREATE "):
			return nil, false
		default:
			more = append(more, s)
		}
	}
	return more, true
}

// prove runs the scripts, up and down.
func (m *minimizer) prove(ctx context.Context, db database.Database) error {
	q := migration.Migration{Version: m.opts.To, Name: "minimal", Up: migration.Text("the minimal up script", m.answer.Up)}
	if m.answer.HasDown {
		down, err := m.trial.also(migration.Text("the minimal down script", m.answer.Down))
		if err != nil {
			return err
		}
		q.Down = down
	}
	q.Up.Empty = m.answer.Up == ""
	by, err := m.migrator(ctx, db, []migration.Migration{q})
	if err != nil {
		return err
	}
	if _, err := by.Migrate(ctx, whimbrel.By(1), whimbrel.ApplyOptions{}); err != nil {
		return fmt.Errorf("the script made from the schema fails on scratch: %w", err)
	}
	now, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		return err
	}
	if changes := catalog.Compare(m.last, now); len(changes) > 0 {
		return &NotSameError{From: m.opts.From, To: m.opts.To, Changes: changes}
	}
	if !m.answer.HasDown {
		return nil
	}
	return m.proveDown(ctx, db, by)
}

// proveDown checks that the down script restores the schema from before the range, and drops it
// otherwise.
func (m *minimizer) proveDown(ctx context.Context, db database.Database, by *whimbrel.Migrator) error {
	none := func(why string) {
		m.answer.Down, m.answer.HasDown, m.answer.NoDown = "", false, why
	}
	if _, err := by.Migrate(ctx, whimbrel.By(-1), whimbrel.ApplyOptions{}); err != nil {
		if ctx.Err() != nil {
			return err
		}
		none("the down script fails: " + err.Error())
		return nil
	}
	now, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		return err
	}
	if changes := catalog.Compare(m.first, now); len(changes) > 0 {
		none("the down script leaves a difference: " + changes[0].String())
	}
	return nil
}
