// Package metadb reads, checks and changes the metadata that a database keeps.
//
//	missing, checked, err := metadb.Check(ctx, db, metadata.Rules{Require: []string{"owner"}})
//	result, err := metadb.Apply(ctx, migrator, document, metadb.Options{})
//
// Read, Inconsistent and Check lock and change nothing. Apply, Reset, Reload and DropInconsistent
// change the metadata in one transaction under the migration lock of the Migrator's set, and record
// that in the history. If nothing would change, they write nothing. Metadata that a migration
// carries needs none of this: the engine applies it with the migration.
package metadb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
)

// The changes, as the history names them.
const (
	apply            = "apply"
	reset            = "reset"
	reload           = "reload"
	dropInconsistent = "drop-inconsistent"
)

// resetWords completes "can't …" for a protected database.
const resetWords = "reset the metadata"

// Options are those of one change. The zero value is useful.
type Options struct {
	// DryRun changes nothing and locks nothing; the Result says what would change.
	DryRun bool
	// Reason is kept in the history. If it is empty, the history gets a count of the changes.
	Reason string
	// Overrule allows Reset if the database's setting "protected" is true. It must be the
	// database's name.
	Overrule string
}

// Result is what changed, or would change.
type Result struct {
	Action  string // apply, reset, reload or drop-inconsistent
	Entries int    // how many exist afterwards
	// Changes are the differences from before, ordered by name.
	Changes []metadata.Difference
	// Comments are the objects' comments that were set or, if empty, removed.
	Comments []metadata.Comment
	DryRun   bool
	Duration time.Duration
}

// Read returns the metadata that the database keeps.
func Read(ctx context.Context, db database.Database) (*metadata.Document, error) {
	s, err := database.ReadMetadata(ctx, db)
	if err != nil {
		return nil, err
	}
	return s.Document(), nil
}

// Inconsistent returns the entries whose objects are missing, renamed or replaced.
func Inconsistent(ctx context.Context, db database.Database) ([]metadata.Inconsistent, error) {
	s, err := database.ReadMetadata(ctx, db)
	if err != nil {
		return nil, err
	}
	return s.Inconsistent(), nil
}

// Check returns the objects that lack required facts, and how many objects it checked.
func Check(ctx context.Context, db database.Database, r metadata.Rules) (missing []metadata.Missing, checked int, err error) {
	s, err := database.ReadMetadata(ctx, db)
	if err != nil {
		return nil, 0, err
	}
	return s.Check(r)
}

// Apply replaces all metadata that the database keeps by a document. [metadata.State.Apply] says
// what it does to comments.
//
// Apply and the other functions that change metadata return metadata.Errors for entries whose
// objects don't exist, *whimbrel.FrozenError for a frozen database, and *database.LockedError.
// After an error nothing has changed.
func Apply(ctx context.Context, m *whimbrel.Migrator, d *metadata.Document, opts Options) (*Result, error) {
	if d == nil { // an empty document drops everything, so it must be intended
		return nil, errors.New("metadb.Apply needs a document, not nil; check the error of the function that read it")
	}
	return change(ctx, m, apply, opts, func(s *metadata.State) (*metadata.Change, error) { return s.Apply(d) })
}

// Reset drops all metadata. A database whose setting "protected" is true returns a
// *whimbrel.ProtectedError, unless opts.Overrule is its name.
func Reset(ctx context.Context, m *whimbrel.Migrator, opts Options) (*Result, error) {
	return change(ctx, m, reset, opts, func(s *metadata.State) (*metadata.Change, error) { return s.Reset(), nil })
}

// Reload takes changes that were made in the database itself into the metadata: see
// [metadata.State.Reload].
func Reload(ctx context.Context, m *whimbrel.Migrator, opts Options) (*Result, error) {
	return change(ctx, m, reload, opts, func(s *metadata.State) (*metadata.Change, error) { return s.Reload(), nil })
}

// DropInconsistent drops the entries that Inconsistent returns.
func DropInconsistent(ctx context.Context, m *whimbrel.Migrator, opts Options) (*Result, error) {
	return change(ctx, m, dropInconsistent, opts, func(s *metadata.State) (*metadata.Change, error) { return s.DropInconsistent(), nil })
}

// planned computes a change from the present metadata.
type planned func(*metadata.State) (*metadata.Change, error)

func change(ctx context.Context, m *whimbrel.Migrator, action string, opts Options, plan planned) (*Result, error) {
	start := time.Now()
	r := &Result{Action: action, DryRun: opts.DryRun}
	err := r.change(ctx, m, opts, plan)
	r.Duration = time.Since(start)
	if err != nil {
		r.Entries, r.Changes, r.Comments = 0, nil, nil
	}
	return r, err
}

// errUnchanged ends a change that changes nothing.
var errUnchanged = errors.New("nothing to change")

func (r *Result) change(ctx context.Context, m *whimbrel.Migrator, opts Options, plan planned) error {
	before, err := database.ReadMetadata(ctx, m.Database())
	if err != nil {
		return err
	}
	unchanged, _, err := r.compute(before, plan) // refuses before anything is locked or created
	if err != nil || opts.DryRun {
		return err
	}
	check := func(st *database.State) error {
		if r.Action == reset {
			if err := whimbrel.CheckProtected(st, resetWords, opts.Overrule); err != nil {
				return err
			}
		}
		if unchanged {
			return errUnchanged
		}
		return nil
	}
	err = m.Locked(ctx, check, func(tx database.Tx) error { return r.write(ctx, tx, opts, plan) })
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// write changes the metadata under the lock, where they may differ from before.
func (r *Result) write(ctx context.Context, tx database.Tx, opts Options, plan planned) error {
	before, err := database.TxMetadata(ctx, tx)
	if err != nil {
		return err
	}
	unchanged, c, err := r.compute(before, plan)
	switch {
	case err != nil:
		return err
	case unchanged:
		return errUnchanged
	}
	if err := database.TxPutMetadata(ctx, tx, c); err != nil {
		return err
	}
	return tx.Record(ctx, database.Entry{
		Version: database.NilVersion, Name: r.Action, Direction: database.Metadata, ToolVersion: whimbrel.ToolVersion(), Reason: opts.Reason, Remark: r.summary(),
	})
}

// compute plans the change and puts it into the result.
func (r *Result) compute(before *metadata.State, plan planned) (unchanged bool, c *metadata.Change, err error) {
	if c, err = plan(before); err != nil {
		return false, nil, err
	}
	after := c.Document()
	r.Entries, r.Changes, r.Comments = after.Len(), metadata.Diff(before.Document(), after), c.Comments
	return before.Has(c), c, nil
}

// summary counts the entries that were added, changed and removed.
func (r *Result) summary() string {
	count := map[string]int{}
	last := metadata.Name{}
	for _, d := range r.Changes {
		if d.Change != metadata.Changed || d.Name != last {
			count[d.Change]++
		}
		last = d.Name
	}
	var words []string
	for _, change := range []string{metadata.Added, metadata.Changed, metadata.Removed} {
		if n := count[change]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, change))
		}
	}
	if n := len(r.Comments); n > 0 {
		words = append(words, fmt.Sprintf("%d comments", n))
	}
	return strings.Join(words, ", ")
}
