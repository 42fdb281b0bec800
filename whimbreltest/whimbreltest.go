package whimbreltest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Options say which migrations a test's database has, and where it is. The zero value is useful.
type Options struct {
	// URL is that of the server, with a database that exists. See the package's documentation for
	// the default. For SQLite it is a file in the folder of the templates and copies; the file
	// itself is not used.
	URL string
	// Dir is the folder in files that has the migrations. "" is the root of files. If the root
	// contains nothing but one folder, as in an embed.FS of "migrations", it is that folder.
	Dir string
	// Seeds is the folder in files that has scripts with data, which run after the migrations; ""
	// for none.
	Seeds string
	// Source says how to read the folder. Source.Funcs are migrations that are Go functions: while
	// there are any, each test program has a template of its own.
	Source source.Options
	// Database are the options with which databases are opened.
	Database database.Options
	// Migrator are the options with which the migrations are applied.
	Migrator whimbrel.Options
	// Unused is how long templates stay that no test uses; 0 means database.DefaultUnused. They
	// stay for two days at least.
	Unused time.Duration
	// Driver is the kind of database that Check uses: "postgres", "mysql" or "sqlite". It is only
	// needed if the test imports several drivers.
	Driver string
}

// DB is the database of one test.
type DB struct {
	// Database is the database, opened with Options.Database. It connects when it is used first.
	Database database.Database
	// Name is the name of the database, or the path of SQLite's file.
	Name string
	// URL opens it: with database.Open, and, for PostgreSQL, with pgx.
	URL string
	// DSN opens it with database/sql and the client that the driver uses: "pgx" (or "postgres", of
	// lib/pq), "mysql" or "sqlite".
	DSN string
}

// Postgres returns a PostgreSQL database for one test, with the migrations of files. See
// [Options.Postgres].
func Postgres(t testing.TB, files fs.FS) *DB {
	t.Helper()
	return Options{}.Postgres(t, files)
}

// MySQL returns a MySQL or MariaDB database for one test, with the migrations of files. See
// [Options.MySQL].
func MySQL(t testing.TB, files fs.FS) *DB {
	t.Helper()
	return Options{}.MySQL(t, files)
}

// SQLite returns a SQLite database for one test, with the migrations of files. See
// [Options.SQLite].
func SQLite(t testing.TB, files fs.FS) *DB {
	t.Helper()
	return Options{}.SQLite(t, files)
}

// Postgres returns a PostgreSQL database for one test. It is dropped when the test ends, even if
// clients are still connected. If it can't be created, Postgres ends the test with t.Fatal.
func (o Options) Postgres(t testing.TB, files fs.FS) *DB {
	t.Helper()
	return o.database(t, postgres, files)
}

// MySQL returns a MySQL or MariaDB database for one test. It is dropped when the test ends, even if
// clients are still connected. If it can't be created, MySQL ends the test with t.Fatal.
func (o Options) MySQL(t testing.TB, files fs.FS) *DB {
	t.Helper()
	return o.database(t, mysql, files)
}

// SQLite returns a SQLite database for one test, in a file. The file is removed when the test ends.
// If it can't be created, SQLite ends the test with t.Fatal.
func (o Options) SQLite(t testing.TB, files fs.FS) *DB {
	t.Helper()
	return o.database(t, sqlite, files)
}

// database is Postgres, MySQL or SQLite.
func (o Options) database(t testing.TB, k *kind, files fs.FS) *DB {
	t.Helper()
	c, err := o.copy(t, k, files)
	if err != nil {
		t.Fatalf("whimbreltest.%s: %v", k.function, err)
	}
	return &DB{Database: c.Database, Name: c.Name, URL: c.URL, DSN: c.DSN}
}

func (o Options) copy(t testing.TB, k *kind, files fs.FS) (*database.Copy, error) {
	if files == nil && (o.Dir != "" || o.Seeds != "" || len(o.Source.Funcs) == 0) {
		return nil, errors.New("it needs a file system with migrations, not nil")
	}
	c, err := o.read(files, k.dialect)
	if err != nil {
		return nil, err
	}
	template, err := c.template(o)
	if err != nil {
		return nil, err
	}
	return o.clone(t, k, template)
}

// clone returns a copy of a template, which is dropped when the test ends.
func (o Options) clone(t testing.TB, k *kind, template database.Template) (*database.Copy, error) {
	s, err := o.server(t.Context(), k)
	if err != nil {
		return nil, err
	}
	home, leave, err := s.enter(t.Context(), o)
	if err != nil {
		return nil, err
	}
	t.Cleanup(leave)
	out, err := database.Clone(t.Context(), home, template)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := out.Drop(context.Background()); err != nil {
			t.Errorf("whimbreltest: can't drop %s: %v", out.Name, err)
		}
	})
	return out, nil
}

// contents are what a template has.
type contents struct {
	set   *migration.Set
	seeds []migration.Named
}

// read reads the folders.
func (o Options) read(files fs.FS, dialect sqltext.Dialect) (c contents, err error) {
	if o.Dir == "" && files != nil {
		o.Dir = source.OnlyFolder(files)
	}
	folder, err := sub(files, o.Dir)
	if err != nil {
		return c, fmt.Errorf("Options.Dir: %w", err)
	}
	opts := o.Source
	opts.Dialect = dialect
	if opts.Dir == "" {
		opts.Dir = o.Dir
	}
	if c.set, err = source.Read(folder, opts); err != nil {
		return c, err
	}
	if c.set.Len() == 0 && len(c.set.Baselines()) == 0 && len(c.set.Repeatables()) == 0 {
		return c, fmt.Errorf("the folder %q has no migrations; name the folder that has them in Options.Dir", nameOf(o.Dir))
	}
	if o.Seeds == "" {
		return c, nil
	}
	if folder, err = sub(files, o.Seeds); err != nil {
		return c, fmt.Errorf("Options.Seeds: %w", err)
	}
	c.seeds, err = source.ReadSeeds(folder, source.Options{Dir: o.Seeds, Dialect: dialect})
	return c, err
}

func sub(files fs.FS, dir string) (fs.FS, error) {
	if dir == "" {
		return files, nil
	}
	return fs.Sub(files, dir)
}

func nameOf(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

// template returns the template with the contents.
func (c contents) template(o Options) (database.Template, error) {
	key, err := c.key(o)
	if err != nil {
		return database.Template{}, err
	}
	return database.Template{Key: key, Unused: o.Unused, Fill: func(ctx context.Context, db database.Database) error {
		m := whimbrel.New(db, c.set.With((*migration.Script).OnScratch), o.Migrator)
		if _, err := m.Up(ctx); err != nil {
			return err
		}
		if len(c.seeds) == 0 {
			return nil
		}
		_, err := m.Seed(ctx, c.seeds, whimbrel.SeedOptions{})
		return err
	}}, nil
}
