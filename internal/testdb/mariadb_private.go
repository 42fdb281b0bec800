package testdb

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// MariaDBServer is a MariaDB server for one test. Its URL names no database; the user is root.
type MariaDBServer struct {
	*daemon
	program  string
	settings []string
}

// PrivateMariaDB starts a MariaDB server for a test that stops or kills it. Each setting is
// "name=value" or "name". The server ends with the test.
func PrivateMariaDB(t testing.TB, settings ...string) *MariaDBServer {
	t.Helper()
	s := newMariaDB(t, "mariadb", settings)
	s.Start()
	return s
}

// newMariaDB creates a server without starting it.
func newMariaDB(t testing.TB, kind string, settings []string) *MariaDBServer {
	t.Helper()
	program, data := need(t, envMariaDBBin, "MariaDB"), need(t, envMariaDBNew, "MariaDB")
	s := &MariaDBServer{daemon: newDaemon(t, kind), program: program, settings: settings}
	s.command, s.url, s.answers = s.mariadbd, s.tcp, s.ping
	s.stop, s.orphaned = syscall.SIGTERM, syscall.SIGKILL
	s.prepare("cp", "-r", data, s.data())
	return s
}

// Socket returns the server's URL through its Unix socket.
func (s *MariaDBServer) Socket() string { return "mysql://root@/?socket=" + s.socket() }

// New returns the URL of a new, empty database on the server.
func (s *MariaDBServer) New() string {
	s.t.Helper()
	name := databaseName(s.t)
	db := openMariaDB(s.t, s.URL)
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), "CREATE DATABASE "+name); err != nil {
		s.t.Fatalf("creating a database on the test's server: %v", err)
	}
	return withDatabase(s.t, s.URL, name)
}

func (s *MariaDBServer) socket() string { return filepath.Join(s.folder, "socket") }

func (s *MariaDBServer) mariadbd() *exec.Cmd {
	args := []string{
		"--no-defaults", "--datadir=" + s.data(), "--socket=" + s.socket(), "--pid-file=" + filepath.Join(s.folder, "pid"),
		"--tmpdir=" + s.folder, // of its own: a starting server empties it
		fmt.Sprintf("--port=%d", s.port), "--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin",
		"--character-set-server=utf8mb4", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M",
		// There is no power failure: the operating system keeps the writes of a killed server.
		"--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync",
	}
	for _, setting := range s.settings {
		args = append(args, "--"+setting)
	}
	return exec.Command(s.program, args...)
}

func (s *MariaDBServer) tcp() string { return fmt.Sprintf("mysql://root@127.0.0.1:%d/", s.port) }

func (s *MariaDBServer) ping(ctx context.Context) error {
	db := openMariaDB(s.t, s.URL)
	defer db.Close()
	return db.PingContext(ctx)
}
