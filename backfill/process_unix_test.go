//go:build unix

package backfill_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/whimbrel-db/whimbrel/backfill"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// start starts a worker in a process of its own, and waits until it works.
func (f filled) start(t *testing.T, until backfill.Until) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(job{URL: f.url, Lease: lease, Until: until})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envProcess+"="+string(text))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Signal(syscall.SIGCONT)
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the worker printed %q: %v", line, err)
	}
	return cmd
}

// A worker that is killed loses its lane when its lease ends. The next one continues there.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		f := fill(t, newTarget(t), 3000, countOnce, "batch 20", "parallel 2", "pause 5ms")
		for kills := range 3 {
			before := f.status(t).RowsDone
			cmd := f.start(t, backfill.Stopped)
			eventually(t, "the worker has changed rows, or nothing is left", func() bool {
				b := f.status(t)
				return b.RowsDone > before || b.State == database.BackfillDone
			})
			cmd.Process.Kill()
			cmd.Wait()
			t.Logf("kill %d after %d rows", kills+1, f.status(t).RowsDone)
		}
		if err := f.work(t); err != nil {
			t.Fatal(err)
		}
		f.wantOnce(t)
	})
}

// A worker that is frozen for longer than its lease commits nothing that another one has done.
func TestFrozenWorker(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		f := fill(t, newTarget(t), 3000, countOnce, "batch 20", "pause 5ms")
		cmd := f.start(t, backfill.Done)
		eventually(t, "the worker has changed rows", func() bool { return f.status(t).RowsDone > 0 })
		// a process that is stopped within a transaction keeps the lock of a SQLite file
		eventually(t, "the worker is stopped between two batches", func() bool {
			stop(t, cmd)
			if testdb.Writable(t, f.url) {
				return true
			}
			if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			return false
		})
		if err := f.work(t); err != nil {
			t.Fatal(err)
		}
		f.wantOnce(t)
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the worker that was frozen: %v", err)
		}
		f.wantOnce(t)
	})
}

// stop freezes a process, and waits until all of its threads have stopped: the signal alone only
// asks for it.
func stop(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if err == nil && status.Stopped() {
			return
		}
		if err != syscall.EINTR {
			t.Fatalf("the process did not stop: status %#x, %v", status, err)
		}
	}
}

// SIGTERM lets the batch commit, and frees the lanes at once.
func TestTerminatedWorkerFreesItsLanes(t *testing.T) {
	t.Parallel()
	eachTarget(t, func(t *testing.T, newTarget func(*testing.T) target) {
		f := fill(t, newTarget(t), 3000, countOnce, "batch 20", "parallel 2", "pause 5ms")
		cmd := f.start(t, backfill.Stopped)
		eventually(t, "the worker has changed rows", func() bool { return f.status(t).RowsDone > 0 })
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the worker: %v", err)
		}
		if n := f.maxLeased(t); n > 0 {
			t.Errorf("%d lanes have a worker; want none", n)
		}
		if err := f.work(t); err != nil {
			t.Fatal(err)
		}
		f.wantOnce(t)
	})
}
