package postgres

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// copyIn sends COPY … FROM stdin and its data. limit is the lock timeout, for the watcher.
func (c *conn) copyIn(ctx context.Context, st sqltext.Statement, data io.Reader, limit time.Duration) error {
	defer c.watch.watch(sent{statements: []watched{{st, limit}}, message: true})()
	return c.do(ctx, func(ctx context.Context, pc *pgconn.PgConn) error {
		d := &copyData{r: data, at: drivers.Advance(st.Start, st.Raw).Offset, line: 1, starts: make([]int64, linesKept)}
		d.starts[1] = d.at
		_, err := pc.CopyFrom(ctx, d, st.Text)
		if broken := d.end(); broken != nil {
			return broken // the server only reports that the client gave up
		}
		if pg, ok := drivers.AsType[*pgconn.PgError](err); ok {
			return d.explain(st, pg)
		}
		return err
	})
}

// copyData is the data of a COPY on its way to the server. CopyFrom may leave behind a goroutine
// that reads it when the connection breaks; after end, that goroutine gets no more data.
type copyData struct {
	mu   sync.Mutex
	r    io.Reader
	over bool
	err  error // of r, except EOF

	at     int64   // the position in the script read so far
	line   int     // the line of the data being read
	starts []int64 // the starts of the latest lines, by number
}

// linesKept is the number of lines in transit for which an error can be located.
const linesKept = 1 << 15

func (d *copyData) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return 0, io.ErrClosedPipe
	}
	n, err := d.r.Read(p)
	for rest := p[:n]; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			d.at += int64(len(rest))
			break
		}
		d.at += int64(i + 1)
		d.line++
		d.starts[d.line%linesKept] = d.at
		rest = rest[i+1:]
	}
	if err != nil && err != io.EOF {
		d.err = err
	}
	return n, err
}

func (d *copyData) end() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	return d.err
}

// copyLine matches the line of the data in a server error: "COPY t, line 3".
var copyLine = lazyregexp.New(`(?m)^COPY .*?, \S+ (\d+)`)

// explain adds the position of the line that the server reported.
func (d *copyData) explain(st sqltext.Statement, pg *pgconn.PgError) error {
	err := statementError(st, pg, st.Text, st.Pos)
	m := copyLine.FindStringSubmatch(pg.Where)
	if m == nil || pg.Position > 0 {
		return err
	}
	line, _ := strconv.Atoi(m[1])
	if line < 1 || line > d.line || line <= d.line-linesKept {
		return err
	}
	if e, ok := drivers.AsType[*database.StatementError](err); ok {
		e.Pos = sqltext.Position{File: st.Pos.File, Offset: d.starts[line%linesKept], Line: drivers.Advance(st.Start, st.Raw).Line + line - 1, Column: 1}
	}
	return err
}
