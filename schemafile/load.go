package schemafile

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Options are the options of Load. The zero value is useful.
type Options struct {
	whimbrel.Options
	// Reason is kept with each entry that Load adds to the history. "" means the name of the file,
	Reason string
	// Allow lists what the statements of the file may affect outside the database.
	Allow []sqltext.Outer
}

// Loaded is the result of Load.
type Loaded struct {
	*whimbrel.Result
	// Included are the versions of the set that the file includes. Unknown are those that the set
	// lacks, Pending those of the set that the file lacks.
	Included, Unknown, Pending []int64
	// Others are the other sets whose migrations the file includes.
	Others []string
	// Rows are the included migrations of the set with effects that the file can't have, such as
	// rows.
	Rows []Rows
}

// Rows are the statements of a migration with effects outside the schema.
type Rows struct {
	Version    int64
	Name       string
	Statements []inspect.DataStatement
}

// Done reports whether Load did something. Otherwise the database had everything that the file
// includes.
func (l *Loaded) Done() bool { return len(l.Applied)+len(l.Recorded) > 0 }

// Load creates the schema of a file in an empty database and records the migrations that it
// includes. set is the set of the caller: it must have the same texts of these migrations, as far
// as it has them. See whimbrel.Migrator.Load for what Load refuses, and for transactions. The
// migrations of other sets are recorded after those of the set; if that is interrupted, another
// call records the rest.
//
// Load returns an *OutsideError if a statement would affect anything outside the database, a
// *DialectError for a file of another kind of database, and a *SetError if the file does not have
// the set.
func Load(ctx context.Context, db database.Database, set *migration.Set, f *File, opts Options) (*Loaded, error) {
	l := &Loaded{Result: &whimbrel.Result{Set: set.Name()}}
	own, script, err := f.check(db, set, opts)
	if err != nil {
		return l, err
	}
	if err := l.compare(own, set, db.Dialect()); err != nil {
		return l, err
	}
	apply := whimbrel.ApplyOptions{Reason: opts.Reason}
	if apply.Reason == "" {
		apply.Reason = "loaded from " + path.Base(filepath.ToSlash(f.Name))
	}
	r, err := whimbrel.New(db, set, opts.Options).Load(ctx, own.schema(script), apply)
	l.Result = r
	if err != nil || len(f.Sets) == 1 {
		return l, err
	}
	return l, l.others(ctx, db, f, script.Checksum, opts.Options, apply)
}

// check checks a file before anything runs.
func (f *File) check(db database.Database, set *migration.Set, opts Options) (own Set, script *migration.Script, err error) {
	if f.Dialect != db.Dialect().String() {
		return own, nil, &DialectError{File: f.Name, Dialect: f.Dialect, Database: db.Dialect().String()}
	}
	e := &SetError{File: f.Name, Set: set.Name()}
	for _, s := range f.Sets {
		if s.Name == set.Name() && len(s.Migrations) > 0 {
			own = s
		}
		e.Sets = append(e.Sets, s.Name)
	}
	if own.Name == "" {
		return own, nil, e
	}
	text := f.text
	if text == "" {
		text = f.Text()
	}
	script = migration.Text(f.Name, text)
	return own, script, checkOutside(script, db, opts.Allow)
}

// checkOutside refuses statements that affect anything outside the database.
func checkOutside(script *migration.Script, db database.Database, allow []sqltext.Outer) error {
	a, err := script.Analyze(db.Dialect(), db.Tables())
	if err != nil {
		return err
	}
	refused := &OutsideError{File: script.File}
	for st, err := range a.All() {
		if err != nil {
			return err
		}
		effects := slices.DeleteFunc(st.Outside(db.Dialect()), func(e sqltext.Effect) bool {
			return slices.Contains(allow, e.Outer) || e.Maybe && st.Verb() == "CREATE" // nothing calls it now
		})
		if len(effects) > 0 {
			refused.Statements = append(refused.Statements, inspect.OutsideStatement{Pos: effects[0].Pos, Effects: effects})
		}
	}
	if len(refused.Statements) > 0 {
		return refused
	}
	return nil
}

// schema returns what a set includes as the engine loads it. script is nil for a set whose objects
// another set's script creates.
func (s Set) schema(script *migration.Script) whimbrel.Schema {
	w := whimbrel.Schema{Script: script, Applied: &database.AppliedSet{}, Repeated: map[string]migration.Checksum{}}
	for _, m := range s.Migrations {
		w.Applied.Put(database.AppliedMigration{Version: m.Version, Name: m.Name, Checksum: m.Checksum})
	}
	for _, r := range s.Repeatables {
		w.Repeated[r.Name] = r.Checksum
	}
	return w
}

// compare compares what a file includes with the set of the caller.
func (l *Loaded) compare(own Set, set *migration.Set, dialect sqltext.Dialect) error {
	for _, m := range own.Migrations {
		l.Included = append(l.Included, m.Version)
		mig, ok := find(set, m)
		if !ok {
			if _, replaced := set.Squash(m.Version); !replaced {
				l.Unknown = append(l.Unknown, m.Version)
			}
			continue
		}
		found, err := inspect.DataStatements([]migration.Migration{mig}, dialect)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			l.Rows = append(l.Rows, Rows{Version: mig.Version, Name: mig.Name, Statements: found})
		}
	}
	for _, m := range set.All() {
		if !slices.Contains(l.Included, m.Version) {
			l.Pending = append(l.Pending, m.Version)
		}
	}
	return nil
}

// find returns the migration of a set that a file includes.
func find(set *migration.Set, m Included) (migration.Migration, bool) {
	for _, get := range []func(int64) (migration.Migration, bool){set.Get, set.Original, set.Baseline} {
		if mig, ok := get(m.Version); ok && mig.Up.Checksum == m.Checksum {
			return mig, true
		}
	}
	return migration.Migration{}, false
}

// others records the migrations of the other sets, if the script was loaded and not merely the
// migrations of the caller's set applied.
func (l *Loaded) others(ctx context.Context, db database.Database, f *File, script migration.Checksum, opts whimbrel.Options, apply whimbrel.ApplyOptions) error {
	loaded, err := isLoaded(ctx, db, l.Set, script)
	if err != nil || !loaded {
		return err
	}
	for _, s := range f.Sets {
		if s.Name == l.Set || len(s.Migrations) == 0 {
			continue
		}
		empty, err := migration.NewSet(s.Name)
		if err != nil {
			return err
		}
		r, err := whimbrel.New(db, empty, opts).Load(ctx, s.schema(nil), apply)
		if err != nil {
			return fmt.Errorf("record the migrations of set %q: %w", s.Name, err)
		}
		l.Others = append(l.Others, s.Name)
		l.Recorded = append(l.Recorded, r.Recorded...)
	}
	return nil
}

// isLoaded reports whether the schema of a set was loaded from a script, and no migration of the
// set was rolled back or forgotten since.
func isLoaded(ctx context.Context, db database.Database, set string, script migration.Checksum) (loaded bool, err error) {
	for e, err := range db.History(ctx, database.HistoryQuery{Set: set}) {
		if err != nil {
			return false, err
		}
		switch e.Direction {
		case database.Load:
			loaded = e.Checksum == script
		case database.Down, database.Forget, database.Reset:
			loaded = false
		}
	}
	return loaded, nil
}

// DialectError reports a file of another kind of database.
type DialectError struct {
	File              string
	Dialect, Database string // of the file and of the database
}

func (e *DialectError) Error() string {
	return fmt.Sprintf("%s is the schema of a %s database, but this database is %s", e.File, e.Dialect, e.Database)
}

// SetError reports a file that includes no migration of the caller's set.
type SetError struct {
	File, Set string
	Sets      []string // that the file includes
}

func (e *SetError) Error() string {
	has := "none"
	if len(e.Sets) > 0 {
		has = strings.Join(e.Sets, ", ")
	}
	return fmt.Sprintf("%s includes no migration of set %q; the sets that it includes: %s", e.File, e.Set, has)
}

// OutsideError reports statements of a file that would affect something outside the database.
// Nothing was run.
type OutsideError struct {
	File       string
	Statements []inspect.OutsideStatement
}

func (e *OutsideError) Error() string {
	var b strings.Builder
	b.WriteString("nothing was run: the schema file would affect more than its database:")
	for _, s := range e.Statements {
		fmt.Fprintf(&b, "\n%s: %s", s.Pos, s.Reaches())
	}
	return b.String()
}
