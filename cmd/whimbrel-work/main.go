// Command whimbrel-work is whimbrel with everything that it can do, and with the command "work",
// which executes detached backfills on a job queue. It is a program of its own because the queue
// would make whimbrel larger. "whimbrel work" starts it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/whimbrel-db/whimbrel/backfill"
	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/internal/cli"
)

func main() { os.Exit(cli.Main(work)) }

// work executes backfills as the command's flags say.
func work(ctx context.Context, url string, w cli.WorkOptions) error {
	until := backfill.Stopped
	switch {
	case w.Once:
		until = backfill.NothingToDo
	case w.UntilDone:
		until = backfill.Done
	}
	return advised(backfill.Work(ctx, url, backfill.WorkOptions{
		Config:  backfill.Config{Sets: w.Sets, Options: w.Options, Queue: w.Queue, Trouble: w.Trouble},
		Open:    w.Open,
		Workers: w.Workers, Schema: w.Schema, KeepSchema: w.KeepSchema,
		Until: until, StopFor: w.StopFor, UI: w.UI, Logger: w.Logger,
		Ready: func(r backfill.Ready) {
			w.Ready(r.Database, r.River)
		},
	}))
}

// advised adds to an error about the queue what to do.
func advised(err error) error {
	var unfit *backfill.RiverError
	var unsupported *backfill.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		return &cli.AdvisedError{Err: err, Do: `Execute a backfill without a queue: whimbrel backfill run VERSION`}
	case errors.As(err, &unfit):
		return &cli.AdvisedError{Err: err, Do: fit(unfit)}
	}
	return err
}

// fit says how River's tables become usable.
func fit(e *backfill.RiverError) string {
	switch e.Problem {
	case backfill.RiverNewer:
		return "Install a whimbrel-work with that version of River or a newer one, or give it tables of its own: --river-schema NAME"
	case backfill.RiverUnversioned:
		return "Give this program tables of its own with --river-schema NAME. If another tool applies River's migrations, pass --keep-river when the table river_migration exists."
	case backfill.RiverGap:
		return `Complete them with River's own program: river migrate-up`
	case backfill.RiverRolledBack:
		return fmt.Sprintf("Apply it again with River's own program (river migrate-up), or remove it from the history, so that this program does:\n  whimbrel forget %d --set %s", e.Missing[0], backfill.RiverSet)
	case backfill.RiverNoSchema:
		return fmt.Sprintf("Create it: CREATE SCHEMA %q", e.Schema)
	case backfill.RiverMissing, backfill.RiverOlder:
		return `Omit --keep-river once, with a role that may create tables there, or run "river migrate-up".`
	}
	return ""
}
