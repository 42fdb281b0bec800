package locktable

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestModes tries each mode of a table's lock beside each other one.
func TestModes(t *testing.T) {
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
			if !o.waitedFor(altered) {
				t.Fatal("ALTER TABLE did not wait for the reader")
			}
			read := start(later, "SELECT FROM t")
			behind := &observer{t: t, conn: later, other: o.other}
			if !behind.waitedFor(read) {
				t.Fatal("the later reader did not wait")
			}
			blockers := o.rows(o.other, fmt.Sprintf("SELECT pg_blocking_pids(%d)::text", later.PgConn().PID()))[0][0]
			if want := fmt.Sprintf("{%d}", o.conn.PgConn().PID()); blockers != want {
				t.Errorf("the later reader waits for %s, want the ALTER TABLE, %s", blockers, want)
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
