package faults

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// networkEnv tells the test binary that it is in a network of its own, which it may take down.
const networkEnv = "WHIMBREL_FAULTS_NETWORK"

// A network goes down, for good: what the server sends is answered by nobody, the probes of its kernel neither. This is
// played in a network namespace, by a second process of this test: the command comes by TCP, and the next process by the
// server's Unix socket. Where the kernel allows no namespace, the kernel is asked for what it would do.
func TestDeadNetwork(t *testing.T) {
	if os.Getenv(networkEnv) != "" {
		deadNetworks(t)
		return
	}
	t.Parallel()
	if err := kernelNotices(t.Context(), testdb.Postgres(t)); err != nil {
		t.Error(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDeadNetwork$", "-test.v")
	cmd.Env = append(os.Environ(), networkEnv+"=1")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = ownNetwork()
	if err := cmd.Start(); err != nil {
		t.Logf("no network of its own (%v): only the settings were seen", err)
		return
	}
	err := cmd.Wait()
	t.Logf("in a network of its own:\n%s", said.String())
	switch {
	case strings.Contains(said.String(), noLoopback):
		t.Log("only the settings were seen")
	case err != nil:
		t.Error(err)
	default:
		tally.add("PostgreSQL: a network that is dead", strings.Count(said.String(), "--- PASS: TestDeadNetwork/"))
	}
}

// ownNetwork has a process begin in a network namespace. Whoever is not root becomes the namespace's administrator by a user
// namespace, in which everybody stays who they are.
func ownNetwork() *syscall.SysProcAttr {
	if os.Geteuid() == 0 {
		return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	}
	const administrateNetworks = 12 // CAP_NET_ADMIN
	return &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{administrateNetworks},
	}
}

const noLoopback = "can't bring the loopback interface up"

// loopback brings the namespace's only interface up, or takes it down.
func loopback(up bool) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	request := struct { // struct ifreq
		name  [16]byte
		flags uint16
		_     [22]byte
	}{}
	copy(request.name[:], "lo")
	if up {
		request.flags = syscall.IFF_UP
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// deadNetworks is the test in its own network. What is shown first is the batch, whose lock is in its only session, and which
// nothing but the kernel's probes can find out about.
func deadNetworks(t *testing.T) {
	if err := loopback(true); err != nil {
		t.Fatalf("%s: %v", noLoopback, err)
	}
	server := testdb.PrivatePostgres(t)
	for _, tt := range []struct {
		name, carries string
		scenario      *scenario
		blocked       bool
	}{
		{"in a batch, between two messages", "INSERT INTO b VALUES (1)", oneMore, false},
		{"in a batch, while a statement waits", "", oneMore, true},
		{"in a run", "CREATE INDEX CONCURRENTLY", unnamed, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := loopback(true); err != nil {
				t.Fatal(err)
			}
			throughTCP := server.New()
			p := newPostgres(t, throughTCP, throughSocket(t, server, throughTCP))
			p.url = p.direct
			n := &networkRig{&rig{place: p}, &p.wire}
			if err := n.dies(t.Context(), tt.scenario, tt.carries, tt.blocked); err != nil {
				t.Error(err)
			}
		})
	}
	if err := loopback(true); err != nil {
		t.Error(err)
	}
}

// throughSocket leads to the same database by the server's Unix socket, for which no network is needed.
func throughSocket(t *testing.T, server *testdb.Server, throughTCP string) string {
	t.Helper()
	to, err := url.Parse(throughTCP)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := url.Parse(server.Socket())
	if err != nil {
		t.Fatal(err)
	}
	socket.Path = to.Path
	return socket.String()
}

// dies has the network die under a process, at the message that carries a text, or while a statement of it waits for somebody
// else's lock; and another process execute the command.
func (n *networkRig) dies(ctx context.Context, s *scenario, text string, blocked bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	want, err := n.unbroken(ctx, s)
	if err != nil {
		return err
	}
	if err := n.prepare(ctx, s); err != nil {
		return err
	}
	p, proxy := n.place.(*postgres), n.wire.proxies[cut]
	release := func() {}
	happened := proxy.Holding
	proxy.Reset()
	if blocked {
		if release, err = p.holds(ctx, "LOCK TABLE a"); err != nil {
			return err
		}
		defer release()
		happened = func() bool {
			waiting, err := p.lines(ctx, "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
			return err != nil || waiting != ""
		}
	} else {
		proxy.HoldWhen(carries(text))
	}
	child, err := n.wire.start(s, n.words())
	if err != nil {
		return err
	}
	for !happened() && !isOver(child.ended) {
		time.Sleep(time.Millisecond)
	}
	if err := loopback(false); err != nil {
		return err
	}
	if was, err := child.kill(); err != nil || !was {
		return fmt.Errorf("the process had ended before: %w", err)
	}
	if blocked { // what waits is ended, too
		if _, err := p.await(ctx, "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND client_addr IS NOT NULL", false); err != nil {
			return err
		}
		release()
	}
	if err := n.attempt(ctx, n.open, s); err != nil {
		return fmt.Errorf("the next process failed: %w", err)
	}
	return n.compare(ctx, want)
}

// kernelNotices asks the kernel, in a batch and in the worker's session of a run, what it does about a silent client: the
// server shows what the socket has.
func kernelNotices(ctx context.Context, url string) error {
	const settings = ` AS SELECT concat_ws(' ', current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'), current_setting('tcp_keepalives_count'), current_setting('tcp_user_timeout')) AS x`
	db, err := database.Open(ctx, url, database.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	s := &scenario{files: []file{{up: "CREATE TABLE batch" + settings}, {up: "CREATE TABLE worker" + settings + "; VACUUM worker"}}, do: up}
	if err := s.run(ctx, db, nil); err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	var batch, worker string
	if err := c.QueryRow(ctx, "SELECT batch.x, worker.x FROM batch, worker").Scan(&batch, &worker); err != nil {
		return err
	}
	if want := "4 2 3 10000"; batch != want || worker != want {
		return fmt.Errorf("the kernel's settings are %q in a batch and %q in a run, want %q", batch, worker, want)
	}
	return nil
}
