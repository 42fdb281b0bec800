package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
)

// schemaTextLimit is the size in bytes up to which the history keeps the text of a loaded schema.
const schemaTextLimit = 8 << 20

// Schema is a script that creates the schema of a database, and what it includes. Package
// schemafile reads and writes it as a file.
type Schema struct {
	// Script creates the schema in an empty database. If it is nil, Load runs nothing: the schema
	// of another set includes the objects of this one.
	Script *migration.Script
	// Applied are the migrations that the schema includes, with their checksums.
	Applied *database.AppliedSet
	// Repeated are the repeatable scripts that the schema includes: their checksums, by name.
	Repeated map[string]migration.Checksum
}

// Load creates the schema in an empty database and records what it includes as applied, in one
// transaction. If the database can't create a schema in a transaction, Load executes the
// statements one by one, and a later call resumes an interrupted one. The history keeps the
// script's text.
//
// A database that has applied everything that the schema includes is left unchanged. Before
// anything runs, Load returns a *SchemaMismatchError if the set has another text of a migration, a
// *NotEmptyError if the database has objects or applied migrations, and the errors of Plan.
// Migrations of the set that the schema does not include remain pending.
func (m *Migrator) Load(ctx context.Context, s Schema, opts ApplyOptions) (*Result, error) {
	start := time.Now()
	m, err := m.with(ctx, opts).complete(ctx)
	if err != nil {
		return &Result{}, err
	}
	r := &Result{Set: m.set.Name()}
	p, err := m.planLoad(ctx, s)
	switch {
	case err != nil:
	case s.Script == nil:
		r, err = m.recordLoad(ctx, p)
	default:
		r, err = m.Apply(ctx, p, opts)
	}
	r.Duration = time.Since(start)
	return r, err
}

// planLoad returns the plan that loads a schema.
func (m *Migrator) planLoad(ctx context.Context, s Schema) (*Plan, error) {
	for head := int64(-1); ; {
		st, err := m.db.State(ctx, m.set.Name())
		if err != nil {
			return nil, err
		}
		if err := m.verifySchema(s); err != nil {
			return nil, err
		}
		g := Goal{kind: goalLoad, pinned: &pinned{load: m.loadMove(s)}}
		moves, err := decide(m.set, st, g, false)
		if err != nil {
			return nil, err
		}
		if s.Script == nil || len(moves) == 0 || moves[0].resume != nil {
			return m.newPlan(ctx, st, g, moves)
		}
		// The objects may be those that another process has loaded since the state was read.
		if err := m.checkEmpty(ctx, st); err == nil {
			return m.newPlan(ctx, st, g, moves)
		} else if st.Head == head {
			return nil, err
		}
		head = st.Head
	}
}

// verifySchema compares the migrations that a schema includes with the set.
func (m *Migrator) verifySchema(s Schema) error {
	if s.Applied.Len() == 0 {
		return errors.New("the schema includes no migration, so nothing can be loaded")
	}
	e := &SchemaMismatchError{Set: m.set.Name()}
	v := viewOf(m.set, s.Applied)
	for a := range s.Applied.All() {
		sum, known := v.expected(a)
		if !known || sum == a.Checksum {
			continue
		}
		d := SchemaMismatch{Version: a.Version, Name: a.Name, Schema: a.Checksum, Set: sum}
		if mig, ok := v.get(a.Version); ok {
			d.Name, d.File = mig.Name, mig.Up.File
		}
		e.Migrations = append(e.Migrations, d)
	}
	if len(e.Migrations) == 0 {
		return nil
	}
	return e
}

// loadMove returns the move that loads a schema.
func (m *Migrator) loadMove(s Schema) move {
	script := s.Script
	if script == nil {
		script = migration.Text("", "")
		script.Empty = true
	}
	newest, _ := s.Applied.Last()
	mv := move{version: newest, name: path.Base(filepath.ToSlash(script.File)), direction: database.Load, from: FromSet, script: script, up: script}
	for a := range s.Applied.All() {
		mv.marks = append(mv.marks, m.included(a))
	}
	for name, sum := range s.Repeated {
		mv.repeats = append(mv.repeats, migration.Named{Name: name, Script: m.includedRepeatable(name, sum)})
	}
	order.By(mv.repeats, func(a, b migration.Named) int { return strings.Compare(a.Name, b.Name) })
	return mv
}

// included returns a migration that a schema includes, with the texts of the set if it has them.
func (m *Migrator) included(a database.AppliedMigration) migration.Migration {
	for _, find := range []func(int64) (migration.Migration, bool){m.set.Get, m.set.Original, m.set.Baseline} {
		if mig, ok := find(a.Version); ok && mig.Up.Checksum == a.Checksum {
			return mig
		}
	}
	return migration.Migration{Version: a.Version, Name: a.Name, Up: withoutText(a.Checksum)}
}

func (m *Migrator) includedRepeatable(name string, sum migration.Checksum) *migration.Script {
	for _, r := range m.set.Repeatables() {
		if r.Name == name && r.Script.Checksum == sum {
			return r.Script
		}
	}
	return withoutText(sum)
}

// withoutText returns a script of which only the checksum is known.
func withoutText(sum migration.Checksum) *migration.Script {
	s := migration.Text("", "")
	s.Checksum = sum
	return s
}

// decideLoad returns the move that loads a schema, unless the database has what it includes.
func decideLoad(set *migration.Set, st *database.State, mv move) ([]move, error) {
	has := 0
	for _, mig := range mv.marks {
		if a, ok := st.Applied.Get(mig.Version); ok && a.Checksum == mig.Up.Checksum {
			has++
		}
	}
	switch {
	case has == len(mv.marks):
		return nil, nil
	case mv.isRun(st.Interrupted):
		mv.resume = st.Interrupted
	case st.Interrupted != nil:
		return nil, &InterruptedError{Set: set.Name(), Journal: *st.Interrupted, Problem: "it must be resumed before a schema can be loaded"}
	case st.Applied.Len() > 0 || len(mv.notRepeated(st)) > 0:
		e := &NotEmptyError{Set: set.Name(), Database: st.Database, AppliedCount: st.Applied.Len(), Repeated: mv.notRepeated(st)}
		e.Version, _ = st.Version()
		return nil, e
	}
	return []move{mv}, nil
}

// notRepeated returns the repeatable scripts that ran in the database and that the move does not
// record. They would count as run although their objects are gone.
func (m move) notRepeated(st *database.State) (names []string) {
	for name := range st.Repeated {
		if !slices.ContainsFunc(m.repeats, func(r migration.Named) bool { return r.Name == name }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// checkEmpty returns an error if the database has objects.
func (m *Migrator) checkEmpty(ctx context.Context, st *database.State) error {
	now, err := database.Snapshot(ctx, m.db, catalog.Options{})
	if err != nil {
		return err
	}
	e := &NotEmptyError{Set: m.set.Name(), Database: st.Database, Version: NilVersion}
	for i := range now.Objects {
		if o := &now.Objects[i]; !o.Part && !(o.Kind == catalog.Schema && o.Name == "public") {
			e.Objects = append(e.Objects, o.ID())
		}
	}
	if len(e.Objects) == 0 {
		return nil
	}
	return e
}

// recordLoad records what a schema includes without running anything.
func (m *Migrator) recordLoad(ctx context.Context, p *Plan) (*Result, error) {
	r := &Result{Set: m.set.Name()}
	if len(p.Steps) == 0 {
		return r, nil
	}
	recorded, err := m.record(ctx, m.opts.Reason, func(_ context.Context, st *database.State) ([]database.Entry, error) {
		moves, err := decide(m.set, st, p.until, false)
		if err != nil || len(moves) == 0 {
			return nil, err
		}
		return moves[0].entries(m.opts.TextLimit)
	})
	for _, e := range recorded {
		if e.Direction == database.Mark {
			r.Recorded = append(r.Recorded, StepResult{Version: e.Version, Name: e.Name})
		}
	}
	return r, err
}

// NotEmptyError reports a database into which no schema can be loaded, because it has applied
// migrations or objects. Nothing has changed.
type NotEmptyError struct {
	Set, Database string
	// Version is the newest applied version, or NilVersion.
	Version      int64
	AppliedCount int
	// Repeated are repeatable scripts that ran and that the schema does not include.
	Repeated []string
	// Objects are the IDs of the objects, such as "table public.a", if nothing is applied.
	Objects []string
}

func (e *NotEmptyError) Error() string {
	switch n := len(e.Objects); {
	case e.AppliedCount > 0:
		return fmt.Sprintf("a schema can only be loaded into an empty database, but set %q has %d applied migrations, the newest is version %d", e.Set, e.AppliedCount, e.Version)
	case len(e.Repeated) > 0:
		return fmt.Sprintf("a schema can only be loaded into an empty database, but repeatable scripts of set %q ran that the schema does not include: %s", e.Set, strings.Join(e.Repeated, ", "))
	case n == 1:
		return "a schema can only be loaded into an empty database, but this one has 1 object: " + e.Objects[0]
	default:
		return fmt.Sprintf("a schema can only be loaded into an empty database, but this one has %d objects, such as %s", n, e.Objects[0])
	}
}

// SchemaMismatchError reports migrations of which a schema includes another text than the set has.
// Nothing has changed.
type SchemaMismatchError struct {
	Set        string
	Migrations []SchemaMismatch
}

// SchemaMismatch is a migration of a SchemaMismatchError.
type SchemaMismatch struct {
	Version int64
	Name    string
	File    string // of the set's up script; "" if only a squash of the set names the version
	// Schema is the checksum that the schema includes, Set that of the set.
	Schema, Set migration.Checksum
}

func (e *SchemaMismatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the schema includes other texts of %d migrations than set %q:", len(e.Migrations), e.Set)
	for _, d := range e.Migrations {
		fmt.Fprintf(&b, "\n%d %s: checksum %.12s… in the schema, %.12s… in the set", d.Version, d.Name, d.Schema, d.Set)
	}
	return b.String()
}
