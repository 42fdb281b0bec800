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
			if !v.IsDefault {
				t.Errorf("%s: v.IsDefault = false, want true", name)
			}
			if v.Value != v.Default {
				t.Errorf("%s: v.Value = %v, want %v", name, v.Value, v.Default)
			}
			if v.Reason != "" {
				t.Errorf("%s: v.Reason = %q, want %q", name, v.Reason, "")
			}
			if v.Doc == "" {
				t.Errorf("%s: v.Doc is \"\"", name)
			}
		}
		if s.Bool(database.Frozen) {
			t.Errorf("%s: the database is frozen", name)
		}
	}
}

func TestSettingsStored(t *testing.T) {
	at := time.Now()
	s := database.NewSettings(database.StoredSetting{Name: database.Frozen, Value: "true", Reason: "release", ChangedBy: "me", ChangedAt: at})
	v, err := s.Get(database.Frozen)
	if err != nil {
		t.Fatal(err)
	}
	if v.Name != database.Frozen {
		t.Errorf("v.Name = %v, want %v", v.Name, database.Frozen)
	}
	if v.Value != "true" {
		t.Errorf("v.Value = %q, want %q", v.Value, "true")
	}
	if v.IsDefault {
		t.Error("v.IsDefault = true, want false")
	}
	if v.Reason != "release" {
		t.Errorf("v.Reason = %q, want %q", v.Reason, "release")
	}
	if v.ChangedBy != "me" {
		t.Errorf("v.ChangedBy = %q, want %q", v.ChangedBy, "me")
	}
	if v.ChangedAt != at {
		t.Errorf("v.ChangedAt = %v, want %v", v.ChangedAt, at)
	}
	if !s.Bool(database.Frozen) {
		t.Error("the database is not frozen")
	}
	// A value that is neither true nor false permits nothing.
	if !database.NewSettings(database.StoredSetting{Name: database.Frozen, Value: "off"}).Bool(database.Frozen) {
		t.Error("the database is not frozen")
	}
}

func TestUnknownSetting(t *testing.T) {
	var s database.Settings
	_, err := s.Get("no_such_setting")
	var se *database.SettingError
	if !errors.As(err, &se) {
		t.Fatalf("got %v, want a %T", err, se)
	}
	if se.Name != "no_such_setting" {
		t.Errorf("se.Name = %q, want %q", se.Name, "no_such_setting")
	}
	if !strings.Contains(err.Error(), database.Frozen) {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), database.Frozen)
	}
	if s.Bool("no_such_setting") {
		t.Error("it is true")
	}
}

func TestSettingUpdateCheck(t *testing.T) {
	for value, want := range map[string]string{"true": "true", "false": "false", "1": "true", "F": "false", "TRUE": "true", "on": "true", "Off": "false"} {
		u, err := database.SettingUpdate{Name: database.Frozen, Value: value, Reason: "r"}.Check()
		if err != nil {
			t.Fatal(err)
		}
		if u.Value != want {
			t.Errorf("u.Value = %v, want %v", u.Value, want)
		}
		if u.Reason != "r" {
			t.Errorf("u.Reason = %q, want %q", u.Reason, "r")
		}
	}
	for _, u := range []database.SettingUpdate{
		{Name: database.Frozen, Value: ""},
		{Name: database.Frozen, Value: "yes"},
		{Name: "FROZEN", Value: "true"},
		{Value: "true"},
	} {
		var se *database.SettingError
		if _, err := u.Check(); !errors.As(err, &se) {
			t.Errorf("u.Check(): got %v, want a %T", err, se)
		} else if se.Name != u.Name {
			t.Errorf("u.Check(): se.Name = %v, want %v", se.Name, u.Name)
		}
	}
}

func TestSettingUpdateEntry(t *testing.T) {
	at := time.Now()
	e := database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "release", ToolVersion: "1", At: at}.Entry()
	want := database.Entry{
		Set: migration.ReservedSet, Version: database.NilVersion, Name: database.Frozen, Direction: database.Setting,
		StartedAt: at, ToolVersion: "1", Reason: "release", Remark: "frozen=true",
	}
	if e != want {
		t.Errorf("got\n\t%+v\nwant\n\t%+v", e, want)
	}
	if e := (database.SettingUpdate{Name: "a", Unset: true}).Entry(); e.Reason != "" || e.Remark != "a unset" {
		t.Errorf("without a reason the reason is %q, and the remark %q", e.Reason, e.Remark)
	}
}
