package adopt

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// ReverseOptions are the options of Reverse. The zero value detects the tool.
type ReverseOptions struct {
	// Tool, Table and DryRun are as in Options.
	Tool   Tool
	Table  string
	DryRun bool
	// Reason is kept with each entry of the history.
	Reason string
	// Migrator are the options of the Migrator that records.
	Migrator whimbrel.Options
}

// Reverse gives a database back to another tool. It removes the block, writes into the tool's table
// what Whimbrel has applied or rolled back since From, and records in Whimbrel's history that it
// manages none of these migrations any more. Nothing runs. The tool continues where Whimbrel has
// stopped, and From can take over again later.
//
// Everything happens in one transaction under the migration lock and the tool's own lock, as with
// From.
func Reverse(ctx context.Context, db database.Database, set *migration.Set, opts ReverseOptions) (*Result, error) {
	r := &Result{Set: set.Name(), Tool: opts.Tool}
	set, err := set.Complete()
	if err != nil {
		return r, err
	}
	g := &giveback{db: db, set: set, opts: opts, m: whimbrel.New(db, set, opts.Migrator), result: r}
	for {
		if err := g.look(ctx); err != nil || opts.DryRun {
			return r, err
		}
		if _, err = g.m.Adopt(ctx, opts.Reason, g.give); !errors.Is(err, database.ErrHeadChanged) {
			return r, err
		}
	}
}

// giveback is one call of Reverse.
type giveback struct {
	db      database.Database
	set     *migration.Set
	opts    ReverseOptions
	m       *whimbrel.Migrator
	result  *Result
	changes changes
	head    int64 // of the history when it was looked at
}

// changes are what a tool's table must say.
type changes struct {
	applied        []match // everything that is applied, by version
	theirs         []match // what the tool's table has
	added, removed []match // compared with the tool's table
}

// look determines what Reverse would do, without a lock.
func (g *giveback) look(ctx context.Context) error {
	q := outside(g.db)
	f, err := q.choose(ctx, g.opts.Tool, g.opts.Table)
	if err != nil {
		return err
	}
	st, err := g.db.State(ctx, g.set.Name())
	if err != nil {
		return err
	}
	g.head = st.Head
	if err := g.decide(ctx, q, f, st); err != nil || st.Applied.Len() > 0 || g.result.Blocked {
		return err
	}
	taken, err := g.taken(ctx)
	if err == nil && !taken {
		*g.result = Result{Set: g.set.Name(), Tool: g.result.Tool, Table: g.result.Table}
		err = &NotAdoptedError{Tool: g.result.Tool, Table: g.result.Table}
	}
	return err
}

// taken reports whether the history of the other tool was taken over, and not given back since: if
// nothing is applied, Whimbrel has rolled back everything, or has never had anything to do with it.
func (g *giveback) taken(ctx context.Context) (bool, error) {
	for e, err := range g.m.History(ctx, database.HistoryQuery{Newest: true}) {
		switch {
		case err != nil:
			return false, err
		case e.Direction == database.Mark && adopted(e):
			return true, nil
		case e.Direction == database.Forget && strings.HasPrefix(e.Remark, givenBack):
			return false, nil
		}
	}
	return false, nil
}

// givenBack is how the remark of an entry begins that gives a migration back.
const givenBack = "given back to "

// give writes the tool's table under the locks, and returns what to record.
func (g *giveback) give(ctx context.Context, tx database.Tx, st *database.State) ([]whimbrel.Adoption, error) {
	q := inside(g.db, tx)
	f, err := q.choose(ctx, g.opts.Tool, g.opts.Table)
	if err == nil {
		f, err = q.lock(ctx, f, g.opts.Migrator.LockTimeout)
	}
	if err == nil {
		err = g.decide(ctx, q, f, st)
	}
	if err == nil && st.Head != g.head {
		err = database.ErrHeadChanged
	}
	if err != nil {
		return nil, err
	}
	if err := q.takeBlock(ctx, f); err != nil {
		return nil, err
	}
	if len(g.changes.added)+len(g.changes.removed) > 0 {
		if err := f.reader.write(ctx, q, f.table, g.changes); err != nil {
			return nil, err
		}
	}
	g.result.Blocked = false
	remark := fmt.Sprintf(givenBack+"%s: %s", g.result.Tool, g.result.Table)
	var all []whimbrel.Adoption
	for a := range st.Applied.All() {
		all = append(all, whimbrel.Adoption{Direction: database.Forget, Migration: migration.Migration{Version: a.Version, Name: a.Name}, Remark: remark})
	}
	if len(all) == 0 { // Whimbrel has rolled back everything; the history must say who manages it now
		for _, m := range g.changes.removed {
			all = append(all, whimbrel.Adoption{Direction: database.Forget, Migration: m.Migration, Remark: remark})
		}
	}
	return all, nil
}

// decide compares the tool's table with Whimbrel's history.
func (g *giveback) decide(ctx context.Context, q *querier, f *found, st *database.State) error {
	r := g.result
	*r = Result{Set: g.set.Name(), Tool: f.reader.tool, Table: q.name(f.table)}
	g.changes = changes{}
	if f.reader.write == nil {
		return &UnsupportedError{Tool: r.Tool, What: "give a database back to the history", Why: "Whimbrel can't write its table"}
	}
	if err := q.mayWrite(f); err != nil {
		return err
	}
	h, err := f.reader.read(ctx, q, f.table)
	if err != nil {
		return err
	}
	r.Blocked = h.blocked || f.table.hasBlock()
	theirs, refused := matchAll(h, g.set)
	ours, missing := g.ours(st)
	refused = append(slices.DeleteFunc(refused, func(x Refused) bool { return x.Why == NeverRan || x.Why == Edited }), missing...)
	if h.upTo != nil || f.reader.single {
		refused = append(refused, g.gaps(ours)...)
	}
	if r.Refused = refused; len(refused) > 0 {
		return &RefusedError{Tool: r.Tool, Table: r.Table, Refused: refused}
	}
	g.changes = compare(ours, theirs)
	for _, m := range g.changes.added {
		r.Written = append(r.Written, Adopted{Version: m.Version, Name: m.Name, ID: m.id, At: m.at})
	}
	for _, m := range g.changes.removed {
		r.Removed = append(r.Removed, Adopted{Version: m.Version, Name: m.Name, ID: m.id, At: m.at})
	}
	return nil
}

// ours returns the migrations that Whimbrel's history has as applied. The set must have them, since
// the tool's table names them as their files do.
func (g *giveback) ours(st *database.State) (all []match, refused []Refused) {
	find := newMatcher(g.set).find
	for a := range st.Applied.All() {
		mig, ok := find(a.Version)
		if !ok || mig.Up == nil {
			refused = append(refused, Refused{
				Why: NoFile, Version: a.Version,
				Reason: fmt.Sprintf("version %d is applied, but the set has no file for it", a.Version),
			})
			continue
		}
		all = append(all, match{Migration: mig, at: a.AppliedAt})
	}
	return all, refused
}

// gaps refuses what a table with one version can't say.
func (g *giveback) gaps(ours []match) (refused []Refused) {
	applied := map[int64]bool{}
	newest := whimbrel.NilVersion
	for _, m := range ours {
		applied[m.Version] = true
		newest = max(newest, m.Version)
	}
	for mig := range g.set.Each() {
		if mig.Version < newest && !applied[mig.Version] {
			refused = append(refused, Refused{
				Why: NeverRan, Version: mig.Version, File: mig.Up.File,
				Reason: fmt.Sprintf("%s is not applied, but a newer migration is (version %d); the table of the other tool has one version", mig.Up.File, newest),
			})
		}
	}
	return refused
}

// compare returns how the tool's table differs from Whimbrel's history.
func compare(ours, theirs []match) changes {
	c := changes{applied: ours, theirs: theirs}
	has := func(list []match, version int64) bool {
		return slices.ContainsFunc(list, func(m match) bool { return m.Version == version })
	}
	for _, m := range ours {
		if !has(theirs, m.Version) {
			c.added = append(c.added, m)
		}
	}
	for _, m := range theirs {
		if m.Version != whimbrel.NilVersion && m.id != "" && !has(ours, m.Version) {
			c.removed = append(c.removed, m)
		}
	}
	return c
}

// insert adds a row; the values are SQL.
func (q *querier) insert(ctx context.Context, t *table, columns, values []string) error {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = q.ident(c)
	}
	return q.exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", q.full(t), strings.Join(quoted, ", "), strings.Join(values, ", ")))
}

// equal returns the operator of pg_catalog in PostgreSQL.
func (q *querier) equal() string {
	if q.dialect == sqltext.PostgreSQL {
		return "OPERATOR(pg_catalog.=)"
	}
	return "="
}

// fileDigits returns the version as the file's name writes it.
func fileDigits(m match) string {
	if m.Up != nil {
		if d := leadingDigits(path.Base(m.Up.File)); d != "" {
			return d
		}
	}
	return fmt.Sprint(m.Version)
}
