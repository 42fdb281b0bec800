package database_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	if err != opened.err {
		t.Errorf("err = %v, want %v", err, opened.err)
	}
	if opened.url != "open-test://host/name?x=y" {
		t.Errorf("opened.url = %q, want %q", opened.url, "open-test://host/name?x=y")
	}
	if opened.opts.App != "app" {
		t.Errorf("opened.opts.App = %q, want %q", opened.opts.App, "app")
	}
	for url, shown := range map[string]string{
		"":                               `""`,
		"no scheme":                      "no scheme",
		"://host":                        "no scheme",
		"nosuch://user:secret@host/db":   `"nosuch://…": no driver for "nosuch"`,
		"nosuch://host?authToken=secret": `"nosuch://…": no driver for "nosuch"`,
		"secret:user@host/db":            `"…": no scheme`,
		"user:secret@host/db":            `"…": no scheme`,
		"file:app.db":                    "a SQLite file is written sqlite:app.db",
		"host=h user=u password=secret":  `"host=xxxxx user=xxxxx password=xxxxx"`,
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

// TestOpenOfGosMySQLForm opens what golang-migrate, goose and Go's driver take.
func TestOpenOfGosMySQLForm(t *testing.T) {
	for _, dsn := range []string{"u:secret@tcp(h:3306)/db", "u:se@cret@unix(/run/mysqld.sock)/db", "tcp(h)/db"} {
		_, err := database.Open(t.Context(), dsn, database.Options{})
		want := `database URL "…": it has the form of Go's MySQL driver; write mysql://user:password@host:port/database, or mysql://user@/database?socket=/path`
		if dsn[0] == 't' {
			want = strings.Replace(want, "…", "tcp(h)/db", 1)
		}
		if err == nil || err.Error() != want {
			t.Errorf("Open of %q returned %v, want %s", dsn, err, want)
		}
	}
}

var registration = regexp.MustCompile(`database\.Register\("([^"]+)"`)

// TestOpenNamesTheImport opens a URL of each scheme that a package of this module registers.
func TestOpenNamesTheImport(t *testing.T) {
	sources, err := filepath.Glob("*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	schemes := 0
	for _, file := range sources {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range registration.FindAllSubmatch(text, -1) {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			schemes++
			scheme, pkg := string(m[1]), "github.com/whimbrel-db/whimbrel/database/"+filepath.Dir(file)
			// A password that equals the scheme must not hide it in the message.
			_, err := database.Open(t.Context(), scheme+"://postgres:postgres@host/db", database.Options{})
			var ue *database.URLError
			if !errors.As(err, &ue) || !ue.NoDriver || ue.Import != pkg {
				t.Errorf("Open of a URL of %s returned %#v, want a *URLError with Import = %s", scheme, err, pkg)
				continue
			}
			if want := fmt.Sprintf("no driver for %q; the program must import it: import _ %q", scheme, pkg); ue.Msg != want {
				t.Errorf("Msg = %s, want %s", ue.Msg, want)
			}
		}
	}
	if schemes < 6 {
		t.Errorf("found %d registered schemes, want at least 6", schemes)
	}
	_, err = database.Open(t.Context(), "Postgres://host/db", database.Options{})
	if want := `the scheme is written "postgres"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("err = %v, want it to contain %s", err, want)
	}
}

func TestTableNames(t *testing.T) {
	for history, want := range map[string]database.TableNames{
		"":                 {"whimbrel_history", "whimbrel_settings", "whimbrel_journal", "whimbrel_metadata", "whimbrel_backfills", "whimbrel_lanes"},
		"App_History":      {"App_History", "App_settings", "App_journal", "App_metadata", "App_backfills", "App_lanes"},
		"applied versions": {"applied versions", "applied versions_settings", "applied versions_journal", "applied versions_metadata", "applied versions_backfills", "applied versions_lanes"},
		"history":          {"history", "settings", "journal", "metadata", "backfills", "lanes"},
	} {
		if got := (database.Options{HistoryTable: history}).TableNames(); got != want {
			t.Errorf("with the history %q the tables are %+v, want %+v", history, got, want)
		}
	}
	got := database.Options{HistoryTable: "App_History"}.TableNames().Lower()
	if !slices.Equal(got, []string{"app_history", "app_settings", "app_journal", "app_metadata", "app_backfills", "app_lanes"}) {
		t.Errorf("in lower case they are %q", got)
	}
}
