//go:build unix

package whimbreltest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestMissingDriver(t *testing.T) {
	k := &kind{function: "Oracle", driver: "oracle", schemes: []string{"oracle"}, variable: "WHIMBREL_TEST_ORACLE_URL"}
	files := fstest.MapFS{"1_users.up.sql": {Data: []byte("CREATE TABLE users (id int);")}}
	_, err := Options{}.copy(t, k, files)
	want := "the driver is missing; add this line to the imports of the test:\n\t_ \"github.com/whimbrel-db/whimbrel/database/oracle\""
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

func TestServerURL(t *testing.T) {
	for url, want := range map[string]string{
		"mysql://root@localhost:3306":         "mysql://root@localhost:3306/information_schema",
		"mysql://root@localhost/":             "mysql://root@localhost/information_schema",
		"mysql://root@localhost/?timeout=5s":  "mysql://root@localhost/information_schema?timeout=5s",
		"mysql://root@localhost/a?timeout=5s": "mysql://root@localhost/a?timeout=5s",
	} {
		if got := mysql.withDatabase(url); got != want {
			t.Errorf("withDatabase(%q) = %q, want %q", url, got, want)
		}
	}
	if url := "postgres://localhost"; postgres.withDatabase(url) != url {
		t.Error("withDatabase changes the URL of a PostgreSQL server")
	}
	for url, want := range map[string]string{
		"mysql://localhost/":   "the scheme of Options.URL must be postgres or postgresql",
		"//nobody:secret@host": "the scheme of Options.URL must be postgres or postgresql",
	} {
		_, err := Options{URL: url}.server(t.Context(), postgres)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("server(%q) returned %v, want %q", url, err, want)
		}
	}
}

// A folder that others can write to is not used.
func TestOwnFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir, err := ownFolder()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ownFolder(); again != dir || err != nil {
		t.Errorf("the second call returned %s, %v", again, err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := ownFolder(); err == nil {
		t.Error("a folder that everybody can write to is used")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Skip(err)
	}
	if _, err := ownFolder(); err == nil {
		t.Errorf("a link at %s is used", filepath.Base(dir))
	}
}

// When no test uses the package any more, nothing of it is open: a program can look for goroutines
// that it has forgotten.
func TestNothingIsOpenWithoutTests(t *testing.T) {
	o := Options{URL: "sqlite:" + filepath.ToSlash(filepath.Join(t.TempDir(), "home.db"))}
	t.Run("test", func(t *testing.T) {
		o.SQLite(t, fstest.MapFS{"1_users.up.sql": {Data: []byte("CREATE TABLE users (id int);")}})
	})
	for t.Context().Err() == nil {
		homes.Lock()
		open := false
		for key := range homes.open {
			open = open || strings.Contains(key, o.URL)
		}
		homes.Unlock()
		if !open {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
