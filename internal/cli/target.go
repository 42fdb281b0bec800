package cli

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

// target is what most commands work on: an open database, and a set of migrations.
type target struct {
	resolved
	url string
	db  database.Database
	set *migration.Set
	// forget ends the context that the database was opened with.
	forget context.CancelFunc
	// options of a Migrator, for a command to add to.
	options whimbrel.Options
}

// open reads the folder, and opens the database meanwhile: the one keeps the disk
// waiting, the other the network. Whoever calls it closes the target.
func (a *app) open(ctx context.Context) (*target, error) {
	t := &target{}
	var err error
	if t.resolved, err = a.resolve(); err != nil {
		return nil, err
	}
	if t.url, err = a.targetURL(); err != nil {
		return nil, err
	}
	a.print() // it must be there before two things happen at once
	opening, forget := context.WithCancel(ctx)
	opened := make(chan error, 1)
	go func() { opened <- a.connect(opening, t) }()
	t.forget = forget
	set, err := a.readSet(t.resolved, t.url)
	if err != nil {
		forget()
		if <-opened == nil {
			t.close()
		}
		return nil, err
	}
	if err := <-opened; err != nil {
		forget()
		return nil, err
	}
	t.set = set
	a.print().SetDigits(set)
	a.print().Warn(set.Warnings())
	return t, nil
}

// openWithoutFiles opens the database for a command that needs no files. The set has a
// name alone.
func (a *app) openWithoutFiles(ctx context.Context) (*target, error) {
	t := &target{}
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
	t.forget = func() {}
	return t, a.connect(ctx, t)
}

// targetURL is the database's URL with what flags add to it.
func (a *app) targetURL() (string, error) {
	raw, err := a.databaseURL()
	if err != nil || a.global.lock == "" {
		return raw, err
	}
	return withLock(raw, a.global.lock)
}

// lockKinds are those between which a MySQL database has the choice.
var lockKinds = []string{"advisory", "lease"}

// withLock puts the kind of lock into a URL, in whose place a URL has it, too.
func withLock(raw, kind string) (string, error) {
	if !slices.Contains(lockKinds, kind) {
		return "", usage("There are: "+strings.Join(lockKinds, ", ")+".", "--lock: there is no kind of lock %q", kind)
	}
	scheme, _, _ := strings.Cut(raw, ":")
	if scheme != "mysql" && scheme != "mariadb" {
		return "", usage("Leave it out: this database has one kind of lock, which holds in any setup.", "--lock is for MySQL and MariaDB, and the database is %s", database.Redact(raw))
	}
	base, query, _ := strings.Cut(raw, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return raw, nil // the driver says it better
	}
	values.Set("lock", kind)
	return base + "?" + values.Encode(), nil
}

// readSet reads the folder of migrations, for the database with that URL, "" for the target.
func (a *app) readSet(r resolved, url string) (*migration.Set, error) {
	if _, err := migration.NewSet(r.set); err != nil {
		return nil, usage("", "--set: %v", err)
	}
	set, err := source.Read(source.Dir(r.dir), source.Options{Set: r.set, Format: r.format, Dir: r.dir, Dialect: a.knownDialect(url), Expand: a.LookupEnv})
	if err != nil {
		return nil, &folderError{dir: r.dir, err: err}
	}
	return set, nil
}

func (a *app) connect(ctx context.Context, t *target) error {
	p := a.print()
	var err error
	opts := t.databaseOptions()
	opts.Notice = p.Notice
	t.db, err = database.Open(ctx, t.url, opts)
	if err != nil {
		return &openError{err}
	}
	t.options = whimbrel.Options{LockTimeout: t.lockTimeout, Observe: p.Observe, ReadMetadata: metayaml.Read}
	return nil
}

func (t *target) migrator() *whimbrel.Migrator { return whimbrel.New(t.db, t.set, t.options) }

// close closes the database. What was to be done in it has been done or has failed
// by now, so an error would say nothing more.
func (t *target) close() {
	_ = t.db.Close()
	t.forget()
}

// withTarget runs a command's work on an open target and shows the answer.
func (a *app) withTarget(ctx context.Context, open func(context.Context) (*target, error), work func(*target) (render.Document, error)) error {
	t, err := open(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	doc, err := work(t)
	if err != nil {
		return err
	}
	a.print().Show(doc)
	return nil
}
