package databasetest

import (
	"context"
	"io"
	"iter"
	"reflect"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// mutant is a driver that breaks one promise: memdb with something altered. What make
// returns is for one target, and may have a state of its own.
type mutant struct {
	name   string
	breaks *promise
	make   func() alteration
}

// alteration is what a mutant changes in each type of the contract.
type alteration struct {
	target func(*Target)
	db     func(*alteredDB)
	found  func(set string, run bool, found *database.Found)
	tx     func(*alteredTx)
	run    func(*alteredRun)
}

func (a alteration) newTarget() Target {
	t := plain()
	if a.target != nil {
		a.target(&t)
	}
	open, sever := t.Open, t.Break
	t.Open = func(ctx context.Context, opts database.Options) (database.Database, error) {
		inner, err := open(ctx, opts)
		if err != nil {
			return nil, err
		}
		d := &alteredDB{Database: inner.(powerful), a: a, opts: opts}
		if a.db != nil {
			a.db(d)
		}
		return d, nil
	}
	t.Break = func(db database.Database) { sever(db.(*alteredDB).Database) }
	return t
}

// powerful is a Database with the powers that the suite has cases for, powerfulTx a Tx.
type (
	powerful interface {
		database.Database
		database.SettingUpdater
		database.MetadataReader
		database.Querier
		database.Cloner
		database.HolderReader
		database.Backfiller
		database.SequenceStarter
	}
	powerfulTx interface {
		database.Sequencer
		database.Tx
		database.Resetter
		database.MetadataTx
		database.Querier
		database.BackfillTx
	}
)

// alteredDB calls its functions that are set.
type alteredDB struct {
	Database powerful
	a        alteration
	opts     database.Options

	tables   func() []string
	start    func(context.Context, string, int64) database.Sequence
	state    func(context.Context, string) (*database.State, error)
	history  func(context.Context, database.HistoryQuery) iter.Seq2[database.Entry, error]
	begin    func(context.Context, string, database.LockOptions) (database.Tx, database.Found, error)
	guard    func(context.Context, string, database.LockOptions) (database.Run, database.Found, error)
	update   func(context.Context, database.SettingUpdate) error
	metadata func(context.Context) (*metadata.State, error)
	query    func(context.Context, string) (*database.Rows, error)
	clone    func(context.Context, database.Template) (*database.Copy, error)
	forget   func(context.Context, string) error
	holder   func(context.Context, string) (database.Holder, bool, error)
	target   func(context.Context, *migration.Script) (database.BackfillTarget, error)
	fills    func(context.Context, database.BackfillQuery) ([]database.Backfill, error)
	change   func(context.Context, database.BackfillChange) (database.Backfill, error)
	claim    func(context.Context, database.LaneClaim) (database.Backfill, database.LaneWork, error)
	close    func() error
}

func (d *alteredDB) CheckBackfill(ctx context.Context, s *migration.Script) (database.BackfillTarget, error) {
	return or(d.target, d.Database.CheckBackfill)(ctx, s)
}

func (d *alteredDB) Backfills(ctx context.Context, q database.BackfillQuery) ([]database.Backfill, error) {
	return or(d.fills, d.Database.Backfills)(ctx, q)
}

func (d *alteredDB) ChangeBackfill(ctx context.Context, c database.BackfillChange) (database.Backfill, error) {
	return or(d.change, d.Database.ChangeBackfill)(ctx, c)
}

func (d *alteredDB) ClaimLane(ctx context.Context, c database.LaneClaim) (database.Backfill, database.LaneWork, error) {
	return or(d.claim, d.Database.ClaimLane)(ctx, c)
}

func (d *alteredDB) Signals(ctx context.Context, b database.Backfill, t migration.Throttle) ([]database.Signal, error) {
	return d.Database.Signals(ctx, b, t)
}

func (d *alteredDB) LockHolder(ctx context.Context, set string) (database.Holder, bool, error) {
	return or(d.holder, d.Database.LockHolder)(ctx, set)
}

func (d *alteredDB) Clone(ctx context.Context, t database.Template) (*database.Copy, error) {
	return or(d.clone, d.Database.Clone)(ctx, t)
}

func (d *alteredDB) DropTemplate(ctx context.Context, key string) error {
	return or(d.forget, d.Database.DropTemplate)(ctx, key)
}

func (d *alteredDB) Dialect() sqltext.Dialect { return d.Database.Dialect() }

func (d *alteredDB) Tables() []string { return or(d.tables, d.Database.Tables)() }

func (d *alteredDB) State(ctx context.Context, set string) (*database.State, error) {
	return or(d.state, d.Database.State)(ctx, set)
}

func (d *alteredDB) History(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
	return or(d.history, d.Database.History)(ctx, q)
}

func (d *alteredDB) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
	inner, found, err := or(d.begin, d.Database.Begin)(ctx, set, opts)
	if err == nil && d.a.found != nil {
		d.a.found(set, false, &found)
	}
	if err != nil || d.a.tx == nil {
		return inner, found, err
	}
	tx := &alteredTx{Tx: inner.(powerfulTx), db: d, set: set}
	d.a.tx(tx)
	return tx, found, nil
}

func (d *alteredDB) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, database.Found, error) {
	inner, found, err := or(d.guard, d.Database.Guard)(ctx, set, opts)
	if err == nil && d.a.found != nil {
		d.a.found(set, true, &found)
	}
	if err != nil || d.a.run == nil {
		return inner, found, err
	}
	r := &alteredRun{Run: inner, db: d, set: set}
	d.a.run(r)
	return r, found, nil
}

func (d *alteredDB) UpdateSetting(ctx context.Context, s database.SettingUpdate) error {
	return or(d.update, d.Database.UpdateSetting)(ctx, s)
}

func (d *alteredDB) Metadata(ctx context.Context) (*metadata.State, error) {
	return or(d.metadata, d.Database.Metadata)(ctx)
}

func (d *alteredDB) Query(ctx context.Context, statement string) (*database.Rows, error) {
	return or(d.query, d.Database.Query)(ctx, statement)
}

func (d *alteredDB) Close() error { return or(d.close, d.Database.Close)() }

// alteredTx calls its functions that are set.
type alteredTx struct {
	Tx  powerfulTx
	db  *alteredDB
	set string

	state    func(context.Context) (*database.State, error)
	run      func(context.Context, *migration.Script) error
	record   func(context.Context, ...database.Entry) error
	reset    func(context.Context, []string, database.Entry) (*database.Emptied, error)
	metadata func(context.Context) (*metadata.State, error)
	put      func(context.Context, *metadata.Change) error
	query    func(context.Context, string) (*database.Rows, error)
	commit   func(context.Context) (database.Recorded, error)
	chain    func(context.Context, database.LockOptions) (database.Recorded, database.Tx, database.Found, error)
	rollback func(context.Context) error
	start    func(context.Context, database.BackfillStart) error
	finish   func(context.Context, int64) error
	end      func(context.Context, int64) error
}

func (tx *alteredTx) StartBackfill(ctx context.Context, s database.BackfillStart) error {
	return or(tx.start, tx.Tx.StartBackfill)(ctx, s)
}

func (tx *alteredTx) FinishBackfill(ctx context.Context, version int64) error {
	return or(tx.finish, tx.Tx.FinishBackfill)(ctx, version)
}

func (tx *alteredTx) EndBackfill(ctx context.Context, version int64) error {
	return or(tx.end, tx.Tx.EndBackfill)(ctx, version)
}

func (tx *alteredTx) Metadata(ctx context.Context) (*metadata.State, error) {
	return or(tx.metadata, tx.Tx.Metadata)(ctx)
}

func (tx *alteredTx) PutMetadata(ctx context.Context, c *metadata.Change) error {
	return or(tx.put, tx.Tx.PutMetadata)(ctx, c)
}

func (tx *alteredTx) Query(ctx context.Context, statement string) (*database.Rows, error) {
	return or(tx.query, tx.Tx.Query)(ctx, statement)
}

// restart puts a transaction in which nothing has happened in place of the one that is altered.
func (tx *alteredTx) restart(ctx context.Context) error {
	if err := tx.Tx.Rollback(ctx); err != nil {
		return err
	}
	next, _, err := tx.db.Database.Begin(ctx, tx.set, database.LockOptions{})
	if err == nil {
		tx.Tx = next.(powerfulTx)
	}
	return err
}

func (tx *alteredTx) State(ctx context.Context) (*database.State, error) {
	return or(tx.state, tx.Tx.State)(ctx)
}

func (tx *alteredTx) Exec(ctx context.Context, s *migration.Script) error {
	return or(tx.run, tx.Tx.Exec)(ctx, s)
}

func (tx *alteredTx) Record(ctx context.Context, entries ...database.Entry) error {
	return or(tx.record, tx.Tx.Record)(ctx, entries...)
}

func (tx *alteredTx) Reset(ctx context.Context, schemas []string, e database.Entry) (*database.Emptied, error) {
	return or(tx.reset, tx.Tx.Reset)(ctx, schemas, e)
}

func (tx *alteredTx) Commit(ctx context.Context) (database.Recorded, error) {
	return or(tx.commit, tx.Tx.Commit)(ctx)
}

// CommitAndBegin does what the altered Commit does, unless it is altered itself.
func (tx *alteredTx) CommitAndBegin(ctx context.Context, opts database.LockOptions) (r database.Recorded, next database.Tx, found database.Found, err error) {
	if tx.chain != nil {
		return tx.chain(ctx, opts)
	}
	r, err = tx.Commit(ctx)
	return r, nil, found, err
}

func (tx *alteredTx) Rollback(ctx context.Context) error {
	return or(tx.rollback, tx.Tx.Rollback)(ctx)
}

func (d *alteredDB) StartSequence(ctx context.Context, set string, head int64) database.Sequence {
	return or(d.start, d.Database.StartSequence)(ctx, set, head)
}

// commitEachFunc is the type of Sequencer.CommitEach.
type commitEachFunc = func(context.Context, []database.Part, bool, database.LockOptions, database.PartReport) (database.Tx, database.Found, error)

// alteredSequencer is a Tx whose CommitEach, and that of the Txs that follow it, is altered.
type alteredSequencer struct {
	powerfulTx
	alter func(database.Sequencer) commitEachFunc
}

func (tx *alteredSequencer) CommitAndBegin(ctx context.Context, opts database.LockOptions) (database.Recorded, database.Tx, database.Found, error) {
	r, next, found, err := database.CommitAndBegin(ctx, tx.powerfulTx, opts)
	return r, tx.follow(next), found, err
}

func (tx *alteredSequencer) CommitEach(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	next, found, err := tx.alter(tx.powerfulTx)(ctx, parts, more, opts, report)
	return tx.follow(next), found, err
}

func (tx *alteredSequencer) follow(next database.Tx) database.Tx {
	if next == nil {
		return nil
	}
	return &alteredSequencer{next.(powerfulTx), tx.alter}
}

// alteredRun calls its functions that are set.
type alteredRun struct {
	database.Run
	db  *alteredDB
	set string

	state    func(context.Context) (*database.State, error)
	journal  func(context.Context, *database.Journal) error
	announce func(context.Context, sqltext.Statement, *database.Journal) error
	exec     func(context.Context, *migration.Script, sqltext.Statement, io.Reader, *database.Journal) error
	outcome  func(context.Context, sqltext.Statement, string, database.LockOptions) (*database.Outcome, error)
	record   func(context.Context, ...database.Entry) (database.Recorded, error)
	chain    func(context.Context, []database.Entry, sqltext.Statement, *database.Journal) (database.Recorded, bool, error)
	tell     func(context.Context, []database.Call) (int, error)
	together func(context.Context, *migration.Script, sqltext.Statement, *database.Journal) (bool, error)
	sequence func(context.Context, int64) database.Sequence
	close    func(context.Context) error
}

// Ahead takes no calls, unless it is altered: the methods that they call may be.
func (r *alteredRun) Ahead(ctx context.Context, next []database.Call) (int, error) {
	if r.tell != nil {
		return r.tell(ctx, next)
	}
	return 0, nil
}

// StartSequence returns a sequence of the Run, unless it is altered.
func (r *alteredRun) StartSequence(ctx context.Context, head int64) database.Sequence {
	if r.sequence != nil {
		return r.sequence(ctx, head)
	}
	return database.StartSequenceUnder(ctx, r.Run, head)
}

// alteredSequence is a Sequence whose CommitEach is altered.
type alteredSequence struct {
	database.Sequence
	each commitEachFunc
}

func (s *alteredSequence) CommitEach(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	return s.each(ctx, parts, more, opts, report)
}

// ExecAnnounced does what the altered Announce and Exec do, unless it is altered itself.
func (r *alteredRun) ExecAnnounced(ctx context.Context, s *migration.Script, st sqltext.Statement, j *database.Journal) (bool, error) {
	if r.together != nil {
		return r.together(ctx, s, st, j)
	}
	if err := r.Announce(ctx, st, j); err != nil {
		return false, err
	}
	return true, r.Exec(ctx, s, st, nil, nil)
}

// RecordAndAnnounce does what the altered Record does, unless it is altered itself.
func (r *alteredRun) RecordAndAnnounce(ctx context.Context, entries []database.Entry, st sqltext.Statement, j *database.Journal) (database.Recorded, bool, error) {
	if r.chain != nil {
		return r.chain(ctx, entries, st, j)
	}
	recorded, err := r.Record(ctx, entries...)
	return recorded, false, err
}

func (r *alteredRun) State(ctx context.Context) (*database.State, error) {
	return or(r.state, r.Run.State)(ctx)
}

func (r *alteredRun) Journal(ctx context.Context, j *database.Journal) error {
	return or(r.journal, r.Run.Journal)(ctx, j)
}

func (r *alteredRun) Announce(ctx context.Context, st sqltext.Statement, j *database.Journal) error {
	return or(r.announce, r.Run.Announce)(ctx, st, j)
}

func (r *alteredRun) Outcome(ctx context.Context, st sqltext.Statement, before string, opts database.LockOptions) (*database.Outcome, error) {
	return or(r.outcome, r.Run.Outcome)(ctx, st, before, opts)
}

func (r *alteredRun) Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
	return or(r.exec, r.Run.Exec)(ctx, s, st, data, done)
}

func (r *alteredRun) Record(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
	return or(r.record, r.Run.Record)(ctx, entries...)
}

func (r *alteredRun) Close(ctx context.Context) error { return or(r.close, r.Run.Close)(ctx) }

// or returns altered if it is set, and original otherwise.
func or[F any](altered, original F) F {
	if reflect.ValueOf(altered).IsNil() {
		return original
	}
	return altered
}
