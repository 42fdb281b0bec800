package inspect

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Drift compares a database with what its history makes of a scratch database, and
// returns what differs: Expected is what the history says, Found what is there.
// The scripts' texts are the history's own, of all its sets, in the order in which
// they were applied. Where a person has accepted the state of the database
// (AcceptDrift), that is what is expected, and what was applied since.
func Drift(ctx context.Context, db database.Database, scratch Maker) (_ []catalog.Change, err error) {
	texts, err := history(ctx, db)
	if err != nil {
		return nil, err
	}
	empty, drop, err := scratch(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if derr := drop(ctx); err == nil {
			err = derr
		}
	}()
	if err := replay(ctx, empty, texts); err != nil {
		return nil, err
	}
	expected, err := database.Snapshot(ctx, empty, catalog.Options{})
	if err != nil {
		return nil, err
	}
	found, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		return nil, err
	}
	return catalog.Compare(expected, found), nil
}

// AcceptDrift records the present state of the database as what is expected, as an event
// of a set, with the reason.
func AcceptDrift(ctx context.Context, db database.Database, set, reason string) error {
	if reason == "" {
		return errors.New("accepting drift wants a reason, which the history keeps")
	}
	st, err := db.State(ctx, set)
	if err != nil {
		return err
	}
	b, err := db.Begin(ctx, set, database.LockOptions{Timeout: st.Settings.Duration(database.LockTimeout)})
	if err != nil {
		return err
	}
	defer b.Rollback(ctx)
	now, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		return err
	}
	e := database.Event{
		Set: set, Version: whimbrel.NilVersion, Name: now.Fingerprint()[:12], Direction: database.Drift,
		UpText: now.Text(), StartedAt: time.Now(), ToolVersion: whimbrel.ToolVersion(), Note: reason,
	}
	e.Checksum = migration.Sum(e.UpText)
	if err := b.Record(ctx, e); err != nil {
		return err
	}
	return b.Commit(ctx)
}
