package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/adopt"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func (a *app) snapshotCommand() *cobra.Command {
	var out, name string
	var format snapshotFormat
	cmd := &cobra.Command{
		Use:        "snapshot",
		SuggestFor: []string{"dump", "schema", "diagram", "erd"},
		GroupID:    groupInspect,
		Short:      "Write the schema of the database as SQL or as a diagram",
		Long: `Snapshot prints SQL that creates the schema of the database, without Whimbrel's own tables. The
statements are in executable order, and the output depends on the schema alone. The format json is
a document that "whimbrel diff" can compare without a scratch database. The format load is SQL that
also has the migrations that the schema includes, as "whimbrel load" needs them.

The formats mermaid, svg and dot are diagrams: tables with their columns and keys, foreign keys
between them, and the owners and tags from the metadata. No other program is needed to draw them.

Without --format, the file's name decides: .json, .mmd, .svg, .dot; .sql, .txt or none is SQL.`,
		Example: `  whimbrel snapshot
  whimbrel snapshot --out schema.sql
  whimbrel snapshot --out release7.json
  whimbrel snapshot --out schema.svg
  whimbrel snapshot --format mermaid
  whimbrel snapshot --format load --out db/schema.sql  # for "whimbrel load"`,
		Args: noArgs,
		PreRunE: func(*cobra.Command, []string) (err error) {
			format, err = parseSnapshotFormat(name, out)
			return err
		},
		RunE: a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
			s, err := database.Snapshot(cmd.Context(), t.db, catalog.Options{})
			if err != nil {
				return nil, err
			}
			text, tables, err := snapshotText(cmd.Context(), t.db, s, format)
			if err != nil {
				return nil, err
			}
			if out != "" {
				err = a.writeOutput(out, []byte(text))
			}
			return render.NewSnapshot(s, string(format), text, tables, out), err
		}),
	}
	cmd.Flags().StringVar(&out, "out", "", "`file` to write")
	cmd.Flags().StringVar(&name, "format", "", "`format` to write: "+strings.Join(snapshotFormats, ", ")+" (default: by the file's name, else sql)")
	must(cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(snapshotFormats, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func isDocument(file string) bool { return strings.EqualFold(filepath.Ext(file), ".json") }

// isScript reports whether an argument is an SQL file. A URL can also end in .sql.
func isScript(file string) bool {
	_, _, url := strings.Cut(file, ":")
	return strings.EqualFold(filepath.Ext(file), ".sql") && (!url || filepath.IsAbs(file))
}

func (a *app) diffCommand() *cobra.Command {
	var scratch scratchFlags
	cmd := &cobra.Command{
		Use:     "diff A B",
		GroupID: groupInspect,
		Short:   "Compare two databases or snapshots",
		Long: `Diff shows how B differs from A, object by object. Each is the URL of a database, the
name of an environment, or a file that "whimbrel snapshot" wrote. Diff runs an .sql file in a scratch database on the other side's server, or on
the target's (--database) if both are files. It exits with 3 if there is a difference.

Different server releases can print the same definition in two ways. With --scratch, diff rebuilds
both sides on that server and compares the results.`,
		Example: `  whimbrel diff release7.json postgres://me@localhost/app
  whimbrel diff schema.sql postgres://me@localhost/app
  whimbrel diff local production`,
		Args: needArgs("two databases or snapshots", 2, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 2 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			names, _ := a.completeEnvironments(cmd, args, begun)
			return names, cobra.ShellCompDirectiveDefault // files, too
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			fromURL, err := a.sideURL(args[0])
			if err != nil {
				return err
			}
			toURL, err := a.sideURL(args[1])
			if err != nil {
				return err
			}
			from, err := a.side(cmd.Context(), fromURL, toURL, scratch)
			if err != nil {
				return err
			}
			to, err := a.side(cmd.Context(), toURL, fromURL, scratch)
			if err != nil {
				return err
			}
			if from.Dialect != to.Dialect {
				return usage("", "can't compare %s (%s) with %s (%s)", database.Redact(args[0]), product(from.Dialect), database.Redact(args[1]), product(to.Dialect))
			}
			d, err := a.compare(cmd.Context(), from, to, scratch, cmd.Flags().Changed("scratch"))
			if err != nil {
				return err
			}
			d.Expected, d.Found = database.Redact(args[0]), database.Redact(args[1])
			d.Drift = len(d.Objects) > 0
			return a.show(d)
		},
	}
	scratch.add(cmd, scratchAuto, "where to run .sql files: ")
	return cmd
}

// compare compares two snapshots. If scratch is asked for and their server releases differ, it
// compares them on a scratch database.
func (a *app) compare(ctx context.Context, from, to *catalog.Snapshot, scratch scratchFlags, asked bool) (*render.Drift, error) {
	changes := catalog.Compare(from, to)
	d := &render.Drift{}
	switch {
	case len(changes) == 0 || from.Server == to.Server:
	case asked:
		maker, closeMaker, err := a.scratch(ctx, scratch)
		if err != nil {
			return nil, err
		}
		defer closeMaker()
		if changes, err = inspect.Compare(ctx, from, to, maker); err != nil {
			return nil, err
		}
	default:
		d.Releases = []string{from.Server, to.Server}
	}
	d.Objects = render.NewChanges(changes)
	return d, nil
}

// side returns the snapshot of one side: read from a document, or taken from a database or a
// script's result.
func (a *app) side(ctx context.Context, what, other string, scratch scratchFlags) (*catalog.Snapshot, error) {
	switch {
	case isDocument(what):
		content, err := readSide(what)
		if err != nil {
			return nil, err
		}
		s, err := catalog.Decode(content)
		if err != nil {
			return nil, usage(`Create one with "whimbrel snapshot --out FILE.json".`, "%s: %v", what, err)
		}
		return s, nil
	case isScript(what):
		content, err := readSide(what)
		if err != nil {
			return nil, err
		}
		var protect []string
		if !isDocument(other) && !isScript(other) {
			protect = []string{other}
		}
		maker, closeMaker, err := a.scratch(ctx, scratch, protect...)
		if err != nil {
			return nil, err
		}
		defer closeMaker()
		return inspect.Rebuild(ctx, what, string(content), maker)
	}
	opts, ok := a.sideOptions[what]
	if !ok {
		r, err := a.resolve()
		if err != nil {
			return nil, err
		}
		opts = r.databaseOptions()
	}
	db, err := a.openWith(ctx, what, opts)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	a.print().Working("reading " + cmp.Or(a.sideNames[what], database.Redact(what)))
	return database.Snapshot(ctx, db, catalog.Options{})
}

// sideURL returns the URL of a database that diff compares, or the argument if it is a file. An
// argument that is the name of an environment selects its database; a file of that name needs "./".
func (a *app) sideURL(arg string) (string, error) {
	c, err := readConfig(a.global.config)
	if err != nil {
		return "", err
	}
	isEnvironment := c != nil && c.Environments[arg] != nil
	switch {
	case !isEnvironment && !plainWord.MatchString(arg):
		return arg, nil
	case c == nil:
		return "", usage("Pass the URL of a database, or a file that ends in .json or .sql. An environment needs a "+configName+".",
			"%q is neither a database nor a snapshot", arg)
	}
	env, err := c.environment(arg)
	if err != nil {
		return "", err
	}
	if env.Database == nil {
		return "", usage("", "the environment %s names no database", arg)
	}
	before := a.global.env
	a.global.env = arg
	defer func() { a.global.env = before }()
	r, err := a.resolve()
	if err != nil {
		return "", err
	}
	url, err := a.configured(c, env.Database)
	if err == nil {
		url, err = a.withPassword(a.withDatabaseName(url), true)
	}
	if a.sideOptions == nil {
		a.sideOptions, a.sideNames = map[string]database.Options{}, map[string]string{}
	}
	a.sideOptions[url], a.sideNames[url] = r.databaseOptions(), arg
	return url, err
}

// plainWord matches a text that is neither a URL nor the name of a file that diff can read.
var plainWord = lazyregexp.New(`^[\pL\pN_-]+$`)

func readSide(file string) ([]byte, error) {
	content, err := readFile(file, maxSnapshot)
	if err != nil {
		return nil, usage("", "can't read %s: %v", file, err)
	}
	return content, nil
}

func (a *app) driftCommand() *cobra.Command {
	var accept bool
	var reason string
	var scratch scratchFlags
	cmd := &cobra.Command{
		Use:     "drift",
		GroupID: groupInspect,
		Short:   "Compare the database with its history",
		Long: `Drift runs the scripts that the history keeps on a scratch database, and compares the resulting
schema with that of the database, which it only reads. It exits with 3 if there is a difference.
Statements that only manage roles and the like outside the database are skipped. Drift refuses other
statements that would change something outside the database.

With --accept, drift records the present schema as the expected one.`,
		Example: `  whimbrel drift
  whimbrel drift --scratch postgres://me@localhost/postgres
  whimbrel drift --accept --reason "the index was added by hand"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case accept && reason == "":
				return reasonRequired("the history keeps it")
			case accept:
				return a.with(a.writes(accepting, a.openWithoutFiles), func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
					return &render.DriftAccepted{Set: t.set.Name(), Reason: reason}, inspect.AcceptDrift(cmd.Context(), t.db, t.set.Name(), reason)
				})(cmd, nil)
			case reason != "":
				return usage("", "--reason requires --accept")
			}
			maker, closeMaker, err := a.scratch(cmd.Context(), scratch)
			if err != nil {
				return err
			}
			defer closeMaker()
			return a.with(a.openWithoutFiles, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
				changes, err := a.drift(cmd.Context(), t, maker)
				if err != nil {
					return nil, fmt.Errorf("drift: %w", err)
				}
				return &render.Drift{Drift: len(changes) > 0, Objects: render.NewChanges(changes), Expected: "the history", Found: "the database"}, nil
			})(cmd, nil)
		},
	}
	scratch.add(cmd, scratchAuto, "where to create the scratch database: ")
	cmd.Flags().BoolVar(&accept, "accept", false, "record the present schema as the expected one")
	cmd.Flags().StringVar(&reason, "reason", "", "`why` the present schema is right (required with --accept); the history keeps it")
	return cmd
}

// drift compares the database with its history. It reads the folder only if the history lacks a
// text.
func (a *app) drift(ctx context.Context, t *target, scratch inspect.Scratch) ([]catalog.Change, error) {
	ignore, err := adopt.Objects(ctx, t.db)
	if err != nil {
		return nil, err
	}
	scratch.Ignore = ignore
	changes, err := inspect.Drift(ctx, t.db, scratch, nil)
	if !errors.As(err, new(*inspect.NoTextError)) {
		return changes, err
	}
	files, ferr := a.readSet(t.resolved, t.url)
	if ferr != nil {
		return nil, err
	}
	return inspect.Drift(ctx, t.db, scratch, files)
}

// product returns the usual name of the database with a dialect.
func product(dialect string) string {
	switch dialectOf(dialect) {
	case sqltext.PostgreSQL:
		return "PostgreSQL"
	case sqltext.SQLite:
		return "SQLite"
	case sqltext.MySQL:
		return "MySQL"
	}
	return dialect
}
