package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) verifyCommand() *cobra.Command {
	var scratch string
	cmd := &cobra.Command{
		Use:        "verify",
		SuggestFor: []string{"check", "validate"},
		GroupID:    groupLook,
		Short:      "Check that what is applied was not edited, or prove the folder",
		Long: `Verify compares the checksum of every applied migration with its file, and shows the
difference to the text that was applied. It exits with 5 if there is one. Up and down
check the same before they begin.

With --scratch it proves the folder instead, on an empty database that it creates and
drops again: every up from nothing; every down an exact inverse of its up; down to nothing
leaves nothing; up again is the same; baselines, and the files that a squash replaces, lead to
the same schema; repeatable scripts can run twice. It exits with 1 if something is wrong. The database
is created beside the target (--scratch auto), or beside the one that a URL names; for SQLite
it is a temporary file.`,
		Example: `  whimbrel verify
  whimbrel verify --scratch auto
  whimbrel verify --scratch postgres://me@localhost/postgres`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("scratch") {
				return a.verifyOnScratch(cmd.Context(), scratch)
			}
			return a.verifyChecksums(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&scratch, "scratch", "", "prove the folder on a scratch database: `auto` makes it beside the target, a URL beside that database")
	return cmd
}

func (a *app) verifyChecksums(ctx context.Context) error {
	return a.withTarget(ctx, a.open, func(t *target) (render.Document, error) {
		m := t.migrator()
		s, err := m.Status(ctx)
		if err != nil {
			return nil, err
		}
		if len(s.InState(whimbrel.Modified)) > 0 {
			if err := m.Verify(ctx); err != nil {
				return nil, err
			}
		}
		return &render.Verified{Set: s.Set, OK: true, Verified: s.InState(whimbrel.Applied), Unknown: s.InState(whimbrel.Unknown)}, nil
	})
}

func (a *app) verifyOnScratch(ctx context.Context, scratch string) error {
	maker, closeMaker, err := a.scratch(ctx, scratch)
	if err != nil {
		return err
	}
	defer closeMaker()
	r, err := a.resolve()
	if err != nil {
		return err
	}
	if scratch == scratchAuto {
		scratch = ""
	}
	set, err := a.readSet(r, scratch)
	if err != nil {
		return err
	}
	a.print().SetDigits(set)
	v, err := inspect.Verify(ctx, set, maker)
	if err != nil {
		return err
	}
	a.print().Show(render.NewProved(v))
	if !v.OK() {
		return told{exitFailed}
	}
	return nil
}

// scratchAuto is the --scratch that makes scratch databases beside the target.
const scratchAuto = "auto"

// scratch opens the database beside which scratch databases are made: the target for "auto".
// Whimbrel's tables are called there what they are called in the target.
func (a *app) scratch(ctx context.Context, where string) (inspect.Maker, func(), error) {
	if where == "" {
		return nil, nil, usage("--scratch auto makes it beside the target.", "--scratch wants auto or the URL of a database")
	}
	r, err := a.resolve()
	if err != nil {
		return nil, nil, err
	}
	if where == scratchAuto {
		if where, err = a.databaseURL(); err != nil {
			return nil, nil, err
		}
	}
	// What the server says on scratch is about nobody's database.
	opts := database.Options{App: "whimbrel", Schema: r.schema, HistoryTable: r.historyTable, LockTimeout: r.lockTimeout}
	db, err := database.Open(ctx, where, opts)
	if err != nil {
		return nil, nil, &openError{err}
	}
	return inspect.Beside(db), func() { _ = db.Close() }, nil
}
