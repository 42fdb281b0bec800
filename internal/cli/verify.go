package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func (a *app) verifyCommand() *cobra.Command {
	var scratch scratchFlags
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
it is a temporary file. Scripts that would change something outside of it, such as roles, are
refused before anything runs, unless --skip-outside or --allow-outside says otherwise.`,
		Example: `  whimbrel verify
  whimbrel verify --scratch auto
  whimbrel verify --scratch postgres://me@localhost/postgres`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("scratch") {
				return a.verifyOnScratch(cmd.Context(), scratch)
			}
			if scratch.skip || len(scratch.allow) > 0 {
				return usage("", "--skip-outside and --allow-outside go with --scratch")
			}
			return a.verifyChecksums(cmd.Context())
		},
	}
	scratch.add(cmd, "", "prove the folder on a scratch database: ")
	return cmd
}

func (a *app) verifyChecksums(ctx context.Context) error {
	return a.withTarget(ctx, a.open, func(t *target) (render.Document, error) {
		m := t.migrator()
		s, err := m.Status(ctx)
		if err != nil {
			return nil, err
		}
		if err := m.Verify(ctx); err != nil {
			return nil, err
		}
		return &render.Verified{Set: s.Set, OK: true, Verified: s.InState(whimbrel.StateApplied), Unknown: s.InState(whimbrel.StateUnknown)}, nil
	})
}

func (a *app) verifyOnScratch(ctx context.Context, flags scratchFlags) error {
	scratch, closeScratch, err := a.scratch(ctx, flags)
	if err != nil {
		return err
	}
	defer closeScratch()
	r, err := a.resolve()
	if err != nil {
		return err
	}
	beside := flags.where
	if beside == scratchAuto || beside == scratchLocal {
		beside = ""
	}
	set, err := a.readSet(r, beside)
	if err != nil {
		return err
	}
	a.print().SetDigits(set)
	a.print().Warn(set.Warnings())
	v, err := inspect.Verify(ctx, set, scratch)
	if err != nil {
		return err
	}
	a.print().Show(render.NewProved(v))
	if !v.OK() {
		return told{exitFailed}
	}
	return nil
}
