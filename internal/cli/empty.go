package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/migration"
)

// emptyFolderError reports a folder without migrations, which may be a mount that is missing.
type emptyFolderError struct {
	dir, set string
	applied  int   // how many migrations the database has
	version  int64 // the newest of them
	digits   render.Digits
}

func (e *emptyFolderError) Error() string {
	what := fmt.Sprintf("the folder %s has no migrations", e.dir)
	if e.applied > 0 {
		what += fmt.Sprintf(", but set %q of the database is at version %s", e.set, e.digits.Label(e.version))
	}
	return what
}

// addAllowEmpty adds the flag for commands that otherwise fail if the folder has no migrations.
func (a *app) addAllowEmpty(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.allowEmpty, "allow-empty", false, "accept a folder that is missing or has no migrations")
}

// ifMissing returns an empty set in place of the error that the folder does not exist, if
// --allow-empty permits it.
func (a *app) ifMissing(set *migration.Set, err error, name string) (*migration.Set, error) {
	if a.allowEmpty && errors.Is(err, fs.ErrNotExist) {
		return migration.NewSet(name)
	}
	return set, err
}

func isEmpty(s *migration.Set) bool {
	return s.Len()+len(s.Repeatables())+len(s.Baselines()) == 0
}

// needMigrations returns an *emptyFolderError if the folder has no migrations and --allow-empty is
// not given.
func (a *app) needMigrations(ctx context.Context, t *target) error {
	if a.allowEmpty || !isEmpty(t.set) {
		return nil
	}
	e := &emptyFolderError{dir: t.dir, set: t.set.Name(), digits: a.print().Digits()}
	s, err := t.status(ctx)
	if err != nil {
		return err
	}
	if e.applied = len(s.AppliedVersions()); e.applied > 0 {
		e.version = s.Version
	}
	return e
}

// explainEmpty is the rule for an *emptyFolderError.
func explainEmpty() rule {
	return on(kindSource, func(f *render.Failure, e *emptyFolderError) {
		f.Next = `Create the first migration with "whimbrel new NAME", or pass the folder with --dir. If it may be empty, add --allow-empty.`
		if e.applied > 0 {
			f.Next = "Check that the folder is mounted, or pass the right one with --dir. If it may be empty, add --allow-empty."
		}
	})
}

// refusal reports whether the next "whimbrel up" has something to do, and why it would fail.
func (a *app) refusal(ctx context.Context, t *target) (pending bool, err error) {
	if err := a.needMigrations(ctx, t); err != nil {
		return false, err
	}
	if err := a.needRecorded(ctx, t); err != nil {
		return false, err
	}
	t.options.Atomic, t.options.AllowOutOfOrder = t.atomic, t.outOfOrder
	plan, err := t.plan(ctx, t.migrator(), whimbrel.Latest())
	if err != nil || len(plan.Steps) == 0 {
		return false, err
	}
	if err := refusalOf(plan.Settings()); err != nil {
		return true, err
	}
	for _, s := range plan.Steps {
		if b := s.Continued; b != nil && (b.State == database.BackfillPaused || b.State == database.BackfillFailed) {
			return true, &whimbrel.BackfillError{Set: t.set.Name(), Version: s.Version, Name: s.Name, Backfill: *b, State: b.State}
		}
	}
	return true, nil
}

// refusalOf returns a *whimbrel.FrozenError if settings freeze the database, or nil.
func refusalOf(settings database.Settings) error {
	frozen, err := settings.Get(database.Frozen)
	if err != nil || !settings.Bool(database.Frozen) {
		return err
	}
	return &whimbrel.FrozenError{Reason: frozen.Reason, By: frozen.ChangedBy, Since: frozen.ChangedAt, Until: frozen.Until}
}
