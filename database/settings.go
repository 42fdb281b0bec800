package database

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/durations"
	"github.com/whimbrel-db/whimbrel/internal/times"
	"github.com/whimbrel-db/whimbrel/migration"
)

// SettingType is the type of a setting's value.
type SettingType string

// A bool is true or false, or on or off. A duration has the form 15s, 1m30s or 1d. A choice is
// one of the declared words.
const (
	BoolSetting     SettingType = "bool"
	DurationSetting SettingType = "duration"
	ChoiceSetting   SettingType = "choice"
)

// The settings.
const (
	// Frozen refuses all migrations while it is true. The reason is stored with it.
	// SettingUpdate.Settle waits for processes that are already migrating.
	Frozen = "frozen"
	// Protected prevents irreversible changes by accident: while it is true, a caller must pass the
	// database's name to roll back, reset or seed.
	Protected = "protected"
	// LockTimeout limits each wait of a statement for a lock, and RetryFor how long a step that
	// fails because of a lock is tried again, if neither a directive nor the Options say so.
	LockTimeout = "lock_timeout"
	RetryFor    = "retry_for"
	// MigrationLockTimeout limits the wait for the migration lock if the Options don't.
	MigrationLockTimeout = "migration_lock_timeout"
	// Order decides about pending migrations below the newest applied one: OrderStrict refuses
	// them, OrderAny applies them.
	Order = "order"
)

// The choices of Order.
const (
	OrderStrict = "strict"
	OrderAny    = "any"
)

// DeclaredSetting is a setting that Whimbrel knows. Settings are stored in the target database.
type DeclaredSetting struct {
	Name    string
	Type    SettingType
	Choices []string // of a ChoiceSetting
	Default string
	Doc     string
}

// DeclaredSettings returns all settings, by name.
func DeclaredSettings() []DeclaredSetting {
	return []DeclaredSetting{
		{Name: Frozen, Type: BoolSetting, Default: "false", Doc: "if true, nothing can migrate the database"},
		{Name: LockTimeout, Type: DurationSetting, Default: "2s", Doc: "how long a statement may wait for a lock; 0s waits without limit"},
		{Name: MigrationLockTimeout, Type: DurationSetting, Default: "15s", Doc: "how long to wait for another migrating process; 0s tries once"},
		{Name: Order, Type: ChoiceSetting, Choices: []string{OrderStrict, OrderAny}, Default: OrderStrict, Doc: "whether pending migrations below the newest applied one are refused (strict) or applied (any)"},
		{Name: Protected, Type: BoolSetting, Default: "false", Doc: "if true, rollbacks, resets and seeds need the database's name"},
		{Name: RetryFor, Type: DurationSetting, Default: "10m", Doc: "how long to try a migration again that fails because of a lock; 0s never"},
	}
}

// canonical returns a value in the form in which it is stored.
func (d DeclaredSetting) canonical(value string) (string, error) {
	switch d.Type {
	case BoolSetting:
		if b, err := strconv.ParseBool(value); err == nil {
			return strconv.FormatBool(b), nil
		}
		if on := strings.EqualFold(value, "on"); on || strings.EqualFold(value, "off") {
			return strconv.FormatBool(on), nil
		}
		return "", d.wrong(value, "use true or false")
	case DurationSetting:
		if t, err := durations.Parse(value); err == nil && t >= 0 {
			return t.String(), nil
		}
		return "", d.wrong(value, "use a time such as 15s, 1m30s or 1d")
	}
	if slices.Contains(d.Choices, value) {
		return value, nil
	}
	return "", d.wrong(value, "use "+strings.Join(d.Choices, " or "))
}

func (d DeclaredSetting) wrong(value, use string) error {
	return &SettingError{Name: d.Name, Msg: fmt.Sprintf("invalid value %q: %s", value, use)}
}

// StoredSetting is a setting as the target stores it.
type StoredSetting struct {
	Name, Value string
	Reason      string
	ChangedBy   string    // the database's user; for a file, the operating system's
	ChangedAt   time.Time // SettingUpdate.At, to the microsecond, in UTC
	Until       time.Time // when the default applies again; zero: never
}

// SettingValue is a setting with its current value.
type SettingValue struct {
	DeclaredSetting
	Value     string // as stored, or the default
	IsDefault bool   // no value is stored, and the fields below are zero

	Reason    string
	ChangedBy string
	ChangedAt time.Time
	Until     time.Time
}

// Settings are a target's settings. The zero value has the defaults.
type Settings struct{ stored map[string]StoredSetting }

// NewSettings returns the settings of a target that stores the given ones. It ignores those that
// are not declared: a newer Whimbrel may know them. A driver passes only those that have not
// expired, by the database's clock if it has one.
func NewSettings(stored ...StoredSetting) Settings {
	s := Settings{stored: make(map[string]StoredSetting, len(stored))}
	for _, st := range stored {
		s.stored[st.Name] = st
	}
	return s
}

// Get returns a setting. If the name is not declared, the error is a *SettingError.
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
			Reason: st.Reason, ChangedBy: st.ChangedBy, ChangedAt: st.ChangedAt, Until: st.Until,
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

// Bool returns the value of a declared setting of type bool. A stored value of another form is
// true: each of these settings forbids something while it is true.
func (s Settings) Bool(name string) bool {
	v, err := s.Get(name)
	if err != nil {
		return false
	}
	b, err := strconv.ParseBool(v.Value)
	return b || err != nil
}

// Duration returns the value of a declared setting of type duration.
func (s Settings) Duration(name string) time.Duration {
	v, err := s.Get(name)
	if err != nil {
		return 0
	}
	t, err := time.ParseDuration(v.Value)
	if err != nil {
		return 0
	}
	return t
}

// SettingUpdate is a change of one setting.
type SettingUpdate struct {
	Name, Value string
	// Unset removes the stored value, so that the default applies; Value is then empty.
	Unset  bool
	Reason string
	// Until is when the change expires, by the database's clock if it has one; zero means never.
	Until       time.Time
	ToolVersion string
	At          time.Time
	// Settle, if not nil, is how to wait once the change is stored: until every Tx and Run of the
	// history, of any set, that was open then has ended, so that no process uses the old value any
	// more. After its timeout the change remains, and the error is an *UnsettledError. If the
	// database allows only one writer, it also waits that long for an open Tx before it stores the
	// change; after this timeout nothing is stored, and the error is a *LockedError.
	Settle *LockOptions
}

// Check returns the update with its value in canonical form, or a *SettingError. Drivers call it
// before they write.
func (u SettingUpdate) Check() (SettingUpdate, error) {
	for _, d := range DeclaredSettings() {
		if d.Name != u.Name {
			continue
		}
		if u.Unset {
			u.Value, u.Until = "", time.Time{}
			return u, nil
		}
		value, err := d.canonical(u.Value)
		u.Value = value
		return u, err
	}
	return u, unknownSetting(u.Name)
}

// Entry returns the history entry that records the update.
func (u SettingUpdate) Entry() Entry {
	remark := u.Name + "=" + u.Value
	if u.Unset {
		remark = u.Name + " unset"
	}
	if !u.Until.IsZero() {
		remark += " until " + times.Format(u.Until)
	}
	return Entry{Set: migration.ReservedSet, Version: NilVersion, Name: u.Name, Direction: Setting, StartedAt: u.At, ToolVersion: u.ToolVersion, Reason: u.Reason, Remark: remark}
}

// SettingError reports a setting that does not exist, or a value of another type.
type SettingError struct{ Name, Msg string }

func (e *SettingError) Error() string { return fmt.Sprintf("setting %q: %s", e.Name, e.Msg) }

func unknownSetting(name string) error {
	var names []string
	for _, d := range DeclaredSettings() {
		names = append(names, d.Name)
	}
	return &SettingError{Name: name, Msg: "it does not exist; valid settings: " + strings.Join(names, ", ")}
}
