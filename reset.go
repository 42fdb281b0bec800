package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

const resetWord = "reset"

// ResetOptions are the options of Reset.
type ResetOptions struct {
	// DryRun rolls everything back; the result says what a reset would do. It needs no Confirm.
	// While it runs, it holds the same locks as a reset.
	DryRun bool
	// Confirm must be the name of the database ([Status.Database]).
	Confirm string
	// Overrule must be its name too, if the database's setting "protected" is true.
	Overrule string
	// Reason is kept with each entry that the call adds to the history.
	Reason string
}

// ResetResult is what a reset did, or would do.
type ResetResult struct {
	Database string // its name
	database.Emptied
	// Settings are those of the database. A dry run also works while they freeze it.
	Settings database.Settings
	DryRun   bool
	Duration time.Duration
}

// Reset empties the database. In one transaction, under the locks of all sets of the history, it
// drops everything in the schema of Whimbrel's own tables and in the schemas that scripts of the
// history created, and records for each set that nothing is applied. The history and the settings
// remain. A database without migrations is left unchanged.
//
// Reset returns a *ConfirmError if opts.Confirm is not the database's name, a *ProtectedError if
// the database's setting "protected" is true and opts.Overrule is not its name; a *FrozenError,
// except for a dry run; and a *database.InUseError if other objects depend on those that it would
// drop. After an error nothing has changed.
func (m *Migrator) Reset(ctx context.Context, opts ResetOptions) (*ResetResult, error) {
	m = m.call(ctx)
	start := time.Now()
	r := &ResetResult{DryRun: opts.DryRun}
	err := m.reset(ctx, r, opts)
	r.Duration = time.Since(start)
	if err != nil {
		r.Emptied = database.Emptied{}
	}
	return r, err
}

func (m *Migrator) reset(ctx context.Context, r *ResetResult, opts ResetOptions) error {
	st, err := m.db.State(ctx, m.set.Name())
	if err != nil {
		return err
	}
	r.Database, r.Settings = st.Database, st.Settings
	schemas, migrated, err := m.coveredSchemas(ctx)
	if err != nil || !migrated {
		return err
	}
	_, err = m.locked(ctx, func(st *database.State) error { return mayReset(st, opts) }, func(tx database.Tx) error {
		emptied, err := database.TxReset(ctx, tx, schemas, database.Entry{ToolVersion: ToolVersion(), Reason: opts.Reason})
		if err != nil {
			return err
		}
		r.Emptied = *emptied
		if opts.DryRun {
			return errDryRun
		}
		return nil
	})
	if errors.Is(err, errDryRun) {
		return nil
	}
	return err
}

// mayReset returns an error if the database must not be reset.
func mayReset(st *database.State, opts ResetOptions) error {
	if err := checkFrozen(st.Settings); err != nil && !opts.DryRun {
		return err
	}
	if err := CheckProtected(st, resetWord, opts.Overrule); err != nil {
		return err
	}
	if !opts.DryRun && (opts.Confirm == "" || opts.Confirm != st.Database) {
		return &ConfirmError{What: resetWord, Database: st.Database, Confirm: opts.Confirm}
	}
	return nil
}

// coveredSchemas returns the schemas that scripts of the history have created since the last reset,
// and whether the database has any migrations.
func (m *Migrator) coveredSchemas(ctx context.Context) (schemas []string, migrated bool, err error) {
	bySet := map[string][]string{}
	for e, err := range m.db.History(ctx, database.HistoryQuery{Texts: true}) {
		switch {
		case err != nil:
			return nil, false, err
		case e.Set == migration.ReservedSet, !migrates(e.Direction):
			continue
		case e.Direction == database.Reset:
			delete(bySet, e.Set)
		default:
			bySet[e.Set] = append(bySet[e.Set], createdSchemas(m.upText(e), m.db.Dialect())...)
		}
		migrated = true
	}
	schemas = slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(bySet))...)))
	return slices.Compact(schemas), migrated, nil
}

// migrates reports whether an entry of a direction means that the database has a migrated schema.
func migrates(d database.Direction) bool {
	switch d {
	case database.Metadata, database.Query, database.Failed, database.Abandon, database.Terminate:
		return false
	}
	return true
}

// upText returns the up script of a history entry: the stored text, or else the set's.
func (m *Migrator) upText(e database.Entry) string {
	if e.UpText != "" || e.Checksum.IsZero() || e.Set != m.set.Name() {
		return e.UpText
	}
	for _, find := range []func(int64) (migration.Migration, bool){m.set.Get, m.set.Original, m.set.Baseline} {
		if mig, ok := find(e.Version); ok && mig.Up.Checksum == e.Checksum {
			text, _, _ := mig.Up.Text(migration.KeepInMemory) // an unreadable script creates no known schema
			return text
		}
	}
	return ""
}

// createdSchemas returns the names of the schemas that a script creates.
func createdSchemas(text string, d sqltext.Dialect) (names []string) {
	if !strings.Contains(strings.ToLower(text), "schema") {
		return nil
	}
	for st, err := range sqltext.NewScanner(strings.NewReader(text), d, sqltext.Options{}).All() {
		if err != nil {
			return names // the rest has not run
		}
		if name := st.CreatedSchema(d); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// ConfirmError reports that ResetOptions.Confirm is not the database's name. Nothing has changed.
type ConfirmError struct {
	What     string // the refused action: "reset", or another command's that asks for the name
	Database string // its name
	Confirm  string // the value that the call passed
}

func (e *ConfirmError) Error() string {
	if e.Confirm == "" {
		return fmt.Sprintf("%s needs the database's name, which is %q", e.What, e.Database)
	}
	return fmt.Sprintf("the database's name is %q, not %q; nothing was changed", e.Database, e.Confirm)
}
