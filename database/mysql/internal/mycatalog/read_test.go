package mycatalog_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestTurns: the round trips of a snapshot do not grow with the tables, except one more for each
// 250 definitions, and for each 250 defaults with a question mark.
func TestTurns(t *testing.T) {
	t.Parallel()
	address := testdb.MariaDB(t)
	proxy := testdb.NewProxy(t, address)
	conn, err := testdb.OpenMariaDB(t, proxy.URL).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	made := 0
	for _, c := range []struct{ tables, turns int }{{1, 11}, {250, 11}, {251, 13}} {
		for ; made < c.tables; made++ {
			run(t, conn, fmt.Sprintf("CREATE TABLE t%d (a int PRIMARY KEY, b varchar(10) DEFAULT '?')", made))
		}
		proxy.Reset()
		if s := snapshot(t, conn); s.Count() != c.tables {
			t.Errorf("%d objects", s.Count())
		}
		if got := proxy.Turns(); got != c.turns {
			t.Errorf("%d tables: %d round trips, want %d", c.tables, got, c.turns)
		}
	}
}

// TestSessions: no setting of the session changes the snapshot, and the session is restored.
func TestSessions(t *testing.T) {
	t.Parallel()
	conn, name := connect(t)
	run(t, conn, corpus(t, name))
	want := snapshot(t, conn)
	for _, mode := range []string{"ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "ORACLE", "MYSQL40", "NO_TABLE_OPTIONS,NO_FIELD_OPTIONS,NO_KEY_OPTIONS", "HIGH_NOT_PRECEDENCE,PAD_CHAR_TO_FULL_LENGTH"} {
		run(t, conn, "SET sql_mode = '"+strings.ReplaceAll(mode, "NO_", "N' 'O_")+"', sql_quote_show_create = 0, time_zone = '+09:00', lc_messages = 'de_DE', group_concat_max_len = 4")
		before := value(t, conn, "SELECT concat(@@sql_mode, @@sql_quote_show_create)")
		same(t, want, snapshot(t, conn))
		if after := value(t, conn, "SELECT concat(@@sql_mode, @@sql_quote_show_create)"); after != before {
			t.Errorf("the session was %s and is %s", before, after)
		}
	}
}

// TestOwnTables: a snapshot omits Whimbrel's tables and their parts, but not objects that read
// them.
func TestOwnTables(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	run(t, conn, "CREATE TABLE Whimbrel_History (a int, KEY (a)); CREATE TRIGGER tr BEFORE INSERT ON Whimbrel_History FOR EACH ROW SET NEW.a = 1; CREATE VIEW v AS SELECT a FROM Whimbrel_History")
	s := snapshot(t, conn, "whimbrel_history", "whimbrel_settings")
	if len(s.Objects) != 1 {
		t.Fatalf("len(s.Objects) = %v, want 1", len(s.Objects))
	}
	if s.Find("view v") == nil {
		t.Error("s.Find(\"view v\") is nil")
	}
}

// TestSchemas: a snapshot omits other databases.
func TestSchemas(t *testing.T) {
	t.Parallel()
	conn, name := connect(t)
	run(t, conn, "CREATE TABLE t (a int)")
	for _, c := range []struct {
		schemas []string
		want    int
	}{{nil, 1}, {[]string{"other", name}, 1}, {[]string{"other"}, 0}, {[]string{}, 0}} {
		s, err := mycatalog.Read(t.Context(), conn, catalog.Options{Schemas: c.schemas}, nil)
		if err != nil {
			t.Fatalf("%v: %v", c.schemas, err)
		}
		if got, want := s.Count(), c.want; got != want {
			t.Errorf("%v: s.Count() = %v, want %v", c.schemas, got, want)
		}
	}
}

func TestNoDatabase(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	as := connectAs(t, conn, "root", "")
	_, err := mycatalog.Read(t.Context(), as, catalog.Options{}, nil)
	if err == nil {
		t.Fatal("got no error")
	}
	if err.Error() != "no database is selected; name one in the URL, behind the host: mysql://user@host/database" {
		t.Errorf("err.Error() = %q, want %q", err.Error(), "no database is selected; name one in the URL, behind the host: mysql://user@host/database")
	}
}

// TestOmitted: a snapshot lists objects that its text can't recreate.
func TestOmitted(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	run(t, conn, `CREATE TABLE t (a int, e enum('🐦', 'x?')); CREATE VIEW v AS SELECT a FROM t; DROP TABLE t;
CREATE TABLE u (e enum('🐦', 'x'), s set('a', 'b')); CREATE EVENT soon ON SCHEDULE AT '2037-01-01' DO SELECT 1`)
	s := snapshot(t, conn)
	want := []string{
		"a way to make view v again: it refers to tables, columns or functions that are not there, or its definer may not use them",
		"event soon, which drops itself when it is over",
		"the characters shown as ? in the elements of column u.e: MariaDB replaces characters of four bytes there",
	}
	if !slices.Equal(s.Omitted, want) {
		t.Errorf("got %q", s.Omitted)
	}
	if v := s.Find("view v"); v == nil {
		t.Errorf("s.Find(\"view v\"): v is nil")
	} else if v.Attr("valid") != "no" {
		t.Errorf("s.Find(\"view v\"): v.Attr(\"valid\") = %q, want %q", v.Attr("valid"), "no")
	} else if len(v.SQL) > 0 {
		t.Errorf("s.Find(\"view v\"): len(v.SQL) = %v, want at most %v", len(v.SQL), 0)
	}
	if !strings.Contains(s.Text(), "--   event soon, which drops itself") {
		t.Errorf("got %s", s.Text())
	}
}

// TestEncoded: bytes that are not text survive a JSON document.
func TestEncoded(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	run(t, conn, `CREATE TABLE t (a varbinary(20) DEFAULT X'00FF27225C0A0D1A80', b varbinary(5) DEFAULT X'C3A9')`)
	s := snapshot(t, conn)
	if got := s.Find("column t.a").Attr("default"); got != "X'00FF27225C0A0D1A80'" {
		t.Errorf("got %s", got)
	}
	doc, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := catalog.Decode(doc)
	if err != nil {
		t.Fatal(err)
	}
	same(t, s, again)
	run(t, conn, "DROP TABLE t")
	run(t, conn, again.Text())
	same(t, s, snapshot(t, conn))
}

// TestPrivileges: a user who may not read a body gets an error with the missing privilege.
func TestPrivileges(t *testing.T) {
	t.Parallel()
	conn, name := connect(t)
	user := "u_" + name[len(name)-12:]
	run(t, conn, "CREATE PROCEDURE p() DO 1; CREATE USER "+user+"@'127.0.0.1'; GRANT EXECUTE, SELECT ON "+name+".* TO "+user+"@'127.0.0.1'")
	t.Cleanup(func() { run(t, conn, "DROP USER "+user+"@'127.0.0.1'") })
	as := connectAs(t, conn, user, name)
	if _, err := mycatalog.Read(t.Context(), as, catalog.Options{}, nil); err == nil {
		t.Error("got no error")
	} else if !strings.Contains(err.Error(), "SHOW CREATE PROCEDURE `p`: its body is only for its definer: give the user") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "SHOW CREATE PROCEDURE `p`: its body is only for its definer: give the user")
	}
	run(t, conn, "GRANT SELECT ON mysql.proc TO "+user+"@'127.0.0.1'; CREATE VIEW v AS SELECT 1 AS a")
	as = connectAs(t, conn, user, name)
	if _, err := mycatalog.Read(t.Context(), as, catalog.Options{}, nil); err == nil {
		t.Error("got no error")
	} else if !strings.Contains(err.Error(), "SHOW CREATE VIEW `v`: ") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "SHOW CREATE VIEW `v`: ")
	} else if !strings.Contains(err.Error(), "SHOW VIEW") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "SHOW VIEW")
	}
	run(t, conn, "GRANT SHOW VIEW ON "+name+".* TO "+user+"@'127.0.0.1'")
	as = connectAs(t, conn, user, name)
	same(t, snapshot(t, conn), snapshot(t, as))
}

// dropper drops a table when definitions are read, a given number of times.
type dropper struct {
	*sql.Conn
	other *sql.Conn
	names []string
}

func (d *dropper) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if strings.Contains(query, "SHOW CREATE TABLE") && len(d.names) > 0 {
		if _, err := d.other.ExecContext(ctx, "DROP TABLE "+d.names[0]); err != nil {
			return nil, err
		}
		d.names = d.names[1:]
	}
	return d.Conn.QueryContext(ctx, query, args...)
}

// TestVanished: an object that is dropped during the snapshot is omitted.
func TestVanished(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	run(t, conn, "CREATE TABLE a (a int); CREATE TABLE b (a int); CREATE TABLE c (a int); CREATE TABLE d (a int)")
	other := connectAs(t, conn, "root", value(t, conn, "SELECT database()"))
	s, err := mycatalog.Read(t.Context(), &dropper{conn, other, []string{"b", "a"}}, catalog.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Find("table c") == nil {
		t.Fatal("s.Find(\"table c\") is nil")
	}
	if s.Count() != 2 {
		t.Errorf("s.Count() = %v, want 2", s.Count())
	}
	run(t, conn, "CREATE TABLE a (a int); CREATE TABLE b (a int)")
	if _, err := mycatalog.Read(t.Context(), &dropper{conn, other, []string{"a", "b", "c", "d"}}, catalog.Options{}, nil); err == nil {
		t.Error("got no error")
	} else if !strings.HasPrefix(err.Error(), "SHOW CREATE TABLE `c`: Error 1146") {
		t.Errorf("err.Error() = %q, want a text beginning with %q", err.Error(), "SHOW CREATE TABLE `c`: Error 1146")
	}
}
