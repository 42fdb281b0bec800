package database_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

func TestSettingsDefaults(t *testing.T) {
	for name, s := range map[string]database.Settings{
		"zero":             {},
		"none stored":      database.NewSettings(),
		"unknown to these": database.NewSettings(database.StoredSetting{Name: "of_a_newer_whimbrel", Value: "x"}),
	} {
		all := s.All()
		if len(all) != len(database.DeclaredSettings()) {
			t.Errorf("%s: there are %d settings", name, len(all))
		}
		for _, v := range all {
			if !v.IsDefault || v.Value != v.Default || v.Reason != "" || v.Doc == "" {
				t.Errorf("%s: %+v", name, v)
			}
		}
		if !s.Bool(database.MigrationMode) {
			t.Errorf("%s: migrations are off", name)
		}
	}
}

func TestSettingsStored(t *testing.T) {
	at := time.Now()
	s := database.NewSettings(database.StoredSetting{Name: database.MigrationMode, Value: "false", Reason: "release", ChangedBy: "me", ChangedAt: at})
	v, err := s.Get(database.MigrationMode)
	if err != nil || v.Name != database.MigrationMode || v.Value != "false" || v.IsDefault || v.Reason != "release" || v.ChangedBy != "me" || v.ChangedAt != at {
		t.Errorf("%+v, error %v", v, err)
	}
	if s.Bool(database.MigrationMode) {
		t.Error("migrations are on")
	}
	// A value that is neither is not taken for permission.
	if database.NewSettings(database.StoredSetting{Name: database.MigrationMode, Value: "off"}).Bool(database.MigrationMode) {
		t.Error("migrations are on")
	}
}

func TestUnknownSetting(t *testing.T) {
	var s database.Settings
	_, err := s.Get("no_such_setting")
	var se *database.SettingError
	if !errors.As(err, &se) || se.Name != "no_such_setting" || !strings.Contains(err.Error(), database.MigrationMode) {
		t.Errorf("error %v, want a *SettingError that names those there are", err)
	}
	if s.Bool("no_such_setting") {
		t.Error("it is true")
	}
}

func TestSettingUpdateCheck(t *testing.T) {
	for value, want := range map[string]string{"true": "true", "false": "false", "1": "true", "F": "false", "TRUE": "true", "on": "true", "Off": "false"} {
		u, err := database.SettingUpdate{Name: database.MigrationMode, Value: value, Reason: "r"}.Check()
		if err != nil || u.Value != want || u.Reason != "r" {
			t.Errorf("Check of %q returned %+v, %v", value, u, err)
		}
	}
	for _, u := range []database.SettingUpdate{
		{Name: database.MigrationMode, Value: ""},
		{Name: database.MigrationMode, Value: "yes"},
		{Name: "MIGRATION_MODE", Value: "true"},
		{Value: "true"},
	} {
		var se *database.SettingError
		if _, err := u.Check(); !errors.As(err, &se) || se.Name != u.Name {
			t.Errorf("Check of %+v returned %v, want a *SettingError", u, err)
		}
	}
}

func TestSettingUpdateEvent(t *testing.T) {
	at := time.Now()
	e := database.SettingUpdate{Name: database.MigrationMode, Value: "false", Reason: "release", ToolVersion: "1", At: at}.Event()
	want := database.Entry{
		Set: migration.ReservedSet, Version: database.NilVersion, Name: database.MigrationMode, Direction: database.Setting,
		StartedAt: at, ToolVersion: "1", Note: "migration_mode=false: release",
	}
	if e != want {
		t.Errorf("got\n\t%+v\nwant\n\t%+v", e, want)
	}
	if note := (database.SettingUpdate{Name: "a", Value: "b"}).Event().Note; note != "a=b" {
		t.Errorf("without a reason the note is %q", note)
	}
}
