package inspect

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Drift compares a database with the schema that its history creates on a scratch database, and
// returns the differences: Expected is from the history, Found from the database. The script texts
// are those in the history, of all its sets. Drift runs them set by set or, if that fails, in the
// order in which they were recorded. If someone accepted the state of the database (AcceptDrift),
// Drift expects that state plus what was applied since.
//
// If the history doesn't contain a text, Drift uses the script in files (which may be nil) that has
// its checksum; otherwise it returns a *NoTextError.
//
// Statements that only manage objects outside the database, such as roles, are skipped on scratch:
// they already took effect on the server, and a snapshot doesn't contain those objects. Other
// statements that affect anything outside the database are an *OutsideError.
func Drift(ctx context.Context, db database.Database, scratch Scratch, files *migration.Set) ([]catalog.Change, error) {
	orders, err := history(ctx, db, files)
	if err != nil {
		return nil, err
	}
	t, err := scratch.forHistory(ctx, orders[0])
	if err != nil {
		return nil, err
	}
	expected, err := expect(ctx, db, t, orders[0])
	for _, texts := range orders[1:] {
		if !errors.As(err, new(*database.StatementError)) {
			break
		}
		if other, oerr := expect(ctx, db, t, texts); oerr == nil {
			expected, err = other, nil
		}
	}
	if err != nil {
		return nil, err
	}
	found, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		return nil, err
	}
	return Compare(ctx, expected, without(found, expected, scratch.Ignore), scratch)
}

// without returns a snapshot without the objects that are ignored and not expected.
func without(found, expected *catalog.Snapshot, ignore func(*catalog.Object) bool) *catalog.Snapshot {
	if ignore == nil {
		return found
	}
	known := map[string]bool{}
	for i := range expected.Objects {
		known[expected.Objects[i].ID()] = true
	}
	found.Objects = slices.DeleteFunc(found.Objects, func(o catalog.Object) bool { return ignore(&o) && !known[o.ID()] })
	return found
}

// expect returns the schema that the texts create.
func expect(ctx context.Context, db database.Database, t *trial, texts []*text) (expected *catalog.Snapshot, err error) {
	err = t.on(ctx, func(empty database.Database) (err error) {
		if err := t.replay(ctx, empty, texts); err != nil {
			return err
		}
		if err := mirror(ctx, db, empty); err != nil {
			return err
		}
		expected, err = database.Snapshot(ctx, empty, catalog.Options{})
		return err
	})
	return expected, err
}

// AcceptDrift records the present state of the database as the expected one, as a history entry of
// the set, with the reason. While the database is frozen it returns a
// *whimbrel.FrozenError.
func AcceptDrift(ctx context.Context, db database.Database, set, reason string) error {
	if reason == "" {
		return errors.New("accepting drift requires a reason, which the history records")
	}
	s, err := migration.NewSet(set)
	if err != nil {
		return err
	}
	allow := func(*database.State) error { return nil }
	return whimbrel.New(db, s, whimbrel.Options{}).Locked(ctx, allow, func(tx database.Tx) error {
		now, err := database.Snapshot(ctx, db, catalog.Options{})
		if err != nil {
			return err
		}
		e := database.Entry{
			Set: set, Version: whimbrel.NilVersion, Name: now.Fingerprint()[:12], Direction: database.Drift,
			UpText: now.Text(), StartedAt: time.Now(), ToolVersion: whimbrel.ToolVersion(), Reason: reason,
		}
		e.Checksum = migration.Sum(e.UpText)
		return tx.Record(ctx, e)
	})
}
