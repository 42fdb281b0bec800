package locktable

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

const mariadbSchema = `
CREATE TABLE customers (id bigint PRIMARY KEY) ENGINE=InnoDB;
CREATE TABLE drafts (id bigint NOT NULL, body text) ENGINE=InnoDB;
CREATE TABLE orders (
	id bigint PRIMARY KEY, customer_id bigint, payer_id bigint, code varchar(20), city varchar(50), note text, small int, total decimal(12,2) NOT NULL,
	state enum('new', 'paid'), KEY by_code (code), KEY by_payer (payer_id),
	CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers (id), CONSTRAINT positive CHECK (total > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO customers VALUES (1);
INSERT INTO drafts VALUES (1, 'x');
INSERT INTO orders VALUES (1, 1, 1, '1', 'c', 'n', 1, 1, 'new')`

// alterations are the lines of the page about MariaDB. Each is an ALTER TABLE without ALGORITHM and
// LOCK.
var alterations = []struct{ sql, remark string }{
	{"orders ADD COLUMN email text", ""},
	{"orders ADD COLUMN email text FIRST", ""},
	{"orders ADD COLUMN email varchar(100) NOT NULL DEFAULT ''", ""},
	{"orders ADD COLUMN token varchar(36) DEFAULT (uuid())", "any expression"},
	{"drafts ADD COLUMN number bigint AUTO_INCREMENT UNIQUE", ""},
	{"orders ADD COLUMN twice decimal(14,2) AS (total * 2) VIRTUAL", ""},
	{"orders ADD COLUMN twice decimal(14,2) AS (total * 2) STORED", ""},
	{"orders DROP COLUMN note", ""},
	{"orders RENAME COLUMN note TO remark", "breaks the running application"},
	{"orders ALTER COLUMN small SET DEFAULT 1", ""},
	{"orders MODIFY note text NOT NULL", ""},
	{"orders MODIFY total decimal(12,2) NULL", ""},
	{"orders MODIFY code varchar(40)", "from varchar(20)"},
	{"orders MODIFY code varchar(100)", "from varchar(20) in utf8mb4: from up to 127 bytes"},
	{"orders MODIFY city varchar(100)", "from varchar(50) in utf8mb4: from 128 to 255 bytes, past 255"},
	{"orders MODIFY code varchar(10)", "shorter"},
	{"orders MODIFY small bigint", "int to bigint"},
	{"orders MODIFY state enum('new', 'paid', 'sent')", "a value at the end"},
	{"orders MODIFY state enum('sent', 'new', 'paid')", "a value at the start"},
	{"orders CONVERT TO CHARACTER SET latin1", ""},
	{"orders ADD INDEX (total)", ""},
	{"orders ADD UNIQUE (note(100))", ""},
	{"orders ADD FULLTEXT (note)", ""},
	{"orders DROP INDEX by_code", ""},
	{"orders RENAME INDEX by_code TO code", ""},
	{"drafts ADD PRIMARY KEY (id)", ""},
	{"orders ADD FOREIGN KEY (payer_id) REFERENCES customers (id)", ""},
	{"orders ADD FOREIGN KEY (payer_id) REFERENCES customers (id)" + unchecked, "with `SET foreign_key_checks = 0`"},
	{"orders DROP FOREIGN KEY orders_customer", ""},
	{"orders ADD CHECK (small > 0)", ""},
	{"orders DROP CONSTRAINT positive", "a `CHECK`"},
	{"orders RENAME TO purchases", "breaks the running application"},
	{"orders COMMENT = 'x'", ""},
	{"orders AUTO_INCREMENT = 100", ""},
	{"orders ROW_FORMAT = COMPRESSED", ""},
	{"orders FORCE", "rebuilds the table, like `OPTIMIZE TABLE`"},
}

// unchecked is appended to an ALTER TABLE that is tried without foreign_key_checks.
const unchecked = " /* unchecked */"

// acceptance is what MariaDB accepts for an ALTER TABLE.
type acceptance struct {
	SQL       string `json:"sql"`
	Algorithm string `json:"algorithm"` // the cheapest
	Lock      string `json:"lock"`      // the weakest with this algorithm
}

// TestThePageAgreesWithMariaDB tries each ALTER TABLE of the page with each ALGORITHM and LOCK.
func TestThePageAgreesWithMariaDB(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		db := testdb.OpenMariaDB(t, testdb.MariaDB(t))
		db.SetMaxOpenConns(1)
		var version string
		if err := db.QueryRow("SELECT version()").Scan(&version); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(version, "10.11.") {
			t.Skipf("the page is about MariaDB 10.11, the server has version %s", version)
		}
		var got []acceptance
		for _, a := range alterations {
			algorithm, lock := accepted(t, db, "ALTER TABLE "+a.sql)
			got = append(got, acceptance{a.sql, algorithm, lock})
		}
		agree(t, "mariadb.jsonl", got)
	})
	comparePage(t, "mariadb", mariadbTable(t))
}

// accepted returns the cheapest algorithm that the server accepts, and the weakest lock with it.
func accepted(t *testing.T, db *sql.DB, alter string) (algorithm, lock string) {
	t.Helper()
	for _, algorithm := range []string{"INSTANT", "INPLACE", "COPY"} {
		for _, lock := range []string{"NONE", "SHARED", "EXCLUSIVE"} {
			if try(t, db, fmt.Sprintf("%s, ALGORITHM=%s, LOCK=%s", alter, algorithm, lock)) {
				return algorithm, lock
			}
		}
	}
	t.Fatalf("MariaDB accepts %q in no way", alter)
	return "", ""
}

// try reports whether the server executes a statement on a new schema. It fails the test if the
// statement is wrong.
func try(t *testing.T, db *sql.DB, statement string) bool {
	t.Helper()
	exec(t, db, "DROP TABLE IF EXISTS orders, purchases, drafts, customers")
	for _, s := range strings.Split(mariadbSchema, ";\n") {
		exec(t, db, s)
	}
	exec(t, db, fmt.Sprintf("SET foreign_key_checks = %t", !strings.Contains(statement, unchecked)))
	_, err := db.Exec(statement)
	exec(t, db, "SET foreign_key_checks = 1")
	var refused *mysql.MySQLError
	const notSupported, notSupportedReason = 1845, 1846
	switch {
	case err == nil:
		return true
	case errors.As(err, &refused) && (refused.Number == notSupported || refused.Number == notSupportedReason):
		return false
	}
	t.Fatalf("%s: %v", statement, err)
	return false
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// mariadbTable returns the table of the page.
func mariadbTable(t *testing.T) string {
	t.Helper()
	known := map[string]acceptance{}
	for _, a := range read[acceptance](t, "mariadb.jsonl") {
		known[a.SQL] = a
	}
	blocks := map[string]string{"NONE": neither, "SHARED": "writes", "EXCLUSIVE": "**reads, writes**"}
	var b strings.Builder
	b.WriteString("| `ALTER TABLE …` | cheapest `ALGORITHM` | weakest `LOCK` | blocks | remarks |\n|---|---|---|---|---|\n")
	for _, a := range alterations {
		got := known[a.sql]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", strings.TrimSuffix(a.sql, unchecked), got.Algorithm, got.Lock, blocks[got.Lock], a.remark)
	}
	return b.String()
}

// TestALaterReaderWaitsOnMariaDB shows that even an INSTANT statement waits for a transaction that
// has read the table, and that later readers wait behind it.
func TestALaterReaderWaitsOnMariaDB(t *testing.T) {
	t.Parallel()
	db := testdb.OpenMariaDB(t, testdb.MariaDB(t))
	exec(t, db, "CREATE TABLE orders (id int) ENGINE=InnoDB")
	reader, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	if _, err := reader.Exec("SELECT * FROM orders"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	for waiting, statement := range []string{"ALTER TABLE orders ADD COLUMN c int, ALGORITHM=INSTANT", "SELECT * FROM orders"} {
		go func() {
			_, err := db.Exec(statement)
			ended <- err
		}()
		for n := -1; n != waiting+1; time.Sleep(2 * time.Millisecond) {
			const query = "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND state = 'Waiting for table metadata lock'"
			if err := db.QueryRow(query).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if len(ended) > 0 {
				t.Fatalf("%s did not wait: %v", statement, <-ended)
			}
		}
	}
	if err := reader.Commit(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
