package source_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

const fill = "-- whimbrel: backfill users\n-- whimbrel: batch 10\nUPDATE users SET a = 1 WHERE id BETWEEN :first AND :last;\n"

func TestBackfills(t *testing.T) {
	t.Parallel()
	set, err := source.Read(files("0001_a.up.sql", up, "0002_b.backfill.sql", fill, "0002_b.down.sql", up, "0003_c.up.sql", "-- whimbrel: after 2\nSELECT 1;"), source.Options{Dialect: sqltext.PostgreSQL})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := set.Get(2)
	if diff := cmp.Diff(&migration.Backfill{Table: "users", Batch: 10}, b.Up.Backfill); diff != "" {
		t.Errorf("Backfill (-want +got):\n%s", diff)
	}
	if b.Name != "b" || b.Down == nil || b.Down.Backfill != nil {
		t.Errorf("got %+v", b)
	}
	if a, _ := set.Get(1); a.Up.Backfill != nil {
		t.Errorf("the other migration has %+v", a.Up.Backfill)
	}
	if c, _ := set.Get(3); !cmp.Equal(c.Up.After, []int64{2}) {
		t.Errorf("After = %v", c.Up.After)
	}
}

func TestBackfillProblems(t *testing.T) {
	postgres := source.Options{Dialect: sqltext.PostgreSQL}
	testReadings(t, source.Native, []reading{
		{
			name: "directives that are wrong, all at once",
			files: files("1_a.backfill.sql", "-- whimbrel: backfill t\n-- whimbrel: parallell 4\n-- whimbrel: batch x\nDELETE FROM t WHERE id BETWEEN :first AND :last;\n-- whimbrel: pause 1s\n",
				"2_b.up.sql", "-- whimbrel: batch 10\nSELECT 1;", "3_c.backfill.sql", "DELETE FROM t WHERE id BETWEEN :first AND :last"),
			opts: postgres,
			errors: `1_a.backfill.sql:2:1: unknown directive "parallell 4"; valid directives: no-transaction, empty, secret, lock-timeout, retry-for, statement-timeout, replaces, skip-on-scratch, unfinished, after, backfill, key, batch, target, parallel, pause, timeout, attempts, check, recheck, sync, detach, max-lag, max-slot-wal, max-wal-rate, wait-for-autovacuum, max-flow-control, throttle; did you mean "parallel 4"?
1_a.backfill.sql:3:1: directive "batch" needs an argument such as "batch 1000" (got "x")
1_a.backfill.sql:5:1: directives must come before the first statement; move "-- whimbrel: pause 1s" up
2_b.up.sql:1:1: directive "batch" belongs to a backfill, which is a file named VERSION_name.backfill.sql; rename the file, or remove the directive
3_c.backfill.sql:1:1: a backfill needs the table whose rows it changes; write "-- whimbrel: backfill TABLE" before its statements`,
		},
		{
			name:   "a version with an up file, too",
			files:  files("1_a.backfill.sql", fill, "1_a.up.sql", up),
			errors: "1_a.up.sql: version 1 is used twice: 1_a.backfill.sql and 1_a.up.sql; change the version of one",
		},
		{
			name:   "a comment that is nearly a directive",
			files:  files("1_a.backfill.sql", "-- whimbrel batch 10\n"+fill),
			errors: "1_a.backfill.sql:1:1: this comment looks like a directive but is not one; if you mean it, write: -- whimbrel: batch 10",
		},
		{
			name:  "scripts that can't run yet",
			files: files("1_a.backfill.sql", "-- whimbrel: backfill t\n", "2_b.backfill.sql", "-- whimbrel: unfinished\n"+fill, "3_c.backfill.sql", "-- whimbrel: backfill t\nDELETE FROM t"),
			opts:  postgres,
			want: `1 a
  up 1_a.backfill.sql [can't be run] "-- whimbrel: backfill t\n"
2 b
  up 2_b.backfill.sql [can't be run] "-- whimbrel: unfinished\n-- whimbrel: backfill users\n-- whimbrel: batch 10\nUPDATE users SET a = 1 WHERE id BETWEEN :first AND :last;\n"
3 c
  up 3_c.backfill.sql [can't be run] "-- whimbrel: backfill t\nDELETE FROM t"`,
		},
	})
}

func TestBackfillsInOtherFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[source.Format]string{
		source.Goose:         "goose",
		source.Flyway:        "flyway",
		source.GolangMigrate: "golang-migrate",
	} {
		_, err := source.Read(files("1_a.backfill.sql", fill), source.Options{Format: format})
		message := "1_a.backfill.sql: only a folder of the native format has backfills, and this one is read as one of " + want + "; convert the folder, or move this file to a set of its own"
		found := false
		if folder, ok := err.(*source.FolderError); ok {
			for _, p := range folder.Problems {
				found = found || p.Error() == message
			}
		}
		if !found {
			t.Errorf("%s: got %v, want it to have %s", format, err, message)
		}
	}
}

// TestSquashOfABackfill shows which statements a squash can execute once for all rows.
func TestSquashOfABackfill(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ head, body, want string }{
		{"users", "UPDATE users SET a = lower(b) WHERE id BETWEEN :first AND :last AND a IS NULL", "UPDATE users SET a = lower(b) WHERE id IS NOT NULL AND a IS NULL"},
		{"public.users", "UPDATE ONLY public.users AS u SET a = 1 WHERE u.id >= :first AND u.id <= :last::bigint", "UPDATE ONLY public.users AS u SET a = 1 WHERE u.id IS NOT NULL AND u.id IS NOT NULL"},
		{"users", "DELETE FROM users WHERE :first <= id AND (:last >= \"id\") RETURNING id", "DELETE FROM users WHERE id IS NOT NULL AND (\"id\" IS NOT NULL) RETURNING id"},
		{"users\n-- whimbrel: key a, b", "UPDATE users SET c = 1 WHERE (a, b) BETWEEN (:first) AND (:last) AND c IS DISTINCT FROM d", "UPDATE users SET c = 1 WHERE (a IS NOT NULL AND b IS NOT NULL) AND c IS DISTINCT FROM d"},
		{"users\n-- whimbrel: key a, b", "UPDATE users SET c = 1 WHERE (a, b) >= (:first.a, :first.b) AND (a, b) <= (:last.a, :last.b)", "UPDATE users SET c = 1 WHERE (a IS NOT NULL AND b IS NOT NULL) AND (a IS NOT NULL AND b IS NOT NULL)"},
		{"users", "INSERT INTO copies (id, n) SELECT id, lower(n) FROM users WHERE id BETWEEN :first AND :last ON CONFLICT (id) DO UPDATE SET n = excluded.n", "INSERT INTO copies (id, n) SELECT id, lower(n) FROM users WHERE id IS NOT NULL ON CONFLICT (id) DO UPDATE SET n = excluded.n"},
		{"users", "UPDATE users u SET n = (SELECT count(*) FROM orders o WHERE o.user_id = u.id) WHERE u.id BETWEEN :first AND :last", "UPDATE users u SET n = (SELECT count(*) FROM orders o WHERE o.user_id = u.id) WHERE u.id IS NOT NULL"},
		{"users", "UPDATE users SET a = ':first' WHERE id BETWEEN :first AND :last", "UPDATE users SET a = ':first' WHERE id IS NOT NULL"},
		// The following may have another effect.
		{"users", "SELECT touch(:first, :last)", ""},
		{"users", "UPDATE users SET a = 1 WHERE id > :first AND id <= :last", ""},
		{"users", "UPDATE users SET a = 1 WHERE id NOT BETWEEN :first AND :last", ""},
		{"users", "UPDATE users SET a = 1 WHERE id + 1 BETWEEN :first AND :last", ""},
		{"users", "UPDATE users SET a = 1 WHERE id BETWEEN :first AND :last + 1", ""},
		{"users", "UPDATE users SET a = :first WHERE id BETWEEN :first AND :last", ""},
		{"users", "UPDATE users SET a = 1, id = -id WHERE id BETWEEN :first AND :last", ""},
		{"users", "UPDATE users SET (a, id) = (1, 2) WHERE id BETWEEN :first AND :last", ""},
		{"users", "UPDATE users SET a = (SELECT max(a) FROM users) WHERE id BETWEEN :first AND :last", ""},
		{"users", "DELETE FROM orders WHERE user_id BETWEEN :first AND :last", ""},
		{"users", "UPDATE users SET a = o.a FROM orders o WHERE o.user_id BETWEEN :first AND :last", ""},
		{"users", "UPDATE users SET a = o.a FROM orders o WHERE id BETWEEN :first AND :last", ""},
		{"users", "INSERT INTO totals SELECT count(*) FROM users WHERE id BETWEEN :first AND :last", ""},
		{"users", "INSERT INTO firsts SELECT id FROM users WHERE id BETWEEN :first AND :last LIMIT 1", ""},
		{"users\n-- whimbrel: key number", "UPDATE users SET a = 1 WHERE id BETWEEN :first AND :last", ""},
		{"users\n-- whimbrel: key a, b", "UPDATE users SET c = 1 WHERE b BETWEEN :first.b AND :last.b", ""},
	} {
		script := "-- whimbrel: backfill " + c.head + "\n" + c.body + ";\n"
		q, err := source.Squash(files("1_a.up.sql", up, "1_a.down.sql", up, "2_b.backfill.sql", script, "2_b.down.sql", up), source.SquashOptions{From: 1, To: 2, Name: "s", Dialect: sqltext.PostgreSQL})
		if c.want == "" {
			var e *source.Error
			if !errors.As(err, &e) || e.File != "2_b.backfill.sql" || !strings.HasPrefix(e.Msg, "is executed for each batch of a backfill") {
				t.Errorf("%s: got %v, want a refusal", c.body, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		text := q.Files[0].Content
		if _, got, _ := strings.Cut(text, "\n-- 2_b.backfill.sql, once for all rows\n"); !strings.HasSuffix(got, "\n"+c.want+";\n") {
			t.Errorf("%s:\n got %s\nwant it to end in %s", c.body, text, c.want)
		}
		if strings.Contains(text, "whimbrel: backfill") {
			t.Errorf("the squash has directives of the backfill:\n%s", text)
		}
	}
}

func TestSquashWaitsForBackfillsBeforeIt(t *testing.T) {
	t.Parallel()
	q, err := source.Squash(files("1_a.backfill.sql", fill, "2_b.up.sql", "-- whimbrel: after 1\nSELECT 1;", "3_c.backfill.sql", fill, "4_d.up.sql", "-- whimbrel: after 3\nSELECT 1;"),
		source.SquashOptions{From: 2, To: 4, Name: "s", Dialect: sqltext.PostgreSQL})
	if err != nil {
		t.Fatal(err)
	}
	text := q.Files[0].Content
	if !strings.Contains(text, "\n-- whimbrel: after 1\n") || strings.Contains(text, "-- whimbrel: after 3") {
		t.Errorf("got %s", text)
	}
}

func TestRenumberBackfills(t *testing.T) {
	t.Parallel()
	moved, err := source.Renumber(files("1_a.up.sql", up, "2_b.up.sql", up, "2_c.backfill.sql", fill, "2_c.down.sql", up), source.RenumberOptions{Applied: map[int64]string{1: "a", 2: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []source.Rename{{From: "2_c.backfill.sql", To: "3_c.backfill.sql"}, {From: "2_c.down.sql", To: "3_c.down.sql"}}
	if len(moved) != 1 || !cmp.Equal(moved[0].Renames, want) {
		t.Errorf("got %+v", moved)
	}
}

// The files that come after a backfill follow it to its new version.
func TestRenumberABackfill(t *testing.T) {
	t.Parallel()
	after := func(v, text string) string { return "-- A comment.\r\n--  whimbrel:  after " + v + " \r\n" + text }
	folder := files("0001_a.up.sql", up, "0002_b.backfill.sql", fill, "0002_b.down.sql", up, "0003_c.up.sql", up, "0004_d.up.sql", after("0002", up),
		"0005_e.backfill.sql", "-- whimbrel: after 2\n"+fill, "0006_f.up.sql", "-- whimbrel: after 5\n-- whimbrel: after 2\n"+up, "0007_g.up.sql", up)
	moved, err := source.Renumber(folder, source.RenumberOptions{Dir: "db", Applied: map[int64]string{1: "a", 3: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []source.Renumbered{
		{Version: 2, To: 8, Name: "b", Why: "version 0003 is applied", After: []int64{7}, Renames: []source.Rename{{"0002_b.backfill.sql", "0008_b.backfill.sql"}, {"0002_b.down.sql", "0008_b.down.sql"}}, Edits: []source.Edit{
			{"0004_d.up.sql", 2, "after 0002", "after 0008"},
			{"0005_e.backfill.sql", 1, "after 2", "after 8"},
			{"0006_f.up.sql", 2, "after 2", "after 8"},
		}},
		{Version: 4, To: 9, Name: "d", Why: "it comes after version 0002", After: []int64{7}, Renames: []source.Rename{{"0004_d.up.sql", "0009_d.up.sql"}}},
		{Version: 5, To: 10, Name: "e", Why: "it comes after version 0002", After: []int64{7}, Renames: []source.Rename{{"0005_e.backfill.sql", "0010_e.backfill.sql"}}, Edits: []source.Edit{{"0006_f.up.sql", 1, "after 5", "after 10"}}},
		{Version: 6, To: 11, Name: "f", Why: "it comes after version 0002", After: []int64{7}, Renames: []source.Rename{{"0006_f.up.sql", "0011_f.up.sql"}}},
	}
	if diff := cmp.Diff(want, moved); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, m := range moved { // as the command does
		for _, e := range m.Edits {
			text, err := e.Apply(string(folder[e.File].Data))
			if err != nil {
				t.Fatal(err)
			}
			folder[e.File].Data = []byte(text)
		}
	}
	for _, m := range moved {
		for _, r := range m.Renames {
			folder[r.To] = folder[r.From]
			delete(folder, r.From)
		}
	}
	if got, want := string(folder["0009_d.up.sql"].Data), after("0008", up); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	set, err := source.Read(folder, source.Options{Dialect: sqltext.PostgreSQL})
	if err != nil {
		t.Fatal(err)
	}
	if f, _ := set.Get(11); !slices.Equal(f.Up.After, []int64{8, 10}) {
		t.Errorf("11 comes after %v", f.Up.After)
	}
	for message, c := range map[string]struct {
		fstest.MapFS
		applied map[int64]string
	}{
		"3_c.up.sql:1:1: comes after version 1, which is 1_a.backfill.sql and gets another version; this file is applied and can't change, so give that one a version of its own": {
			files("1_a.backfill.sql", fill, "3_c.up.sql", "-- whimbrel: after 1\nSELECT 1;"), map[int64]string{3: "c"},
		},
		"2_c.up.sql:1:1: comes after version 1, which 1_a.backfill.sql and 1_b.backfill.sql have; give one of them another version": {
			files("1_a.backfill.sql", fill, "1_b.backfill.sql", fill, "2_c.up.sql", "-- whimbrel: after 1\nSELECT 1;"), nil,
		},
	} {
		if _, err := source.Renumber(c.MapFS, source.RenumberOptions{Applied: c.applied}); err == nil || err.Error() != message {
			t.Errorf("got %v, want %s", err, message)
		}
	}
	if _, err := (source.Edit{File: "a.sql", Line: 2, From: "after 2"}).Apply("-- whimbrel: after 2"); err == nil {
		t.Error("an edit of a line that is gone: no error")
	}
}

func TestNewBackfill(t *testing.T) {
	t.Parallel()
	made, err := source.NewFiles(files("0001_a.up.sql", up), source.NewOptions{Name: "lower email", Backfill: `public."Users"`})
	if err != nil {
		t.Fatal(err)
	}
	all := files("0001_a.up.sql", up)
	for _, f := range made {
		all[f.Name] = &fstest.MapFile{Data: []byte(f.Content)}
	}
	set, err := source.Read(all, source.Options{Dialect: sqltext.PostgreSQL})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := set.Get(2)
	if m.Name != "lower_email" || m.Up.Problem == nil || m.Down != nil || m.Up.Backfill.Table != `public."Users"` {
		t.Errorf("got %+v", m)
	}
	written := strings.Replace(made[0].Content, "-- whimbrel: unfinished\n", "", 1)
	s, err := migration.ParseBackfill(made[0].Name, written, sqltext.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Body(sqltext.PostgreSQL); err != nil {
		t.Errorf("the example that new writes: %v", err)
	}
	for table, format := range map[string]source.Format{"users": source.Goose, "a b": source.Native, "a\n": source.Native} {
		if _, err := source.NewFiles(files(), source.NewOptions{Name: "x", Backfill: table, Format: format}); err == nil {
			t.Errorf("a backfill of %q in the format %s: no error", table, format)
		}
	}
}
