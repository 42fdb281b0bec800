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

// The errors of a Migrator that is not from New, or for which New was given nothing.
var (
	errNotNew     = errors.New("the Migrator is nil or empty; use the one that whimbrel.New returned")
	errNoDatabase = errors.New("whimbrel.New was given a nil database; pass the one that database.Open or the driver's New returned, and check its error")
	errNoSet      = errors.New("whimbrel.New was given a nil set of migrations; pass the one that source.Read or migration.NewSet returned, and check its error")
)

// present returns what a Migrator works with. A caller that passes nil has most likely overlooked an error, so
// every method of the Migrator returns one that says so: an empty set would report that nothing is pending.
func present(db database.Database, set *migration.Set) (database.Database, *migration.Set) {
	if db != nil && set != nil {
		return db, set
	}
	n := nothing{errNoSet}
	if db == nil {
		n.err = errNoDatabase
	}
	if set == nil {
		set, _ = migration.NewSet("") // which has nothing in it that could be wrong
	}
	return n, set
}

// nothing is a database that answers every question with an error.
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

func (n nothing) Query(context.Context, string) (*database.Rows, error) { return nil, n.err }
