package bench

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// mariaDB is a private MariaDB server. It can't copy databases; dumps are executed.
type mariaDB struct {
	t      *testing.T
	db     *sql.DB
	url    *url.URL
	proxy  *testdb.Proxy
	filled map[string]filled
	made   int
}

// filled is a database to copy.
type filled struct{ db, dump string }

func newMariaDB(t *testing.T) *mariaDB {
	flush, method := "0", "nosync"
	if fsync() == "on" {
		flush, method = "1", "fsync"
	}
	server := testdb.PrivateMariaDB(t, "innodb-flush-log-at-trx-commit="+flush, "innodb-flush-method="+method,
		"innodb-log-file-size=256M", "innodb-buffer-pool-size=256M", "max-allowed-packet=64M")
	return &mariaDB{
		t: t, db: testdb.OpenMariaDB(t, server.URL), url: parse(t, server.URL),
		proxy: testdb.NewProxy(t, server.URL), filled: map[string]filled{},
	}
}

func (m *mariaDB) kind() kind { return mariadb }

func (m *mariaDB) version() string {
	var version string
	if err := m.db.QueryRowContext(context.Background(), "SELECT version()").Scan(&version); err != nil {
		m.t.Fatal(err)
	}
	return "MariaDB " + version + ", fsync " + fsync()
}

func (m *mariaDB) exec(sql string) {
	if _, err := m.db.ExecContext(context.Background(), sql); err != nil {
		m.t.Fatalf("%s: %v", sql, err)
	}
}

func (m *mariaDB) create() string {
	m.made++
	name := fmt.Sprintf("bench_%d", m.made)
	m.exec("CREATE DATABASE " + name)
	u := *m.url
	u.Path = "/" + name
	return u.String()
}

func (m *mariaDB) copyOf(name string, readOnly bool, fill func(string)) string {
	f, ok := m.filled[name]
	if !ok {
		f = filled{db: m.create(), dump: filepath.Join(m.t.TempDir(), "dump.sql")}
		fill(f.db)
		m.client("mariadb-dump", f.db, "--result-file="+f.dump)
		m.filled[name] = f
	}
	if readOnly {
		return f.db
	}
	db := m.create()
	m.client("mariadb", db, "-e", "source "+f.dump)
	return db
}

// client runs a program of MariaDB on a database.
func (m *mariaDB) client(program, db string, args ...string) {
	args = append(mariaDBFlags(db), args...)
	if out, err := exec.Command(program, append(args, databaseName(db))...).CombinedOutput(); err != nil {
		m.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// mariaDBFlags returns the flags with which MariaDB's programs connect to a URL's server.
func mariaDBFlags(db string) []string {
	u, err := url.Parse(db)
	if err != nil {
		panic(err)
	}
	return []string{"--no-defaults", "--host=" + u.Hostname(), "--port=" + u.Port(), "--user=" + u.User.Username(), "--disable-ssl"}
}

// mariaDBSource returns the name of a URL's database in the notation of Go's driver.
func mariaDBSource(db string) string {
	u, err := url.Parse(db)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s@tcp(%s)%s?parseTime=true&multiStatements=true", u.User.Username(), u.Host, u.Path)
}

func (m *mariaDB) drop(db string) {
	for _, f := range m.filled {
		if f.db == db {
			return // others read it, too
		}
	}
	m.exec("DROP DATABASE " + databaseName(db))
}

func (m *mariaDB) counting(db string, _ bool) (string, func() int) {
	m.proxy.Quiet = 0
	m.proxy.Reset()
	u := *parse(m.t, m.proxy.URL)
	u.Path = "/" + databaseName(db)
	return u.String(), m.proxy.Turns
}

func (m *mariaDB) ask(db, query string) int {
	out, err := exec.Command("mariadb", append(mariaDBFlags(db), "-N", "-B", "-e", query, databaseName(db))...).Output()
	if err != nil {
		m.t.Fatalf("%s: %v", query, err)
	}
	return number(m.t, string(out))
}
