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

// scratchAuto is the --scratch that makes scratch databases beside the target, scratchLocal the one that makes them on
// a server that is started for them.
const (
	scratchAuto  = "auto"
	scratchLocal = "local"
)

// scratchFlags say where scratch databases are made, and what scripts may do there.
type scratchFlags struct {
	where string
	skip  bool
	allow []string
	// dialect is that of a local server where no database says it; 0 for PostgreSQL.
	dialect sqltext.Dialect
}

// add adds the flags to a command; what says what --scratch is for.
func (s *scratchFlags) add(cmd *cobra.Command, preset, what string) {
	f := cmd.Flags()
	f.StringVar(&s.where, "scratch", preset, what+"`auto` beside the target, local on a server that is started for it, a URL beside that database")
	f.BoolVar(&s.skip, "skip-outside", false, "on scratch, leave out statements that change something outside of the database")
	f.StringSliceVar(&s.allow, "allow-outside", nil, "let scripts on scratch change this outside of the database, for real: a list of `kinds` ("+strings.Join(outers(), ", ")+")")
}

func outers() []string {
	var names []string
	for _, o := range sqltext.Outers() {
		names = append(names, string(o))
	}
	return names
}

// allowed are the kinds that --allow-outside names.
func (s *scratchFlags) allowed() ([]sqltext.Outer, error) {
	var kinds []sqltext.Outer
	for _, name := range s.allow {
		o := sqltext.Outer(strings.TrimSpace(name))
		if !slices.Contains(sqltext.Outers(), o) {
			return nil, usage("There are: "+strings.Join(outers(), ", ")+".", "--allow-outside: there is no kind %q", name)
		}
		kinds = append(kinds, o)
	}
	return kinds, nil
}

// scratch opens the database beside which scratch databases are made: for "auto" the first of the databases that matter,
// or else the target. Whimbrel's tables are called there what they are called in the target.
func (a *app) scratch(ctx context.Context, flags scratchFlags, matters ...string) (inspect.Scratch, func(), error) {
	none := inspect.Scratch{}
	if flags.where == "" {
		return none, nil, usage("--scratch auto makes it beside the target.", "--scratch wants auto, local, or the URL of a database")
	}
	allowed, err := flags.allowed()
	if err != nil {
		return none, nil, err
	}
	target, err := a.databaseURL()
	if err == nil {
		matters = append(matters, target)
	}
	if flags.where == scratchLocal && !isSQLite(matters) {
		s, stop, err := a.localScratch(ctx, flags.dialect, matters)
		s.Allow, s.Skip, s.Observe = allowed, flags.skip, a.print().ScratchBegun
		return s, stop, err
	}
	where := flags.where
	if where == scratchAuto || where == scratchLocal {
		if len(matters) == 0 {
			return none, nil, err
		}
		where = matters[0]
	}
	db, err := a.openAside(ctx, where)
	if err != nil {
		return none, nil, err
	}
	s := inspect.Beside(db)
	s.Allow, s.Skip, s.Observe = allowed, flags.skip, a.print().ScratchBegun
	if flags.where != scratchAuto && flags.where != scratchLocal {
		s.Apart = func(ctx context.Context) (bool, string) { return a.apart(ctx, db, matters) }
	}
	return s, func() { _ = db.Close() }, nil
}

// openAside opens a database that is not the target. What its server says is about nobody's database.
func (a *app) openAside(ctx context.Context, url string) (database.Database, error) {
	r, err := a.resolve()
	if err != nil {
		return nil, err
	}
	db, err := database.Open(ctx, url, r.databaseOptions())
	if err != nil {
		return nil, &openError{err}
	}
	return db, nil
}

// apart finds out whether a server is proven to be none of those of the databases that matter.
func (a *app) apart(ctx context.Context, scratch database.Database, matters []string) (bool, string) {
	if len(matters) == 0 {
		return false, "there is no --database whose server it could be compared with"
	}
	for _, url := range matters {
		db, err := a.openAside(ctx, url)
		if err != nil {
			return false, "the other database's server can't be asked: " + err.Error()
		}
		apart, why := database.Apart(ctx, scratch, db)
		_ = db.Close()
		if !apart {
			return false, why
		}
	}
	return true, ""
}
