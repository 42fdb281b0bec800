package sqlite

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
)

// begin opens a transaction that can write, and creates Whimbrel's tables if they are missing.
// guarded is called if a Run has left its mark, and returns whether to continue in this
// transaction; a nil guarded ignores the mark.
func (d *db) begin(ctx context.Context, c *conn, w *waiter, guarded func(*guardMark) (bool, error)) (standing, error) {
	for {
		err := c.do("BEGIN IMMEDIATE")
		if isBusy(err) {
			if err := w.wait(ctx, database.Holder{}); err != nil {
				return standing{}, err
			}
			continue
		}
		if err != nil {
			return standing{}, d.connectError(err)
		}
		if err := d.identify(ctx, c); err != nil {
			c.rollback()
			return standing{}, err
		}
		st, known := d.recall(c, w.set)
		if known {
			return st, nil
		}
		st, err = d.stand(c, w.set)
		if code(err) != 0 {
			var none bool
			if none, err = d.missing(ctx, c, err); none {
				st.fresh = true
				st.head, err = d.createTables(c)
			}
		}
		goOn := true
		if err == nil && st.guard != nil && guarded != nil {
			goOn, err = guarded(st.guard)
		}
		if err == nil && goOn {
			return st, nil
		}
		c.rollback()
		if err != nil {
			return standing{}, err
		}
		if err := d.waitForGuard(ctx, c, w, st.guard); err != nil {
			return standing{}, err
		}
	}
}

// lock acquires the migration lock: a transaction that can write while no Run is alive.
func (d *db) lock(ctx context.Context, c *conn, w *waiter) (standing, error) {
	return d.begin(ctx, c, w, func(g *guardMark) (bool, error) {
		path, err := d.sidePath(ctx, c, w.set)
		if err != nil {
			return false, err
		}
		alive, err := sideTaken(path)
		if err != nil || alive {
			return false, err
		}
		if err := c.do(d.sql.unguard, guardRow(w.set), g.Token); err != nil {
			return false, d.ownError("taking the migration lock", err)
		}
		os.Remove(path) // if it stays, the next Run uses it
		return true, nil
	})
}

// waitForGuard waits while a Run's mark exists and the Run is alive. It holds no lock that could
// block the Run.
func (d *db) waitForGuard(ctx context.Context, c *conn, w *waiter, g *guardMark) error {
	for {
		if err := w.wait(ctx, g.holder()); err != nil {
			return err
		}
		st, err := d.stand(c, w.set)
		switch {
		case isBusy(err):
			continue
		case err != nil:
			return d.connectError(err)
		case st.guard == nil || st.guard.Token != g.Token:
			return nil
		}
		path, err := d.sidePath(ctx, c, w.set)
		if err != nil {
			return err
		}
		if alive, err := sideTaken(path); err != nil || !alive {
			return err
		}
	}
}

// mark returns the row of a new Run.
func (d *db) mark() *guardMark {
	return &guardMark{
		Token: rand.Text(), PID: int64(os.Getpid()), Host: d.process.Host, App: d.opts.App,
		Since: time.Now().UTC().Truncate(time.Microsecond),
	}
}

// setGuard writes the mark in the open transaction.
func (d *db) setGuard(c *conn, set string, g *guardMark) error {
	b, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return d.ownError("taking the migration lock", c.write(d.sql.setting, guardRow(set), g.Token, string(b), formatTime(g.Since), "", ""))
}

// sidePath returns the file that a Run of the set holds locked, or "" in memory. It is beside the
// database file as SQLite resolves it, without symbolic links, so all processes agree on it. Only a
// holder of the database's write lock creates or removes it, so no process sees it replaced.
func (d *db) sidePath(ctx context.Context, c *conn, set string) (path string, err error) {
	if path, err = c.mainFile(ctx); err != nil || path == "" {
		return "", d.connectError(err)
	}
	return d.sideOf(path, set), nil
}

// sideOf returns the side file of a set beside a database's file.
func (d *db) sideOf(path, set string) string {
	if path == "" {
		return ""
	}
	key := sha256.Sum256([]byte(strings.ToLower(d.names.History) + "\x00" + set))
	return path + "-whimbrel-" + hex.EncodeToString(key[:6])
}

// side is a locked side file. The zero side belongs to a database in memory, which no other process
// sees.
type side struct {
	pool *sql.DB
	conn *sql.Conn
}

// takeSide creates and locks the side file. It returns nil if another process has locked it,
// perhaps only to test it.
func takeSide(path string) (*side, error) {
	if path == "" {
		return &side{}, nil
	}
	return openSide(path, "rwc")
}

// sideTaken reports whether a living process has locked the side file.
func sideTaken(path string) (bool, error) {
	if path == "" {
		return true, nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	s, err := openSide(path, "rw")
	if code(err)&0xff == lib.SQLITE_CANTOPEN {
		return false, nil
	}
	if s != nil {
		s.release()
	}
	return s == nil && err == nil, err
}

func openSide(path, mode string) (*side, error) {
	return lockFile(bg, path, mode, "journal_mode(memory)", "BEGIN EXCLUSIVE") // no third file
}

// lockFile locks a file with a statement, on a connection of its own. It returns nil if the file is
// locked.
func lockFile(ctx context.Context, path, mode, pragma, begin string) (*side, error) {
	pool, err := sql.Open(clientName, fileURI(path, mode, url.Values{"_pragma": {pragma}}))
	if err != nil {
		return nil, err
	}
	s := &side{pool: pool}
	if s.conn, err = pool.Conn(ctx); err == nil {
		_, err = s.conn.ExecContext(ctx, begin)
	}
	if err == nil {
		return s, nil
	}
	s.release()
	if isBusy(err) {
		err = nil
	}
	return nil, err
}

// release releases the lock.
func (s *side) release() {
	if s.conn != nil {
		s.conn.ExecContext(bg, "ROLLBACK") // closing does the same
		s.conn.Close()
	}
	if s.pool != nil {
		s.pool.Close()
	}
}
