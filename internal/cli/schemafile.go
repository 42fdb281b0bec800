package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/schemafile"
)

// schemaFileFlags select the schema file that a command writes after it has migrated.
type schemaFileFlags struct {
	file string
	none bool
}

func (s *schemaFileFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.file, "schema-file", "", "`file` to write the schema to if it has changed (default: schema_file in the configuration)")
	f.BoolVar(&s.none, "no-schema-file", false, "write no schema file")
}

// path returns the file to write, or "" for none.
func (s *schemaFileFlags) path(r resolved) string {
	switch {
	case s.none:
		return ""
	case s.file != "":
		return s.file
	}
	return r.schemaFile
}

// schemaFileError reports a schema file that could not be written after everything else succeeded.
type schemaFileError struct {
	file string
	err  error
}

func (e *schemaFileError) Error() string {
	return fmt.Sprintf("can't write the schema file %s: %v", shown(e.file), withoutPath(e.err))
}

func (e *schemaFileError) Unwrap() error { return e.err }

// writeSchema writes the schema file after a command has migrated. If nothing has changed, it only
// writes a file that does not exist.
func writeSchema(ctx context.Context, db database.Database, path string, r *whimbrel.Result) (*render.SchemaFile, error) {
	if path == "" {
		return nil, nil
	}
	if len(r.Applied)+len(r.RolledBack)+len(r.Recorded)+len(r.Repeated) == 0 {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	f, err := schemafile.Take(ctx, db)
	if err != nil {
		return nil, &schemaFileError{path, err}
	}
	changed, err := f.Write(path)
	if err != nil {
		return nil, &schemaFileError{path, err}
	}
	return render.NewSchemaFile(path, changed, f), nil
}

func (a *app) loadCommand() *cobra.Command {
	var opts schemafile.Options
	var allow []string
	cmd := &cobra.Command{
		Use:        "load [FILE]",
		SuggestFor: []string{"restore", "structure", "import"},
		GroupID:    groupMigrate,
		Short:      "Create an empty database from the schema file",
		Long: `Load creates everything in an empty database from a schema file, and records the migrations that the
file includes as applied. That is faster than applying them. It uses one transaction, except on MySQL
and MariaDB, where an interrupted load resumes. Then "whimbrel up" applies what the file lacks.

Up and the other commands that migrate write the file if the configuration has the key schema_file, which
is also the default of FILE. The file contains no rows: load lists the migrations that write some.
Load refuses a database that is not empty, and a file with other texts of the migrations than the folder.`,
		Example: `  whimbrel load
  whimbrel load db/schema.sql --database sqlite:test.db`,
		Args: needArgs("at most a schema file", 0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, begun := cmd.Context(), time.Now()
			allowed, err := (&scratchFlags{allow: allow}).allowed()
			if err != nil {
				return err
			}
			r, err := a.resolve()
			if err != nil {
				return err
			}
			path := r.schemaFile
			if len(args) > 0 {
				path = args[0]
			}
			if path == "" {
				return usage(`Pass it, or write "schema_file: FILE" into `+configName+".", "load needs a schema file")
			}
			f, err := schemafile.Read(path)
			if err != nil {
				return unreadableSchema(path, err)
			}
			t, err := a.open(ctx)
			if err != nil {
				return err
			}
			defer t.close()
			t.begin(loading)
			opts.Options, opts.Allow = t.options, allowed
			l, err := schemafile.Load(ctx, t.db, t.set, f, opts)
			if err != nil {
				return err
			}
			l.Duration = time.Since(begun)
			return a.show(render.NewLoaded(path, t.dir, l))
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Reason, "reason", "", "`why`; each history entry keeps it (default: the name of the file)")
	a.addWaits(cmd)
	f.StringSliceVar(&allow, "allow-outside", nil, "allow the file to change these things outside the database: a list of `kinds`")
	return cmd
}

// unreadableSchema converts an error of reading a schema file.
func unreadableSchema(path string, err error) error {
	if errors.As(err, new(*schemafile.FormatError)) {
		return err
	}
	return usage(schemaFileHint(path), "can't read the schema file %s: %v", path, withoutPath(err))
}

// schemaFileHint tells how to write a schema file.
func schemaFileHint(path string) string {
	return fmt.Sprintf("To write it from a database that has applied the migrations, run: whimbrel snapshot --format load --out %s", shown(path))
}

// loadRules handle schema files that can't be loaded or written.
func loadRules() []rule {
	return []rule{
		on(kindSchemaFile, func(f *render.Failure, e *schemaFileError) {
			f.Next = "Fix the cause, then run: whimbrel snapshot --format load --out " + shown(e.file)
		}),
		on(kindUnresolved, func(f *render.Failure, e *schemafile.UnfinishedError) {
			f.Name = e.Journal.Name
			f.SetVersion(e.Journal.Version)
			f.Message = fmt.Sprintf("%s of set %q was interrupted, so the schema is between two versions", which(f), e.Set)
			f.Next = fmt.Sprintf("Run %q to resume it.", render.NewInterrupted(&e.Journal, "").Next())
		}),
		on(kindNotEmpty, func(f *render.Failure, e *whimbrel.NotEmptyError) {
			f.Database = e.Database
			f.Next = `To apply what is pending, run "whimbrel up". To start again, empty the database with "whimbrel reset", or load the file into a new one.`
			if e.AppliedCount > 0 {
				f.Message = fmt.Sprintf("a schema can only be loaded into an empty database, but set %q has %d applied migrations, the newest is version %s", e.Set, e.AppliedCount, f.Label(e.Version))
			}
			if e.AppliedCount == 0 { // reset leaves objects of others
				f.Detail = strings.Join(e.Objects[:min(len(e.Objects), 10)], "\n")
				f.Next = "Load the file into a new database."
			}
		}),
		on(kindChecksum, func(f *render.Failure, e *whimbrel.SchemaMismatchError) {
			first := e.Migrations[0]
			f.Version, f.Name, f.File = &first.Version, first.Name, first.File
			f.Message = fmt.Sprintf("the schema file includes other texts of %s than the folder has", render.Count(len(e.Migrations), "migration"))
			for _, m := range e.Migrations {
				f.Versions = append(f.Versions, m.Version)
				f.Problems = append(f.Problems, render.Problem{
					Message: fmt.Sprintf("migration %s %s has the checksum %.12s…, the schema file %.12s…", f.Label(m.Version), m.Name, m.Set, m.Schema), File: m.File, Line: 1, Column: 1,
				})
			}
			f.Outcome = sentence(f.Message) + " Nothing was run."
			f.Next = "Use the schema file that belongs to these migrations, or apply them to a database with \"whimbrel up\", which writes the file again."
		}),
		on(kindSource, func(f *render.Failure, e *schemafile.FormatError) {
			setPlace(f, e.Pos)
			f.Message, f.Next = e.Msg, schemaFileHint(e.Pos.File)
		}),
		on(kindSource, func(f *render.Failure, e *schemafile.OutsideError) {
			for _, s := range e.Statements {
				f.Problems = append(f.Problems, render.Problem{Message: s.Reaches(), File: s.Pos.File, Line: s.Pos.Line, Column: s.Pos.Column})
			}
			setPlace(f, e.Statements[0].Pos)
			f.Message = "nothing was run: the schema file would change something outside the database"
			f.Outcome = sentence(f.Message)
			f.Next = "To run these statements anyway, add --allow-outside " + strings.Join(kindsOf(e.Statements), ",") + "."
		}),
		on(kindSource, advice[*schemafile.DialectError]("Load a file that was written for this kind of database.")),
		on(kindSource, advice[*schemafile.SetError]("Select the set with --set, or apply the migrations with \"whimbrel up\".")),
	}
}
