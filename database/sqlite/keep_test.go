package sqlite_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

// onlyKept skips a test where journals are not kept.
func onlyKept(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("on Windows no journal is kept")
	}
}

// applyMore applies migrations from a version on, each in a Tx of its own.
func applyMore(t *testing.T, db database.Database, from int64) {
	t.Helper()
	for v := from; v < from+3; v++ {
		apply(t, db, v, fmt.Sprintf("CREATE TABLE t%d (x)", v))
	}
}

func journalOf(t *testing.T, path string) (exists bool) {
	t.Helper()
	_, err := os.Stat(path + "-journal")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// The journal's file stays from one Tx to the next, and is gone after a Run or Close.
func TestJournalIsKept(t *testing.T) {
	t.Parallel()
	onlyKept(t)
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	expect := func(when string, want bool) {
		t.Helper()
		if got := journalOf(t, path); got != want {
			t.Errorf("%s: the journal exists: %t, want %t", when, got, want)
		}
	}
	apply(t, db, 1, "CREATE TABLE a (x)")
	expect("after one Tx", false)
	applyMore(t, db, 2)
	expect("after several", true)
	r, _, err := db.Guard(bg, "app", database.LockOptions{})
	must(t, err)
	must(t, r.Close(bg))
	expect("after a Run", false)
	applyMore(t, db, 5)
	expect("after several Txs again", true)
	_, err = open(t, path, "").Exec("INSERT INTO a VALUES (1)")
	must(t, err)
	expect("after a write of another connection", false)
	applyMore(t, db, 8)
	must(t, db.Close())
	expect("after Close", false)
}

// A journal that a dead process has kept is in nobody's way, and is gone after the next write.
func TestJournalOfTheDead(t *testing.T) {
	t.Parallel()
	onlyKept(t)
	dir := t.TempDir()
	alive := filepath.Join(dir, "app.db")
	db := connect(t, "sqlite:"+alive, database.Options{})
	applyMore(t, db, 1)
	dead := again(t, dir) // as it is at a kill
	must(t, db.Close())
	path := filepath.Join(dead, "app.db")
	if !journalOf(t, path) {
		t.Fatal("there is no journal")
	}
	if n := scan[int](t, path, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 't[0-9]'"); n != 3 {
		t.Errorf("%d tables, want 3", n)
	}
	next := connect(t, "sqlite:"+path, database.Options{})
	apply(t, next, 4, "CREATE TABLE b (x)")
	if journalOf(t, path) {
		t.Error("the journal remains")
	}
}

// A journal mode that somebody has chosen stays.
func TestJournalModesStay(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"delete", "truncate", "persist", "wal"} {
		path := filepath.Join(t.TempDir(), "app.db")
		db := connect(t, "sqlite:"+path+"?_pragma=journal_mode("+mode+")", database.Options{})
		applyMore(t, db, 1)
		must(t, db.Close())
		if got, want := journalOf(t, path), mode == "truncate" || mode == "persist"; got != want {
			t.Errorf("%s: the journal exists: %t, want %t", mode, got, want)
		}
		if got, want := scan[string](t, path, "PRAGMA journal_mode"), map[bool]string{true: "wal", false: "delete"}[mode == "wal"]; got != want {
			t.Errorf("%s: the file's mode is %s, want %s", mode, got, want)
		}
	}
}

// A Run may change the journal mode that is stored in the file, after Txs and before them.
func TestJournalModeOfARun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	applyMore(t, db, 1)
	r, _, err := db.Guard(bg, "app", database.LockOptions{})
	must(t, err)
	script := "PRAGMA journal_mode = wal"
	must(t, r.Exec(bg, text(script), statements(t, script)[0], nil, nil))
	must(t, r.Close(bg))
	applyMore(t, db, 4)
	must(t, db.Close())
	if mode := scan[string](t, path, "PRAGMA journal_mode"); mode != "wal" || journalOf(t, path) {
		t.Errorf("the mode is %s, want wal, and a rollback journal exists: %t", mode, journalOf(t, path))
	}
}

// The journal of a file that has replaced the database is not deleted.
func TestJournalOfAnotherFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	applyMore(t, db, 1)
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.WriteFile(path+"-journal", []byte("its journal"), 0o600))
	must(t, db.Close())
	if !journalOf(t, path) {
		t.Error("the journal of another file is gone")
	}
}
