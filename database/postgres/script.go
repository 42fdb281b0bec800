package postgres

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A script with at most this many statements and bytes is queued, statement by statement, with the
// statements before and after it. A longer script is sent in chunks, see stream.
const (
	fewStatements = 32
	fewBytes      = 64 << 10
)

// scriptRunner executes one script in a Tx.
type scriptRunner struct {
	*transaction
	script *migration.Script

	few    []sqltext.Statement // the first statements, while the script may be short
	chunk  *chunk              // the one that is filled
	stream *stream             // of the chunks that are sent; nil: none is unanswered
	spare  *chunk              // memory for another one
	likely int                 // the size of a chunk, about
	long   bool
	sent   bool // a chunk was sent

	custom  []string // custom settings that the script may have changed
	unread  []string // those of them whose old value has not been read
	listens bool     // the script may LISTEN or UNLISTEN
	times   bool     // the script may set timeouts
}

func (r *scriptRunner) run(ctx context.Context, a *migration.Analysis) (err error) {
	defer func() {
		if serr := r.settle(); serr != nil {
			err = serr // it is about an earlier statement
		}
	}()
	average := int(r.script.Size) / max(a.Statements, 1)
	r.likely = min(chunkBytes, average*chunkStatements) * 5 / 4
	return r.all(ctx, a)
}

func (r *scriptRunner) all(ctx context.Context, a *migration.Analysis) error {
	if a.Copies {
		return r.allWithData(ctx, a)
	}
	for st, err := range a.Body() {
		if err == nil {
			err = r.statement(ctx, st)
		}
		if err != nil {
			return err
		}
	}
	return r.finish(ctx)
}

// allWithData is all for a script with data of COPY, which are read while the COPY is executed.
func (r *scriptRunner) allWithData(ctx context.Context, a *migration.Analysis) error {
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
	r.see(st)
	if r.long {
		return r.append(ctx, st)
	}
	r.few = append(r.few, st)
	if len(r.few) <= fewStatements && st.Start.Offset < fewBytes && len(st.Raw) < fewBytes && !needsSimple(st) {
		return nil
	}
	return r.goLong(ctx)
}

// see records facts about a statement before it is sent.
func (r *scriptRunner) see(st sqltext.Statement) {
	r.last = sqltext.Statement{Pos: st.Pos, Index: st.Index, Text: st.Text}
	r.c.unusable = r.c.unusable || st.Session && resetsAll.MatchString(st.Text)
	r.listens = r.listens || st.Session && listen.MatchString(st.Text)
	r.times = r.times || st.Session && namesTimeout(st.Text)
	for _, name := range customSettings(st) {
		if !slices.Contains(r.custom, name) {
			r.custom = append(r.custom, name)
			if _, known := r.session.custom[name]; !known {
				r.unread = append(r.unread, name)
			}
		}
	}
}

// readCustom reads the values of custom settings before the script changes them.
func (r *scriptRunner) readCustom(ctx context.Context) error {
	if len(r.unread) == 0 {
		return nil
	}
	names := r.unread
	r.unread = nil
	return r.add(ctx, r.session.readCustom(names))
}

// goLong switches to chunks.
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
	if err := r.limit(ctx, st); err != nil {
		return err
	}
	if st.Verb() == "ROLLBACK" { // to a savepoint: after an error the server would continue from there
		if err := r.settle(); err != nil {
			return err
		}
	}
	if r.chunk == nil {
		r.chunk = r.emptyChunk()
	}
	r.chunk.add(st)
	if !r.chunk.full() && !changesLexing(st) {
		return nil
	}
	return r.sendChunk(ctx)
}

// emptyChunk returns a chunk for the next statements.
func (r *scriptRunner) emptyChunk() *chunk {
	k := r.spare
	r.spare = nil
	if r.stream != nil {
		k = r.stream.spare()
	}
	if k == nil {
		k = newChunk(r.likely)
	}
	k.reset()
	k.most = chunkBytes
	if !r.sent {
		k.most = firstBytes
	}
	k.begin(r.name)
	r.name = ""
	k.limit = lockLimit(r.script, r.opts.LockTimeout)
	if r.limiter.lifted || r.limiter.own {
		k.limit = 0
	}
	return k
}

// watched returns a statement for the watcher, before it is sent.
func (r *scriptRunner) watched(st sqltext.Statement) *watched {
	if r.c.watch == nil {
		return nil
	}
	limit := lockLimit(r.script, r.opts.LockTimeout)
	if r.limiter.lifted || r.limiter.own {
		limit = 0
	}
	return &watched{st: st, limit: limit}
}

// limit sets the lock timeout for the next statement of a long script.
func (r *scriptRunner) limit(ctx context.Context, st sqltext.Statement) error {
	queries := r.limiter.before(st, lockLimit(r.script, r.opts.LockTimeout))
	if len(queries) == 0 {
		return nil
	}
	if err := r.sendChunk(ctx); err != nil {
		return err
	}
	if err := r.settle(); err != nil {
		return err
	}
	return r.add(ctx, queries...)
}

func (r *scriptRunner) finish(ctx context.Context) error {
	if r.long {
		if err := r.sendChunk(ctx); err != nil {
			return err
		}
		if err := r.settle(); err != nil {
			return err
		}
		return r.add(ctx, r.limiter.lower()...)
	}
	if err := r.readCustom(ctx); err != nil {
		return err
	}
	limit := lockLimit(r.script, r.opts.LockTimeout)
	for _, st := range r.few {
		q := query{sql: st.Text, path: callers, fail: func(pg *pgconn.PgError) error { return statementError(st, pg, st.Text, st.Pos) }}
		queries := r.limiter.before(st, limit)
		q.at = r.watched(st)
		if err := r.add(ctx, append(queries, q)...); err != nil {
			return err
		}
	}
	return r.add(ctx, r.limiter.lower()...)
}

// sendChunk sends the chunk without waiting for the answer: meanwhile the next one is filled.
// settle waits for it.
func (r *scriptRunner) sendChunk(ctx context.Context) error {
	k := r.chunk
	if k == nil {
		return nil
	}
	r.chunk = nil
	if len(r.unread) > 0 || len(r.queue) > 0 { // these come before it
		if err := r.settle(); err != nil {
			return err
		}
		if err := r.readCustom(ctx); err != nil {
			return err
		}
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	if r.stream == nil {
		r.stream = r.c.stream(ctx)
	}
	r.sent = true
	if err := r.stream.send(ctx, k); err != nil {
		return err
	}
	if k.len() > aheadBytes {
		return r.settle() // two such statements may need too much memory
	}
	return nil
}

// settle waits for the answers to the chunks that were sent. Until then the connection belongs to
// them.
func (r *scriptRunner) settle() error {
	if r.stream == nil {
		return nil
	}
	err := r.stream.end()
	r.spare, r.stream = r.stream.spare(), nil
	return err
}

func (r *scriptRunner) copyIn(ctx context.Context, st sqltext.Statement, data io.Reader) error {
	r.see(st)
	if !r.long {
		if err := r.goLong(ctx); err != nil {
			return err
		}
	}
	if err := r.sendChunk(ctx); err != nil {
		return err
	}
	if err := r.settle(); err != nil {
		return err
	}
	if err := r.limit(ctx, st); err != nil {
		return err
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	return r.c.copyIn(ctx, st, data, lockLimit(r.script, r.opts.LockTimeout))
}

// needsSimple reports whether a statement must be sent with the simple protocol: a pipeline can't
// take COPY, whose answer is a stream; and for a $1 that isn't a parameter, the simple protocol
// reports a better error.
func needsSimple(st sqltext.Statement) bool {
	switch st.Verb() {
	case "COPY":
		return true
	case "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE":
		return hasDollarNumber(st.Text)
	}
	return false
}

// hasDollarNumber reports whether a text contains $1 or the like. It looks into strings, too, which
// costs no more than the simple protocol does.
func hasDollarNumber(text string) bool {
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			return false
		}
		if text = text[i+1:]; text[0] >= '0' && text[0] <= '9' {
			return true
		}
	}
}

// changesLexing reports whether a statement may change how the server reads the following text,
// which must therefore be in another message.
func changesLexing(st sqltext.Statement) bool {
	if !st.Session {
		return false
	}
	low := strings.ToLower(st.Text)
	return strings.Contains(low, "standard_conforming_strings") || strings.Contains(low, "client_encoding") || strings.Contains(low, "backslash_quote")
}
