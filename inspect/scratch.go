package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Maker creates an empty scratch database. drop removes it, and works with a canceled context.
type Maker = func(ctx context.Context) (db database.Database, drop func(context.Context) error, err error)

// Scratch says where to create scratch databases, and what scripts may do there.
//
// A script on a scratch database can affect things outside it: roles, for example, belong to the
// server. Before anything runs, all scripts are read, and those that affect anything outside are an
// *OutsideError, unless the fields below permit it.
type Scratch struct {
	// Make creates an empty scratch database. At most one exists at a time, beside copies of it
	// (database.CopyScratch).
	Make Maker
	// Dialect is the dialect of the databases.
	Dialect sqltext.Dialect
	// Name is the name of the databases if it is constant: a script may name it. Such databases are
	// not copied, since a copy has another name.
	Name string
	// Allow lists what scripts may affect outside. These effects are permanent.
	Allow []sqltext.Outer
	// Apart, if not nil, is called when scripts affect things outside the scratch database. It
	// reports whether its server is proven to be a different one from that of any database that
	// matters. If so, scripts may affect the server, but not files, programs or other servers. If
	// not, why is a short reason. See [Apart].
	Apart func(context.Context) (apart bool, why string)
	// Skip leaves out statements that affect anything outside, instead of refusing them.
	Skip bool
	// Ignore, if not nil, reports whether Drift leaves out an object of the inspected database that
	// the history does not create, such as the history table of another tool.
	Ignore func(*catalog.Object) bool
	// Observe, if not nil, is called once, after the first scratch database was created and before
	// anything runs in it.
	Observe func(Begun)
	// Progress, if not nil, is called before each migration that runs.
	Progress func(Trying)
}

// Trying is a migration that is about to run on a scratch database.
type Trying struct {
	Version   int64
	Name      string
	Direction database.Direction
	Index, Of int // from 0, among the migrations of this part of the trial
}

// Begun describes a trial on scratch that is about to start.
type Begun struct {
	// Where is the location of the scratch database, as from database.Location, or "" if the driver
	// can't report it.
	Where string
	// Scripts is the number of scripts to run.
	Scripts int
	// Skipped are the statements left out.
	Skipped []OutsideStatement
}

// Beside returns a Scratch that creates databases on the server of db.
func Beside(db database.Database) Scratch {
	return Scratch{
		Dialect: db.Dialect(),
		Make: func(ctx context.Context) (database.Database, func(context.Context) error, error) {
			return database.Scratch(ctx, db)
		},
	}
}

// OutsideStatement is a statement that affects something outside its database.
type OutsideStatement struct {
	Pos     sqltext.Position
	SQL     string // its beginning, on one line, without strings
	Effects []sqltext.Effect
}

// Reaches describes the effects in a few words: "reaches roles (CREATE ROLE)".
func (s OutsideStatement) Reaches() string {
	var all []string
	for _, e := range s.Effects {
		verb := "reaches "
		if e.Maybe {
			verb = "may reach "
		}
		all = append(all, fmt.Sprintf("%s%s (%s)", verb, outerNames[e.Outer], e.Words))
	}
	return strings.Join(all, ", ")
}

var outerNames = map[sqltext.Outer]string{
	sqltext.Roles: "roles", sqltext.Databases: "another database", sqltext.Tablespaces: "tablespaces", sqltext.ServerSettings: "the server's settings",
	sqltext.ServerWork: "the server's own work", sqltext.Files: "files", sqltext.Programs: "programs", sqltext.OtherServers: "other servers",
}

// OutsideError reports statements that would affect something outside their scratch database.
// Nothing was run.
type OutsideError struct {
	Statements []OutsideStatement
	// Why is the reason why the server isn't known to be a different one, or "" if that wasn't
	// asked.
	Why string
}

func (e *OutsideError) Error() string {
	var b strings.Builder
	b.WriteString("nothing was run: scripts would affect more than their scratch database:")
	for _, s := range e.Statements {
		fmt.Fprintf(&b, "\n%s: %s: %s", s.Pos, s.Reaches(), s.SQL)
	}
	return b.String()
}

// trial is one use of a Scratch.
type trial struct {
	Scratch
	// recorded reports that the scripts are from a history: on the database's own server their
	// statements already took effect.
	recorded bool

	scripts int
	skipped []OutsideStatement
	refused []OutsideStatement
	begun   bool

	index, of int // of the migration that is proved by itself; of is 0 if there is none
}

// options returns the options of a Migrator of scratch databases, with an observer that reports
// progress.
func (t *trial) options(o whimbrel.Options) whimbrel.Options {
	o.Observe = func(_ context.Context, e whimbrel.Event) {
		started, ok := e.(whimbrel.StepStarted)
		if !ok || t.Progress == nil {
			return
		}
		s := started.Step
		p := Trying{Version: s.Version, Name: s.Name, Direction: s.Direction, Index: started.Index, Of: started.Of}
		if t.of > 0 {
			p.Index, p.Of = t.index, t.of
		}
		t.Progress(p)
	}
	return o
}

// forms has scripts in their form for scratch, by the original script.
type forms map[*migration.Script]*migration.Script

// newTrial checks scripts, which may be Go functions, and returns their form for scratch.
func (s Scratch) newTrial(ctx context.Context, recorded bool, scripts []*migration.Script) (*trial, forms, error) {
	t := &trial{Scratch: s}
	as, err := t.confine(scripts)
	if err != nil || len(t.refused) == 0 {
		return t, as, err
	}
	apart, why := false, ""
	if s.Apart != nil {
		apart, why = s.Apart(ctx)
	}
	for _, o := range sqltext.Outers() {
		if apart && !o.Beyond() {
			t.Allow = append(slices.Clip(t.Allow), o)
		}
	}
	t.recorded = recorded
	if as, err = t.confine(scripts); err == nil && len(t.refused) > 0 {
		err = &OutsideError{Statements: t.refused, Why: why}
	}
	return t, as, err
}

// forSet checks all scripts of a set, and returns the set in its form for scratch.
func (s Scratch) forSet(ctx context.Context, set *migration.Set) (*trial, *migration.Set, error) {
	var scripts []*migration.Script
	set.With(func(s *migration.Script) *migration.Script {
		scripts = append(scripts, s)
		return s
	})
	t, as, err := s.newTrial(ctx, false, scripts)
	if err != nil {
		return nil, nil, err
	}
	return t, set.With(func(s *migration.Script) *migration.Script { return as[s] }), nil
}

// confine returns scripts without the statements to leave out, and records these and the refused
// ones.
func (t *trial) confine(scripts []*migration.Script) (forms, error) {
	t.scripts, t.skipped, t.refused = len(scripts), nil, nil
	as := make(forms, len(scripts))
	for _, s := range scripts {
		as[s] = s.OnScratch()
		if s.Func() != nil {
			continue
		}
		leave, err := t.read(s)
		if err != nil {
			return nil, err
		}
		if len(leave) > 0 {
			as[s] = as[s].Without(t.Dialect, func(st sqltext.Statement) bool { return leave[st.Index] })
		}
	}
	return as, nil
}

// also returns the form for scratch of a script derived from scripts that were checked.
func (t *trial) also(s *migration.Script) (*migration.Script, error) {
	other := &trial{Scratch: t.Scratch, recorded: t.recorded}
	as, err := other.confine([]*migration.Script{s})
	if err == nil && len(other.refused) > 0 {
		err = &OutsideError{Statements: other.refused}
	}
	if err != nil {
		return nil, err
	}
	return as[s], nil
}

// read returns the indexes of the statements of a script to leave out.
func (t *trial) read(s *migration.Script) (map[int]bool, error) {
	text, err := s.Open()
	if err != nil {
		return nil, err
	}
	defer text.Close()
	leave := map[int]bool{}
	scanner := sqltext.NewScanner(text, t.Dialect, sqltext.Options{File: s.File, Line: s.Line})
	for {
		st, err := scanner.Next()
		var cut *sqltext.Error
		switch {
		case err == io.EOF || errors.As(err, &cut): // running the script gives a better error
			return leave, nil
		case err != nil:
			return nil, err
		case st.Kind != sqltext.SQL && st.Kind != sqltext.CopyIn:
			continue
		}
		if t.leaves(st) {
			leave[st.Index] = true
		}
	}
}

// leaves reports whether to leave out a statement, and records it if it is left out or refused.
func (t *trial) leaves(st sqltext.Statement) bool {
	var own []string
	if t.Name != "" {
		own = []string{t.Name}
	}
	all := st.Outside(t.Dialect, own...)
	effects := slices.DeleteFunc(slices.Clone(all), func(e sqltext.Effect) bool { return slices.Contains(t.Allow, e.Outer) })
	if len(effects) == 0 && (len(all) > 0 || !migration.SkippedOnScratch(st, t.Dialect)) {
		return false
	}
	o := OutsideStatement{Pos: st.Pos, SQL: shown(st.Text, t.Dialect), Effects: effects}
	if len(effects) > 0 {
		o.Pos = effects[0].Pos
	}
	partial := func(e sqltext.Effect) bool { return !e.Whole }
	switch {
	case t.Skip, migration.SkippedOnScratch(st, t.Dialect):
	case t.recorded && !slices.ContainsFunc(effects, partial):
		// It already took effect on the server, and left nothing in the compared database.
	default:
		t.refused = append(t.refused, o)
		return false
	}
	t.skipped = append(t.skipped, o)
	return true
}

// shown returns the beginning of a statement up to its first string, which may be a password.
func shown(sql string, d sqltext.Dialect) string {
	quotes := "'$"
	if d == sqltext.MySQL {
		quotes = "'\""
	}
	if i := strings.IndexAny(sql, quotes); i >= 0 {
		sql = sql[:i] + "…"
	}
	return beginning(sql)
}

// make creates a scratch database, and calls Observe for the first one.
func (t *trial) make(ctx context.Context) (database.Database, func(context.Context) error, error) {
	db, drop, err := t.Make(ctx)
	if err == nil && !t.begun && t.Observe != nil {
		t.Observe(Begun{Where: database.Location(db), Scripts: t.scripts, Skipped: t.skipped})
	}
	t.begun = t.begun || err == nil
	return db, drop, err
}

// on calls do with a scratch database.
func (t *trial) on(ctx context.Context, do func(database.Database) error) (err error) {
	db, drop, err := t.make(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if derr := drop(ctx); err == nil {
			err = derr
		}
	}()
	return do(db)
}
