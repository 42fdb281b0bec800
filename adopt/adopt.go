// Package adopt takes over databases that another migration tool has migrated. It reads that tool's
// history table, matches it with a set, and records what the tool has applied in Whimbrel's
// history. The other tool's table stays as it is.
//
// [Detect] finds the tables of other tools. [From] takes over, and [Reverse] gives back: it writes
// what Whimbrel has applied since into the other tool's table.
package adopt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Options of From. The zero value detects the tool and takes its history over.
type Options struct {
	// Tool is the tool whose history is taken over. "" means the only one that Detect finds.
	Tool Tool
	// Table is the tool's history table, as name or schema.name, if it is not the tool's default or
	// exists in several schemas.
	Table string
	// DryRun reports what From would do. It locks and writes nothing.
	DryRun bool
	// Block keeps the other tool from migrating the database afterwards, until Reverse. The way
	// depends on the tool; see Tool.Block.
	Block bool
	// Verify, if not nil, is called with the part of the set that the other tool has applied, before
	// anything is locked or written. An error ends From.
	Verify func(ctx context.Context, applied *migration.Set) error
	// Reason is kept with each entry of the history.
	Reason string
	// Migrator are the options of the Migrator that records. LockTimeout also limits how long From
	// waits for the other tool's lock.
	Migrator whimbrel.Options
}

// Result is what From or Reverse did, or would do.
type Result struct {
	Set  string
	Tool Tool
	// Table is the tool's table, quoted where the database requires it.
	Table string
	// Adopted are the migrations that were recorded as applied, in the order of their versions,
	// followed by repeatable scripts. Already is how many the history had before.
	Adopted []Adopted
	Already int
	// Refused are the reasons why nothing was recorded; the error is then a *RefusedError.
	Refused []Refused
	// Written are the versions that Reverse wrote into the tool's table, and Removed those that it
	// removed from it.
	Written, Removed []Adopted
	// Blocked reports that the tool is kept from migrating.
	Blocked bool
	// Notes are facts that changed nothing, such as a checksum that can't be compared.
	Notes []string
}

// Adopted is a migration of the set that another tool has applied.
type Adopted struct {
	Version int64 // NilVersion for a repeatable script
	Name    string
	ID      string    // as the tool's table has it
	At      time.Time // when the tool applied it; zero if it doesn't say
}

// From takes over the history of another tool: it records each migration of the set that the tool
// has applied as applied, with the time at which the tool applied it if the table says so, and with
// the checksum that the set has now. Nothing runs.
//
// Everything happens in one transaction under the migration lock and under the lock of the other
// tool, if it has one; its table is locked against changes. If several processes call From, one
// takes over, and the others find that it is done. A second call records only what the other tool
// has applied since, usually nothing.
//
// If a row or a file does not match, nothing is recorded and the error is a *RefusedError with the
// whole list. Other errors are a *NotFoundError, an *AmbiguousError, a *TableError for a table that
// must not be read, and a *LockedError if the other tool is running.
func From(ctx context.Context, db database.Database, set *migration.Set, opts Options) (*Result, error) {
	r := &Result{Set: set.Name(), Tool: opts.Tool}
	set, err := set.Complete()
	if err != nil {
		return r, err
	}
	t := &takeover{db: db, set: set, opts: opts, m: whimbrel.New(db, set, opts.Migrator), result: r}
	if err := t.look(ctx); err != nil || opts.DryRun {
		return r, err
	}
	if opts.Verify != nil {
		applied, err := t.applied()
		if err == nil {
			err = opts.Verify(ctx, applied)
		}
		if err != nil {
			return r, err
		}
	}
	if len(t.adoptions) == 0 && (!opts.Block || r.Blocked) {
		return r, nil
	}
	_, err = t.m.Adopt(ctx, opts.Reason, t.take)
	return r, err
}

// takeover is one call of From.
type takeover struct {
	db     database.Database
	set    *migration.Set
	opts   Options
	m      *whimbrel.Migrator
	result *Result

	matched   []match
	adoptions []whimbrel.Adoption
}

// look determines what From would do, without a lock.
func (t *takeover) look(ctx context.Context) error {
	q := outside(t.db)
	f, err := q.choose(ctx, t.opts.Tool, t.opts.Table)
	if err != nil {
		return err
	}
	st, err := t.db.State(ctx, t.set.Name())
	var own *database.TablesError
	if errors.As(err, &own) && own.Problem == database.TablesEmpty { // Migrator.Adopt starts again with them
		st, err = &database.State{Set: t.set.Name(), Applied: database.NewAppliedSet()}, nil
	}
	if err != nil {
		return err
	}
	return q.running(ctx, f, t.decide(ctx, q, f, st))
}

// take decides again under the locks, and returns what to record.
func (t *takeover) take(ctx context.Context, tx database.Tx, st *database.State) ([]whimbrel.Adoption, error) {
	q := inside(t.db, tx)
	f, err := q.choose(ctx, t.opts.Tool, t.opts.Table)
	if err == nil {
		f, err = q.lock(ctx, f, t.opts.Migrator.LockTimeout)
	}
	if err == nil {
		err = t.decide(ctx, q, f, st)
	}
	if err == nil && t.opts.Block && !t.result.Blocked {
		if err = q.putBlock(ctx, f); err == nil {
			t.result.Blocked = true
		}
	}
	return t.adoptions, err
}

// decide reads the tool's table and fills in the result and what to record.
func (t *takeover) decide(ctx context.Context, q *querier, f *found, st *database.State) error {
	r := t.result
	*r = Result{Set: t.set.Name(), Tool: f.reader.tool, Table: q.name(f.table)}
	t.matched, t.adoptions = nil, nil
	h, err := f.reader.read(ctx, q, f.table)
	if err != nil {
		return err
	}
	r.Blocked, r.Notes = h.blocked || f.table.hasBlock(), h.notes
	if t.matched, r.Refused = matchAll(h, t.set); len(r.Refused) > 0 {
		return &RefusedError{Tool: r.Tool, Table: r.Table, Refused: r.Refused}
	}
	ours, err := t.since(ctx, st)
	if err != nil {
		return err
	}
	remark := fmt.Sprintf("adopted from %s: %s", r.Tool, r.Table)
	for _, m := range t.matched {
		if ours(m) {
			r.Already++
			continue
		}
		d := database.Mark
		if m.Version == whimbrel.NilVersion {
			d = database.Repeat
		}
		r.Adopted = append(r.Adopted, Adopted{Version: m.Version, Name: m.Name, ID: m.id, At: m.at})
		t.adoptions = append(t.adoptions, whimbrel.Adoption{Direction: d, Migration: m.Migration, At: m.at, Remark: remark})
	}
	return nil
}

// since returns a function that reports whether Whimbrel's history decides about a migration: it is
// recorded as applied, or was rolled back since the tool's history was taken over.
func (t *takeover) since(ctx context.Context, st *database.State) (func(match) bool, error) {
	rolledBack := map[int64]bool{}
	if st.Applied.Len() > 0 {
		seen := map[int64]bool{}
		for e, err := range t.m.History(ctx, database.HistoryQuery{Newest: true}) {
			if err != nil {
				return nil, err
			}
			if e.Direction == database.Mark && adopted(e) {
				break
			}
			switch e.Direction {
			case database.Down, database.Forget, database.Up, database.Mark, database.Baseline, database.Load:
				if !seen[e.Version] && (e.Direction == database.Down || e.Direction == database.Forget) {
					rolledBack[e.Version] = true
				}
				seen[e.Version] = true
			}
		}
	}
	return func(m match) bool {
		if m.Version == whimbrel.NilVersion {
			_, ok := st.Repeated[m.Name]
			return ok
		}
		_, ok := st.Applied.Get(m.Version)
		return ok || rolledBack[m.Version]
	}, nil
}

// applied returns the part of the set that the tool has applied.
func (t *takeover) applied() (*migration.Set, error) {
	var c migration.Contents
	for _, m := range t.matched {
		if m.Version == whimbrel.NilVersion {
			c.Repeatables = append(c.Repeatables, migration.Named{Name: m.Name, Script: m.Up})
		} else {
			c.Migrations = append(c.Migrations, m.Migration)
		}
	}
	return c.Set(t.set.Name())
}
