package locktable

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestModes tries each mode of a table's lock beside each other one, and compares the table of
// modes on the page.
func TestModes(t *testing.T) {
	comparePage(t, "modes", modesTable())
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			o := &observer{t: t, url: url, conn: connect(t, url), other: connect(t, url)}
			o.do(o.conn, "CREATE TABLE t ()")
			for _, held := range modes {
				o.do(o.conn, "BEGIN; LOCK TABLE t IN "+held.name+" MODE")
				var got strings.Builder
				for _, asked := range modes {
					if o.waits("LOCK TABLE t IN " + asked.name + " MODE NOWAIT") {
						got.WriteByte('x')
					} else {
						got.WriteByte('-')
					}
				}
				o.do(o.conn, "ROLLBACK")
				if got.String() != held.conflicts {
					t.Errorf("%s conflicts with %s, want %s", held.name, got.String(), held.conflicts)
				}
			}
		})
	}
}

// TestALaterReaderWaitsForTheWaitingStatement shows the lock queue that docs/locks.md explains: a
// reader holds the weakest lock, an ALTER TABLE waits for it, and the next reader waits for the
// ALTER TABLE.
func TestALaterReaderWaitsForTheWaitingStatement(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			o := &observer{t: t, url: url, conn: connect(t, url), other: connect(t, url)}
			reader, later := connect(t, url), connect(t, url)
			o.do(o.other, "CREATE TABLE t ()")
			o.do(reader, "BEGIN; SELECT FROM t")
			altered := start(o.conn, "ALTER TABLE t ADD COLUMN c int")
			if !o.waitsFor(reader, altered) {
				t.Fatal("ALTER TABLE did not wait for the reader")
			}
			read := start(later, "SELECT FROM t")
			behind := &observer{t: t, conn: later, other: o.other}
			if !behind.waitsFor(o.conn, read) {
				t.Fatal("the later reader did not wait for the ALTER TABLE")
			}
			blockers := o.rows(o.other, fmt.Sprintf("SELECT cardinality(pg_blocking_pids(%d))", later.PgConn().PID()))[0][0]
			if blockers != "1" {
				t.Errorf("the later reader waits for %s sessions, want 1", blockers)
			}
			o.do(reader, "COMMIT")
			for _, ended := range []chan error{altered, read} {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// modesTable returns the table of the modes, strongest first.
func modesTable() string {
	columns := []struct{ title, mode string }{
		{"`SELECT`", "ACCESS SHARE"},
		{"`SELECT … FOR UPDATE`", "ROW SHARE"},
		{"`INSERT`, `UPDATE`, `DELETE`", "ROW EXCLUSIVE"},
		{"`CREATE INDEX CONCURRENTLY`, `VACUUM`", "SHARE UPDATE EXCLUSIVE"},
		{"`CREATE INDEX`", "SHARE"},
		{"most of `ALTER TABLE`", "ACCESS EXCLUSIVE"},
	}
	var b strings.Builder
	b.WriteString("| a lock of mode … blocks")
	for _, c := range columns {
		b.WriteString(" | " + c.title)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|:-:", len(columns)) + "|\n")
	for _, held := range slices.Backward(modes) {
		b.WriteString("| " + held.name)
		for _, c := range columns {
			if held.conflicts[level(c.mode)] == 'x' {
				b.WriteString(" | blocks")
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString(" |\n")
	}
	return b.String()
}
