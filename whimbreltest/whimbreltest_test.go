//go:build unix

package whimbreltest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	_ "github.com/jackc/pgx/v5/stdlib"

	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/localserver"
	"github.com/whimbrel-db/whimbrel/whimbreltest"
)

// TestMain starts a server of each kind for this process and the processes that its tests start. So
// the tests see nothing of others, and leave nothing behind.
func TestMain(m *testing.M) {
	if task := os.Getenv(envTask); task != "" {
		os.Exit(worker(task))
	}
	if os.Getenv(envCheck) != "" { // it uses the servers of the process that started it
		os.Exit(m.Run())
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "whimbreltest-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		for _, s := range servers {
			stop, err := s.start(dir)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			defer stop()
		}
		return m.Run()
	}())
}

// kind is a kind of database, with what the tests need to look behind the package.
type kind struct {
	name     string
	function func(whimbreltest.Options, testing.TB, *fstest.MapFS) *whimbreltest.DB
	variable string // the environment variable with the URL of the server
	dialect  string // for localserver; "": files
	client   string // in database/sql
	names    string // a query for the names of all databases
	sleep    string // a statement that waits for a moment
	missing  error  // why there is no server
	url, dsn string // of the server; dsn for the client of MySQL
}

var servers = []*kind{
	{
		name: "PostgreSQL", variable: "WHIMBREL_TEST_POSTGRES_URL", dialect: "postgresql", client: "pgx",
		names: "SELECT datname FROM pg_database", sleep: "SELECT pg_sleep(%d)",
		function: func(o whimbreltest.Options, t testing.TB, files *fstest.MapFS) *whimbreltest.DB {
			return o.Postgres(t, files)
		},
	},
	{
		name: "MariaDB", variable: "WHIMBREL_TEST_MYSQL_URL", dialect: "mysql", client: "mysql",
		names: "SELECT schema_name FROM information_schema.schemata", sleep: "SELECT sleep(%d)",
		function: func(o whimbreltest.Options, t testing.TB, files *fstest.MapFS) *whimbreltest.DB {
			return o.MySQL(t, files)
		},
	},
	{
		name: "SQLite", client: "sqlite",
		function: func(o whimbreltest.Options, t testing.TB, files *fstest.MapFS) *whimbreltest.DB {
			return o.SQLite(t, files)
		},
	},
}

// start starts a server, and puts its URL into the environment.
func (k *kind) start(dir string) (stop func(), err error) {
	if k.dialect == "" {
		k.url = "sqlite:" + filepath.Join(dir, "home.db")
		return func() {}, nil
	}
	var folders []string
	for pair := range strings.SplitSeq(os.Getenv("WHIMBREL_TEST_POSTGRES_BIN"), ",") {
		if major, bin, ok := strings.Cut(pair, "="); ok && major == os.Getenv("WHIMBREL_TEST_POSTGRES_MAIN") {
			folders = append(folders, bin)
		}
	}
	folders = append(folders, filepath.SplitList(os.Getenv("PATH"))...)
	ctx := context.Background()
	kit, err := localserver.Prepare(ctx, localserver.Options{
		Dialect: k.dialect, Database: "home", Path: folders, Connections: 200,
	})
	if errors.As(err, new(*localserver.NoProgramError)) && os.Getenv("WHIMBREL_TEST_REQUIRE") == "" {
		k.missing = err
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := kit.Start(ctx)
	if err != nil {
		return nil, errors.Join(err, kit.Close())
	}
	k.url = s.URL
	if u, err := url.Parse(s.URL); err == nil && k.dialect == "mysql" {
		k.dsn = fmt.Sprintf("root@unix(%s)/", u.Query().Get("socket"))
	}
	return func() { s.Close(); kit.Close() }, os.Setenv(k.variable, s.URL)
}

// need skips a test without its server.
func (k *kind) need(t testing.TB) {
	t.Helper()
	if k.missing != nil {
		t.Skip(k.missing)
	}
}

// onAll runs a test with each kind of database.
func onAll(t *testing.T, test func(t *testing.T, k *kind)) {
	t.Helper()
	for _, k := range servers {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.need(t)
			test(t, k)
		})
	}
}

// get returns a database of one test.
func (k *kind) get(t testing.TB, o whimbreltest.Options, files fstest.MapFS) *whimbreltest.DB {
	t.Helper()
	if k.dialect == "" && o.URL == "" {
		o.URL = k.url
	}
	return k.function(o, t, &files)
}

// databases returns the names of the databases that exist, or of the entries in SQLite's folder.
func (k *kind) databases(t testing.TB) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	if k.dialect == "" {
		entries, err := os.ReadDir(k.folder())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all[e.Name()] = true
		}
		return all
	}
	db, err := database.Open(t.Context(), k.url, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := database.ReadQuery(t.Context(), db, k.names)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows.Rows {
		all[fmt.Sprint(r[0])] = true
	}
	return all
}

// exists reports whether the database of a test exists.
func (k *kind) exists(t testing.TB, name string) bool {
	t.Helper()
	if k.dialect == "" {
		_, err := os.Stat(name)
		return err == nil
	}
	return k.databases(t)[name]
}

// set returns a folder of migrations. Each name has its own template.
func set(name string, more ...string) fstest.MapFS {
	files := fstest.MapFS{
		"0001_users.up.sql":   {Data: []byte("-- " + name + "\nCREATE TABLE users (id int PRIMARY KEY, name varchar(100) NOT NULL);")},
		"0001_users.down.sql": {Data: []byte("DROP TABLE users;")},
		"0002_ada.up.sql":     {Data: []byte("INSERT INTO users VALUES (1, 'Ada');")},
	}
	for i, text := range more {
		files[fmt.Sprintf("%04d_more.up.sql", i+3)] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func open(t testing.TB, k *kind, db *whimbreltest.DB) *sql.DB {
	t.Helper()
	pool, err := sql.Open(k.client, db.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}

func run(t testing.TB, pool *sql.DB, statement string) {
	t.Helper()
	if _, err := pool.ExecContext(t.Context(), statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
}

func count(t testing.TB, pool *sql.DB, query string) (n int) {
	t.Helper()
	if err := pool.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Errorf("%s: %v", query, err)
	}
	return n
}

// Each test has a database with all migrations, which no other test sees and which is dropped.
func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, k *kind) {
		files := set(t.Name())
		var mu sync.Mutex
		var names []string
		t.Run("group", func(t *testing.T) {
			for range 8 {
				t.Run("test", func(t *testing.T) {
					t.Parallel()
					db := k.get(t, whimbreltest.Options{}, files)
					mu.Lock()
					names = append(names, db.Name)
					mu.Unlock()
					pool := open(t, k, db)
					run(t, pool, "INSERT INTO users VALUES (2, 'Bob')")
					if n := count(t, pool, "SELECT count(*) FROM users"); n != 2 {
						t.Errorf("the table has %d rows, want 2", n)
					}
					st, err := db.Database.State(t.Context(), "default")
					if err != nil {
						t.Fatal(err)
					}
					if v, _ := st.Applied.Last(); v != 2 {
						t.Errorf("version %d is applied, want 2", v)
					}
					again, err := database.Open(t.Context(), db.URL, database.Options{})
					if err != nil {
						t.Fatal(err)
					}
					defer again.Close()
					if st, err := again.State(t.Context(), "default"); err != nil || st.Applied.Len() != 2 {
						t.Errorf("DB.URL leads to another database (%v)", err)
					}
				})
			}
		})
		for _, name := range names {
			if k.exists(t, name) {
				t.Errorf("%s was not dropped", name)
			}
		}
	})
}

// A database is dropped even while a client of the test is connected.
func TestDroppedWhileConnected(t *testing.T) {
	t.Parallel()
	onAll(t, func(t *testing.T, k *kind) {
		var name string
		t.Run("test", func(t *testing.T) {
			db := k.get(t, whimbreltest.Options{}, set(t.Name()))
			name = db.Name
			pool, err := sql.Open(k.client, db.DSN)
			if err != nil {
				t.Fatal(err)
			}
			run(t, pool, "INSERT INTO users VALUES (2, 'Bob')")
			k.leak(pool)
		})
		if k.exists(t, name) {
			t.Errorf("%s was not dropped", name)
		}
	})
}

// leak keeps a pool until the end of the program.
func (*kind) leak(pool *sql.DB) { leaked.Store(pool, true) }

var leaked sync.Map

// made counts the templates that a function makes.
func (k *kind) made(t testing.TB, do func()) int {
	t.Helper()
	templates := func() map[string]bool {
		all := k.databases(t)
		for name := range all {
			if !strings.HasPrefix(name, "whimbrel_template_") || strings.HasSuffix(name, ".lock") {
				delete(all, name)
			}
		}
		return all
	}
	before := templates()
	do()
	n := 0
	for name := range templates() {
		if !before[name] {
			n++
		}
	}
	return n
}

// What changes the contents makes another template, and what doesn't uses the same one.
func TestTemplates(t *testing.T) { // not parallel: it counts templates
	for _, k := range servers {
		t.Run(k.name, func(t *testing.T) {
			k.need(t)
			seeded := set("templates")
			seeded["seeds/bob.sql"] = &fstest.MapFile{Data: []byte("INSERT INTO users VALUES (2, 'Bob');")}
			inDir := fstest.MapFS{}
			for name, file := range set("templates") {
				inDir["db/"+name] = file
			}
			for _, tc := range []struct {
				name  string
				o     whimbreltest.Options
				files fstest.MapFS
				made  int
				users int
			}{
				{"the first", whimbreltest.Options{}, set("templates"), 1, 1},
				{"the same", whimbreltest.Options{}, set("templates"), 0, 1},
				{"files that are not migrations", whimbreltest.Options{}, seeded, 0, 1},
				{"in a folder", whimbreltest.Options{Dir: "db"}, inDir, 0, 1},
				{"in the only folder", whimbreltest.Options{}, inDir, 0, 1},
				{"another text", whimbreltest.Options{}, set("other templates"), 1, 1},
				{"one more migration", whimbreltest.Options{}, set("templates", "INSERT INTO users VALUES (3, 'Eve')"), 1, 2},
				{"seeds", whimbreltest.Options{Seeds: "seeds"}, seeded, 1, 2},
				{"other options", whimbreltest.Options{Database: database.Options{HistoryTable: "changes"}}, set("templates"), 1, 1},
			} {
				made := k.made(t, func() {
					t.Run(tc.name, func(t *testing.T) {
						db := k.get(t, tc.o, tc.files)
						if n := count(t, open(t, k, db), "SELECT count(*) FROM users"); n != tc.users {
							t.Errorf("there are %d users, want %d", n, tc.users)
						}
					})
				})
				if made != tc.made {
					t.Errorf("%s: %d templates were made, want %d", tc.name, made, tc.made)
				}
			}
		})
	}
}

// fake is a test whose failure is recorded.
type fake struct {
	testing.TB
	failure  string
	cleanups []func()
}

func (f *fake) Helper()           {}
func (f *fake) Cleanup(do func()) { f.cleanups = append(f.cleanups, do) }
func (f *fake) Fatalf(format string, args ...any) {
	f.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// fails returns the message with which do ends its test.
func fails(t *testing.T, do func(t testing.TB)) string {
	t.Helper()
	f := &fake{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(f)
	}()
	<-done
	for _, cleanup := range f.cleanups {
		cleanup()
	}
	return f.failure
}

// A failure says what is wrong and where. It leaves no template behind.
func TestFailures(t *testing.T) { // not parallel: it counts templates
	for _, k := range servers {
		t.Run(k.name, func(t *testing.T) {
			k.need(t)
			for _, tc := range []struct {
				name  string
				o     whimbreltest.Options
				files fstest.MapFS
				want  string
			}{
				{"a wrong statement", whimbreltest.Options{}, set("wrong", "SELECT nothing FROM nowhere"), "0003_more.up.sql"},
				{"no migrations", whimbreltest.Options{}, fstest.MapFS{"README": {}}, `the folder "." has no migrations`},
				{"no folder", whimbreltest.Options{Dir: "db"}, set("no folder"), "db"},
				{"no seeds", whimbreltest.Options{Seeds: "seeds"}, set("no seeds"), "seeds"},
				{"another kind", whimbreltest.Options{URL: "oracle://localhost/"}, set("kind"), "the scheme of Options.URL must be "},
			} {
				made := k.made(t, func() {
					got := fails(t, func(t testing.TB) { k.get(t, tc.o, tc.files) })
					if !strings.HasPrefix(got, "whimbreltest.") || !strings.Contains(got, tc.want) {
						t.Errorf("%s: the message is %q, want %q in it", tc.name, got, tc.want)
					}
				})
				if made != 0 {
					t.Errorf("%s: %d templates were made", tc.name, made)
				}
			}
			for name := range k.databases(t) {
				if strings.HasPrefix(name, "whimbrel_test_") {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
}
