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

// networkEnv is set for a test binary that runs in its own network namespace, which it may take
// down.
const networkEnv = "WHIMBREL_FAULTS_NETWORK"

// TestDeadNetwork takes a network down for good: nothing answers the server, not even the keepalive
// probes of its kernel. A second process of this test binary does that in its own network
// namespace. There, the first process connects by TCP and the next one by the server's Unix socket.
// If the kernel allows no namespace, the test only checks the keepalive settings of the server's
// sockets.
func TestDeadNetwork(t *testing.T) {
	if os.Getenv(networkEnv) != "" {
		deadNetworks(t)
		return
	}
	t.Parallel()
	if err := checkKeepalives(t.Context(), testdb.Postgres(t)); err != nil {
		t.Error(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDeadNetwork$", "-test.v")
	cmd.Env = append(os.Environ(), networkEnv+"=1")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = ownNetwork()
	if err := cmd.Start(); err != nil {
		t.Logf("no network namespace (%v): checked the settings only", err)
		return
	}
	err := cmd.Wait()
	t.Logf("output of the process in its own network:\n%s", output.String())
	switch {
	case strings.Contains(output.String(), noLoopback):
		t.Log("checked the settings only")
	case err != nil:
		t.Error(err)
	default:
		tally.add("PostgreSQL: a dead network", strings.Count(output.String(), "--- PASS: TestDeadNetwork/"))
	}
}

// ownNetwork starts a process in a new network namespace. A user other than root also gets a user
// namespace with the same IDs, in which it may administer the network.
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

// deadNetworks is the part of the test that runs in its own network. In the first case, a
// transaction, the lock belongs to the only session, and only the kernel's probes can detect that
// the client is gone.
func deadNetworks(t *testing.T) {
	if err := loopback(true); err != nil {
		t.Fatalf("%s: %v", noLoopback, err)
	}
	server := testdb.PrivatePostgres(t)
	for _, tt := range []struct {
		name, query string
		scenario    *scenario
		blocked     bool
	}{
		{"in a transaction, between two messages", "INSERT INTO b VALUES (1)", oneMore, false},
		{"in a transaction, while a statement waits", "", patient, true},
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
			if err := n.goDown(t.Context(), tt.scenario, tt.query, tt.blocked); err != nil {
				t.Error(err)
			}
		})
	}
	if err := loopback(true); err != nil {
		t.Error(err)
	}
}

// throughSocket returns the URL of the same database by the server's Unix socket, which needs no
// network.
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

// goDown takes the network down under a process: at the message that contains text, or (blocked)
// while a statement waits for a lock. Then another process executes the same command.
func (n *networkRig) goDown(ctx context.Context, s *scenario, text string, blocked bool) error {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	want, err := n.playUnbroken(ctx, s)
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
		if release, err = p.openTransaction(ctx, "LOCK TABLE a"); err != nil {
			return err
		}
		defer release()
		happened = func() bool {
			waiting, err := p.lines(ctx, "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
			return err != nil || waiting != ""
		}
	} else {
		proxy.HoldWhen(queryContaining(text))
	}
	child, err := n.wire.start(s, n.placeholders())
	if err != nil {
		return err
	}
	for pause := pauses(); !happened() && !isOver(child.ended); {
		time.Sleep(pause())
	}
	if err := loopback(false); err != nil {
		return err
	}
	if killed, err := child.kill(); err != nil || !killed {
		return fmt.Errorf("the process ended before the network went down: %w", err)
	}
	if blocked { // the server also ends the session that waits
		if _, err := p.awaitQuery(ctx, "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND client_addr IS NOT NULL", false); err != nil {
			return err
		}
		release()
	}
	if err := n.attempt(ctx, n.open, s); err != nil {
		return fmt.Errorf("the next process failed: %w", err)
	}
	return n.compare(ctx, want)
}

// checkKeepalives compares the keepalive settings of the sockets of a transaction and of a run's
// session, as the server reports them.
func checkKeepalives(ctx context.Context, url string) error {
	const settings = ` AS SELECT concat_ws(' ', current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'), current_setting('tcp_keepalives_count'), current_setting('tcp_user_timeout')) AS x`
	db, err := database.Open(ctx, url, database.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	s := &scenario{files: []file{{up: "CREATE TABLE transacted" + settings}, {up: "CREATE TABLE worker" + settings + "; VACUUM worker"}}, do: up}
	if err := s.run(ctx, db, nil, nil); err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	var transacted, worker string
	if err := c.QueryRow(ctx, "SELECT transacted.x, worker.x FROM transacted, worker").Scan(&transacted, &worker); err != nil {
		return err
	}
	for where, got := range map[string]string{"a transaction": transacted, "a run": worker} {
		if want := "4 2 3 10000"; got != want {
			return fmt.Errorf("the settings of the socket of %s are %q, want %q", where, got, want)
		}
	}
	return nil
}
