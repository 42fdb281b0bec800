package testdb

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Server is a PostgreSQL server that belongs to one test.
type Server struct {
	// URL leads to its database "postgres", as its superuser, and stays the same over restarts.
	URL string

	t        testing.TB
	programs string // folder
	folder   string // of data, socket and log
	port     int
	settings []string

	process *exec.Cmd     // nil: it doesn't run
	exited  chan struct{} // closed when process has
}

// PrivatePostgres starts a server of the main major version for one test alone, for tests that stop and kill
// their server. Settings are server settings, each "name=value". It ends with the test.
func PrivatePostgres(t testing.TB, settings ...string) *Server {
	t.Helper()
	programs, ok := perMajor(t, envPostgresBin)[mainMajor(t)]
	if !ok {
		t.Fatalf("%s has no programs for the major version that %s names", envPostgresBin, envPostgresMain)
	}
	// Not t.TempDir: the server's user can't reach that, and a socket's path must be short.
	folder, err := os.MkdirTemp(os.Getenv(envData), "postgres-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, programs: programs, folder: folder, settings: settings}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of the test's server ends with:\n%s", s.logTail())
		}
		s.Kill()
		clean(s.data())
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if err := handOver(folder); err != nil {
		t.Fatal(err)
	}

	initdb := asOrdinaryUser(exec.Command(programs+"/initdb", "-D", s.data(), "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--no-locale", "--no-sync"))
	initdb.Dir = folder
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.Start()
	return s
}

// Start starts the server after Stop or Kill, and returns when it answers.
func (s *Server) Start() {
	s.t.Helper()
	if s.process != nil {
		return
	}
	for try := 1; ; try++ {
		if s.port == 0 {
			s.port = freePort(s.t)
			s.URL = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
		}
		err := s.launch()
		if err == nil {
			return
		}
		if try == 3 || !bytes.Contains(s.logTail(), []byte("in use")) {
			s.t.Fatalf("%v\n%s", err, s.logTail())
		}
		s.port = 0 // somebody was faster
	}
}

// Stop shuts the server down in order, ending its clients' connections.
func (s *Server) Stop() {
	s.t.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.Process.Signal(syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(time.Minute):
		s.t.Fatal("the test's server does not stop")
	}
	s.process = nil
}

// Kill ends all of the server's processes at once, as kill -9 or a power cut does.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	kill(s.process.Process.Pid, s.exited)
	s.process = nil
}

// Restart is Stop and Start.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

// RequirePasswords restarts the server as one that asks whoever connects by TCP for a password, but for its
// superuser.
func (s *Server) RequirePasswords() {
	s.t.Helper()
	rules := "local all all trust\nhost all postgres all trust\nhost all all all scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(rules), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.Restart()
}

// Socket returns the URL of its database "postgres" through its Unix socket.
func (s *Server) Socket() string {
	return fmt.Sprintf("postgres://postgres@/postgres?host=%s&port=%d&sslmode=disable", s.folder, s.port)
}

// Standby restarts the server as a standby that has no primary: it can only be read.
func (s *Server) Standby() {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.data(), "standby.signal"), nil, 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.Restart()
}

// New returns the URL of a new, empty database on the server.
func (s *Server) New() string {
	s.t.Helper()
	name := databaseName(s.t)
	exec1(s.t, s.URL, "CREATE DATABASE "+name+" TEMPLATE template0")
	return withDatabase(s.t, s.URL, name)
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

func (s *Server) launch() error {
	log, err := os.Create(filepath.Join(s.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{
		"-D", s.data(), "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=" + s.folder,
		// The machine doesn't lose power: what a killed server has written is kept without these.
		"-c", "fsync=off", "-c", "full_page_writes=off",
	}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	cmd := asOrdinaryUser(exec.Command(s.programs+"/postgres", args...))
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.folder, log, log
	exited := make(chan struct{})
	if err := startWithUs(cmd, exited); err != nil {
		return err
	}
	s.process, s.exited = cmd, exited

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgconn.Connect(ctx, s.URL)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-exited:
			s.process = nil
			return fmt.Errorf("the test's server ended when it was started: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("the test's server does not answer: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) logTail() []byte {
	log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
	return log[max(0, len(log)-4096):]
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
