// Package query passes single statements on to a database: those that read, and, under the rules of
// the migration engine, those that write.
package query

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Read executes one statement that only reads, and returns all of its rows. It takes no lock, and
// also works on a frozen database. A statement that may change something returns a
// [*database.StatementError] that is [database.ErrReadOnly].
func Read(ctx context.Context, db database.Database, statement string) (*database.Rows, error) {
	rows, err := database.ReadQuery(ctx, db, statement)
	return rows, withExcerpt(err, statement, db.Dialect())
}

// WriteOptions are those of Write. The zero value is useful.
type WriteOptions struct {
	// Reason is kept in the history.
	Reason string
	// Overrule allows a write if the database's setting "protected" is true. It must be the
	// database's name.
	Overrule string
}

// Write executes one statement that may change something, and returns all of its rows. It executes
// the statement under the migration lock of the Migrator's set, and records it in the history with
// its text. A frozen database returns a *whimbrel.FrozenError, a protected one a
// *whimbrel.ProtectedError.
//
// The statement and its history entry are one transaction. A statement that can't run in a
// transaction is recorded before it is executed, so the history has it even if it fails; its rows
// are not returned.
func Write(ctx context.Context, m *whimbrel.Migrator, statement string, opts WriteOptions) (*database.Rows, error) {
	db := m.Database()
	rows, err := write(ctx, m, statement, opts)
	return rows, withExcerpt(err, statement, db.Dialect())
}

// withExcerpt adds the lines around the place to an error of the statement.
func withExcerpt(err error, statement string, d sqltext.Dialect) error {
	var st *database.StatementError
	if errors.As(err, &st) && st.Pos.Line > 0 && st.Pos.File == database.QueryFile {
		st.Excerpt = migration.Text(database.QueryFile, statement).Excerpt(st.Pos, d)
	}
	return err
}

// entryName names the history entries of statements.
const entryName = "query"

// writeWords completes "can't …" for a protected database.
const writeWords = "execute a statement that may change something"

func write(ctx context.Context, m *whimbrel.Migrator, statement string, opts WriteOptions) (*database.Rows, error) {
	db := m.Database()
	st, err := oneStatement(db, statement)
	if err != nil {
		return nil, err
	}
	e := database.Entry{
		Version: database.NilVersion, Name: entryName, Direction: database.Query,
		UpText: sqltext.Mask(statement, db.Dialect()), Checksum: migration.Sum(statement),
		ToolVersion: whimbrel.ToolVersion(), Reason: opts.Reason,
	}
	check := func(st *database.State) error { return whimbrel.CheckProtected(st, writeWords, opts.Overrule) }
	if st.Tx == sqltext.TxNever {
		return &database.Rows{}, m.Guarded(ctx, check, func(r database.Run) error {
			e.StartedAt = time.Now()
			if _, err := r.Record(ctx, e); err != nil {
				return err
			}
			return r.Exec(ctx, migration.Text(database.QueryFile, st.Raw), st, nil, nil)
		})
	}
	var rows *database.Rows
	err = m.Locked(ctx, check, func(tx database.Tx) (err error) {
		if rows, err = database.TxQuery(ctx, tx, statement); err != nil {
			return err
		}
		return tx.Record(ctx, e)
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// oneStatement returns the statement of a text. It must not touch Whimbrel's own tables.
func oneStatement(db database.Database, text string) (sqltext.Statement, error) {
	st, err := database.OneStatement(text, db.Dialect())
	if err != nil {
		return st, err
	}
	pieces, err := sqltext.Split(text, db.Dialect(), sqltext.Options{File: database.QueryFile, Reserved: db.Tables()})
	for _, p := range pieces {
		if p.Reserved != "" {
			return p, &database.StatementError{Pos: p.Pos, Statement: p.Text, Message: "the statement touches " + p.Reserved + ", which is one of Whimbrel's own tables"}
		}
	}
	return st, err
}
