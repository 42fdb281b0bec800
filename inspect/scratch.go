package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Maker makes an empty scratch database. drop takes it away again, and can be called
// with a context that is done.
type Maker = func(ctx context.Context) (db database.Database, drop func(context.Context) error, err error)

// Scratch says where scratch databases are made, and what scripts may do there.
//
// A script that runs in a scratch database can reach out of it: roles, for instance, belong to the server. Before anything runs
// all scripts are read, and those that reach out are an *OutsideError, unless the fields below say otherwise.
type Scratch struct {
	// Make makes an empty scratch database. No two of them are there at one time.
	Make Maker
	// Dialect is that of the databases that Make makes.
	Dialect sqltext.Dialect
	// Name is the name of the databases that Make makes, if it is always the same: a script that names
	// it does not reach out of it.
	Name string
	// Allow is what the scripts may reach. What they do there happens, and is not taken back.
	Allow []sqltext.Outer
	// Apart, if it is not nil, is called when scripts reach out of the scratch database, to find out whether its server is proven
	// to be another one than that of any database that matters. Then what belongs to the server may be reached; files, programs and
	// other servers may not. Where it returns false it says why, in a few words. See Apart.
	Apart func(context.Context) (apart bool, why string)
	// Skip leaves out the statements that reach out, instead of refusing them.
	Skip bool
	// Observe, if it is not nil, is called once: when there is a scratch database, and before anything runs in it.
	Observe func(Begun)
}

// Begun says that scripts are about to run on scratch.
type Begun struct {
	// Where is the place of the scratch database, as database.Location tells it; "" if the driver can't.
	Where string
	// Scripts is how many will run.
	Scripts int
	// Skipped are the statements that are left out.
	Skipped []OutsideStatement
}

// Beside returns a Scratch whose databases are made beside a database, on its own server.
func Beside(db database.Database) Scratch {
	return Scratch{
		Dialect: db.Dialect(),
		Make: func(ctx context.Context) (database.Database, func(context.Context) error, error) {
			return database.Scratch(ctx, db)
		},
	}
}

// OutsideStatement is a statement of a script that reaches out of its database.
type OutsideStatement struct {
	Pos     sqltext.Position
	SQL     string // its beginning, on one line, without any string
	Effects []sqltext.Effect
}

// Reaches says in a few words what the statement reaches: "reaches roles (CREATE ROLE)".
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

// OutsideError reports statements that reach out of the scratch database that they would run in. Nothing was run.
type OutsideError struct {
	Statements []OutsideStatement
	// Why says why the server is not known to be another one than that of the databases that matter; "" if nobody asked.
	Why string
}

func (e *OutsideError) Error() string {
	var b strings.Builder
	b.WriteString("nothing was run, since on a scratch database scripts would change what is outside of it:")
	for _, s := range e.Statements {
		fmt.Fprintf(&b, "\n%s: %s: %s", s.Pos, s.Reaches(), s.SQL)
	}
	return b.String()
}

// trial is one use of a Scratch: the scripts that will run, and those as they run.
type trial struct {
	Scratch
	// recorded says that the scripts are those of a history: their statements have happened on the server, if it is that of the database.
	recorded bool

	scripts int
	skipped []OutsideStatement
	refused []OutsideStatement
	begun   bool
}

// newTrial checks scripts that may be Go functions, and returns them as they can run.
func (s Scratch) newTrial(ctx context.Context, recorded bool, scripts []*migration.Script) (*trial, []*migration.Script, error) {
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

// forSet checks all scripts of a set, and returns the set as it can run.
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
	i := -1
	return t, set.With(func(*migration.Script) *migration.Script { i++; return as[i] }), nil
}

// confine returns scripts as they can run, and notes what is left out of them, and what can't be.
func (t *trial) confine(scripts []*migration.Script) ([]*migration.Script, error) {
	t.scripts, t.skipped, t.refused = len(scripts), nil, nil
	as := slices.Clone(scripts)
	for i, s := range scripts {
		if s.Func() != nil {
			continue
		}
		leave, err := t.read(s)
		if err != nil {
			return nil, err
		}
		if len(leave) > 0 {
			as[i] = s.Without(t.Dialect, func(st sqltext.Statement) bool { return leave[st.Index] })
		}
	}
	return as, nil
}

// also returns a script that is made of those that were checked as it can run.
func (t *trial) also(s *migration.Script) (*migration.Script, error) {
	other := &trial{Scratch: t.Scratch, recorded: t.recorded}
	as, err := other.confine([]*migration.Script{s})
	if err == nil && len(other.refused) > 0 {
		err = &OutsideError{Statements: other.refused}
	}
	if err != nil {
		return nil, err
	}
	return as[0], nil
}

// read returns the statements of a script that are left out, by their index.
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
		case err == io.EOF || errors.As(err, &cut): // whoever runs the script says better what is wrong with it
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

// leaves reports whether a statement is left out, and notes it if it is, or if it must not run.
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
		// It has happened on the server, and left nothing in the database that is compared.
	default:
		t.refused = append(t.refused, o)
		return false
	}
	t.skipped = append(t.skipped, o)
	return true
}

// shown is a statement's beginning up to its first string, since that may be a password.
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

// make makes a scratch database, and says so of the first.
func (t *trial) make(ctx context.Context) (database.Database, func(context.Context) error, error) {
	db, drop, err := t.Make(ctx)
	if err == nil && !t.begun && t.Observe != nil {
		t.Observe(Begun{Where: database.Location(db), Scripts: t.scripts, Skipped: t.skipped})
	}
	t.begun = t.begun || err == nil
	return db, drop, err
}

// on does something with a scratch database.
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
