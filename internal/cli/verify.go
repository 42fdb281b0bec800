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
		GroupID:    groupInspect,
		Short:      "Check applied migrations for edits, or prove the folder",
		Long: `Verify compares the checksum of every applied migration with its file. If they differ, it shows
the difference and exits with 5. Up and down do the same check before they start.

With --scratch, verify instead proves the folder on an empty database, which it creates and drops:
all up scripts run from nothing; each down script exactly reverses its up script; rolling back everything
leaves nothing; applying everything again gives the same schema; baselines, and the files that a squash
replaces, lead to the same schema; and repeatable scripts can run twice. It exits with 1 if a check fails.

The scratch database is created on the target's server (--scratch auto) or on that of a URL. For
SQLite it is a temporary file. Verify refuses to run scripts that would change something outside the
database, such as roles, unless you add --skip-outside or --allow-outside.`,
		Example: `  whimbrel verify
  whimbrel verify --scratch auto
  whimbrel verify --scratch postgres://me@localhost/postgres`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("scratch") {
				return a.verifyOnScratch(cmd.Context(), scratch)
			}
			if scratch.skip || len(scratch.allow) > 0 {
				return usage("", "--skip-outside and --allow-outside require --scratch")
			}
			return a.with(a.open, a.verifyChecksums)(cmd, nil)
		},
	}
	scratch.add(cmd, "", "prove the folder on a scratch database: ")
	a.addAllowEmpty(cmd)
	return cmd
}

func (a *app) verifyChecksums(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
	if err := a.needMigrations(cmd.Context(), t); err != nil {
		return nil, err
	}
	m := t.migrator()
	s, err := m.Status(cmd.Context())
	if err != nil {
		return nil, err
	}
	return &render.Verified{Set: s.Set, OK: true, Verified: s.InState(whimbrel.StateApplied), Unknown: s.InState(whimbrel.StateUnknown)}, m.Verify(cmd.Context())
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
	url := flags.where
	if url == scratchAuto || url == scratchLocal {
		url = ""
	}
	set, err := a.readSet(r, url)
	if err != nil {
		return err
	}
	if isEmpty(set) && !a.allowEmpty {
		return &emptyFolderError{dir: r.dir}
	}
	a.print().SetDigits(set)
	a.print().Warn(set.Warnings())
	v, err := inspect.Verify(ctx, set, scratch)
	if err != nil {
		return err
	}
	return a.show(render.NewProved(v))
}
