package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/migration"
)

func (a *app) createCommand() *cobra.Command {
	return &cobra.Command{
		Use:        "create",
		SuggestFor: []string{"createdb", "setup"},
		GroupID:    groupDatabase,
		Short:      "Create the database, if it does not exist",
		Long: `Create creates the database that the URL names, empty. If it already exists, create says so and
changes nothing. On a server, the role must be allowed to create databases. PostgreSQL creates it from a
connection to the database "postgres" or "template1".`,
		Example: `  whimbrel create
  whimbrel create --database postgres://me@localhost/app
  whimbrel wait && whimbrel create && whimbrel up`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, opts, err := a.named()
			if err != nil {
				return err
			}
			created, err := database.Create(cmd.Context(), url, opts)
			if err != nil {
				return err
			}
			a.print().Show(&render.Created{Database: database.Redact(url), Place: a.placeOf(url), Created: created})
			return nil
		},
	}
}

// named returns the URL of the database and the options to open it, for commands that work on the
// database as a whole.
func (a *app) named() (url string, opts database.Options, err error) {
	r, err := a.resolve()
	if err != nil {
		return "", opts, err
	}
	url, err = a.targetURL()
	return url, r.databaseOptions(), err
}

func (a *app) dropCommand() *cobra.Command {
	var yes string
	var force bool
	cmd := &cobra.Command{
		Use:        "drop",
		SuggestFor: []string{"dropdb", "destroy"},
		GroupID:    groupDatabase,
		Short:      "Drop the database, with everything in it",
		Long: `Drop drops the database that the URL names, with its history. To empty it and keep the history, use
reset. If other clients are connected, drop changes nothing; --force ends their sessions. It never
drops a database that belongs to the server itself.

On a terminal, drop asks for the database's name. Otherwise pass the name with --yes. A frozen
database is not dropped.`,
		Example: `  whimbrel drop              # asks
  whimbrel drop --yes app    # for scripts: app is the database's name`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, opts, err := a.named()
			if err != nil {
				return err
			}
			if err := a.mayDrop(cmd.Context(), yes); err != nil {
				if missing(err) {
					a.print().Show(&render.Dropped{Database: database.Redact(url), Place: a.placeOf(url)})
					return nil
				}
				return err
			}
			dropped, err := database.Drop(cmd.Context(), url, database.DropOptions{Options: opts, Force: force})
			if err != nil {
				return err
			}
			a.print().Show(&render.Dropped{Database: database.Redact(url), Place: a.placeOf(url), Dropped: dropped})
			return nil
		},
	}
	cmd.Flags().StringVar(&yes, "yes", "", "`name` of the database, to confirm without being asked")
	cmd.Flags().BoolVar(&force, "force", false, "end the sessions of other clients")
	cmd.Flags().SortFlags = false
	return cmd
}

// missing reports whether an error says that the database does not exist.
func missing(err error) bool {
	var e *database.ConnectError
	return errors.As(err, &e) && e.NoDatabase
}

// mayDrop checks the database's settings, and that the user confirms its name. The database is
// closed again when it returns.
func (a *app) mayDrop(ctx context.Context, yes string) error {
	t, err := a.openWithoutFiles(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	st, err := t.db.State(ctx, t.set.Name())
	if err != nil {
		return err
	}
	if frozen, err := st.Settings.Get(database.Frozen); err == nil && st.Settings.Bool(database.Frozen) {
		return &whimbrel.FrozenError{Reason: frozen.Reason, By: frozen.ChangedBy, Since: frozen.ChangedAt, Until: frozen.Until}
	}
	if yes == "" && a.canAsk() {
		why := "This drops " + t.where() + ", with everything in it."
		if v, err := st.Settings.Get(database.Protected); err == nil && st.Settings.Bool(database.Protected) {
			why += "\n" + render.Protected(st.Database, v.ChangedBy, v.ChangedAt, v.Reason)
		}
		if yes, err = a.askName(ctx, why); err != nil {
			return err
		}
	}
	if err := whimbrel.CheckProtected(st, "drop the database", yes); err != nil {
		return err
	}
	if yes != st.Database {
		return &whimbrel.ConfirmError{What: "drop", Database: st.Database, Confirm: yes}
	}
	return nil
}

const (
	defaultWait  = 30 * time.Second
	firstPause   = 100 * time.Millisecond
	longestPause = time.Second
	// attemptLimit limits one attempt, since a packet may be dropped without an answer.
	attemptLimit = 5 * time.Second
)

func (a *app) waitCommand() *cobra.Command {
	timeout := defaultWait
	cmd := &cobra.Command{
		Use:        "wait",
		SuggestFor: []string{"ping", "ready", "pg_isready"},
		GroupID:    groupDatabase,
		Short:      "Wait until the server answers a query",
		Long: `Wait tries to query the database until it answers, and then exits with 0. If the time is up, it
prints the last error and exits with 1. A server that answers that the database does not exist is
ready: "whimbrel create" creates it.`,
		Example: `  whimbrel wait --timeout 2m
  whimbrel wait && whimbrel up`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, opts, err := a.named()
			if err != nil {
				return err
			}
			return a.waitFor(cmd.Context(), url, opts, timeout)
		},
	}
	durationFlag(cmd, &timeout, "timeout", "`duration` to wait, such as 30s or 2m (default 30s)")
	return cmd
}

// waitFor waits until a database answers.
func (a *app) waitFor(ctx context.Context, url string, opts database.Options, timeout time.Duration) error {
	begun := time.Now()
	pause, told := firstPause, false
	for {
		left := timeout - time.Since(begun)
		err := answers(ctx, url, opts, min(max(left, firstPause), attemptLimit))
		switch left = timeout - time.Since(begun); {
		case err == nil, missing(err):
			a.print().Show(&render.Ready{Database: database.Redact(url), Place: a.placeOf(url), Missing: err != nil, Waited: render.Millis(time.Since(begun))})
			return nil
		case errors.As(err, new(*database.URLError)), ctx.Err() != nil:
			return err
		case left <= 0:
			return &notReadyError{waited: timeout, err: err}
		}
		if !told {
			told = true
			a.print().Waiting("Waiting for " + a.placeOf(url) + ", up to " + timeout.String() + ": " + database.RedactText(err.Error()))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(pause, left)):
		}
		pause = min(2*pause, longestPause)
	}
}

// answers sends a query. Errors about Whimbrel's own tables are answers, too.
func answers(ctx context.Context, url string, opts database.Options, limit time.Duration) (err error) {
	ctx, stop := context.WithTimeoutCause(ctx, limit, errSlow)
	defer stop()
	defer func() {
		// Otherwise the error says that somebody cancelled the query.
		if err != nil && errors.Is(context.Cause(ctx), errSlow) {
			err = errSlow
		}
	}()
	db, err := database.Open(ctx, url, opts)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.State(ctx, migration.DefaultSet)
	var tables *database.TablesError
	var newer *database.TablesNewerError
	if errors.As(err, &tables) || errors.As(err, &newer) {
		return nil
	}
	return err
}

// errSlow reports that an attempt had no answer in time.
var errSlow = errors.New("the last attempt took too long")

// notReadyError reports a database that did not answer in time.
type notReadyError struct {
	waited time.Duration
	err    error // of the last attempt
}

func (e *notReadyError) Error() string { return e.begin() + ": " + e.err.Error() }

// begin is how the message begins.
func (e *notReadyError) begin() string {
	if e.refused() {
		return "the server refused the connection for " + e.waited.String()
	}
	return "no answer within " + e.waited.String()
}

// refused reports whether the server answered and refused the role. Waiting longer rarely helps.
func (e *notReadyError) refused() bool {
	var c *database.ConnectError
	return errors.As(e.err, &c) && (strings.HasPrefix(c.Code, "28") || c.Code == "42501" || c.Code == "42000")
}

func (e *notReadyError) Unwrap() error { return e.err }
