package cli

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// target is an open database with a set of migrations.
type target struct {
	resolved
	app *app
	url string
	db  database.Database
	set *migration.Set
	// cancel ends the context that the database was opened with.
	cancel context.CancelFunc
	// ahead is the state of the set if it is read while the folder is read.
	ahead      chan stateRead
	deferDowns bool // down scripts are read when they are needed
	goesUp     bool // the newest migration is probably pending
	// showsHolder says that the state includes the process that migrates.
	showsHolder bool
	// options for the Migrator. Commands add to them.
	options whimbrel.Options
}

// stateRead is the outcome of reading the state.
type stateRead struct {
	state  *database.State
	holder *database.Holder // for a command that shows the process that migrates
	err    error
}

// readState reads the state of a set with its unfinished backfills, and with holder the process
// that migrates it.
func readState(ctx context.Context, db database.Database, set string, holder bool) (r stateRead) {
	if holder {
		r.state, r.holder, r.err = database.StateAndHolder(ctx, db, set)
	} else {
		r.state, r.err = db.State(ctx, set)
	}
	if r.err == nil {
		r.err = whimbrel.ReadBackfills(ctx, db, r.state)
	}
	return r
}

// open reads the folder and opens the database at the same time. The caller must close the target.
func (a *app) open(ctx context.Context) (*target, error) {
	return a.openTo(ctx, &target{app: a})
}

// openForStatus is open for a command that begins with the status of the set. It reads that at the
// same time, too, and leaves down scripts unread until one is needed.
func (a *app) openForStatus(ctx context.Context) (*target, error) {
	return a.openTo(ctx, &target{app: a, ahead: make(chan stateRead, 1), showsHolder: true, deferDowns: true})
}

// openTo opens a target.
func (a *app) openTo(ctx context.Context, t *target) (*target, error) {
	var err error
	if t.resolved, err = a.resolve(); err != nil {
		return nil, err
	}
	if t.url, err = a.targetURL(); err != nil {
		return nil, err
	}
	a.print() // create the printer before another goroutine uses it
	opening, cancel := context.WithCancel(ctx)
	type folder struct {
		set *migration.Set
		err error
	}
	read, idle := make(chan folder, 1), make(chan struct{})
	go func() {
		set, err := a.readSetWith(t.resolved, t.url, t.deferDowns, idle)
		if err != nil {
			cancel()
		}
		read <- folder{set, err}
	}()
	t.cancel = cancel
	// Connecting is for this goroutine, which runs already: usually it takes longest.
	err = a.connect(opening, t)
	if err == nil && t.ahead != nil {
		go func() {
			t.ahead <- readState(opening, t.db, cmp.Or(t.resolved.set, migration.DefaultSet), t.showsHolder)
			close(idle)
		}()
	} else {
		close(idle)
	}
	of := <-read
	switch {
	case of.err != nil: // it comes first, whatever the database says
		if err == nil {
			t.close()
		}
		return nil, of.err
	case err != nil:
		cancel()
		return nil, err
	}
	set := of.set
	t.set = set
	if t.goesUp {
		go set.AnalyzeNewest(t.db.Dialect(), t.db.Tables())
	}
	a.print().SetDigits(set)
	a.print().Warn(set.Warnings())
	return t, nil
}

// openWithoutFiles opens the database for a command that needs no files. The target's set is empty.
func (a *app) openWithoutFiles(ctx context.Context) (*target, error) {
	t := &target{app: a}
	var err error
	if t.resolved, err = a.resolve(); err != nil {
		return nil, err
	}
	if t.url, err = a.targetURL(); err != nil {
		return nil, err
	}
	if t.set, err = migration.NewSet(t.resolved.set); err != nil {
		return nil, usage("", "--set: %v", err)
	}
	t.cancel = func() {}
	a.digitsOf(t.dir)
	return t, a.connect(ctx, t)
}

// digitsOf has versions printed as the names in a folder have them, if it can be read. It is for
// commands that need no files.
func (a *app) digitsOf(dir string) {
	entries, _ := os.ReadDir(dir) // an empty list if the folder can't be read
	for _, e := range entries {
		if source.IsDottedName(e.Name()) {
			a.print().SetDigitsOf(render.Dotted)
			return
		}
		if n := migration.PaddedDigits(e.Name()); n > 0 {
			a.print().SetDigitsOf(render.Digits(n))
			return
		}
	}
}

// targetURL returns the database URL, with the value of --lock.
func (a *app) targetURL() (string, error) {
	raw, err := a.databaseURL()
	if err == nil {
		raw, err = a.withPassword(raw, a.inConfig != nil)
	}
	if err == nil && a.global.lock != "" {
		raw, err = withLock(raw, a.global.lock)
	}
	a.target = database.Redact(raw)
	return raw, err
}

// lockKinds are the values of --lock.
var lockKinds = []string{"advisory", "lease"}

// withLock sets the parameter lock of a MySQL URL.
func withLock(raw, kind string) (string, error) {
	if !slices.Contains(lockKinds, kind) {
		return "", usage("Valid kinds: "+strings.Join(lockKinds, ", ")+".", "--lock: unknown kind %q", kind)
	}
	scheme, _, _ := strings.Cut(raw, ":")
	if scheme != "mysql" && scheme != "mariadb" {
		return "", usage("Omit it: this database has only one kind of lock.", "--lock is for MySQL and MariaDB, but the database is %s", database.Redact(raw))
	}
	base, query, _ := strings.Cut(raw, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return raw, nil // the driver reports the error
	}
	values.Set("lock", kind)
	return base + "?" + values.Encode(), nil
}

// readSet reads the folder of migrations for the database with a URL, "" for the configured one.
func (a *app) readSet(r resolved, url string) (*migration.Set, error) {
	return a.readSetWith(r, url, false, nil)
}

// readSetWith is readSet. It may leave down scripts unread. For idle see [source.Options].
func (a *app) readSetWith(r resolved, url string, deferDowns bool, idle <-chan struct{}) (*migration.Set, error) {
	if _, err := migration.NewSet(r.set); err != nil {
		return nil, usage("", "--set: %v", err)
	}
	opts := a.sourceOptions(r, url)
	opts.DeferDowns, opts.Idle = deferDowns, idle
	set, err := source.Read(source.Dir(r.dir), opts)
	if set, err = a.ifMissing(set, err, r.set); err != nil {
		return nil, &folderError{dir: r.dir, err: err}
	}
	return set, nil
}

// sourceOptions returns how to read the folder for the database with a URL, "" for the configured
// one.
func (a *app) sourceOptions(r resolved, url string) source.Options {
	return source.Options{Set: r.set, Format: r.format, Dir: r.dir, Dialect: a.knownDialect(url), Expand: a.LookupEnv, Placeholders: r.placeholders, NoPlaceholders: r.noPlaceholders}
}

func (a *app) connect(ctx context.Context, t *target) error {
	p := a.print()
	var err error
	if a.knownDialect(t.url) == sqltext.SQLite && t.lockTimeout > 0 {
		// the file is the only lock, for statements and for migrations
		t.migrationLockTimeout = cmp.Or(t.migrationLockTimeout, t.lockTimeout)
	}
	opts := t.databaseOptions()
	opts.Notice = p.Notice
	p.Working("connecting to " + database.Redact(t.url))
	if u, err := url.Parse(t.url); err == nil {
		a.role = u.User.Username()
	}
	t.db, err = database.Open(ctx, t.url, opts)
	if err != nil {
		return &openError{err}
	}
	p.Working("reading " + place(t.db, t.url))
	if t.terminateAfter > 0 {
		p.Terminates()
	}
	t.options = whimbrel.Options{
		MigrationLockTimeout: t.migrationLockTimeout, LockTimeout: t.lockTimeout, RetryFor: t.retryFor, TerminateBlockersAfter: t.terminateAfter,
		Observe: a.observe(p), ReadMetadata: metayaml.Read,
	}
	return nil
}

func (t *target) migrator() *whimbrel.Migrator { return whimbrel.New(t.db, t.set, t.options) }

// state returns the state of the set. It reads it if that has not been done ahead.
func (t *target) state(ctx context.Context) stateRead {
	if t.ahead == nil {
		return readState(ctx, t.db, t.set.Name(), t.showsHolder)
	}
	read := <-t.ahead
	t.ahead <- read // for the next call, and for close
	return read
}

// plan returns the plan that leads from the state to a goal. It warns of the down scripts that it
// reads.
func (t *target) plan(ctx context.Context, m *whimbrel.Migrator, g whimbrel.Goal) (*whimbrel.Plan, error) {
	read := t.state(ctx)
	if read.err != nil {
		return nil, read.err
	}
	p, err := m.PlanFrom(ctx, read.state, g)
	if p != nil {
		t.app.print().Warn(p.Warnings[len(t.set.Warnings()):])
	}
	return p, t.inFolder(err)
}

// status returns the status of the set.
func (t *target) status(ctx context.Context) (*whimbrel.Status, error) {
	read := t.state(ctx)
	if read.err != nil {
		return nil, read.err
	}
	s, err := t.migrator().StatusFrom(read.state, read.holder)
	return s, t.inFolder(err)
}

// inFolder returns an error of reading a down script as one of reading the folder.
func (t *target) inFolder(err error) error {
	if errors.As(err, new(*source.FolderError)) || errors.As(err, new(*source.AmbiguousError)) {
		return &folderError{dir: t.dir, err: err}
	}
	return err
}

// close closes the database. It ignores errors, because the work has already succeeded or failed.
func (t *target) close() {
	if t.ahead != nil {
		<-t.ahead // nothing is reading then
	}
	_ = t.db.Close()
	t.cancel()
}

// work is what a command does with an open target and its arguments.
type work func(cmd *cobra.Command, t *target, args []string) (render.Document, error)

// with returns the function of a command that opens a target, works on it, and shows the document
// that work returns.
func (a *app) with(open func(context.Context) (*target, error), work work) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		t, err := open(cmd.Context())
		if err != nil {
			return err
		}
		var closing sync.WaitGroup
		defer closing.Wait()
		once := sync.OnceFunc(t.close)
		defer once()
		doc, err := work(cmd, t, args)
		if err != nil {
			return err
		}
		closing.Go(once) // closing a large SQLite database takes as long as drawing the document
		return a.show(doc)
	}
}

// withVersions is with for a command whose arguments are versions.
func (a *app) withVersions(open func(context.Context) (*target, error), work func(context.Context, *target, []int64) (render.Document, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		versions, err := parseVersions(args)
		if err != nil {
			return err
		}
		return a.with(open, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
			return work(cmd.Context(), t, versions)
		})(cmd, nil)
	}
}

// answer returns the function that converts a result into a document, unless there was an error.
func answer[T any, D render.Document](convert func(T) D) func(T, error) (render.Document, error) {
	return func(result T, err error) (render.Document, error) {
		if err != nil {
			return nil, err
		}
		return convert(result), nil
	}
}

// show shows a document. It ends the command with an exit code if the document reports a difference
// or a failed check.
func (a *app) show(doc render.Document) error {
	a.print().Show(doc)
	different, failed := false, false
	switch d := doc.(type) {
	case *render.Drift:
		different = d.Drift
	case *render.MetadataDiff:
		different = d.Different
	case *render.MetadataCheck:
		failed = len(d.Missing) > 0
	case *render.Proved:
		failed = !d.OK
	case *render.Report:
		failed = d.Failed()
	case *render.Status:
		failed = d.Interrupted != nil && !d.Interrupted.Running
	}
	switch {
	case failed:
		return exitError{exitFailed}
	case different:
		return exitError{exitPending}
	}
	return nil
}
