package cli

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/migration"
)

// On a terminal the question comes after what would be dropped, and the answer decides.
func TestResetAsks(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]struct {
		code   int
		tables int64
	}{
		"app.db\n": {exitDone, 0}, "app.db\r\n": {exitDone, 0}, "app.db": {exitDone, 0},
		"yes\n": {exitRefused, 1}, "\n": {exitRefused, 1}, "": {exitRefused, 1},
	} {
		url := "sqlite:" + filepath.Join(t.TempDir(), "app.db")
		db := migrated(t, url)
		code, stdout, stderr := ask(answer, "reset", "--database", url)
		if code != want.code {
			t.Errorf("%q: exit code %d, want %d: %s", answer, code, want.code, stderr)
		}
		wantContains(t, "list of objects", stdout, "drop")
		wantEqual(t, "times that the table is listed", strings.Count(stdout, "table t"), 1)
		wantContains(t, "question", stderr, "To confirm, type the database's name: ")
		if said := strings.HasSuffix(answer, "\n"); !said && !strings.Contains(stderr, "name: \n") {
			t.Errorf("%q: the line of the question does not end: %q", answer, stderr)
		}
		wantEqual(t, "dropped", strings.Contains(stdout, "Dropped 1 object of"), want.tables == 0)
		st, err := db.State(t.Context(), migration.DefaultSet)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "applied migrations", int64(st.Applied.Len()), want.tables)
	}
}

// What asks nothing of the terminal does not wait for it.
func TestResetDoesNotAsk(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"--dry-run"}, {"--yes", "app.db"}, {"--yes", "wrong"}, {"--json"}, {"--quiet"}} {
		url := "sqlite:" + filepath.Join(t.TempDir(), "app.db")
		migrated(t, url)
		if _, stdout, stderr := ask("app.db\n", append(flags, "reset", "--database", url)...); strings.Contains(stdout+stderr, "type the database's name") {
			t.Errorf("%v: it asks:\n%s%s", flags, stdout, stderr)
		}
	}
}

func migrated(t *testing.T, url string) database.Database {
	t.Helper()
	db, err := database.Open(t.Context(), url, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b, _, err := db.Begin(t.Context(), migration.DefaultSet, database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Rollback(context.Background())
	if err := b.Exec(t.Context(), migration.Text("1.sql", "CREATE TABLE t (x int)")); err != nil {
		t.Fatal(err)
	}
	if err := b.Record(t.Context(), database.Entry{Version: 1, Direction: database.Up}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// ask runs the command on a terminal at which someone types an answer.
func ask(answer string, args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = Run(Process{
		Args:      args,
		LookupEnv: func(string) (string, bool) { return "", false },
		Stdin:     Input{Reader: strings.NewReader(answer), Terminal: true},
		Stdout:    render.Stream{Writer: &out},
		Stderr:    render.Stream{Writer: &errs, Terminal: true},
	})
	return code, out.String(), errs.String()
}

// A frozen database is refused before a protected one asks for its name.
func TestResetOfAFrozenDatabaseDoesNotAsk(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "app.db")
	db := migrated(t, url)
	for _, name := range []string{database.Protected, database.Frozen} {
		if err := database.UpdateSetting(t.Context(), db, database.SettingUpdate{Name: name, Value: "true", Reason: "release"}); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr := ask("app.db\n", "reset", "--database", url)
	wantEqual(t, "exit code", code, exitRefused)
	wantContains(t, "the error", stderr, "the database is frozen")
	if strings.Contains(stdout+stderr, "type the database's name") {
		t.Errorf("it asks:\n%s%s", stdout, stderr)
	}
}
