package whimbreltest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Check proves the migrations of files. See [Options.Check].
func Check(t *testing.T, files fs.FS) {
	t.Helper()
	Options{}.Check(t, files)
}

// Check proves the migrations of files on empty databases, as inspect.Verify does: it applies each
// migration, rolls it back and applies it again, and compares the schema each time. Then it rolls
// everything back and applies it once more. It tries baselines and squashes, and runs repeatable
// scripts twice. It does not run seeds.
//
// Each migration is a subtest. It fails if a script fails, or if its down script doesn't revert its
// up script exactly, and lists the differences. A migration without a down script passes.
//
// Check uses the kind of database whose driver the test imports, see Options.Driver. With a URL, it
// refuses migrations that affect anything outside their database, such as roles. Without one, each
// proof has a server of its own, on which they may do so.
func (o Options) Check(t *testing.T, files fs.FS) {
	t.Helper()
	v, set, err := o.verify(t, files)
	if err != nil {
		t.Fatalf("whimbreltest.Check: %v", err)
	}
	failed := ""
	proofs := map[int64]inspect.Proof{}
	for _, p := range v.Migrations {
		proofs[p.Version] = p
	}
	for _, b := range v.Baselines {
		t.Run(title("baseline", b.Version, b.Name), func(t *testing.T) { reportWay(t, b) })
		if b.Err != nil && len(proofs) == 0 {
			failed = fmt.Sprintf("baseline %d", b.Version)
		}
	}
	for _, m := range set.All() {
		p, tried := proofs[m.Version]
		if !tried && failed == "" { // a baseline stands for it
			continue
		}
		t.Run(title("", m.Version, m.Name), func(t *testing.T) {
			if !tried {
				t.Skipf("not tried, since %s failed", failed)
			}
			reportProof(t, p)
		})
		if tried && p.Up != nil {
			failed = fmt.Sprintf("migration %d", p.Version)
		}
	}
	reportRest(t, v)
}

// reportRest reports what is not about one migration.
func reportRest(t *testing.T, v *inspect.Verified) {
	t.Helper()
	for _, w := range v.Originals {
		t.Run(title("originals of", w.Version, w.Name), func(t *testing.T) { reportWay(t, w) })
	}
	for _, r := range v.Repeatables {
		t.Run("repeatable_"+r.Name, func(t *testing.T) {
			reportError(t, r.Run)
			if r.Again != nil {
				t.Errorf("a second time: %v", r.Again)
			}
			reportChanges(t, "The second run changes the schema", r.Differences)
		})
	}
	if len(v.Left)+len(v.Again) > 0 {
		t.Run("all", func(t *testing.T) {
			reportChanges(t, "Rolling everything back leaves differences from the empty database", v.Left)
			reportChanges(t, "Applying everything again leads to another schema", v.Again)
		})
	}
}

func title(what string, version int64, name string) string {
	return strings.TrimSpace(strings.Join([]string{what, fmt.Sprint(version), name}, " "))
}

func reportProof(t *testing.T, p inspect.Proof) {
	t.Helper()
	reportError(t, p.Up)
	reportError(t, p.Down)
	if p.NoDown {
		t.Log("it has no down script")
	}
	reportChanges(t, "After up and down, the schema is not what it was before", p.Differences)
}

func reportWay(t *testing.T, w inspect.Way) {
	t.Helper()
	reportError(t, w.Err)
	reportChanges(t, fmt.Sprintf("At version %d, the schema is not that of the migrations", w.At), w.Differences)
}

func reportError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// reportChanges fails a test for differences, and lists them.
func reportChanges(t *testing.T, what string, changes []catalog.Change) {
	t.Helper()
	if len(changes) == 0 {
		return
	}
	var b strings.Builder
	for _, c := range changes {
		b.WriteString("\n\t" + strings.ReplaceAll(c.String(), "\n", "\n\t\t"))
		definition := c.Expected
		if c.Change == catalog.Added {
			definition = c.Found
		}
		if c.Change != catalog.Changed && definition != "" {
			b.WriteString(":\n\t\t" + strings.ReplaceAll(definition, "\n", "\n\t\t"))
		}
	}
	t.Errorf("%s:%s", what, b.String())
}

// verify reads the set and proves it.
func (o Options) verify(t *testing.T, files fs.FS) (*inspect.Verified, *migration.Set, error) {
	k, err := o.kind()
	if err != nil {
		return nil, nil, err
	}
	if files == nil {
		return nil, nil, errors.New("it needs a file system with migrations, not nil")
	}
	o.Seeds = ""
	c, err := o.read(files, k.dialect)
	if err != nil {
		return nil, nil, err
	}
	scratch := inspect.Scratch{Dialect: k.dialect, Make: o.beside(t, k)}
	if k != sqlite && o.urlOf(k) == "" && k.imported() {
		scratch.Make = o.onOwnServer(k)
		scratch.Name = localDatabase
		scratch.Apart = func(context.Context) (bool, string) { return true, "" }
	}
	v, err := inspect.Verify(t.Context(), c.set, scratch)
	if errors.As(err, new(*inspect.OutsideError)) && k != sqlite {
		err = fmt.Errorf("%w\nWithout a URL (Options.URL, %s), each proof has a server of its own, on which scripts may do so", err, k.variable)
	}
	return v, c.set, err
}

// kind returns the kind of database that Check uses.
func (o Options) kind() (*kind, error) {
	scheme, _, _ := strings.Cut(o.URL, ":")
	var imported []*kind
	for _, k := range kinds {
		if k.driver == o.Driver || o.Driver == "" && slices.Contains(k.schemes, scheme) {
			return k, nil
		}
		if k.imported() {
			imported = append(imported, k)
		}
	}
	switch {
	case o.Driver != "":
		return nil, fmt.Errorf(`Options.Driver is %q; it must be "postgres", "mysql" or "sqlite"`, o.Driver)
	case o.URL != "":
		return nil, errors.New("the scheme of Options.URL is none of postgres, mysql and sqlite")
	case len(imported) == 0:
		return nil, fmt.Errorf("the driver is missing; add the one that you need to the imports of the test, such as\n\t_ %q", postgres.importPath())
	case len(imported) > 1:
		return nil, errors.New(`the test imports several drivers; set Options.Driver to "postgres", "mysql" or "sqlite"`)
	}
	return imported[0], nil
}

// beside makes empty databases beside that of a URL. They are copies of an empty template, so that
// those of a process that dies are removed.
func (o Options) beside(t *testing.T, k *kind) inspect.Maker {
	empty := database.Template{
		Key: keyFormat + " empty", Unused: o.Unused,
		Fill: func(context.Context, database.Database) error { return nil },
	}
	return func(context.Context) (database.Database, func(context.Context) error, error) {
		c, err := o.clone(t, k, empty)
		if err != nil {
			return nil, nil, err
		}
		return c.Database, c.Drop, nil
	}
}

// onOwnServer makes each empty database on a new server.
func (o Options) onOwnServer(k *kind) inspect.Maker {
	return func(ctx context.Context) (database.Database, func(context.Context) error, error) {
		s, err := k.newServer(ctx)
		if err != nil {
			return nil, nil, err
		}
		db, err := database.Open(ctx, s.URL, o.Database)
		if err != nil {
			return nil, nil, errors.Join(err, s.Close())
		}
		return db, func(context.Context) error { return errors.Join(db.Close(), s.Close()) }, nil
	}
}
