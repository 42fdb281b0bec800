package whimbrel

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// settleTimeout limits how long ChangeSetting waits for running processes if
// Options.MigrationLockTimeout is 0.
const settleTimeout = 15 * time.Second

// Settings reads the settings that the database keeps.
func (m *Migrator) Settings(ctx context.Context) (database.Settings, error) {
	m = m.call(ctx)
	st, err := m.db.State(ctx, m.set.Name())
	if err != nil {
		return database.Settings{}, err
	}
	return st.Settings, nil
}

// Freeze refuses all migrations of the database, of any set, until Thaw or until a time; the zero
// time means no end. Each refused process gets the reason, in a *FrozenError. A program with
// nothing pending is not refused.
//
// When Freeze returns without an error, no migration is running. It waits for those that are, as
// long as Options.MigrationLockTimeout says (15 seconds if that is 0), and returns a
// *database.UnsettledError if they take longer; the database is frozen anyway. If the database
// allows only one writer, the error is a *database.LockedError and the database is not frozen.
func (m *Migrator) Freeze(ctx context.Context, reason string, until time.Time) (database.SettingValue, error) {
	if reason == "" {
		return database.SettingValue{}, errors.New("freezing a database requires a reason")
	}
	return m.ChangeSetting(ctx, database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: reason, Until: until})
}

// Thaw allows migrations again after Freeze. The history keeps the reason, which may be empty.
func (m *Migrator) Thaw(ctx context.Context, reason string) (database.SettingValue, error) {
	return m.ChangeSetting(ctx, database.SettingUpdate{Name: database.Frozen, Unset: true, Reason: reason})
}

// ChangeSetting changes a setting, records the change in the history, and returns the setting as
// the database then has it. It fills in the fields ToolVersion and At, and Settle for a change that
// forbids something: then it waits as Freeze does, until no process works by the old value.
func (m *Migrator) ChangeSetting(ctx context.Context, u database.SettingUpdate) (database.SettingValue, error) {
	m = m.call(ctx)
	u.ToolVersion, u.At = ToolVersion(), time.Now()
	checked, err := u.Check()
	if err != nil {
		return database.SettingValue{}, err
	}
	if (checked.Name == database.Frozen || checked.Name == database.Protected) && checked.Value == "true" {
		settle := m.lockOptions(database.Settings{})
		if m.opts.MigrationLockTimeout == 0 {
			settle.Timeout = settleTimeout
		}
		u.Settle = &settle
	}
	if err := database.UpdateSetting(ctx, m.db, u); err != nil {
		return database.SettingValue{}, err
	}
	s, err := m.Settings(ctx)
	if err != nil {
		return database.SettingValue{}, err
	}
	return s.Get(u.Name)
}
