package classic

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// migrationMode is the setting without which nothing may migrate a database. Whimbrel stores it as
// its opposite, database.Frozen.
const migrationMode = "migration_mode"

// Setting is a setting that the target database keeps.
type Setting struct{ name, defaultValue string }

// GetName returns the setting's name.
func (s *Setting) GetName() string { return s.name }

// GetDefaultValue returns the value of a database that does not store the setting.
func (s *Setting) GetDefaultValue() string { return s.defaultValue }

// Settings are the settings that the drivers of this package know: migration_mode, and those of
// package database. While migration_mode is false, nothing may migrate the database.
var Settings = declared()

func declared() []Setting {
	all := []Setting{{name: migrationMode, defaultValue: "true"}}
	for _, s := range database.DeclaredSettings() {
		if s.Name != database.Frozen {
			all = append(all, Setting{name: s.Name, defaultValue: s.Default})
		}
	}
	return all
}

// SettingsDriver reads and changes the settings of a database.
type SettingsDriver interface {
	// GetSetting returns the value of one of the Settings: the stored one, or the default.
	GetSetting(name string) (value string, err error)

	// UpdateSetting changes one of the Settings. When it has set migration_mode to false, no
	// migration is running.
	UpdateSetting(name string, value string) error
}

// frozenReason is kept with a database whose migration_mode is set to false.
const frozenReason = "migration_mode is false"

func (d *driver) GetSetting(name string) (value string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	st, err := d.read()
	if err != nil {
		return "", err
	}
	if name == migrationMode {
		return strconv.FormatBool(!st.Settings.Bool(database.Frozen)), nil
	}
	s, err := st.Settings.Get(name)
	return s.Value, err
}

func (d *driver) UpdateSetting(name string, value string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.unlocked("UpdateSetting"); err != nil {
		return err
	}
	ctx := context.Background()
	m := d.migrator(d.db, nil)
	if name != migrationMode {
		_, err := m.ChangeSetting(ctx, database.SettingUpdate{Name: name, Value: value})
		return exactly(err)
	}
	on, err := strconv.ParseBool(value)
	switch {
	case err != nil:
		return &database.SettingError{Name: name, Msg: fmt.Sprintf("invalid value %q: use true or false", value)}
	case on:
		_, err = m.Thaw(ctx, "migration_mode is true")
	default:
		_, err = m.Freeze(ctx, frozenReason, time.Time{})
	}
	return exactly(err)
}
