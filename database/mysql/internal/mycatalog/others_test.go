package mycatalog_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
	"github.com/whimbrel-db/whimbrel/metadata"
)

// TestDropAll: everything except Whimbrel's own tables is dropped, and the list is complete.
func TestDropAll(t *testing.T) {
	t.Parallel()
	conn, name := connect(t)
	run(t, conn, corpus(t, name))
	run(t, conn, "CREATE TABLE whimbrel_history (a int); CREATE TRIGGER mine AFTER INSERT ON whimbrel_history FOR EACH ROW SET @a = 1; CREATE VIEW events_seen AS SELECT a FROM whimbrel_history")
	drops, err := mycatalog.DropAll(t.Context(), conn, []string{"Whimbrel_History"})
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	script := mycatalog.BeforeDrop
	for _, d := range drops {
		listed = append(listed, d.String())
		script += ";\n" + d.SQL
	}
	for _, want := range []string{
		"event `odd event`", "trigger mine", "view events_seen", "view `odd ``view`", "table everything", "table versioned", "package pack", "function twice", "procedure work", "sequence numbers",
	} {
		if !slices.Contains(listed, want) {
			t.Errorf("%s is not among %q", want, listed)
		}
	}
	if slices.Contains(listed, "trigger first") {
		t.Error("a trigger that is dropped with its table is listed")
	}
	run(t, conn, script)
	run(t, conn, script) // a reset that was cut off is begun again
	if s := snapshot(t, conn, "whimbrel_history"); len(s.Objects) > 0 {
		t.Errorf("there is still\n%s", s.Text())
	}
	if s := snapshot(t, conn); s.Find("table whimbrel_history") == nil {
		t.Errorf("snapshot(t, conn): s.Find(\"table whimbrel_history\") is nil")
	} else if s.Count() != 1 {
		t.Errorf("snapshot(t, conn): s.Count() = %v, want 1", s.Count())
	}
}

// TestUses: a foreign key of another database is listed.
func TestUses(t *testing.T) {
	t.Parallel()
	conn, name := connect(t)
	run(t, conn, "CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE own (id int PRIMARY KEY)")
	other, otherName := connect(t)
	run(t, other, fmt.Sprintf("CREATE TABLE `a child` (id int, CONSTRAINT k FOREIGN KEY (id) REFERENCES %[1]s.parents (id), CONSTRAINT o FOREIGN KEY (id) REFERENCES %[1]s.own (id))", name))
	uses, err := mycatalog.Uses(t.Context(), conn, []string{"OWN"})
	if err != nil {
		t.Fatal(err)
	}
	want := "foreign key k of table " + otherName + ".`a child` depends on table parents"
	if len(uses) != 1 {
		t.Fatalf("got the uses %+v, want one", uses)
	}
	if got := uses[0].By.String() + " depends on " + uses[0].Of.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if uses, err := mycatalog.Uses(t.Context(), other, nil); err != nil {
		t.Errorf("the uses of nothing: %v", err)
	} else if len(uses) > 0 {
		t.Errorf("the uses of nothing are %+v", uses)
	}
}

func scratchName() string { return fmt.Sprintf("whimbrel_scratch_%016x", rand.Uint64()) }

// TestScratch: a scratch database has the defaults of the one beside it.
func TestScratch(t *testing.T) {
	t.Parallel()
	conn, name := connect(t)
	run(t, conn, "ALTER DATABASE "+name+" CHARACTER SET latin1 COLLATE latin1_german1_ci")
	scratch := scratchName()
	if err := mycatalog.CreateScratch(t.Context(), conn, scratch); err != nil {
		t.Fatal(err)
	}
	defer mycatalog.DropScratch(context.Background(), conn, scratch)
	query := "SELECT concat(default_character_set_name, ' ', default_collation_name) FROM information_schema.schemata WHERE schema_name = '" + scratch + "'"
	if got := value(t, conn, query); got != "latin1 latin1_german1_ci" {
		t.Errorf("value(t, conn, query): got %q, want %q", got, "latin1 latin1_german1_ci")
	}
	for range 2 {
		if err := mycatalog.DropScratch(t.Context(), conn, scratch); err != nil {
			t.Fatal(err)
		}
	}
	if got := value(t, conn, query); got != "" {
		t.Errorf("it is still there: %q", got)
	}
}

// TestScratchDenied: the error says what to grant, and the grant is right.
func TestScratchDenied(t *testing.T) {
	t.Parallel()
	conn, name := connect(t)
	user := "'u_" + name[len(name)-12:] + "'@'127.0.0.1'"
	run(t, conn, "CREATE USER "+user+"; GRANT ALL ON "+name+".* TO "+user)
	t.Cleanup(func() { run(t, conn, "DROP USER "+user) })
	as := connectAs(t, conn, strings.Trim(strings.Split(user, "@")[0], "'"), name)
	scratch := scratchName()
	err := mycatalog.CreateScratch(t.Context(), as, scratch)
	_, grant, ok := strings.Cut(fmt.Sprint(err), "; ")
	grant, _, cut := strings.Cut(grant, " to the user")
	if !ok {
		t.Fatal("ok = false, want true")
	}
	if !cut {
		t.Fatal("cut = false, want true")
	}
	run(t, conn, grant+" TO "+user)
	if err := mycatalog.CreateScratch(t.Context(), as, scratch); err != nil {
		t.Fatal(err)
	}
	if err := mycatalog.DropScratch(t.Context(), as, scratch); err != nil {
		t.Fatal(err)
	}
}

// value returns the first value of the first row; "" without rows.
func value(t failer, conn *sql.Conn, query string) (s string) {
	t.Helper()
	if err := conn.QueryRowContext(context.Background(), query).Scan(&s); err != nil && err != sql.ErrNoRows {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

// TestComments: the comments of tables and columns are read and set, and nothing else changes.
func TestComments(t *testing.T) {
	t.Parallel()
	conn, name := connect(t)
	run(t, conn, corpus(t, name))
	run(t, conn, "CREATE TABLE own (a int COMMENT 'x') COMMENT 'x'")
	objects, err := mycatalog.Objects(t.Context(), conn, []string{"Own"})
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	var comments []metadata.Comment
	for _, o := range objects {
		listed[string(o.Name.Kind)+" "+o.Name.String()] = o.Comment
		comments = append(comments, metadata.Comment{Name: o.Name, Text: `new \ 'one'; ` + o.Name.String()})
	}
	for what, want := range map[string]string{
		"table everything": "hello", "column everything.id": "a; b -- c", "table parents": `it's a \ "parent";`, "column one.two": "", "view y_second": "", "view column y_second.a1": "",
		"function twice(int(11), varchar(10))": "", "function simple()": "", "table versioned": "",
	} {
		if got, ok := listed[what]; !ok {
			t.Errorf("%s: ok = false, want true", what)
		} else if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	if _, ok := listed["table own"]; ok {
		t.Error("table own is listed")
	}
	before := snapshot(t, conn)
	run(t, conn, "SET time_zone = '+05:00', sql_mode = concat('NO_BACKSLASH', '_ESCAPES,ANSI_QUOTES,TRADITIONAL')")
	statements, err := mycatalog.CommentStatements(t.Context(), conn, comments)
	if err != nil {
		t.Fatal(err)
	}
	run(t, conn, strings.Join(statements, ";\n"))
	set := 0
	for _, c := range catalog.Compare(before, snapshot(t, conn)) {
		if set++; c.Detail != "comment" {
			t.Error(c)
		}
	}
	want := 0
	objects, err = mycatalog.Objects(t.Context(), conn, []string{"Own"})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.Name.Kind == metadata.Table || o.Name.Kind == metadata.Column {
			if want++; o.Comment != `new \ 'one'; `+o.Name.String() {
				t.Errorf("%s: %q", o.Name, o.Comment)
			}
		}
	}
	if set != want {
		t.Errorf("%d comments are different, want %d", set, want)
	}
	views := []metadata.Comment{{Name: metadata.Name{Kind: metadata.View, Object: "y_second"}, Text: "x"}}
	if statements, err := mycatalog.CommentStatements(t.Context(), conn, views); err != nil {
		t.Error(err)
	} else if len(statements) > 0 {
		t.Errorf("len(statements) = %v, want at most %v", len(statements), 0)
	}
	_, err = mycatalog.CommentStatements(t.Context(), conn, []metadata.Comment{{Name: metadata.Name{Kind: metadata.Column, Object: "one", Column: "gone"}}})
	if err == nil {
		t.Fatal("got no error")
	}
	if err.Error() != "the comment of column one.gone: the column is not there any more" {
		t.Errorf("err.Error() = %q, want %q", err.Error(), "the comment of column one.gone: the column is not there any more")
	}
}

// TestWithoutComments: the comment of an object that can't have one equals its description.
func TestWithoutComments(t *testing.T) {
	t.Parallel()
	view := metadata.Name{Kind: metadata.View, Object: "v"}
	table := metadata.Name{Kind: metadata.Table, Object: "t"}
	s := &metadata.State{
		Comments: true,
		Entries:  []metadata.Stored{{Name: view, Facts: metadata.Facts{Description: "seen"}}, {Name: table, Facts: metadata.Facts{Description: "kept"}}},
		Objects:  []metadata.Object{{Name: view}, {Name: table, Comment: "by hand"}},
	}
	mycatalog.WithoutComments(s)
	if s.Objects[0].Comment != "seen" {
		t.Errorf("s.Objects[0].Comment = %q, want %q", s.Objects[0].Comment, "seen")
	}
	if s.Objects[1].Comment != "by hand" {
		t.Errorf("s.Objects[1].Comment = %q, want %q", s.Objects[1].Comment, "by hand")
	}
}
