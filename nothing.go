package whimbrel

import (
	"context"
	"errors"
	"iter"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The errors of a Migrator that New did not return, or that New returned for a nil argument.
var (
	errNotNew     = errors.New("the Migrator is nil or empty: whimbrel.New did not return it")
	errNoDatabase = errors.New("whimbrel.New needs a database, but got a nil database")
	errNoSet      = errors.New("whimbrel.New needs a set of migrations, but got a nil set")
)

// nothing is a database whose methods return an error. A caller that passes a nil database or set
// has most likely ignored an error; an empty set would report that nothing is pending.
type nothing struct{ err error }

func (n nothing) Dialect() sqltext.Dialect { return sqltext.PostgreSQL }
func (n nothing) Tables() []string         { return nil }
func (n nothing) Close() error             { return n.err }

func (n nothing) State(context.Context, string) (*database.State, error) { return nil, n.err }

func (n nothing) History(context.Context, database.HistoryQuery) iter.Seq2[database.Entry, error] {
	return func(yield func(database.Entry, error) bool) { yield(database.Entry{}, n.err) }
}

func (n nothing) Begin(context.Context, string, database.LockOptions) (database.Tx, database.Found, error) {
	return nil, database.Found{}, n.err
}

func (n nothing) Guard(context.Context, string, database.LockOptions) (database.Run, database.Found, error) {
	return nil, database.Found{}, n.err
}

func (n nothing) UpdateSetting(context.Context, database.SettingUpdate) error { return n.err }

func (n nothing) Metadata(context.Context) (*metadata.State, error) { return nil, n.err }

func (n nothing) CheckBackfill(context.Context, *migration.Script) (database.BackfillTarget, error) {
	return database.BackfillTarget{}, n.err
}

func (n nothing) Backfills(context.Context, database.BackfillQuery) ([]database.Backfill, error) {
	return nil, n.err
}

func (n nothing) ChangeBackfill(context.Context, database.BackfillChange) (database.Backfill, error) {
	return database.Backfill{}, n.err
}

func (n nothing) ClaimLane(context.Context, database.LaneClaim) (database.Backfill, database.LaneWork, error) {
	return database.Backfill{}, nil, n.err
}

func (n nothing) Signals(context.Context, database.Backfill, migration.Throttle) ([]database.Signal, error) {
	return nil, n.err
}

func (n nothing) Query(context.Context, string) (*database.Rows, error) { return nil, n.err }
