package postgres

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A script with at most this many statements and bytes is queued, statement by statement, with the
// statements before and after it. A longer script is sent in chunks of many statements, which the
// server splits: that is several times faster. The number of successful statements shows which one
// failed.
const (
	fewStatements = 32
	fewBytes      = 64 << 10
	firstBytes    = 64 << 10 // of the first chunk, so that the server begins while the next is read
	chunkBytes    = 384 << 10
)

// scriptRunner executes one script in a Tx.
type scriptRunner struct {
	*transaction
	script *migration.Script

	few     []sqltext.Statement // the first statements, while the script may be short
	chunk   *chunk
	transit *chunk     // the chunk that is sent
	ahead   chan error // receives its result; nil: none is sent
	spare   []part     // memory for the parts of another chunk
	long    bool
	sent    bool // a chunk was sent

	custom  []string // custom settings that the script may have changed
	unread  []string // those of them whose old value has not been read
	listens bool     // the script may LISTEN or UNLISTEN
	times   bool     // the script may set timeouts
}

func (r *scriptRunner) run(ctx context.Context, a *migration.Analysis) error {
	err := r.all(ctx, a)
	if serr := r.settle(); serr != nil {
		return serr // it is about an earlier statement
	}
	return err
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
	if r.chunk == nil {
		r.chunk = &chunk{full: chunkBytes, parts: r.spare}
		r.spare = nil
		if !r.sent {
			r.chunk.full = firstBytes
		}
		r.chunk.text.Grow(r.chunk.full + r.chunk.full/4)
		r.chunk.begin(r.name)
		r.name = ""
		r.chunk.limit = lockLimit(r.script, r.opts.LockTimeout)
		if r.limiter.lifted || r.limiter.own {
			r.chunk.limit = 0
		}
	}
	r.chunk.add(st)
	if r.chunk.text.Len() < r.chunk.full && !changesLexing(st) {
		return nil
	}
	return r.sendChunk(ctx)
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

// sendChunk sends a chunk without waiting for the answer: meanwhile the next chunk is read. settle
// waits for it.
func (r *scriptRunner) sendChunk(ctx context.Context) error {
	if err := r.settle(); err != nil || r.chunk == nil {
		return err
	}
	if err := r.readCustom(ctx); err != nil {
		return err
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	k, ahead := r.chunk, make(chan error, 1)
	r.chunk, r.ahead, r.sent = nil, ahead, true
	r.transit = k
	go func() { ahead <- r.c.simple(ctx, k) }()
	if k.text.Len() > 2*chunkBytes {
		return r.settle() // two such statements may need too much memory
	}
	return nil
}

// settle waits for the answer to the chunk in transit. Until then the connection belongs to the
// chunk.
func (r *scriptRunner) settle() error {
	if r.ahead == nil {
		return nil
	}
	err := <-r.ahead
	r.ahead, r.spare, r.transit = nil, r.transit.parts[:0], nil
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

// chunk is a part of a script's text that is sent as one message.
type chunk struct {
	text   strings.Builder
	full   int // the length from which it is sent
	parts  []part
	file   string
	limit  time.Duration // the lock timeout, for the watcher
	before int           // statements of Whimbrel's own before them
}

// part is a statement of a chunk, whose text is part of the chunk's.
type part struct {
	offset       int64  // where its Raw begins in the script
	at, from, to uint32 // where its Raw begins in the chunk, and where its Text is
	index        uint32 // in the script
	start, pos   lineColumn
}

type lineColumn struct{ line, column uint32 }

func lineColumnOf(p sqltext.Position) lineColumn {
	return lineColumn{uint32(p.Line), uint32(p.Column)}
}

func (l lineColumn) in(file string, offset int64) sqltext.Position {
	return sqltext.Position{File: file, Offset: offset, Line: int(l.line), Column: int(l.column)}
}

// begin adds a statement of Whimbrel's own before those of the script; "" adds none.
func (k *chunk) begin(sql string) {
	if sql != "" {
		k.before = 1
		k.text.WriteString(sql + ";\n")
	}
}

func (k *chunk) add(st sqltext.Statement) {
	at := k.text.Len()
	from := at + int(st.Pos.Offset-st.Start.Offset)
	k.file = st.Pos.File
	k.parts = append(k.parts, part{
		offset: st.Start.Offset, at: uint32(at), from: uint32(from), to: uint32(from + len(st.Text)), index: uint32(st.Index),
		start: lineColumnOf(st.Start), pos: lineColumnOf(st.Pos),
	})
	k.text.WriteString(st.Raw)
}

// statement returns what is needed of a statement for messages.
func (k *chunk) statement(i int) sqltext.Statement {
	p, text := k.parts[i], k.text.String()
	end := uint32(len(text))
	if i+1 < len(k.parts) {
		end = k.parts[i+1].at
	}
	return sqltext.Statement{
		Raw: text[p.at:end], Text: text[p.from:p.to], Index: int(p.index),
		Start: p.start.in(k.file, p.offset), Pos: p.pos.in(k.file, p.offset+int64(p.from-p.at)),
	}
}

// simple sends a chunk with the simple query protocol.
func (c *conn) simple(ctx context.Context, k *chunk) error {
	if c.watch != nil {
		defer c.watch.watch(sent{chunk: k, message: true})()
	}
	return c.do(ctx, func(ctx context.Context, pc *pgconn.PgConn) error {
		sql := k.text.String()
		mrr := pc.Exec(ctx, sql)
		n := -k.before // successful statements
		for mrr.NextResult() {
			if _, err := mrr.ResultReader().Close(); err != nil {
				break
			}
			n++
			c.watch.answer(max(n, 0))
		}
		err := mrr.Close()
		if pg, ok := drivers.AsType[*pgconn.PgError](err); ok {
			return k.explain(pg, sql, n)
		}
		return err
	})
}

// watched returns the statements for the watcher.
func (k *chunk) watched() []watched {
	all := make([]watched, len(k.parts))
	for i := range k.parts {
		all[i] = watched{st: k.statement(i), limit: k.limit}
	}
	return all
}

// explain finds the statement of an error: the one at the server's position, or the first that did
// not succeed.
func (k *chunk) explain(pg *pgconn.PgError, sql string, succeeded int) error {
	i := max(min(succeeded, len(k.parts)-1), 0)
	if pg.Position > 0 {
		at := uint32(byteOffset(sql, int(pg.Position)))
		for i = 0; i+1 < len(k.parts) && k.parts[i+1].at <= at; i++ {
		}
	}
	st := k.statement(i)
	copied := *pg
	if pg.Position > 0 { // count from the statement's beginning
		copied.Position -= int32(utf8.RuneCountInString(sql[:k.parts[i].at]))
	}
	return statementError(st, &copied, st.Raw, st.Start)
}

// byteOffset converts the server's position, in characters from 1, to bytes from 0.
func byteOffset(s string, position int) int {
	n := 0
	for i := range s {
		if n++; n == position {
			return i
		}
	}
	return len(s)
}
