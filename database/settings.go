package database

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/migration"
)

// SettingType is the type of a setting's value.
type SettingType string

// BoolSetting values are true or false.
const BoolSetting SettingType = "bool"

// MigrationMode is the setting that lets migrations run. While it is false,
// nothing may migrate the database; the reason stands beside it.
const MigrationMode = "migration_mode"

// DeclaredSetting is a setting that Whimbrel knows. Settings are kept in the
// target database.
type DeclaredSetting struct {
	Name    string
	Type    SettingType
	Default string
	Doc     string
}

// DeclaredSettings returns all settings there are, by name.
func DeclaredSettings() []DeclaredSetting {
	return []DeclaredSetting{{
		Name: MigrationMode, Type: BoolSetting, Default: "true",
		Doc: "while it is false, nothing may migrate this database",
	}}
}

// StoredSetting is what the target keeps of a setting.
type StoredSetting struct {
	Name, Value string
	Reason      string
	ChangedBy   string    // the database's user
	ChangedAt   time.Time // as SettingUpdate says, to the microsecond, in UTC
}

// SettingValue is a setting with its present value.
type SettingValue struct {
	DeclaredSetting
	Value     string // as stored, or the default
	IsDefault bool   // nothing is stored, and the fields below are zero

	Reason    string
	ChangedBy string
	ChangedAt time.Time
}

// Settings are a target's settings. The zero value has the defaults.
type Settings struct{ stored map[string]StoredSetting }

// NewSettings returns the settings of a target that keeps the given ones. Those that
// are not declared are passed over: a newer Whimbrel may know them.
func NewSettings(stored ...StoredSetting) Settings {
	s := Settings{stored: make(map[string]StoredSetting, len(stored))}
	for _, st := range stored {
		s.stored[st.Name] = st
	}
	return s
}

// Get returns a setting. A name that is not declared is a *SettingError.
func (s Settings) Get(name string) (SettingValue, error) {
	for _, d := range DeclaredSettings() {
		if d.Name != name {
			continue
		}
		st, ok := s.stored[name]
		if !ok {
			return SettingValue{DeclaredSetting: d, Value: d.Default, IsDefault: true}, nil
		}
		return SettingValue{
			DeclaredSetting: d, Value: st.Value,
			Reason: st.Reason, ChangedBy: st.ChangedBy, ChangedAt: st.ChangedAt,
		}, nil
	}
	return SettingValue{}, unknownSetting(name)
}

// All returns every declared setting, by name.
func (s Settings) All() []SettingValue {
	var all []SettingValue
	for _, d := range DeclaredSettings() {
		v, _ := s.Get(d.Name) // it is declared
		all = append(all, v)
	}
	return all
}

// Bool returns the value of a declared setting of type bool.
func (s Settings) Bool(name string) bool {
	v, err := s.Get(name)
	if err != nil {
		return false
	}
	b, err := strconv.ParseBool(v.Value)
	return err == nil && b
}

// SettingUpdate is a change of one setting.
type SettingUpdate struct {
	Name, Value string
	Reason      string
	ToolVersion string
	At          time.Time
}

// Check returns the update with its value in canonical form, or a *SettingError.
// Drivers call it before they write anything.
func (u SettingUpdate) Check() (SettingUpdate, error) {
	for _, d := range DeclaredSettings() {
		if d.Name != u.Name {
			continue
		}
		b, err := strconv.ParseBool(u.Value)
		if err != nil {
			return u, &SettingError{Name: u.Name, Msg: fmt.Sprintf("%q is not a %s: want true or false", u.Value, d.Type)}
		}
		u.Value = strconv.FormatBool(b)
		return u, nil
	}
	return u, unknownSetting(u.Name)
}

// Event returns the event that records the update.
func (u SettingUpdate) Event() Event {
	note := u.Name + "=" + u.Value
	if u.Reason != "" {
		note += ": " + u.Reason
	}
	return Event{Set: migration.ReservedSet, Version: NilVersion, Name: u.Name, Direction: Setting, StartedAt: u.At, ToolVersion: u.ToolVersion, Note: note}
}

// SettingError is a setting that does not exist, or a value that is not of its type.
type SettingError struct{ Name, Msg string }

func (e *SettingError) Error() string { return fmt.Sprintf("setting %q: %s", e.Name, e.Msg) }

func unknownSetting(name string) error {
	var names []string
	for _, d := range DeclaredSettings() {
		names = append(names, d.Name)
	}
	return &SettingError{Name: name, Msg: "there is no such setting; there are: " + strings.Join(names, ", ")}
}
