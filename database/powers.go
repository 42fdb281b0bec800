package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Power is something that a driver can do beyond the required methods. Each power is a small
// interface that a driver's Database or Tx may have, and a function that uses it. The function
// returns a *PowerError if the driver does not have the interface.
type Power string

// The powers. Each completes the sentence "this driver can't …".
const (
	PowerSettings Power = "store settings"                  // SettingUpdater
	PowerReset    Power = "reset a database"                // Resetter
	PowerMetadata Power = "store metadata"                  // MetadataReader, MetadataTx
	PowerQuery    Power = "execute queries"                 // Querier
	PowerSnapshot Power = "describe a schema"               // Snapshotter
	PowerScratch  Power = "create a scratch database"       // Scratcher
	PowerCopy     Power = "copy a scratch database"         // ScratchCopier
	PowerClone    Power = "copy a template of a database"   // Cloner
	PowerIdentify Power = "identify a server"               // Identifier
	PowerLocate   Power = "name the location of a database" // Locator
	PowerCheck    Power = "refuse statements ahead of time" // Checker
	PowerCreate   Power = "create and drop databases"       // Creator, of a Driver
	PowerBackend  Power = "name the process on the server"  // Backender
	PowerHolder   Power = "name the process that migrates"  // HolderReader
	PowerRenew    Power = "renew tables without rows"       // Renewer
	PowerBackfill Power = "change rows in batches"          // Backfiller, BackfillTx
)

// PowerError reports that a driver does not have a power. errors.Is(err, errors.ErrUnsupported)
// holds for it.
type PowerError struct {
	Power  Power
	Driver string // the driver's package, such as "sqlite"
}

func (e *PowerError) Error() string { return fmt.Sprintf("the %s driver can't %s", e.Driver, e.Power) }

// Is makes errors.Is(err, errors.ErrUnsupported) true.
func (e *PowerError) Is(target error) bool { return target == errors.ErrUnsupported }

// power returns a Database or a Tx as a P, or a *PowerError.
func power[P any](of any, p Power) (P, error) {
	has, ok := of.(P)
	if !ok {
		driver, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprintf("%T", of), "*"), ".")
		return has, &PowerError{Power: p, Driver: driver}
	}
	return has, nil
}

// SettingUpdater is a Database that stores settings.
type SettingUpdater interface {
	// UpdateSetting changes one declared setting and records that as an entry, in one transaction.
	// It creates Whimbrel's tables if they are missing. It stores the value that Check returns. For
	// a name that is not declared, or a value of the wrong type, it returns a *SettingError and
	// changes nothing.
	UpdateSetting(ctx context.Context, s SettingUpdate) error
}

// UpdateSetting changes a setting. See [SettingUpdater].
func UpdateSetting(ctx context.Context, db Database, s SettingUpdate) error {
	u, err := power[SettingUpdater](db, PowerSettings)
	if err != nil {
		return err
	}
	return u.UpdateSetting(ctx, s)
}

// Renewer is a Database that can start again with tables that have lost all their rows.
type Renewer interface {
	// Renew makes Whimbrel's tables usable if none of them has a row, as in a database that was
	// restored from a dump without data: the history is then that of a new database. If a table has
	// a row, it changes nothing and returns a *TablesError. Without tables it does nothing.
	Renew(ctx context.Context) error
}

// Renew starts again with empty tables. See [Renewer].
func Renew(ctx context.Context, db Database) error {
	r, err := power[Renewer](db, PowerRenew)
	if err != nil {
		return err
	}
	return r.Renew(ctx)
}

// Resetter is a Tx that can empty its target.
type Resetter interface {
	// Reset empties the target and records that: no migration of any set remains applied. It is the
	// only thing that its transaction does.
	//
	// It drops everything in the schema of Whimbrel's tables and in the given schemas that exist.
	// Then it drops these schemas themselves if nothing is left in them. It leaves Whimbrel's own
	// tables, objects that an extension owns, and objects of a role that the session's role is not
	// a member of. If one of these depends on what it would drop, it drops nothing and returns an
	// *InUseError.
	//
	// It records e, with the direction Reset, for the transaction's own set, for every set of the
	// history, and for every set with an interrupted run. These runs end. It takes the locks of all
	// these sets first, trying each once, and holds them until the transaction is over. If another
	// process holds one of them, it returns a *LockedError.
	//
	// If the database can't roll back a DROP, Commit drops after it has made the entries durable.
	// If that fails, a run of direction Reset stays interrupted in each of these sets, and the next
	// Reset drops the rest.
	Reset(ctx context.Context, schemas []string, e Entry) (*Emptied, error)
}

// TxReset empties the target of a transaction. See [Resetter].
func TxReset(ctx context.Context, tx Tx, schemas []string, e Entry) (*Emptied, error) {
	r, err := power[Resetter](tx, PowerReset)
	if err != nil {
		return nil, err
	}
	return r.Reset(ctx, schemas, e)
}

// MetadataReader is a Database that stores metadata: facts about its objects, see package metadata.
type MetadataReader interface {
	// Metadata reads the entries that the target stores, and its objects, as they are at one
	// moment. It writes nothing. The objects of Whimbrel, of the server and of extensions are left
	// out. A target that was never given metadata has no entries.
	Metadata(ctx context.Context) (*metadata.State, error)
}

// ReadMetadata reads metadata. See [MetadataReader].
func ReadMetadata(ctx context.Context, db Database) (*metadata.State, error) {
	r, err := power[MetadataReader](db, PowerMetadata)
	if err != nil {
		return nil, err
	}
	return r.Metadata(ctx)
}

// MetadataTx is a Tx that stores metadata.
type MetadataTx interface {
	// Metadata reads the metadata under the lock, with what the transaction has done. From then on
	// no other transaction, of any set, changes the entries until this one is over. It waits for
	// one that is doing so, or returns a *LockedError after a while. It executes what is queued
	// first and may return the error of that.
	Metadata(ctx context.Context) (*metadata.State, error)
	// PutMetadata replaces all entries that the target stores with those of the change, and the
	// comments of the objects with its comments. It creates the table if it is missing. It waits
	// for other transactions as Metadata does.
	PutMetadata(ctx context.Context, change *metadata.Change) error
}

// TxMetadata reads metadata in a transaction. See [MetadataTx].
func TxMetadata(ctx context.Context, tx Tx) (*metadata.State, error) {
	m, err := power[MetadataTx](tx, PowerMetadata)
	if err != nil {
		return nil, err
	}
	return m.Metadata(ctx)
}

// TxPutMetadata stores metadata in a transaction. See [MetadataTx].
func TxPutMetadata(ctx context.Context, tx Tx, change *metadata.Change) error {
	m, err := power[MetadataTx](tx, PowerMetadata)
	if err != nil {
		return err
	}
	return m.PutMetadata(ctx, change)
}

// Querier is a Database or a Tx that executes a single statement and returns its rows.
type Querier interface {
	// Query executes one statement and returns all of its rows. It restores the session afterwards.
	// An error is a *StatementError, whose place is in the file "query".
	//
	// On a Database it runs outside of any transaction, without the migration lock, and reads only:
	// a statement that may change something is ErrReadOnly. On a Tx it executes any statement; what
	// it changes is committed with the transaction.
	Query(ctx context.Context, statement string) (*Rows, error)
}

// ReadQuery executes a statement that reads. See [Querier].
func ReadQuery(ctx context.Context, db Database, statement string) (*Rows, error) {
	q, err := power[Querier](db, PowerQuery)
	if err != nil {
		return nil, err
	}
	return q.Query(ctx, statement)
}

// TxQuery executes a statement in a transaction. See [Querier].
func TxQuery(ctx context.Context, tx Tx, statement string) (*Rows, error) {
	q, err := power[Querier](tx, PowerQuery)
	if err != nil {
		return nil, err
	}
	return q.Query(ctx, statement)
}

// Snapshotter is a Database that can describe its schema.
type Snapshotter interface {
	// Snapshot returns the schema as it is at one moment, without Whimbrel's own tables. It locks
	// and writes nothing.
	Snapshot(ctx context.Context, opts catalog.Options) (*catalog.Snapshot, error)
}

// Snapshot returns what a database contains. See [Snapshotter].
func Snapshot(ctx context.Context, db Database, opts catalog.Options) (*catalog.Snapshot, error) {
	s, err := power[Snapshotter](db, PowerSnapshot)
	if err != nil {
		return nil, err
	}
	return s.Snapshot(ctx, opts)
}

// Scratcher is a Database that can create an empty one beside itself.
type Scratcher interface {
	// Scratch creates an empty database beside this one, of the same kind and, if the kind has such
	// things, with the same encoding and locale, and opens it. drop closes and removes it. drop can
	// be called with a context that is done.
	Scratch(ctx context.Context) (db Database, drop func(ctx context.Context) error, err error)
}

// Scratch creates an empty database beside db. See [Scratcher].
func Scratch(ctx context.Context, db Database) (Database, func(ctx context.Context) error, error) {
	s, err := power[Scratcher](db, PowerScratch)
	if err != nil {
		return nil, nil, err
	}
	return s.Scratch(ctx)
}

// ScratchCopier is a Database that can copy itself, if it is a scratch database.
type ScratchCopier interface {
	// CopyScratch creates another scratch database with all that this one contains, and opens it:
	// its schema, its rows and its history. No Tx, Run or other call may be open on this one. drop
	// closes and removes the copy. drop can be called with a context that is done.
	//
	// If this is no scratch database, or contains what can't be copied, it returns a *PowerError.
	CopyScratch(ctx context.Context) (db Database, drop func(ctx context.Context) error, err error)
}

// CopyScratch copies a scratch database. See [ScratchCopier].
func CopyScratch(ctx context.Context, db Database) (Database, func(ctx context.Context) error, error) {
	s, err := power[ScratchCopier](db, PowerCopy)
	if err != nil {
		return nil, nil, err
	}
	return s.CopyScratch(ctx)
}

// Locator is a Database that can tell where it is.
type Locator interface {
	// Location names the server and the database, or the file, without any secret:
	// "127.0.0.1:5432/app". It sends no query.
	Location() string
}

// Location returns where a database is, for messages; "" if the driver can't tell.
func Location(db Database) string {
	l, err := power[Locator](db, PowerLocate)
	if err != nil {
		return ""
	}
	return l.Location()
}

// Checker is a Database that refuses some statements in every script, such as one that drops the
// database that is migrated. A plan asks it about the statements that an Analysis suspects, so that
// nothing runs before such a statement is refused.
type Checker interface {
	// Check returns why a statement can't be executed, or "" if it can. It sends no query.
	Check(st sqltext.Statement) (why string)
}

// Check returns why a statement can't be executed; "" if it can, or if the driver is no [Checker].
func Check(db Database, st sqltext.Statement) (why string) {
	c, err := power[Checker](db, PowerCheck)
	if err != nil {
		return ""
	}
	return c.Check(st)
}

// Backender is a Run that can tell which process of the server works for it.
type Backender interface {
	// Backend returns the number of the server's process or session that executes the statements of
	// the Run, as the server lists it (pg_stat_activity, SHOW PROCESSLIST). It is 0 if it is not
	// known. It sends no query.
	Backend() int64
}

// Chainer is a Tx that can begin the next one together with its COMMIT.
type Chainer interface {
	// CommitAndBegin is Commit, followed by one attempt at Begin for the same set with opts, which
	// should need no further round trip. Between the two, the lock may be free. If the next Tx has not
	// begun, for whatever reason, next is nil: the caller calls Begin, which returns the reason. A
	// driver does not begin it if that could keep the caller from using the Database meanwhile.
	CommitAndBegin(ctx context.Context, opts LockOptions) (r Recorded, next Tx, found Found, err error)
}

// CommitAndBegin commits a transaction and begins the next one, if the Tx is a [Chainer] and it
// succeeds at once. Otherwise next is nil.
func CommitAndBegin(ctx context.Context, tx Tx, opts LockOptions) (r Recorded, next Tx, found Found, err error) {
	if c, ok := tx.(Chainer); ok {
		return c.CommitAndBegin(ctx, opts)
	}
	r, err = tx.Commit(ctx)
	return r, nil, Found{}, err
}

// Sequencer is a Tx that can send several transactions in one message to the server.
type Sequencer interface {
	// Fits reports whether CommitEach can execute a script in this Tx or in one of those that follow
	// it: the script is short, and nobody needs an answer of the server before it ends. It sends no
	// query.
	Fits(s *migration.Script) bool
	// CommitEach executes parts, each in a transaction of its own, as Exec, Record and CommitAndBegin
	// would one after the other: the first one in this Tx, which then is over. The server begins a
	// transaction only if the one before was committed and nobody has recorded anything since.
	//
	// If CommitEach reports fewer parts as committed than there are, err is why the next one was not,
	// or nil if it has not begun, for whatever reason; no later one has begun either. If more is
	// true, next is the transaction after the last part, or nil, as CommitAndBegin returns it.
	CommitEach(ctx context.Context, parts []Part, more bool, opts LockOptions, report PartReport) (next Tx, found Found, err error)
}

// SequenceStarter is a Database that can begin the first transaction of CommitEach in the message
// with the others.
type SequenceStarter interface {
	// StartSequence prepares CommitEach, and sends no query. The first transaction begins only if the
	// lock of the set is free at that moment, no run is interrupted, and the head is the given one.
	// It returns nil if that is not possible, for whatever reason.
	StartSequence(ctx context.Context, set string, head int64) Sequence
}

// Sequence is a [Sequencer] that has not begun. CommitEach or Rollback ends it.
type Sequence interface {
	Sequencer
	// Rollback drops the Sequence unless CommitEach was called.
	Rollback(ctx context.Context) error
}

// SequenceRun is a Run under whose lock a sequence can be executed.
type SequenceRun interface {
	// StartSequence is that of a [SequenceStarter]. Each transaction begins only if the Run has the
	// lock, which it keeps: CommitEach begins no Tx after the last part. Until CommitEach or Rollback
	// has returned, no other method of the Run but Close is called.
	StartSequence(ctx context.Context, head int64) Sequence
}

// StartSequenceUnder prepares a sequence under the lock of a Run. It returns nil if the Run is no
// [SequenceRun].
func StartSequenceUnder(ctx context.Context, r Run, head int64) Sequence {
	if s, ok := r.(SequenceRun); ok {
		return s.StartSequence(ctx, head)
	}
	return nil
}

// StartSequence prepares a sequence. It returns nil if the database is no [SequenceStarter].
func StartSequence(ctx context.Context, db Database, set string, head int64) Sequence {
	if s, ok := db.(SequenceStarter); ok {
		return s.StartSequence(ctx, set, head)
	}
	return nil
}

// Part is what one transaction of CommitEach does. Fits is true for its script.
type Part struct {
	Script  *migration.Script
	Entries []Entry // to record
}

// PartReport receives what CommitEach learns of its parts, in their order, on the goroutine of the
// call: of each that its transaction has begun, and then that it was committed. CommitEach learns
// that a transaction has begun before it waits long for the script.
type PartReport struct {
	Begun     func()
	Committed func(Recorded)
}

// RunChainer is a Run that can record its end and announce the next run's statement in one
// transaction.
type RunChainer interface {
	// RecordAndAnnounce is Record, followed by Announce for the first statement of the next run
	// under the same lock. One transaction does both, which should take one round trip. The entries
	// end the present run. If announced is false, for whatever reason, the call is Record alone.
	RecordAndAnnounce(ctx context.Context, entries []Entry, st sqltext.Statement, j *Journal) (r Recorded, announced bool, err error)
}

// RecordAndAnnounce records the end of a run and announces the next one's statement, if the Run is
// a [RunChainer]. Otherwise it only records.
func RecordAndAnnounce(ctx context.Context, r Run, entries []Entry, st sqltext.Statement, j *Journal) (recorded Recorded, announced bool, err error) {
	if c, ok := r.(RunChainer); ok {
		return c.RecordAndAnnounce(ctx, entries, st, j)
	}
	recorded, err = r.Record(ctx, entries...)
	return recorded, false, err
}

// WriteBlocker is a Database whose migration lock keeps everybody else from writing to the database
// while it is held, as SQLite's does. The engine then does not pause while it holds the lock.
type WriteBlocker interface{ BlocksWriters() bool }

// BlocksWriters reports whether the migration lock of a database keeps others from writing. A
// database that is no [WriteBlocker] does not.
func BlocksWriters(db Database) bool {
	b, ok := db.(WriteBlocker)
	return ok && b.BlocksWriters()
}

// Backend returns the number of the server's process that works for a Run; 0 if it is not known, or
// if the Run is no [Backender].
func Backend(r Run) int64 {
	if b, ok := r.(Backender); ok {
		return b.Backend()
	}
	return 0
}

// Grouper is a Run that executes several statements in one transaction.
type Grouper interface {
	// Groups reports whether a statement may be in a group: it only changes rows, quickly, and if
	// its transaction is rolled back, nothing of it remains. It sends no query, and can be called
	// while ExecGroup executes.
	Groups(st sqltext.Statement) bool
	// GroupBytes returns how long the texts of a group are at most together.
	GroupBytes() int
	// ExecGroup executes statements of s for which Groups is true, one after the other, in one
	// transaction that also makes done the set's journal. If it returns false and no error, nothing
	// of that has happened, for whatever reason, and Exec can execute the statements one by one. An
	// error is one of those of Exec.
	ExecGroup(ctx context.Context, s *migration.Script, all []sqltext.Statement, done *Journal) (bool, error)
}

// AnnouncedExecer is a Run that announces a statement and executes it with one message to the
// server.
type AnnouncedExecer interface {
	// ExecAnnounced does what Announce does with j, and then what Exec does with the statement. The
	// server begins the statement only when the journal is written. announced is false if the journal
	// was not written, and the statement thus not executed; j may then have changed.
	ExecAnnounced(ctx context.Context, s *migration.Script, st sqltext.Statement, j *Journal) (announced bool, err error)
}

// ExecAnnounced announces a statement and executes it, as an [AnnouncedExecer] does.
func ExecAnnounced(ctx context.Context, r Run, s *migration.Script, st sqltext.Statement, j *Journal) (announced bool, err error) {
	if e, ok := r.(AnnouncedExecer); ok {
		return e.ExecAnnounced(ctx, s, st, j)
	}
	if err := r.Announce(ctx, st, j); err != nil {
		return false, err
	}
	return true, r.Exec(ctx, s, st, nil, nil)
}

// RunSequencer is a Run that can be told which calls follow, so that it sends several with one
// message.
type RunSequencer interface {
	// Ahead says which calls of ExecAnnounced and Record come next, in this order. It returns how
	// many of them, from the first, the Run may execute before they are made. It sends no query.
	//
	// From the first of these calls on, the database can execute them one after the other, each as
	// ExecAnnounced and Record do, and stops at the first that fails. Each call returns its own
	// outcome, as soon as that is known. If a context ends, or the lock is lost, the rest is stopped;
	// a call that was executed succeeds nevertheless. The entry of a Record has the times that the
	// database measured. Any other call, and Close, stops what is left.
	Ahead(ctx context.Context, next []Call) (n int, err error)
}

// Call is a call of a Run that follows: of Record if it has an Entry, otherwise of ExecAnnounced.
type Call struct {
	Script    *migration.Script
	Statement sqltext.Statement
	Journal   Journal
	Entry     *Entry // ends the run of the statements before it
}

// HolderReader is a Database that can tell which process migrates.
type HolderReader interface {
	// LockHolder returns the process that holds the migration lock of a set, and whether any does, as
	// far as the database can tell. It locks and writes nothing, and waits for no migration.
	LockHolder(ctx context.Context, set string) (h Holder, held bool, err error)
}

// StatusReader is a HolderReader that can read what a status shows in fewer round trips.
type StatusReader interface {
	// StateAndHolder is State, and LockHolder at the same time or after it.
	StateAndHolder(ctx context.Context, set string) (st *State, h Holder, held bool, err error)
}

// StateAndHolder returns the state of a set, and the process that migrates it now. That is nil if
// there is none, if the driver is no [HolderReader], or if the state has it already: if
// st.Interrupted.Held.
func StateAndHolder(ctx context.Context, db Database, set string) (st *State, holder *Holder, err error) {
	var h Holder
	var held bool
	has := func() bool { return st.Interrupted != nil && st.Interrupted.Held }
	if r, ok := db.(StatusReader); ok {
		st, h, held, err = r.StateAndHolder(ctx, set)
	} else if st, err = db.State(ctx, set); err == nil && !has() {
		h, held, err = LockHolder(ctx, db, set)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case !held || has():
		return st, nil, nil
	}
	return st, &h, nil
}

// LockHolder returns the process that migrates a set now. held is false if none does, or if the
// driver is no [HolderReader].
func LockHolder(ctx context.Context, db Database, set string) (h Holder, held bool, err error) {
	r, err := power[HolderReader](db, PowerHolder)
	if err != nil {
		return h, false, nil
	}
	return r.LockHolder(ctx, set)
}
