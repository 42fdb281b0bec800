package whimbrel

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// QueryOptions of Migrator.Query.
type QueryOptions struct {
	// Write lets the statement change something.
	Write bool
	// Note is kept in the history.
	Note string
	// Overrule allows it where the setting "protected" is true, and must be the database's name.
	Overrule string
}

// Query executes one statement and returns its rows, all of them.
//
// Without opts.Write it only reads, outside of any lock, also while migrations are switched off; a statement that may change
// something is a [*database.StatementError] that is [database.ErrReadOnly].
//
// With opts.Write the statement is executed under the migration lock of the set, and recorded in the history with its text,
// opts.Note, and who it was. While migrations are switched off it is a *FrozenError; a database whose
// setting "protected" is true is a *ProtectedError, unless opts.Overrule is its name. The statement and its record are one transaction. A statement that
// can't be in one is recorded before it is executed, so the history has it also if it fails; no rows are returned of it.
func (m *Migrator) Query(ctx context.Context, statement string, opts QueryOptions) (rows *database.Rows, err error) {
	m = m.with(ApplyOptions{Note: opts.Note, Overrule: opts.Overrule})
	if opts.Write {
		rows, err = m.write(ctx, statement)
	} else {
		rows, err = m.db.Query(ctx, statement)
	}
	var st *database.StatementError
	if errors.As(err, &st) && st.Pos.Line > 0 && st.Pos.File == database.QueryFile {
		st.Excerpt = excerpt(migration.Text(database.QueryFile, statement), st.Pos, m.db.Dialect())
	}
	return rows, err
}

// queryWord is what a write is called where a rule forbids it.
const queryWord = "execute a statement that may change something"

func mayWrite(st *database.State, overrule string) error {
	if err := checkMode(st.Settings); err != nil {
		return err
	}
	return checkProtected(st, queryWord, overrule)
}

// write executes a statement that may change something.
func (m *Migrator) write(ctx context.Context, statement string) (*database.Rows, error) {
	st, err := m.oneStatement(statement)
	if err != nil {
		return nil, err
	}
	state, err := m.db.State(ctx, m.set.Name())
	if err == nil {
		err = mayWrite(state, m.opts.Overrule)
	}
	if err != nil {
		return nil, err
	}
	e := database.Entry{
		Version: NilVersion, Name: queryName, Direction: database.Query, UpText: sqltext.Mask(statement, m.db.Dialect()), Checksum: migration.Sum(statement),
		ToolVersion: ToolVersion(), Note: m.opts.Note,
	}
	if st.Tx == sqltext.TxNever {
		return m.writeAlone(ctx, st, state, e)
	}
	return m.writeInBatch(ctx, statement, state, e)
}

// oneStatement returns the statement of a text, which must leave Whimbrel's own tables alone.
func (m *Migrator) oneStatement(text string) (sqltext.Statement, error) {
	st, err := database.OneStatement(text, m.db.Dialect())
	if err != nil {
		return st, err
	}
	pieces, err := sqltext.Split(text, m.db.Dialect(), sqltext.Options{File: database.QueryFile, Reserved: m.db.Tables()})
	for _, p := range pieces {
		if p.Reserved != "" {
			return p, &database.StatementError{Pos: p.Pos, Statement: p.Text, Message: "the statement touches " + p.Reserved + ", which is Whimbrel's own table; leave it to Whimbrel"}
		}
	}
	return st, err
}

// queryName is the name of the events of statements that were executed.
const queryName = "query"

// writeInBatch executes a statement and records it in one transaction.
func (m *Migrator) writeInBatch(ctx context.Context, statement string, state *database.State, e database.Entry) (rows *database.Rows, err error) {
	b, _, err := m.db.Begin(ctx, m.set.Name(), m.lockOptions(state.Settings))
	if err != nil {
		return nil, err
	}
	defer func() {
		if rerr := b.Rollback(ctx); err == nil {
			err = rerr
		}
	}()
	if state, err = b.State(ctx); err == nil { // the settings may have changed
		err = mayWrite(state, m.opts.Overrule)
	}
	if err != nil {
		return nil, err
	}
	if rows, err = b.Query(ctx, statement); err != nil {
		return nil, err
	}
	if err := b.Record(ctx, e); err != nil {
		return nil, err
	}
	_, err = b.Commit(ctx)
	return rows, err
}

// writeAlone records a statement that can't be in a transaction, and executes it.
func (m *Migrator) writeAlone(ctx context.Context, st sqltext.Statement, state *database.State, e database.Entry) (rows *database.Rows, err error) {
	r, _, err := m.db.Guard(ctx, m.set.Name(), m.lockOptions(state.Settings))
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := r.Close(ctx); err == nil {
			err = cerr
		}
	}()
	if state, err = r.State(ctx); err == nil {
		err = mayWrite(state, m.opts.Overrule)
	}
	if err != nil {
		return nil, err
	}
	e.StartedAt = time.Now()
	if _, err := r.Record(ctx, e); err != nil {
		return nil, err
	}
	return &database.Rows{}, r.Exec(ctx, migration.Text(database.QueryFile, st.Raw), st, nil, nil)
}
