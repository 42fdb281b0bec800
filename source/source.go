// Package source reads folders of migrations. It turns any [fs.FS] (a folder on disk, an embed.FS,
// a zip file, a map in a test) into a *[migration.Set].
//
// It reads each file once and executes its text unchanged: it substitutes nothing and adds nothing,
// so text that looks like a template is text. It does not keep a file larger than
// [migration.KeepInMemory] in memory, but opens it again when it runs.
//
// [Read] reports all problems of a folder at once, each with file, line and column. With
// [Options].DeferDowns it leaves down scripts unread until a plan needs them. It never
// ignores a migration silently: a .sql file that is no migration is an error that explains the
// names of migrations. It skips hidden files, files that are not .sql, and folders, unless that
// would hide migrations. If another tool would skip a file, the set has a warning.
//
// Each format has a file of its own in this package, whose comment describes the format.
//
// # Examples
//
//   - Read a folder, and report its problems: [Read]
//   - Detect its format: [Detect]; list and parse formats: [Formats], [ParseFormat]
//   - Name new files: [NewFiles]
//   - Join old migrations into one: [Squash]
//   - Rewrite another tool's folder: [Convert]; give overtaken migrations new versions: [Renumber]
package source

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Format is a layout of migrations in a folder.
type Format string

// The formats. Auto means the one that [Detect] returns.
const (
	Auto          Format = ""
	Native        Format = "native"
	GolangMigrate Format = "golang-migrate"
	Goose         Format = "goose"
	Dbmate        Format = "dbmate"
	Tern          Format = "tern"
	Hasura        Format = "hasura"
	SQLMigrate    Format = "sql-migrate"
	Flyway        Format = "flyway"
	Sqlx          Format = "sqlx"
	Diesel        Format = "diesel"
	Prisma        Format = "prisma"
	Atlas         Format = "atlas"
	Drizzle       Format = "drizzle"
	Sqitch        Format = "sqitch"
	Liquibase     Format = "liquibase"
)

// layout is how to read and write a format.
type layout struct {
	format     Format
	read       func(*folder) []migration.Migration
	takesEmpty bool // an up script without a statement does nothing
	numbering
	// scripts returns the names, within fsys, of the scripts that are read in this format only. nil
	// means that it has none besides VERSION….sql in the root and what folders named like
	// migrations hold.
	scripts func(*folder) []string
	// shows says what of an entry of the root shows the format, "" for nothing. It is not asked
	// about .sql files that begin with a number: what they show is in their marker lines.
	shows func(*folder, *listed) string
	// newest returns the newest version of a folder; nil means that its files, or folders, begin
	// with the versions.
	newest func(*folder) numbered
	// skeleton returns the files of a new migration; nil means VERSION_name.up.sql and .down.sql.
	skeleton func(f *folder, version, name string) []File
}

// layouts are those of all formats.
var layouts = []layout{
	{format: Native, read: (*folder).native, numbering: numbering{digits: 4, stamp: seconds}},
	{format: GolangMigrate, read: (*folder).golangMigrate, takesEmpty: true, numbering: numbering{digits: 6, stamp: seconds}},
	{format: Goose, read: (*folder).goose, takesEmpty: true, numbering: numbering{digits: 5, stamp: seconds}, skeleton: gooseFiles},
	{format: Dbmate, read: (*folder).dbmate, takesEmpty: true, numbering: numbering{stamp: seconds}, skeleton: dbmateFiles},
	// tern's versions are too small for a timestamp
	{format: Tern, read: (*folder).tern, numbering: numbering{digits: 3, why: "tern has no timestamps: its versions have to be below 2147483648"}, shows: ternShows, skeleton: ternFiles},
	{format: Hasura, read: (*folder).hasura, takesEmpty: true, numbering: numbering{stamp: millis}, shows: hasuraShows, skeleton: hasuraFiles},
	{format: SQLMigrate, read: (*folder).sqlMigrate, takesEmpty: true, numbering: numbering{stamp: seconds}, skeleton: sqlMigrateFiles},
	{
		format: Flyway, read: (*folder).flyway, takesEmpty: true, numbering: numbering{digits: 1, stamp: seconds},
		scripts: flywayScripts, shows: flywayShows, newest: flywayNewest, skeleton: flywayFiles,
	},
	{format: Sqlx, read: (*folder).sqlx, takesEmpty: true, numbering: numbering{stamp: seconds}, skeleton: sqlxFiles},
	{format: Diesel, read: (*folder).diesel, takesEmpty: true, numbering: numbering{stamp: seconds}, shows: dieselShows, skeleton: dieselFiles},
	{format: Prisma, read: (*folder).prisma, takesEmpty: true, numbering: numbering{stamp: seconds}, shows: prismaShows, skeleton: prismaFiles},
	{
		format: Atlas, read: (*folder).atlas, takesEmpty: true, numbering: numbering{stamp: seconds},
		scripts: atlasScripts, shows: atlasShows, skeleton: atlasFiles,
	},
	{
		format: Drizzle, read: (*folder).drizzle, takesEmpty: true, numbering: numbering{digits: 4, why: "Drizzle counts its migrations: a version can't be a timestamp"},
		scripts: drizzleScripts, shows: drizzleShows, newest: drizzleNewest, skeleton: drizzleFiles,
	},
	{
		format: Sqitch, read: (*folder).sqitch, takesEmpty: true, numbering: numbering{digits: 1, why: "Sqitch orders changes by its plan: a version can't be a timestamp"},
		scripts: sqitchScriptsOf, shows: sqitchShows, newest: sqitchNewest, skeleton: sqitchFiles,
	},
	{
		format: Liquibase, read: (*folder).liquibase, takesEmpty: true, numbering: numbering{digits: 4, stamp: seconds},
		scripts: liquibaseScripts, shows: liquibaseShows, newest: liquibaseNewest, skeleton: liquibaseFiles,
	},
}

// layoutOf returns the layout of a format that ParseFormat has returned, other than Auto.
func layoutOf(format Format) layout {
	return layouts[slices.IndexFunc(layouts, func(l layout) bool { return l.format == format })]
}

// Formats returns all formats except Auto, Native first.
func Formats() (all []Format) {
	for _, l := range layouts {
		all = append(all, l.format)
	}
	return all
}

// ParseFormat returns the format with a name; "" and "auto" are [Auto].
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
	return Auto, fmt.Errorf("unknown format %q; valid formats: %s", name, strings.Join(names, ", "))
}

// Options configure how to read a folder. The zero value is useful.
type Options struct {
	// Set is the name of the set; "" means [migration.DefaultSet].
	Set string
	// Format is the folder's format. Auto detects it as [Detect] does.
	Format Format
	// Dialect is the dialect of the scripts. It decides whether block comments nest, as they do
	// only in PostgreSQL: a directive may be inside a comment in one dialect and after it in
	// another. Without a dialect, comments nest unless one would then not end.
	Dialect sqltext.Dialect
	// Dir comes before the names of files in messages: with "migrations" an error says
	// "migrations/0001_users.up.sql".
	Dir string
	// Funcs are migrations that are Go functions. Read merges them into the set. A version that the
	// folder also has is an error that names both. The drivers create their scripts.
	Funcs []migration.Migration
	// Expand returns the values of variables in goose files that request them with "-- +goose
	// ENVSUB ON", for example os.LookupEnv. Without it such a file is an error. Nothing else is
	// ever substituted.
	Expand func(name string) (string, bool)
	// Placeholders are the values of the ${name} placeholders in a Flyway folder. Their names are not
	// case-sensitive. A placeholder without a value is an error.
	Placeholders map[string]string
	// NoPlaceholders says that ${name} is text in a Flyway folder, as with Flyway's own setting
	// placeholderReplacement=false.
	NoPlaceholders bool
	// DeferDowns leaves the down scripts of a native or golang-migrate folder unread: they are files
	// of their own, which nobody needs while nothing is pending. A Migrator reads those that a plan
	// rolls back with or records. If one has a problem, the error is again about the whole folder.
	// Until then only the names of the files are checked. Other functions than those of a Migrator
	// need the complete set: [migration.Set.Complete].
	DeferDowns bool
	// Idle is closed when the caller has nothing left to do but to wait for Read, which then uses
	// one more processor. Until then, and if it is nil, Read leaves one to the caller.
	Idle <-chan struct{}
}

// Read reads the migrations of a folder: the root of fsys, see [fs.Sub]. A nil fsys means no
// folder, for sets of Go functions only. An empty folder is an empty set.
//
// The error is a *[FolderError] for problems with the folder's content, an *[AmbiguousError] if the
// format is not clear, and an *[Error] that is [fs.ErrNotExist] if the folder does not exist.
func Read(fsys fs.FS, opts Options) (*migration.Set, error) {
	set, err := read(fsys, opts)
	if err != nil && opts.DeferDowns { // the error has the problems of all files
		opts.DeferDowns = false
		return read(fsys, opts)
	}
	return set, err
}

func read(fsys fs.FS, opts Options) (*migration.Set, error) {
	f := newFolder(nil, opts)
	var all migration.Contents
	if fsys != nil {
		var err error
		if f, err = loadAs(fsys, opts); err != nil {
			return nil, err
		}
		migrations := f.read(f.format)
		all = f.others
		all.Migrations = migrations
		if f.deferred {
			all.ReadDowns = f.readDowns
		}
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

// place turns errors of the whole contents into problems of files, as far as the file is known.
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
		p.all = append(p.all, &Error{File: e.File, Line: e.Line, Column: e.Column, Msg: e.Msg, Err: e})
	}
}

// otherwise checks whether a folder that was read as a native one has no problem as one of
// golang-migrate's, whose names are the same.
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

// addFuncs appends the migrations that are Go functions.
func addFuncs(p *problems, all *[]migration.Migration, funcs []migration.Migration) {
	if len(funcs) == 0 {
		return
	}
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

// duplicate reports a version that two files have. The error belongs to the second file.
func (p *problems) duplicate(version int64, first, second string) {
	err := &migration.DuplicateError{Version: version, First: first, Second: second}
	p.all = append(p.all, &Error{File: second, Msg: err.Error(), Err: err})
}

// Detect determines the format of a folder from the names and contents of its files:
//
//   - names that end in .up.sql and .down.sql: Native (GolangMigrate and Sqlx have the same names
//     and fewer rules; they are not detected by them)
//   - files VERSION_name.sql with a line "-- +goose Up": Goose; "-- migrate:up": Dbmate; "--
//     +migrate Up": SQLMigrate; "---- create above / drop below ----", or a tern.conf beside them:
//     Tern; a first line "-- no-transaction": Sqlx
//   - files V1.2__name.sql or U1.2__name.sql: Flyway
//   - folders VERSION_name that contain up.sql or down.sql: Hasura; if one of them has a version
//     with dashes or a metadata.toml: Diesel
//   - folders VERSION_name that contain migration.sql, or a migration_lock.toml: Prisma
//   - none of these: Native.
//
// If several of these apply, the error is an *[AmbiguousError].
func Detect(fsys fs.FS) (Format, error) {
	f, err := load(fsys, Options{})
	if err != nil {
		return Auto, err
	}
	return f.detect()
}
