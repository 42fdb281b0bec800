package testdb

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// daemon is a server process for one test, with a folder of its own. The functions that are set
// before it starts determine the kind of server.
type daemon struct {
	// URL leads to the server, and stays the same over restarts.
	URL string

	t      testing.TB
	folder string // for data, socket and log
	port   int    // 0: to be chosen
	ports  int    // the number of consecutive ports; 0: one

	command      func() *exec.Cmd            // starts it on the port
	url          func() string               // with that port
	answers      func(context.Context) error // whether it accepts work
	startTimeout time.Duration               // the limit for starting; 0: a minute
	stop         syscall.Signal              // shuts it down, with its clients' connections
	orphaned     syscall.Signal              // ends it if this process is gone

	process *exec.Cmd     // nil: not running
	exited  chan struct{} // closed when the process has ended
}

// newDaemon creates the folder of a server, which ends with the test.
func newDaemon(t testing.TB, kind string) *daemon {
	t.Helper()
	// Not t.TempDir: the server's user can't access that, and a socket's path must be short.
	folder, err := os.MkdirTemp(os.Getenv(envData), kind+"-")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, folder: folder}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of the test's server ends with:\n%s", d.logTail())
		}
		d.Kill()
		clean(d.data())
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if err := handOver(folder); err != nil {
		t.Fatal(err)
	}
	return d
}

// Start starts the server after Stop or Kill, and returns when it answers.
func (d *daemon) Start() {
	d.t.Helper()
	if d.process != nil {
		return
	}
	for try := 1; ; try++ {
		if d.port == 0 {
			d.port = freePorts(d.t, max(1, d.ports))
		}
		d.URL = d.url()
		err := d.launch()
		if err == nil {
			return
		}
		log := d.logTail()
		d.Kill() // it may run without answering
		if try == 3 || !bytes.Contains(log, []byte("in use")) {
			d.t.Fatalf("%v\n%s", err, log)
		}
		d.port = 0 // another process took the port
	}
}

// Stop shuts the server down, which ends its clients' connections.
func (d *daemon) Stop() {
	d.t.Helper()
	if d.process == nil {
		return
	}
	if err := d.process.Process.Signal(d.stop); err != nil {
		d.t.Fatal(err)
	}
	select {
	case <-d.exited:
	case <-time.After(5 * time.Minute):
		d.t.Fatal("the test's server does not stop")
	}
	d.process = nil
}

// Kill kills all of the server's processes, like SIGKILL or a power failure.
func (d *daemon) Kill() {
	if d.process == nil {
		return
	}
	kill(d.process.Process.Pid, d.exited)
	d.process = nil
}

// Restart is Stop and Start.
func (d *daemon) Restart() {
	d.t.Helper()
	d.Stop()
	d.Start()
}

func (d *daemon) data() string { return filepath.Join(d.folder, "data") }

// prepare runs a program that creates the server's data.
func (d *daemon) prepare(name string, args ...string) {
	d.t.Helper()
	cmd := asOrdinaryUser(exec.Command(name, args...))
	cmd.Dir = d.folder
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", filepath.Base(name), err, out)
	}
}

// launch starts the server and returns when it answers, or an error.
func (d *daemon) launch() error {
	log, err := os.Create(filepath.Join(d.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := asOrdinaryUser(d.command())
	cmd.Dir, cmd.Stdout, cmd.Stderr = d.folder, log, log
	exited := make(chan struct{})
	if err := startWithUs(cmd, d.orphaned, exited); err != nil {
		return err
	}
	d.process, d.exited = cmd, exited

	startTimeout := d.startTimeout
	if startTimeout == 0 {
		startTimeout = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		err := d.answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			d.process = nil
			return fmt.Errorf("the test's server ended when it was started: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("the test's server does not answer within %s: %w", startTimeout, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (d *daemon) logTail() []byte {
	log, _ := os.ReadFile(filepath.Join(d.folder, "log"))
	return log[max(0, len(log)-4096):]
}

// freePorts returns the first of n consecutive free ports.
func freePorts(t testing.TB, n int) int {
	t.Helper()
	for range 1000 {
		// Below the range that the kernel uses for outgoing connections, so that it stays free
		// until a killed server starts again.
		first := 10000 + rand.N(22000-n)
		if reserve(t, first, n) {
			return first
		}
	}
	t.Fatal("no free ports on 127.0.0.1 between 10000 and 32000")
	return 0
}

// reserve reports whether the ports are free, and keeps other tests from choosing them until this
// test ends, also while its server does not run.
func reserve(t testing.TB, first, n int) bool {
	t.Helper()
	folder := os.Getenv(envData) // which all tests share
	for port := first; folder != "" && port < first+n; port++ {
		name := filepath.Join(folder, fmt.Sprintf("port-%d", port))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return false
		}
		_ = f.Close()
		t.Cleanup(func() { _ = os.Remove(name) })
	}
	return free(first, n)
}

func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		_ = listener.Close()
	}
	return true
}
