package migration_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func TestSkippedOnScratch(t *testing.T) {
	const text = `-- whimbrel: lock-timeout 2s
-- WHIMBREL : Skip-On-Scratch
-- and why
CREATE ROLE first; -- whimbrel: skip-on-scratch
CREATE TABLE not_this (a int);
/* whimbrel: skip-on-scratch */ GRANT readers TO second; /* whimbrel: skip-on-scratch */ GRANT a TO third;
-- whimbrel: skip-on-scratch, perhaps
CREATE TABLE nor_this (a text DEFAULT '-- whimbrel: skip-on-scratch
');

	-- whimbrel: skip-on-scratch

COPY fourth FROM stdin;
1
2
\.
CREATE TABLE last (a int);
`
	var skipped []string
	pieces, err := sqltext.Split(text, sqltext.PostgreSQL, sqltext.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range pieces {
		if st.Kind == sqltext.SQL || st.Kind == sqltext.CopyIn {
			if migration.SkippedOnScratch(st, sqltext.PostgreSQL) {
				skipped = append(skipped, strings.Fields(st.Text)[1]+" "+st.Text[len(st.Text)-5:])
			}
		}
	}
	if want := []string{"ROLE first", "readers econd", "a third", "fourth stdin"}; !slices.Equal(skipped, want) {
		t.Errorf("skipped are %q, want %q", skipped, want)
	}

	whole := migration.Text("f", text)
	left := whole.Without(sqltext.PostgreSQL, func(st sqltext.Statement) bool { return migration.SkippedOnScratch(st, sqltext.PostgreSQL) })
	if left.Checksum != whole.Checksum {
		t.Errorf("left.Checksum = %v, want %v", left.Checksum, whole.Checksum)
	}
	if left.File != "f" {
		t.Errorf("left.File = %q, want %q", left.File, "f")
	}
	a, err := left.Analyze(sqltext.PostgreSQL, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for st, err := range a.All() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, st.Pos.String()+" "+strings.Fields(st.Text)[2])
	}
	if want := []string{"f:5:1 not_this", "f:8:1 nor_this", "f:17:1 last"}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

// TestSkippedInOtherDialects: comments are those of the dialect.
func TestSkippedInOtherDialects(t *testing.T) {
	for text, want := range map[string]bool{
		"# whimbrel: skip-on-scratch\nFLUSH PRIVILEGES;":                            true,
		"/* a /* b */\n-- whimbrel: skip-on-scratch\nFLUSH PRIVILEGES;":             true,
		"/* -- whimbrel: skip-on-scratch\n */ FLUSH PRIVILEGES;":                    false,
		"-- whimbrel: skip-on-scratch is what I wanted to write\nFLUSH PRIVILEGES;": false,
	} {
		pieces, err := sqltext.Split(text, sqltext.MySQL, sqltext.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(pieces) != 1 {
			t.Fatalf("len(pieces) = %v, want 1", len(pieces))
		}
		if got := migration.SkippedOnScratch(pieces[0], sqltext.MySQL); got != want {
			t.Errorf("%q: skipped %v", text, got)
		}
	}
}

// TestWithoutOfAStream: a large script is read as a stream, and an error of its text is an error
// of what is left.
func TestWithoutOfAStream(t *testing.T) {
	text := "DROP ROLE a;\n" + strings.Repeat("INSERT INTO t VALUES ('é');\n", migration.KeepInMemory/20) + "DROP ROLE b;"
	s, err := migration.Stream("f", func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil })
	if err != nil {
		t.Fatal(err)
	}
	left := s.Without(sqltext.PostgreSQL, func(st sqltext.Statement) bool { return strings.HasPrefix(st.Text, "DROP") })
	r, err := left.Open()
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	want := strings.NewReplacer("DROP ROLE a;", strings.Repeat(" ", 12), "DROP ROLE b;", strings.Repeat(" ", 12)).Replace(text)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("string(got) = %q, want %q", string(got), want)
	}

	broken := migration.Text("f", "SELECT 1;\nSELECT 'x").Without(sqltext.PostgreSQL, func(sqltext.Statement) bool { return false })
	if _, err := broken.Analyze(sqltext.PostgreSQL, nil); err == nil {
		t.Error("got no error")
	} else if !strings.Contains(err.Error(), "f:2:8") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "f:2:8")
	}
}
