// Package source reads folders of migrations: any [fs.FS] — a folder on disk, an
// embed.FS, a zip file, a map in a test — becomes a *[migration.Set].
//
// Each file is read once and never changed: nothing is substituted and nothing is
// added, text that only looks like a template is text. A file larger than
// [migration.KeepInMemory] is not held in memory, but opened again when it runs.
//
// [Read] names everything that is wrong with a folder at once, each problem with
// its file, line and column. No migration is ever passed over in silence: a .sql
// file that can't be one is an error that says how names look. What is passed
// over: hidden files, files that are not .sql, and folders, except where
// that would hide migrations. What another tool passes over is a warning of the set.
//
// Each format has a file of its own here, whose comment says what is read.
//
// # Examples
//
//   - Read a folder, and report what is wrong with it: [Read]
//   - Detect its format: [Detect]; list and parse formats: [Formats], [ParseFormat]
//   - Name new files: [NewFiles]
//   - Join old migrations into one: [Squash]
package source

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Format is the way in which a tool lays its migrations down in a folder.
type Format string

// The formats. Auto stands for the one that [Detect] finds.
const (
	Auto          Format = ""
	Native        Format = "native"
	GolangMigrate Format = "golang-migrate"
	Goose         Format = "goose"
	Dbmate        Format = "dbmate"
	Tern          Format = "tern"
	Hasura        Format = "hasura"
)

// Formats returns all formats but Auto, Native first.
func Formats() []Format {
	return []Format{Native, GolangMigrate, Goose, Dbmate, Tern, Hasura}
}

// ParseFormat returns the format of that name; "" and "auto" are [Auto].
func ParseFormat(name string) (Format, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || name == "auto" {
		return Auto, nil
	}
	names := []string{"auto"}
	for _, f := range Formats() {
		if string(f) == name {
			return f, nil
		}
		names = append(names, string(f))
	}
	return Auto, fmt.Errorf("unknown format %q; there are: %s", name, strings.Join(names, ", "))
}

// Options say how to read a folder. The zero value is useful.
type Options struct {
	// Set is the name of the set; empty means [migration.DefaultSet].
	Set string
	// Format is the folder's; Auto finds it, as [Detect] does.
	Format Format
	// Dialect is that of the database the scripts are for. It decides whether block comments
	// nest, as they do in PostgreSQL alone: a directive may be inside of a comment in one dialect
	// and behind it in another. If it is not given, they nest, unless one would then not end.
	Dialect sqltext.Dialect
	// Dir is what stands before the names of files in messages: with "migrations"
	// an error says "migrations/0001_users.up.sql".
	Dir string
	// Funcs are migrations that are Go functions. They are merged into the set; a
	// version that the folder has too is an error that names both. The
	// drivers make their scripts.
	Funcs []migration.Migration
	// Expand gives the values of the variables in goose files that ask for them with
	// "-- +goose ENVSUB ON", such as os.LookupEnv. Without it such a file is
	// an error. Nothing else is ever substituted.
	Expand func(name string) (string, bool)
}

// Read reads the migrations of a folder: the root of fsys, see [fs.Sub]. A nil fsys
// is no folder at all, for sets that are Go functions alone. An empty folder is an
// empty set.
//
// The error is a *[FolderError] for what is wrong with the folder's content, an
// *[AmbiguousError] if the format can't be told, and an *[Error] that is
// [fs.ErrNotExist] if there is no such folder.
func Read(fsys fs.FS, opts Options) (*migration.Set, error) {
	f := newFolder(nil, opts)
	var all migration.Contents
	if fsys != nil {
		var err error
		if f, err = load(fsys, opts); err != nil {
			return nil, err
		}
		if f.format = f.opts.Format; f.format == Auto {
			if f.format, err = f.detect(); err != nil {
				return nil, err
			}
		}
		migrations := f.read(f.format)
		all = f.others
		all.Migrations = migrations
	}
	addFuncs(&f.problems, &all.Migrations, opts.Funcs)
	if err := f.err(); err != nil {
		return nil, f.otherwise(err)
	}
	all.Warnings = f.warnings
	set, err := all.Set(opts.Set)
	f.place(err)
	if err := f.err(); err != nil {
		return nil, err
	}
	return set, err
}

// place makes problems of what is wrong with the contents as a whole, as far as it is known which file that is.
func (p *problems) place(err error) {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			p.place(err)
		}
	case *migration.DuplicateError:
		p.duplicate(e.Version, e.First, e.Second)
	case *migration.SquashError:
		p.all = append(p.all, &Error{File: e.File, Msg: e.Msg, Err: e})
	case *migration.ContentsError:
		p.all = append(p.all, &Error{File: e.File, Msg: e.Msg, Err: e})
	}
}

// otherwise looks whether a folder that was taken for a native one has no problem as one of golang-migrate's, whose
// names are the same.
func (f *folder) otherwise(err error) error {
	var wrong *FolderError
	if f.opts.Format != Auto || f.format != Native || !errors.As(err, &wrong) {
		return err
	}
	opts := f.opts
	opts.Format = GolangMigrate
	other, lerr := load(f.fsys, opts)
	if lerr != nil {
		return err
	}
	if migrations := other.read(GolangMigrate); len(migrations) == 0 || other.err() != nil {
		return err
	}
	wrong.ReadsAs = GolangMigrate
	for _, w := range other.warnings {
		wrong.PassedOver = append(wrong.PassedOver, w.File)
	}
	return err
}

// addFuncs appends the Go functions' migrations.
func addFuncs(p *problems, all *[]migration.Migration, funcs []migration.Migration) {
	from := make(map[int64]string, len(*all))
	for _, m := range *all {
		from[m.Version] = m.Up.File
	}
	for _, m := range funcs {
		if m.Up == nil {
			p.add("", "the Go migration %s has no up function", m)
			continue
		}
		if first, ok := from[m.Version]; ok {
			p.duplicate(m.Version, first, m.Up.File)
			continue
		}
		from[m.Version] = m.Up.File
		*all = append(*all, m)
	}
}

// duplicate reports a version that is there twice. The second file is the one that
// is shown first.
func (p *problems) duplicate(version int64, first, second string) {
	err := &migration.DuplicateError{Version: version, First: first, Second: second}
	p.all = append(p.all, &Error{File: second, Msg: err.Error(), Err: err})
}

// Detect tells the format of a folder from what its files are named and contain,
// where that leaves no doubt:
//
//   - names that end in .up.sql and .down.sql: Native (GolangMigrate has the same
//     names, and fewer rules; it is never detected);
//   - files VERSION_name.sql with a line "-- +goose Up": Goose; "-- migrate:up":
//     Dbmate; "---- create above / drop below ----", or tern.conf beside them: Tern;
//   - folders VERSION_name that hold up.sql or down.sql: Hasura;
//   - nothing of all that: Native.
//
// If more than one of these is there, the error is an *[AmbiguousError].
func Detect(fsys fs.FS) (Format, error) {
	f, err := load(fsys, Options{})
	if err != nil {
		return Auto, err
	}
	return f.detect()
}
