// Package whimbreltest gives each test a migrated database of its own, within milliseconds.
//
//	//go:embed migrations
//	var migrations embed.FS
//
//	func TestUsers(t *testing.T) {
//		t.Parallel()
//		db := whimbreltest.Postgres(t, migrations)
//		pool, err := pgxpool.New(t.Context(), db.URL)
//		…
//	}
//
// The first test that needs a set of migrations applies it to a template database. Every test then
// gets a copy of the template, which is dropped when the test ends. The template stays on the
// server, so later tests, other packages and the next "go test" use it, too. Another template is
// made when a script changes. On PostgreSQL, the next copies are made while a test runs. [Check]
// proves that each migration can be applied, rolled back and applied again.
//
// The package uses the driver that the test imports, and no other:
//
//	import _ "github.com/whimbrel-db/whimbrel/database/postgres"
//
// # The server
//
// [Postgres] and [MySQL] use the server of Options.URL, or of the environment variable
// WHIMBREL_TEST_POSTGRES_URL or WHIMBREL_TEST_MYSQL_URL. The URL also names a database, in which
// nothing is changed. The user must be allowed to create databases. If no URL is given, the package
// starts a server of its own with the programs that it finds on the machine, one for each test
// process. Such a server listens on a socket in a temporary folder, stores nothing durably, and
// ends with the process. MariaDB counts as MySQL. [SQLite] keeps its files in a folder of
// [os.TempDir].
//
// # What is left behind
//
// Templates have names that begin with whimbrel_template_. They are dropped when no test has used
// them for Options.Unused. A template has up to two copies that are ready for the next tests; their
// names begin with whimbrel_spare_. Copies have names that begin with whimbrel_test_. If a test
// process dies, the next one drops its copies: each process holds a lock on the server as long as
// it lives.
// The package drops no other database.
package whimbreltest
