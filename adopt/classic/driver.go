package classic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

// DefaultLockTimeout limits how long Lock waits, so that processes that start at once take turns.
// Programs of this contract usually allow 15 seconds in all.
const DefaultLockTimeout = 5 * time.Second

// Config is what WithInstance needs besides the database. The zero value is useful.
type Config struct {
	// Set is the name of the set of migrations; "" for migration.DefaultSet.
	Set string
	// LockTimeout limits how long Lock waits before it returns ErrLocked. 0 means the database's
	// setting migration_lock_timeout, or DefaultLockTimeout if it is not set. Less than 0 tries
	// once.
	LockTimeout time.Duration
	// Logger receives what was done and who holds a lock, a line each. It may be nil.
	Logger *log.Logger
}

// driver is a Driver for a Whimbrel database.
type driver struct {
	db     database.Database
	config Config

	mu     sync.Mutex
	held   *held           // the transaction that holds the lock; nil without the lock
	state  *database.State // as last read
	index  *Migrations     // the applied versions with what is queued; nil if it is to be made
	queue  []item
	failed error // of a Run since the queue was empty
}

// WithInstance returns a Driver for a database that the caller has opened. Close closes it, but not
// a handle that the caller has passed to the database's own driver, such as a connection pool.
func WithInstance(db database.Database, config Config) (Driver, error) {
	if db == nil {
		return nil, errors.New("WithInstance needs a database, not nil; check the error of the function that opened it")
	}
	config.Set = cmp.Or(config.Set, migration.DefaultSet)
	if _, err := migration.NewSet(config.Set); err != nil {
		return nil, err
	}
	d := &driver{db: db, config: config}
	if _, err := d.read(); err != nil {
		return nil, err
	}
	return d, nil
}

func (*driver) Open(url string, _ bool, logger *log.Logger) (Driver, error) {
	db, err := database.Open(context.Background(), url, database.Options{MigrationLockTimeout: DefaultLockTimeout})
	if err != nil {
		return nil, err
	}
	d, err := WithInstance(db, Config{Logger: logger})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return d, nil
}

func (d *driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.empty()
	d.held = nil // the database ends it
	return d.db.Close()
}

func (d *driver) Lock() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held != nil {
		return ErrLocked
	}
	return d.lock()
}

func (d *driver) lock() error {
	ctx := context.Background()
	st, err := d.db.State(ctx, d.config.Set)
	if err != nil {
		return exactly(err)
	}
	opts := database.LockOptions{
		Timeout:     max(d.lockTimeout(st.Settings), 0),
		LockTimeout: cmp.Or(st.Settings.Duration(database.LockTimeout), whimbrel.NoTimeout),
		Waiting: func(h database.Holder) {
			d.logf("waiting for the migration lock, which process %d on %q has", h.PID, h.Host)
		},
	}
	tx, found, err := d.db.Begin(ctx, d.config.Set, opts)
	if err != nil {
		d.logf("can't take the migration lock: %v", err)
		return exactly(err)
	}
	d.held = &held{Database: d.db, tx: tx, found: found}
	if _, err := d.refresh(); err != nil {
		return errors.Join(err, d.release())
	}
	return nil
}

// exactly returns ErrLocked for an error that is one: programs of this contract compare with ==.
func exactly(err error) error {
	if errors.Is(err, ErrLocked) {
		return ErrLocked
	}
	return err
}

// lockTimeout returns how long to wait for the lock; less than 0 to try once.
func (d *driver) lockTimeout(s database.Settings) time.Duration {
	if d.config.LockTimeout != 0 {
		return d.config.LockTimeout
	}
	if set, err := s.Get(database.MigrationLockTimeout); err != nil || set.IsDefault {
		return DefaultLockTimeout
	}
	return cmp.Or(s.Duration(database.MigrationLockTimeout), whimbrel.TryOnce)
}

func (d *driver) UnLock() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == nil {
		return nil
	}
	err := d.send()
	if rerr := d.release(); err == nil {
		err = rerr
	}
	return err
}

// release gives the lock back, if the work has not.
func (d *driver) release() error {
	h := d.held
	d.held = nil
	return h.end(context.Background())
}

// unlocked returns an error while this driver has the lock, for which the method would wait.
func (d *driver) unlocked(method string) error {
	if d.held == nil {
		return nil
	}
	return fmt.Errorf("%s needs the migration lock, which this driver has; call UnLock first", method)
}

func (d *driver) Run(migr io.Reader, fileType, fileName string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.run(migr, fileType, fileName)
	if err != nil {
		d.empty()
		d.failed = err
	}
	return err
}

func (d *driver) run(migr io.Reader, fileType, fileName string) error {
	switch {
	case d.failed != nil:
		return d.failed
	case migr == nil:
		return fmt.Errorf("%s: Run needs a reader, not nil", fileName)
	}
	text, err := io.ReadAll(migr)
	if err != nil {
		return fmt.Errorf("%s: %w", fileName, err)
	}
	switch fileType {
	case "sql":
		s, err := d.script(fileName, text)
		if err != nil {
			return err
		}
		d.queue = append(d.queue, item{script: s})
		return nil
	case "meta":
		items, err := d.requests(fileName, text)
		d.queue = append(d.queue, items...)
		return err
	}
	return fmt.Errorf(`%s: the file type is %q; use "sql" or "meta"`, fileName, fileType)
}

// script returns a script whose text can be split into statements.
func (d *driver) script(file string, text []byte) (*migration.Script, error) {
	s, err := source.ReadScript(file, text, d.db.Dialect())
	if err == nil {
		_, err = s.Analyze(d.db.Dialect(), d.db.Tables())
	}
	return s, err
}

func (d *driver) ResetQuery() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.empty()
}

func (d *driver) empty() { d.queue, d.failed, d.index = nil, nil, nil }

func (d *driver) InsertVersion(version int64) error { return d.version(version, insert) }

func (d *driver) RemoveVersion(version int64) error { return d.version(version, remove) }

func (d *driver) version(version int64, what action) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil && version < 0 {
		d.failed = fmt.Errorf("version %d can't be recorded; versions count from 0", version)
	}
	if d.failed == nil {
		d.queue, d.index = append(d.queue, item{action: what, version: version}), nil
	}
	if d.held == nil {
		return exactly(d.send())
	}
	return d.failed
}

func (d *driver) Version() (version int64, dirty bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	st, err := d.read()
	if err != nil {
		return NilVersion, false, err
	}
	version = NilVersion
	if last, ok := d.applied().Last(); ok {
		version = int64(last)
	}
	return version, st.Interrupted != nil && (d.held != nil || !st.Interrupted.Held), nil
}

// read reads the state; under the lock it does not change.
func (d *driver) read() (*database.State, error) {
	if d.held != nil {
		return d.state, nil
	}
	return d.refresh()
}

func (d *driver) refresh() (*database.State, error) {
	st, err := d.locked().State(context.Background(), d.config.Set)
	if err != nil {
		return nil, err
	}
	d.state, d.index = st, nil
	return st, nil
}

// applied returns the applied versions as last read, with what is queued.
func (d *driver) applied() *Migrations {
	if d.index != nil {
		return d.index
	}
	all := d.state.Applied.Clone()
	for _, i := range d.queue {
		switch i.action {
		case insert:
			all.Append(database.AppliedMigration{Version: i.version})
		case remove:
			all.Remove(i.version)
		}
	}
	d.index = NewMigrations()
	for _, v := range all.Versions() {
		d.index.Append(uint64(v))
	}
	return d.index
}

func (d *driver) First() (version uint64, ok bool) { return d.now().First() }

func (d *driver) Last() (version uint64, ok bool) { return d.now().Last() }

func (d *driver) Prev(version uint64) (prevVersion uint64, ok bool) { return d.now().Prev(version) }

func (d *driver) Next(version uint64) (nextVersion uint64, ok bool) { return d.now().Next(version) }

func (d *driver) Read(version uint64) (ok bool) { return d.now().Read(version) }

func (d *driver) now() *Migrations {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.applied()
}

func (d *driver) Reset() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) > 0 {
		return errors.New("Reset would lose what is queued; call UnLock or ResetQuery first")
	}
	if d.held == nil {
		return exactly(d.reset())
	}
	// A reset reads the history, for which the database may have no second connection.
	if err := d.release(); err != nil {
		return err
	}
	err := d.reset()
	return exactly(cmp.Or(err, d.lock()))
}

func (d *driver) reset() error {
	ctx := context.Background()
	st, err := d.read()
	if err != nil {
		return err
	}
	m := d.migrator(d.db, nil)
	if _, err := m.Reset(ctx, whimbrel.ResetOptions{Confirm: st.Database}); err != nil {
		return err
	}
	if _, err := metadb.Reset(ctx, m, metadb.Options{}); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	_, err = d.read()
	return err
}

// migrator returns the Migrator of a set; nil for a set without migrations.
func (d *driver) migrator(db database.Database, set *migration.Set) *whimbrel.Migrator {
	if set == nil {
		set, _ = migration.NewSet(d.config.Set) // WithInstance has checked the name
	}
	return whimbrel.New(db, set, d.options())
}

func (d *driver) options() whimbrel.Options {
	return whimbrel.Options{
		AllowOutOfOrder:      true, // the caller decides on the order
		MigrationLockTimeout: d.lockTimeout(d.state.Settings),
		Observe:              d.observe,
		ReadMetadata:         metayaml.Read,
	}
}

// locked returns the database as one whose next transaction is the one that has the lock.
func (d *driver) locked() database.Database {
	if d.held == nil {
		return d.db
	}
	return d.held
}

func (d *driver) logf(format string, args ...any) {
	if d.config.Logger != nil {
		d.config.Logger.Printf(format, args...)
	}
}

func (d *driver) observe(_ context.Context, e whimbrel.Event) {
	switch e := e.(type) {
	case whimbrel.StepDone:
		d.logf("%s %d %s in %v", e.Step.Direction, e.Step.Version, e.Step.Name, e.Duration)
	case whimbrel.Retrying:
		d.logf("trying again after: %v", e.Err)
	case whimbrel.Failed:
		d.logf("%v", e.Err)
	}
}

// allText is a limit that keeps every text in memory.
const allText = math.MaxInt64
