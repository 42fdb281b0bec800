package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

// A process that fails at each of its restarts adds a failed entry each time. State must not read
// them all.
func TestStateSkipsFailedEntries(t *testing.T) {
	t.Parallel()
	opened, err := database.Open(t.Context(), "sqlite:"+filepath.ToSlash(filepath.Join(t.TempDir(), "app.db")), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	d := opened.(*db)
	record := func(entries ...database.Entry) {
		t.Helper()
		tx, _, err := d.Begin(t.Context(), "s", database.LockOptions{})
		if err == nil {
			err = tx.Record(t.Context(), entries...)
		}
		if err == nil {
			_, err = tx.Commit(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	rows := func() (n int) {
		t.Helper()
		c, err := d.reader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.release()
		if err := eachRow(t.Context(), c, d.sql.state, "s", func(string) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	failed := database.Entry{Version: 2, Name: "broken", Direction: database.Failed, Tried: database.Up, Error: "no"}
	record(database.Entry{Version: 1, Name: "a", Direction: database.Up}, failed)
	before := rows()
	for i := range 20 {
		failed.Error = fmt.Sprint("no ", i)
		record(failed)
	}
	if after := rows(); after != before {
		t.Errorf("State reads %d rows after 20 more failures, and %d before", after, before)
	}
	st, err := d.State(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	tx, found, err := d.Begin(t.Context(), "s", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if st.Head != found.Head {
		t.Errorf("the head is %d, under the lock it is %d", st.Head, found.Head)
	}
}
