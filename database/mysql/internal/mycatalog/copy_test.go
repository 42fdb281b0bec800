package mycatalog_test

import (
	"context"
	"database/sql"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// A copy has everything that the database has: its schema, its rows, and its counters. No trigger
// sees the rows.
func TestCopyScript(t *testing.T) {
	t.Parallel()
	conn, name := connect(t)
	run(t, conn, `
CREATE TABLE counted (id int PRIMARY KEY AUTO_INCREMENT, twice int GENERATED ALWAYS AS (hidden * 2) STORED, hidden int INVISIBLE, note varchar(20));
INSERT INTO counted (id, hidden, note) VALUES (7, 1, 'it''s \\ 🐦'), (8, 2, NULL);
DELETE FROM counted WHERE id = 8;
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
INSERT INTO counted (id, hidden) VALUES (0, 0);
SET sql_mode = DEFAULT;
CREATE TABLE log (n int);
`)
	run(t, conn, corpus(t, name))
	run(t, conn, `
INSERT INTO two VALUES (1, NULL);
INSERT INTO one VALUES (1, 1);
UPDATE two SET one = 1;
INSERT INTO versioned (a, b) VALUES (1, 2);
INSERT INTO by_range VALUES (1, 2), (20, 3);
INSERT INTO facts (id, s) VALUES (1, 'a');
CREATE TRIGGER logged BEFORE INSERT ON facts FOR EACH ROW INSERT INTO log VALUES (NEW.id);
DO nextval(plain_numbers), nextval(plain_numbers);
`)
	script, err := mycatalog.CopyScript(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	other, otherName := connect(t)
	runTogether(t, conn, otherName, script)
	same(t, snapshot(t, conn), snapshot(t, other))
	for _, query := range []string{
		"SELECT group_concat(concat_ws('|', id, twice, hidden, note) ORDER BY id) FROM counted",
		"SELECT group_concat(concat_ws('|', id, code)) FROM parents",
		"SELECT group_concat(concat_ws('|', one.id, two.one)) FROM one JOIN two ON two.id = one.two",
		"SELECT group_concat(concat_ws('|', a, b)) FROM versioned",
		"SELECT group_concat(a ORDER BY a) FROM by_range",
		"SELECT group_concat(s) FROM facts",
		"SELECT count(*) FROM log",
	} {
		if got, want := value(t, other, query), value(t, conn, query); got != want {
			t.Errorf("%s: the copy has %q, want %q", query, got, want)
		}
	}
	for sequence, want := range map[string]string{"plain_numbers": "3", "numbers": "5"} {
		if got := value(t, other, "SELECT nextval("+sequence+")"); got != want {
			t.Errorf("the next value of %s is %s, want %s", sequence, got, want)
		}
	}
	run(t, other, "INSERT INTO counted (note) VALUES ('next')")
	if got := value(t, other, "SELECT max(id) FROM counted"); got != "9" {
		t.Errorf("the next number of the copy is %s, want 9", got)
	}
}

// runTogether sends statements together to a database of the server of conn.
func runTogether(t testing.TB, conn *sql.Conn, database, script string) {
	t.Helper()
	config := driver.NewConfig()
	config.User, config.DBName, config.Net, config.MultiStatements = "root", database, "tcp", true
	config.Addr = "127.0.0.1:" + value(t, conn, "SELECT @@port")
	connector, err := driver.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	defer pool.Close()
	if _, err := pool.ExecContext(context.Background(), script); err != nil {
		t.Fatalf("%v\n%s", err, script)
	}
}
