package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A script of at most this many statements and bytes is queued, statement by statement,
// with what comes before and after it. A longer one is sent in chunks of many
// statements, which the server takes apart: that is several times faster, and which
// statement failed follows from how many succeeded.
const (
	fewStatements = 32
	fewBytes      = 64 << 10
	chunkBytes    = 256 << 10
)

// scriptRunner runs one script in a batch.
type scriptRunner struct {
	*batch
	script *migration.Script

	few   []sqltext.Statement // the first ones, while there are few
	chunk chunk
	long  bool
}

func (r *scriptRunner) run(ctx context.Context, a *migration.Analysis) error {
	next, stop := iter.Pull2(a.Body())
	defer stop()
	for {
		st, err, ok := next()
		if err != nil {
			return err
		}
		if !ok {
			return r.finish(ctx)
		}
		if st.Kind == sqltext.CopyIn {
			err = r.copyIn(ctx, st, database.CopyData(next))
		} else {
			err = r.statement(ctx, st)
		}
		if err != nil {
			return err
		}
	}
}

func (r *scriptRunner) statement(ctx context.Context, st sqltext.Statement) error {
	if !r.long {
		r.few = append(r.few, st)
		if len(r.few) <= fewStatements && st.Start.Offset < fewBytes && len(st.Raw) < fewBytes && !answersWithCopy(st) {
			return nil
		}
		return r.goLong(ctx)
	}
	return r.append(ctx, st)
}

// goLong turns to sending chunks.
func (r *scriptRunner) goLong(ctx context.Context) error {
	r.long = true
	if err := r.flush(ctx); err != nil {
		return err
	}
	few := r.few
	r.few = nil
	for _, st := range few {
		if err := r.append(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

func (r *scriptRunner) append(ctx context.Context, st sqltext.Statement) error {
	r.chunk.add(st)
	if r.chunk.text.Len() < chunkBytes && !changesLexing(st) {
		return nil
	}
	return r.sendChunk(ctx)
}

func (r *scriptRunner) finish(ctx context.Context) error {
	if r.long {
		return r.sendChunk(ctx)
	}
	for _, st := range r.few {
		q := query{sql: st.Text, fail: func(pg *pgconn.PgError) error { return statementError(st, pg, st.Text, st.Pos) }}
		if err := r.add(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func (r *scriptRunner) sendChunk(ctx context.Context) error {
	defer r.chunk.reset()
	if len(r.chunk.statements) == 0 {
		return nil
	}
	return r.c.simple(ctx, &r.chunk)
}

func (r *scriptRunner) copyIn(ctx context.Context, st sqltext.Statement, data io.Reader) error {
	if !r.long {
		if err := r.goLong(ctx); err != nil {
			return err
		}
	}
	if err := r.sendChunk(ctx); err != nil {
		return err
	}
	return r.c.copyIn(ctx, st, data)
}

// answersWithCopy reports whether the answer to a statement is a stream of data, which
// a pipeline does not take.
func answersWithCopy(st sqltext.Statement) bool {
	return len(st.Text) >= 4 && strings.EqualFold(st.Text[:4], "copy")
}

// changesLexing reports whether a statement may change how the server reads the text
// behind it, which must therefore go in another message.
func changesLexing(st sqltext.Statement) bool {
	if !st.Session {
		return false
	}
	low := strings.ToLower(st.Text)
	return strings.Contains(low, "standard_conforming_strings") || strings.Contains(low, "client_encoding") || strings.Contains(low, "backslash_quote")
}

// chunk is a stretch of a script's text that is sent as one message.
type chunk struct {
	text       strings.Builder
	statements []sqltext.Statement // without their texts, but for the position
	offsets    []int               // where each begins in text
}

func (k *chunk) add(st sqltext.Statement) {
	k.offsets = append(k.offsets, k.text.Len())
	k.statements = append(k.statements, st)
	k.text.WriteString(st.Raw)
}

func (k *chunk) reset() {
	k.text.Reset()
	k.statements, k.offsets = k.statements[:0], k.offsets[:0]
}

// simple sends a chunk with the simple query protocol.
func (c *conn) simple(ctx context.Context, k *chunk) error {
	return c.do(ctx, func(ctx context.Context, pc *pgx.Conn) error {
		sql := k.text.String()
		mrr := pc.PgConn().Exec(ctx, sql)
		n := 0 // statements that have succeeded
		for mrr.NextResult() {
			if _, err := mrr.ResultReader().Close(); err != nil {
				break
			}
			n++
		}
		err := mrr.Close()
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			return k.explain(pg, sql, n)
		}
		return err
	})
}

// explain finds the statement of an error: the one that the server points into, else
// the first that has not succeeded.
func (k *chunk) explain(pg *pgconn.PgError, sql string, succeeded int) error {
	i := min(succeeded, len(k.statements)-1)
	if pg.Position > 0 {
		at := byteOffset(sql, int(pg.Position))
		for i = 0; i+1 < len(k.offsets) && k.offsets[i+1] <= at; i++ {
		}
	}
	st := k.statements[i]
	copied := *pg
	if pg.Position > 0 { // count from the statement's own beginning
		copied.Position -= int32(utf8.RuneCountInString(sql[:k.offsets[i]]))
	}
	return statementError(st, &copied, st.Raw, st.Start)
}

// byteOffset turns the server's position, in characters from 1, into bytes from 0.
func byteOffset(s string, position int) int {
	n := 0
	for i := range s {
		if n++; n == position {
			return i
		}
	}
	return len(s)
}

// copyIn sends COPY … FROM stdin and its data.
func (c *conn) copyIn(ctx context.Context, st sqltext.Statement, data io.Reader) error {
	return c.do(ctx, func(ctx context.Context, pc *pgx.Conn) error {
		_, err := pc.PgConn().CopyFrom(ctx, data, st.Text)
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			err = statementError(st, pg, st.Text, st.Pos)
		}
		io.Copy(io.Discard, data) // what the server did not want
		return err
	})
}

// statementError makes the contract's error of the server's. sent is the text that the
// server's position counts in, which stands at start in the script.
func statementError(st sqltext.Statement, pg *pgconn.PgError, sent string, start sqltext.Position) error {
	pos := st.Pos
	if pg.Position > 0 {
		pos = advance(start, sent[:byteOffset(sent, int(pg.Position))])
	}
	e := &database.StatementError{
		Pos: pos, Index: st.Index, Statement: st.Text, Code: pg.Code, Message: pg.Message, Detail: pg.Detail, Hint: pg.Hint, Where: pg.Where, Err: pg,
	}
	if hint := hints[pg.Code]; e.Hint == "" {
		e.Hint = hint
	}
	return e
}

// hints say what to do about errors that have to do with how migrations are run.
var hints = map[string]string{
	"25001": "put the directive \"-- whimbrel: no-transaction\" into the head of the file, and let it have this statement alone",
	"2D000": "the called procedure ends transactions: put the directive \"-- whimbrel: no-transaction\" into the head of the file",
	"55P04": "a new enum value can't be used before it is committed: move its use to a later migration",
	"25006": "the database, or this role, is read-only: connect to the primary, with a role that may write",
}

// advance returns the position behind a text.
func advance(p sqltext.Position, s string) sqltext.Position {
	p.Offset += int64(len(s))
	if n := strings.Count(s, "\n"); n > 0 {
		p.Line += n
		p.Column = 1
		s = s[strings.LastIndexByte(s, '\n')+1:]
	}
	p.Column += utf8.RuneCountInString(s)
	return p
}

// call runs a Go function in the batch's transaction.
func (b *batch) call(ctx context.Context, s *migration.Script, fn any) error {
	f, ok := fn.(func(context.Context, pgx.Tx) error)
	if !ok {
		return fmt.Errorf("%s: the function is a %T; PostgreSQL wants one made by postgres.Func", s.File, fn)
	}
	if err := b.flush(ctx); err != nil {
		return err
	}
	return b.c.do(ctx, func(ctx context.Context, pc *pgx.Conn) error {
		// pgx must believe that it began the transaction which is open already.
		inner, err := pc.BeginTx(ctx, pgx.TxOptions{BeginQuery: "SELECT"})
		if err != nil {
			return err
		}
		if err := f(ctx, tx{inner}); err != nil {
			return err
		}
		if status := pc.PgConn().TxStatus(); status != 'T' {
			return fmt.Errorf("%s: the function ended the transaction or left it failed; it must do neither, and return its errors", s.File)
		}
		return nil
	})
}

// Func returns a script that is a Go function. It is given the transaction of its
// migration, which it can neither commit nor roll back: an error rolls it back. It runs
// with the connection's own settings and leaves the session as it was, like any script. id must change
// when what the function does changes; see [migration.Func].
func Func(id string, fn func(ctx context.Context, tx pgx.Tx) error) *migration.Script {
	return migration.Func(id, fn)
}

// tx keeps a function from ending its transaction. Begin gives savepoints.
type tx struct{ pgx.Tx }

var errNotYours = errors.New("a migration can't end its own transaction: return nil to commit it, an error to roll it back")

func (tx) Commit(context.Context) error   { return errNotYours }
func (tx) Rollback(context.Context) error { return errNotYours }
