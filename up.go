package whimbrel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

// UpOptions are the options of Up. The zero value is useful.
type UpOptions struct {
	// Dir is the folder in files that has the migrations. "" is the root of files. If the root
	// contains nothing but one folder, as in an embed.FS of "migrations", it is that folder.
	Dir string
	// Set names the set. Components that share a database need different names. "" is
	// migration.DefaultSet.
	Set string
	// AllowEmpty allows a folder without migrations. By default it is a *NoMigrationsError, because
	// its usual reason is a wrong folder.
	AllowEmpty bool

	Options
}

// Up reads a folder of migrations and applies those that are pending. It is short for source.Read,
// New and Migrator.Up, but reads the folder and the state of the database at the same time, and of
// the down scripts only those of pending migrations. files is any file system, such as an embed.FS.
// opts is at most one value.
//
// In addition to the errors of Migrator.Up, it returns those of source.Read, and a
// *NoMigrationsError.
func Up(ctx context.Context, db database.Database, files fs.FS, opts ...UpOptions) (*Result, error) {
	var o UpOptions
	switch {
	case db == nil:
		return &Result{}, errors.New("whimbrel.Up needs a database, but got a nil database")
	case files == nil:
		return &Result{}, errors.New("whimbrel.Up needs a file system, but got a nil fs.FS")
	case len(opts) > 1:
		return &Result{}, fmt.Errorf("whimbrel.Up takes one UpOptions, but got %d", len(opts))
	case len(opts) == 1:
		o = opts[0]
	}
	start := time.Now()
	state := readAhead(ctx, db, o.Set)
	set, err := readFolder(files, o, db)
	if err == nil {
		go set.AnalyzeNewest(db.Dialect(), db.Tables())
	}
	st, serr := state() // also after an error, so that nothing is left running
	if err = cmp.Or(err, serr); err != nil {
		return &Result{}, err
	}
	m := New(db, set, o.Options).call(ctx)
	p, err := m.PlanFrom(ctx, st, Latest())
	if err != nil {
		return &Result{Set: m.set.Name(), Duration: time.Since(start)}, err
	}
	r, err := m.Apply(ctx, p, ApplyOptions{})
	r.Duration = time.Since(start)
	return r, err
}

// readAhead begins to read a set's state, and returns a function that waits for it. It does not
// cancel the query, because that could close a connection of the caller.
func readAhead(ctx context.Context, db database.Database, set string) func() (*database.State, error) {
	read := make(chan struct{})
	var st *database.State
	var err error
	go func() {
		defer close(read)
		st, err = db.State(ctx, cmp.Or(set, migration.DefaultSet))
	}()
	return func() (*database.State, error) {
		<-read
		return st, err
	}
}

// readFolder reads the set of Up.
func readFolder(files fs.FS, opts UpOptions, db database.Database) (*migration.Set, error) {
	dir := opts.Dir
	if dir == "" {
		dir = source.OnlyFolder(files)
	}
	if dir != "" {
		sub, err := fs.Sub(files, dir)
		if err != nil {
			return nil, fmt.Errorf("the folder of migrations: %w", err)
		}
		files = sub
	}
	set, err := source.Read(files, source.Options{Set: opts.Set, Dir: dir, Dialect: db.Dialect(), DeferDowns: true})
	if err == nil && !opts.AllowEmpty && set.Len()+len(set.Baselines())+len(set.Repeatables()) == 0 {
		return nil, &NoMigrationsError{Dir: dir}
	}
	return set, err
}
