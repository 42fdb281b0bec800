package sqlite

import (
	"encoding/binary"
	"io"
	"os"
	"runtime"
)

// In the journal mode delete, each transaction creates a file beside the database and deletes it,
// which takes a tenth of the time of a short one. So a connection that commits one Tx after the
// other uses the mode persist meanwhile: it ends a journal by clearing its head. Other connections
// need not know, since the mode is not stored in the file. If the process dies, SQLite ignores a
// journal without a head, and deletes it with the next transaction.

// keepJournal keeps the journal of the open transaction after its end, if it would be deleted.
func (d *db) keepJournal(c *conn) {
	client := c.client()
	d.mu.Lock()
	asked := d.keeper == client
	d.keeper = client
	d.mu.Unlock()
	// Elsewhere a program can't delete a file that another one has open.
	if asked || runtime.GOOS == "windows" {
		return
	}
	// If this fails, the mode stays as it is.
	if c.journalMode() == "delete" && c.do("PRAGMA main.journal_mode = persist") == nil {
		d.mu.Lock()
		d.keeps = true
		d.mu.Unlock()
	}
}

// dropJournal deletes a journal that was kept. It does nothing while another connection writes,
// which then deletes it.
func (d *db) dropJournal(c *conn) {
	if c.do("BEGIN IMMEDIATE") != nil {
		return
	}
	defer c.rollback()
	if d.identify(bg, c) != nil { // the journal belongs to another file
		return
	}
	// In this transaction nobody can change the mode to one that is stored in the file.
	switch c.journalMode() {
	case "delete", "persist":
		// Only a change from persist to delete deletes the file, and another connection may have
		// kept it.
		_ = c.do("PRAGMA main.journal_mode = persist")
		_ = c.do("PRAGMA main.journal_mode = delete")
	}
}

// hasKept reports whether a connection keeps its journal, or did, and has the next Tx ask again.
func (d *db) hasKept() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keeper = nil
	return d.keeps
}

// endJournal deletes a journal that was kept when the database is closed.
func (d *db) endJournal() {
	if !d.hasKept() {
		return
	}
	if c, err := d.reader(bg); err == nil {
		d.dropJournal(c)
		c.release()
	}
}

// journalMode returns the journal mode, or "" if it can't be read.
func (c *conn) journalMode() (mode string) {
	_ = c.ask("PRAGMA main.journal_mode").Scan(&mode)
	return mode
}

// journalWatch returns a function that reports whether another process has ended a transaction
// since its last call. In the rollback modes, in which writers block readers, a transaction has a
// journal beside the file. The head of the journal has a random number, and is deleted or cleared
// at the end.
func (d *db) journalWatch() func() bool {
	if d.path == "" {
		return func() bool { return false }
	}
	last := journalNumber(d.path)
	return func() bool {
		before := last
		last = journalNumber(d.path)
		return before != 0 && last != before
	}
}

// journalNumber returns the random number of the transaction whose journal is beside a database's
// file, or 0.
func journalNumber(path string) uint32 {
	f, err := os.Open(path + "-journal")
	if err != nil {
		return 0
	}
	defer f.Close()
	var head [16]byte // a magic number, the number of pages, the random number
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return 0
	}
	return binary.BigEndian.Uint32(head[12:])
}
