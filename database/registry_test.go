package database_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

// fake is a driver that remembers what it was given.
type fake struct {
	url  string
	opts database.Options
	err  error
}

func (f *fake) Open(_ context.Context, url string, opts database.Options) (database.Database, error) {
	f.url, f.opts = url, opts
	return nil, f.err
}

// The registry is the process's: what is in it stays there, however often a test runs.
var opened = &fake{err: errors.New("the driver's own")}

func init() {
	database.Register("register-test", &fake{})
	database.Register("open-test", opened)
}

func TestRegister(t *testing.T) {
	if !slices.Contains(database.Drivers(), "register-test") {
		t.Errorf("Drivers returned %q", database.Drivers())
	}
	if !slices.IsSorted(database.Drivers()) {
		t.Errorf("Drivers are not in alphabetical order: %q", database.Drivers())
	}
	for name, register := range map[string]func(){
		"a name that is taken": func() { database.Register("register-test", &fake{}) },
		"a nil driver":         func() { database.Register("register-nil", nil) },
		"no name":              func() { database.Register("", &fake{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("Register did not panic")
				}
			}()
			register()
		})
	}
}

func TestOpen(t *testing.T) {
	_, err := database.Open(t.Context(), "open-test://host/name?x=y", database.Options{App: "app"})
	if err != opened.err || opened.url != "open-test://host/name?x=y" || opened.opts.App != "app" {
		t.Errorf("error %v, the driver was given %q and %+v", err, opened.url, opened.opts)
	}
	for url, shown := range map[string]string{
		"":                                   `""`,
		"no scheme":                          "no scheme",
		"://host":                            "://host",
		"nosuch://user:secret@host/db":       `nosuch://user:xxxxx@host/db`,
		"user:secret@host/db":                `user:xxxxx@host/db`,
		"host=h user=u password=secret":      `password=xxxxx`,
		"nosuch://host/db?password=secret&x": `nosuch://host/db?password=xxxxx&x`,
	} {
		_, err := database.Open(t.Context(), url, database.Options{})
		var ue *database.URLError
		switch {
		case !errors.As(err, &ue):
			t.Errorf("Open of %q returned %v, want a *URLError", url, err)
		case strings.Contains(err.Error(), "secret"):
			t.Errorf("Open of %q shows the password: %v", url, err)
		case !strings.Contains(err.Error(), shown) || !strings.Contains(err.Error(), "open-test"):
			t.Errorf("Open of %q returned %q, want it to have %s, and to name the drivers", url, err, shown)
		}
	}
}

func TestRedact(t *testing.T) {
	for url, want := range map[string]string{
		"":                                      "",
		"sqlite:app.db":                         "sqlite:app.db",
		"sqlite:///var/lib/app.db?mode=ro":      "sqlite:///var/lib/app.db?mode=ro",
		"postgres://host/db":                    "postgres://host/db",
		"postgres://host:5432/db":               "postgres://host:5432/db",
		"postgres://user@host:5432/db":          "postgres://user@host:5432/db",
		"postgres://user:secret@host:5432/db":   "postgres://user:xxxxx@host:5432/db",
		"postgres://user:@host/db":              "postgres://user:xxxxx@host/db",
		"postgres://:secret@host/db":            "postgres://:xxxxx@host/db",
		"postgres://user:s:e@c/r?e#t@host/db":   "postgres://user:xxxxx@host/db",
		"postgres://user:secret@h/db?mail=a@b":  "postgres://user:xxxxx@h/db?mail=a@b",
		"postgres://h:5432/db?mail=a@b":         "postgres://h:5432/db?mail=a@b",
		"postgres://user@h:5432/db?mail=a@b":    "postgres://user@h:5432/db?mail=a@b",
		"postgres://user:se?cret@h/db":          "postgres://user:xxxxx@h/db",
		"postgres:///db?user=u&password=secret": "postgres:///db?user=u&password=xxxxx",
		"postgres:///db?PASSWORD=secret&x=y":    "postgres:///db?PASSWORD=xxxxx&x=y",
		"postgres:///db?sslpassword=secret":     "postgres:///db?sslpassword=xxxxx",
		`host=h password='it\'s secret' user=u`: `host=h password=xxxxx user=u`,
		"host=h password = secret":              "host=h password = xxxxx",
		"user:secret@tcp(host)/db":              "user:xxxxx@tcp(host)/db",
		"postgres://user:%zz@host":              "postgres://user:xxxxx@host",
	} {
		if got := database.Redact(url); got != want {
			t.Errorf("Redact(%q) = %q, want %q", url, got, want)
		}
	}
}

func TestTableNames(t *testing.T) {
	for history, want := range map[string]database.TableNames{
		"":                 {"whimbrel_history", "whimbrel_settings", "whimbrel_journal", "whimbrel_metadata"},
		"App_History":      {"App_History", "App_settings", "App_journal", "App_metadata"},
		"applied versions": {"applied versions", "applied versions_settings", "applied versions_journal", "applied versions_metadata"},
		"history":          {"history", "settings", "journal", "metadata"},
	} {
		if got := (database.Options{HistoryTable: history}).TableNames(); got != want {
			t.Errorf("with the history %q the tables are %+v, want %+v", history, got, want)
		}
	}
	got := database.Options{HistoryTable: "App_History"}.TableNames().Lower()
	if !slices.Equal(got, []string{"app_history", "app_settings", "app_journal", "app_metadata"}) {
		t.Errorf("in lower case they are %q", got)
	}
}
