package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"os"
	"runtime"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// CommitAndBegin implements database.Chainer. The connection passes to the next Tx, and keeps a
// read lock and its journal open from COMMIT to BEGIN: see staying.
func (b *transaction) CommitAndBegin(ctx context.Context, opts database.LockOptions) (r database.Recorded, next database.Tx, found database.Found, err error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return r, nil, found, err
	}
	defer leave()
	defer b.End()
	if !b.passes() {
		r, err = b.commit(ctx, func() {})
		return r, nil, found, err
	}
	begun := false
	lock := b.d.stay(b.c, b.journal)
	r, err = b.commit(ctx, func() { begun = b.c.do("BEGIN IMMEDIATE") == nil })
	same := lock.end()
	if !begun {
		return r, nil, found, err
	}
	st, known := b.d.recall(b.c, b.set)
	if err != nil || !same || !known {
		b.c.rollback()
		return r, nil, found, err
	}
	b.d.keepJournal(b.c)
	n := &transaction{d: b.d, c: b.c, set: b.set, opts: opts, found: database.Found{Head: st.head}, last: time.Now(), journal: lock.file()}
	b.passed = true
	if n.Open(b.d.life, n.end) != nil { // Begin returns the error
		return r, nil, found, nil
	}
	return r, n, n.found, nil
}

// passes reports whether the connection can pass to the next Tx as it is, and whether the caller
// can have others meanwhile.
func (b *transaction) passes() bool {
	return b.d.owned && b.c.file != nil && b.session == nil && !b.keys.changed && b.plain()
}

// staying is the read lock of a connection that stays over its COMMIT. As long as a connection has
// a lock, SQLite keeps the journal open, and need not look for the journal of a dead process. That
// takes a fifth of the time of a short transaction.
//
// Meanwhile nobody can commit, but another connection can begin to write. When it rolls back, it
// deletes the journal, and this one would write to a file without a name. So once this one has the
// write lock, it compares the file of that name with the one that it has open.
type staying struct {
	rows    sqldriver.Rows // of a statement that is not over
	name    string         // of the journal
	journal os.FileInfo
}

// stay is called before COMMIT. It returns nil if the connection keeps no journal. journal is the
// one that it has kept since the COMMIT before, or nil.
func (d *db) stay(c *conn, journal os.FileInfo) *staying {
	client := c.client()
	d.mu.Lock()
	keeps := d.keeper == client
	d.mu.Unlock()
	if !keeps || c.file == nil || runtime.GOOS == "windows" {
		return nil
	}
	name, err := c.journalName()
	if err == nil && journal == nil {
		journal, err = os.Stat(name)
	}
	if err != nil {
		return nil
	}
	s := &staying{name: name, journal: journal}
	if s.rows, err = c.query("PRAGMA main.schema_version"); err != nil {
		return nil
	}
	return s
}

// journalName returns the name of the rollback journal, which is beside the file as SQLite resolves
// its name.
func (c *conn) journalName() (string, error) {
	if c.file.journal == "" {
		path, err := c.mainFile(bg)
		if err != nil {
			return "", err
		}
		c.file.journal = path + "-journal"
	}
	return c.file.journal, nil
}

// query begins a query on the client itself.
func (c *conn) query(text string) (rows sqldriver.Rows, err error) {
	err = c.Raw(func(client any) (err error) {
		q, ok := client.(sqldriver.QueryerContext)
		if !ok {
			return otherClient(client)
		}
		rows, err = q.QueryContext(bg, text, nil)
		return err
	})
	return rows, err
}

// end gives up the read lock. It reports whether the open journal is still the file of its name,
// which nobody can change while this connection has the write lock.
func (s *staying) end() (same bool) {
	if s == nil {
		return true
	}
	s.rows.Close()
	now, err := os.Stat(s.name)
	return err == nil && os.SameFile(now, s.journal)
}

// file returns the journal that was kept.
func (s *staying) file() os.FileInfo {
	if s == nil {
		return nil
	}
	return s.journal
}
