package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/source"
)

// UpOptions are the options of Up. The zero value is useful.
type UpOptions struct {
	// Dir is the folder in files that has the migrations; "" is the root of files.
	Dir string
	// Set names the set. Components that share a database need different names. "" is
	// migration.DefaultSet.
	Set string

	Options
}

// Up reads a folder of migrations and applies those that are pending. It is short for source.Read,
// New and Migrator.Up. files is any file system, such as an embed.FS.
//
// In addition to the errors of Migrator.Up, it returns those of source.Read.
func Up(ctx context.Context, db database.Database, files fs.FS, opts UpOptions) (*Result, error) {
	switch {
	case db == nil:
		return &Result{}, errNoDatabase
	case files == nil:
		return &Result{}, errors.New("whimbrel.Up needs a file system, not nil")
	case opts.Dir != "":
		sub, err := fs.Sub(files, opts.Dir)
		if err != nil {
			return &Result{}, fmt.Errorf("the folder of migrations: %w", err)
		}
		files = sub
	}
	set, err := source.Read(files, source.Options{Set: opts.Set, Dir: opts.Dir, Dialect: db.Dialect()})
	if err != nil {
		return &Result{}, err
	}
	return New(db, set, opts.Options).Up(ctx)
}
