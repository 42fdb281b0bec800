package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// These variables make the test binary another process, with a role and a URL.
const roleVar, urlVar = "WHIMBREL_TEST_ROLE", "WHIMBREL_TEST_URL"

func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv(roleVar)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv(urlVar)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var roles = map[string]func(url string) error{
	"apply":      applyFive,
	"fall":       fall,
	"count rows": countRows,
	"hold a transaction": func(url string) error {
		db, err := database.Open(bg, url, database.Options{App: "holder"})
		if err != nil {
			return err
		}
		b, _, err := db.Begin(bg, "app", patient)
		if err != nil {
			return err
		}
		if err := b.Exec(bg, text("PRAGMA cache_size = 1; CREATE TABLE half (x); INSERT INTO half "+numbers(20000))); err != nil {
			return err
		}
		return hang()
	},
	"hold a run": func(url string) error {
		db, err := database.Open(bg, url, database.Options{App: "holder"})
		if err != nil {
			return err
		}
		if _, _, err := db.Guard(bg, "app", patient); err != nil {
			return err
		}
		return hang()
	},
}

// numbers returns a query of n rows.
func numbers(n int) string {
	return fmt.Sprintf("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n", n)
}

// hang waits to be killed.
func hang() error {
	fmt.Println("ready")
	time.Sleep(time.Hour)
	return errors.New("nobody killed this process")
}

// applyFive migrates the database to version 5, like the engine.
func applyFive(url string) error {
	db, err := database.Open(bg, url, database.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	st, err := db.State(bg, "app")
	if err != nil {
		return err
	}
	var next database.Tx
	for v := int64(1); v <= 5; v++ {
		if _, applied := st.Applied.Get(v); applied && next == nil {
			continue
		}
		b := next
		if b == nil {
			if b, _, err = db.Begin(bg, "app", patient); err != nil {
				return err
			}
		}
		if st, err = b.State(bg); err == nil {
			if _, applied := st.Applied.Get(v); !applied {
				if err = b.Exec(bg, text(fmt.Sprintf("CREATE TABLE t%d (x); INSERT INTO t%d VALUES (1)", v, v))); err == nil {
					err = b.Record(bg, event(v))
				}
			}
		}
		next = nil
		if err == nil && v < 5 {
			_, next, _, err = database.CommitAndBegin(bg, b, database.LockOptions{})
		} else if err == nil {
			_, err = b.Commit(bg)
		}
		if err := errors.Join(err, b.Rollback(bg)); err != nil {
			return err
		}
	}
	return nil
}

// process starts the test binary in a role.
func process(t *testing.T, role, url string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, 10*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role, urlVar+"="+url)
	return cmd
}

// holder starts a process that acquires a lock, and returns when it has it.
func holder(t *testing.T, role, url string) (kill func()) {
	t.Helper()
	cmd := process(t, role, url)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("%s: %q, %v: %s", role, line, err, errs.String())
	}
	kill = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(kill)
	return kill
}

func TestTwentyProcessesAtOnce(t *testing.T) {
	t.Parallel()
	for _, params := range []string{"", "?_pragma=journal_mode(wal)", "?_pragma=busy_timeout(5000)"} {
		path := filepath.Join(t.TempDir(), "app.db")
		var all []*exec.Cmd
		var outs []*bytes.Buffer
		for range 20 {
			cmd, out := process(t, "apply", "sqlite:"+path+params), &bytes.Buffer{}
			cmd.Stdout, cmd.Stderr = out, out
			all, outs = append(all, cmd), append(outs, out)
			must(t, cmd.Start())
		}
		for i, cmd := range all {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s: process %d: %v: %s", params, i, err, outs[i])
			}
		}
		for _, q := range []string{
			"SELECT count(*) = 5 AND count(DISTINCT version) = 5 FROM whimbrel_history WHERE set_name = 'app'",
			"SELECT count(*) = 1 FROM whimbrel_history WHERE set_name = 'whimbrel'",
			"SELECT count(*) = 1 FROM t5",
		} {
			if !scan[bool](t, path, q) {
				t.Errorf("%s: it is not so that %s", params, q)
			}
		}
	}
}

func TestKilledInATransaction(t *testing.T) {
	t.Parallel()
	for _, params := range []string{"", "?_pragma=journal_mode(wal)"} {
		path := filepath.Join(t.TempDir(), "app.db")
		db := connect(t, "sqlite:"+path+params, database.Options{})
		apply(t, db, 1, "CREATE TABLE t (x)")
		kill := holder(t, "hold a transaction", "sqlite:"+path+params)
		if _, _, err := db.Begin(bg, "app", database.LockOptions{}); !errors.Is(err, database.ErrLocked) {
			t.Errorf("%s: Begin: %v, want ErrLocked", params, err)
		}
		kill()
		st, err := db.State(bg, "app")
		must(t, err)
		if st.Applied.Len() != 1 {
			t.Errorf("%s: %d applied, want 1", params, st.Applied.Len())
		}
		b, _, err := db.Begin(bg, "app", database.LockOptions{})
		must(t, err)
		must(t, b.Exec(bg, text("CREATE TABLE half (x)"))) // what the other began is not there
		must(t, errOf(b.Commit(bg)))
	}
}

func TestKilledInARun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	for _, next := range []string{"transaction", "run"} {
		kill := holder(t, "hold a run", "sqlite:"+path)
		if n := len(sideFiles(t, path)); n != 1 {
			t.Errorf("%d side files, want 1", n)
		}
		if _, _, err := db.Begin(bg, "app", database.LockOptions{}); !errors.Is(err, database.ErrLocked) {
			t.Errorf("Begin: %v, want ErrLocked", err)
		}
		if _, _, err := db.Guard(bg, "app", database.LockOptions{}); !errors.Is(err, database.ErrLocked) {
			t.Errorf("Guard: %v, want ErrLocked", err)
		}
		kill()
		if next == "transaction" {
			b, _, err := db.Begin(bg, "app", database.LockOptions{})
			must(t, err)
			must(t, errOf(b.Commit(bg)))
		} else {
			r, _, err := db.Guard(bg, "app", database.LockOptions{})
			must(t, err)
			must(t, r.Close(bg))
		}
		if files := sideFiles(t, path); len(files) != 0 {
			t.Errorf("after the next %s there is still %q", next, files)
		}
		if !scan[bool](t, path, "SELECT count(*) = 0 FROM whimbrel_settings") {
			t.Errorf("after the next %s the settings still have a mark", next)
		}
	}
}

func sideFiles(t testing.TB, path string) []string {
	t.Helper()
	files, err := filepath.Glob(path + "-whimbrel*")
	must(t, err)
	return files
}
