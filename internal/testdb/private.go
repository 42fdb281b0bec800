package testdb

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Server is a PostgreSQL server for one test. Its URL leads to its database "postgres", as its
// superuser.
type Server struct {
	*daemon
	programs string // their folder
	settings []string
}

// PrivatePostgres starts a server of the main major version for a test that stops or kills it. Each
// setting is "name=value". The server ends with the test.
func PrivatePostgres(t testing.TB, settings ...string) *Server {
	t.Helper()
	programs, ok := perMajor(t, envPostgresBin)[mainMajor(t)]
	if !ok {
		t.Fatalf("%s has no programs for the major version that %s names", envPostgresBin, envPostgresMain)
	}
	s := newServer(t, programs, settings)
	s.initialize()
	s.Start()
	return s
}

func newServer(t testing.TB, programs string, settings []string) *Server {
	t.Helper()
	s := &Server{daemon: newDaemon(t, "postgres"), programs: programs, settings: settings}
	s.command, s.url, s.answers = s.postgres, s.tcp, s.ping
	s.stop, s.orphaned = syscall.SIGINT, syscall.SIGQUIT // fast and immediate shutdown
	return s
}

// Replica restarts the server, and starts a standby that replays what the server writes. name is
// its application_name.
func (s *Server) Replica(name string) *Server {
	s.t.Helper()
	primary := fmt.Sprintf("primary_conninfo=host=127.0.0.1 port=%d user=postgres application_name=%s", s.port, name)
	r := newServer(s.t, s.programs, append(slices.Clone(s.settings), primary))
	s.Stop()
	r.prepare("cp", "-R", "-p", s.data(), r.data())
	s.Start()
	if err := os.WriteFile(filepath.Join(r.data(), "standby.signal"), nil, 0o644); err != nil {
		s.t.Fatal(err)
	}
	r.Start()
	return r
}

var initializing sync.Mutex

// initialize creates the server's data: a copy of a template, which all tests share and the first
// one creates, since initdb takes many times as long as a copy.
func (s *Server) initialize() {
	s.t.Helper()
	initdb := func(data string) {
		s.prepare(s.programs+"/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	}
	shared := os.Getenv(envData)
	if shared == "" {
		initdb(s.data())
		return
	}
	initializing.Lock()
	defer initializing.Unlock()
	template := filepath.Join(shared, fmt.Sprintf("initdb-%d", mainMajor(s.t)))
	if _, err := os.Stat(template); err != nil {
		ours := filepath.Join(s.folder, "template")
		initdb(ours)
		if err := os.Rename(ours, template); err != nil {
			if _, missing := os.Stat(template); missing != nil { // else another process was faster
				s.t.Fatal(err)
			}
		}
	}
	s.prepare("cp", "-R", "-p", template, s.data())
}

// RequirePasswords restarts the server so that it requires passwords over TCP, except for its
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

// Standby restarts the server as a read-only standby without a primary.
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
	copyDatabase(s.t, s.URL, name, "template0")
	return withDatabase(s.t, s.URL, name)
}

func (s *Server) postgres() *exec.Cmd {
	args := []string{
		"-D", s.data(), "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=" + s.folder,
		// There is no power failure: a killed server's writes are kept without these.
		"-c", "fsync=off", "-c", "full_page_writes=off",
		// In its own folder: a killed server leaves its files in /dev/shm.
		"-c", "dynamic_shared_memory_type=mmap",
	}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	return exec.Command(s.programs+"/postgres", args...)
}

func (s *Server) tcp() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

func (s *Server) ping(ctx context.Context) error {
	conn, err := pgconn.Connect(ctx, s.URL)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}
