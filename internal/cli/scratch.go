package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The keywords of --scratch.
const (
	scratchAuto  = "auto"  // on the target's server
	scratchLocal = "local" // on a server that is started for it
)

// scratchFlags select where scratch databases are created and what scripts may do there.
type scratchFlags struct {
	where string
	skip  bool
	allow []string
	// dialect selects the local server if no database is known. 0 means PostgreSQL.
	dialect sqltext.Dialect
}

// add adds the flags to a command. what is the beginning of the help for --scratch.
func (s *scratchFlags) add(cmd *cobra.Command, preset, what string) {
	f := cmd.Flags()
	f.StringVar(&s.where, "scratch", preset, what+"`auto` on the target's server, local on a server that is started for it, or the URL of a database on another server")
	f.BoolVar(&s.skip, "skip-outside", false, "on scratch databases, skip statements that change something outside the database")
	f.StringSliceVar(&s.allow, "allow-outside", nil, "allow scripts on scratch databases to change these things outside the database: a list of `kinds` ("+strings.Join(outers(), ", ")+")")
}

func outers() []string {
	var names []string
	for _, o := range sqltext.Outers() {
		names = append(names, string(o))
	}
	return names
}

// allowed returns the kinds that --allow-outside lists.
func (s *scratchFlags) allowed() ([]sqltext.Outer, error) {
	var kinds []sqltext.Outer
	for _, name := range s.allow {
		o := sqltext.Outer(strings.TrimSpace(name))
		if !slices.Contains(sqltext.Outers(), o) {
			return nil, usage("Valid kinds: "+strings.Join(outers(), ", ")+".", "--allow-outside: unknown kind %q", name)
		}
		kinds = append(kinds, o)
	}
	return kinds, nil
}

// scratch opens the server on which scratch databases are created: for "auto" that of the first of
// the protect URLs, else the target's. Whimbrel's tables have the same names there as in the
// target. protect are the databases, besides the target, whose servers scripts must not change.
func (a *app) scratch(ctx context.Context, flags scratchFlags, protect ...string) (inspect.Scratch, func(), error) {
	none := inspect.Scratch{}
	if flags.where == "" {
		return none, nil, usage("--scratch auto uses the target's server.", "--scratch needs auto, local, or the URL of a database")
	}
	allowed, err := flags.allowed()
	if err != nil {
		return none, nil, err
	}
	target, err := a.targetURL()
	if err == nil {
		protect = append(protect, target)
	}
	if flags.where == scratchLocal && !isSQLite(protect) {
		s, stop, err := a.localScratch(ctx, flags.dialect, protect)
		s.Allow, s.Skip, s.Observe, s.Progress = allowed, flags.skip, a.print().ScratchBegun, a.print().ScratchProgress
		return s, stop, err
	}
	where := flags.where
	if where == scratchAuto || where == scratchLocal {
		if len(protect) == 0 {
			return none, nil, err
		}
		where = protect[0]
	}
	db, err := a.openAside(ctx, where)
	if err != nil {
		return none, nil, err
	}
	s := inspect.Beside(db)
	s.Allow, s.Skip, s.Observe, s.Progress = allowed, flags.skip, a.print().ScratchBegun, a.print().ScratchProgress
	if flags.where != scratchAuto && flags.where != scratchLocal {
		s.Apart = func(ctx context.Context) (bool, string) { return a.apart(ctx, db, protect) }
	}
	return s, func() { _ = db.Close() }, nil
}

// openAside opens a database other than the target, without showing its notices. It finds a missing
// password.
func (a *app) openAside(ctx context.Context, url string) (database.Database, error) {
	r, err := a.resolve()
	if err != nil {
		return nil, err
	}
	return a.openWith(ctx, url, r.databaseOptions())
}

// openWith is openAside with options.
func (a *app) openWith(ctx context.Context, url string, opts database.Options) (database.Database, error) {
	url, err := a.withPassword(url, false)
	if err != nil {
		return nil, err
	}
	return a.openAsIs(ctx, url, opts)
}

// openAsIs opens a database with no other password than that of the URL.
func (a *app) openAsIs(ctx context.Context, url string, opts database.Options) (database.Database, error) {
	a.print().Working("connecting to " + database.Redact(url))
	db, err := database.Open(ctx, url, opts)
	if err != nil {
		return nil, &openError{err}
	}
	return db, nil
}

// apart reports whether the server of a scratch database is proven to differ from those of the
// given databases, and if not, why.
func (a *app) apart(ctx context.Context, scratch database.Database, protect []string) (bool, string) {
	if len(protect) == 0 {
		return false, "no --database to compare its server with"
	}
	for _, url := range protect {
		db, err := a.openAside(ctx, url)
		if err != nil {
			return false, "can't connect to the database's server: " + err.Error()
		}
		apart, why := database.Apart(ctx, scratch, db)
		_ = db.Close()
		if !apart {
			return false, why
		}
	}
	return true, ""
}
