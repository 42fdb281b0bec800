// Package localserver starts temporary database servers: PostgreSQL, MariaDB or MySQL, if their
// programs are installed on this machine. A server keeps its data in a temporary folder, listens on
// a Unix socket there and on no network, and ends with the process that started it.
package localserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Options are the options of Prepare.
type Options struct {
	// Dialect is "postgresql" or "mysql".
	Dialect string
	// Version is the version of the server to imitate, such as "15.20"; "" for any. If its major
	// version is not installed, Prepare chooses the newest one that is.
	Version string
	// User is the name of PostgreSQL's superuser. Database is the name of each server's database.
	User, Database string
	// Connections limits how many clients a server accepts at the same time. 0 means 30 on PostgreSQL
	// and the server's own default elsewhere.
	Connections int
	// Path lists the folders to search first: those of $PATH.
	Path []string
}

// NoProgramError reports that a program is not installed on this machine.
type NoProgramError struct {
	Program string
	Looked  []string // the folders searched
}

func (e *NoProgramError) Error() string {
	return fmt.Sprintf("%s is not installed on this machine (looked in %s)", e.Program, strings.Join(e.Looked, ", "))
}

// Kit starts servers. It holds the programs, and a folder with the initial data that each server
// copies.
type Kit struct {
	Version string // of the servers
	opts    Options
	kind    kind
	dir     string
	home    *guarded // removes dir when this process ends
	started int
}

// kind is the part that differs between the kinds of servers.
type kind interface {
	// prepare creates the data folder at k.template().
	prepare(ctx context.Context, k *Kit) error
	// command returns the command line of a server in the folder dir, with its data in dir/data, and
	// the signal that ends it immediately.
	command(k *Kit, dir string) (args []string, signal string)
	// ready reports whether the server accepts connections.
	ready(dir string) bool
	// url returns the URL of the server's database.
	url(k *Kit, dir string) string
}

// Prepare finds the programs and creates the data with which servers start.
func Prepare(ctx context.Context, opts Options) (_ *Kit, err error) {
	k := &Kit{opts: opts}
	switch opts.Dialect {
	case "postgresql":
		k.kind, k.Version, err = findPostgres(ctx, opts)
	case "mysql":
		k.kind, k.Version, err = findMySQL(ctx, opts)
	default:
		err = fmt.Errorf("local servers for %s are not supported", opts.Dialect)
	}
	if err != nil {
		return nil, err
	}
	if k.dir, err = makeFolder(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			k.Close()
		}
	}()
	if k.home, err = guard(k.dir, keepFolder, k.dir); err != nil {
		return nil, err
	}
	if err := k.kind.prepare(ctx, k); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *Kit) template() string { return filepath.Join(k.dir, "template") }

// Close removes the folder. Close the servers first.
func (k *Kit) Close() error {
	if k.home != nil {
		k.home.end()
	}
	return os.RemoveAll(k.dir)
}

// Server is a running server.
type Server struct {
	// URL opens its database.
	URL string
	dir string
	run *guarded
}

// Start starts a server with an empty database, and waits until it accepts connections.
func (k *Kit) Start(ctx context.Context) (*Server, error) {
	k.started++
	s := &Server{dir: filepath.Join(k.dir, strconv.Itoa(k.started))}
	if err := k.tool(ctx, "", "sh", "-c", `mkdir -m 700 "$1" && cp -R "$0" "$1/data"`, k.template(), s.dir); err != nil {
		return nil, err
	}
	args, signal := k.kind.command(k, s.dir)
	s.URL = k.kind.url(k, s.dir)
	var err error
	if s.run, err = guard(s.dir, runServer, append([]string{s.dir, signal}, args...)...); err != nil {
		return nil, err
	}
	if err := s.run.until(ctx, func() bool { return k.kind.ready(s.dir) }); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		s.Close()
		return nil, fmt.Errorf("the local server did not start: %w\n%s", err, tail(string(log)))
	}
	return s, nil
}

// Close ends the server immediately and removes its folder.
func (s *Server) Close() error {
	s.run.end()
	return os.RemoveAll(s.dir)
}

// tail returns the last lines of a log.
func tail(log string) string {
	const most = 20
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(len(lines)-most, 0):], "\n")
}

// major returns the major version: 15 of "15.20", 10.11 of "10.11.19-MariaDB", 8.4 of "8.4.2".
func major(dialect, version string) string {
	parts := strings.SplitN(version, ".", 3)
	if dialect == "mysql" && len(parts) > 1 {
		return parts[0] + "." + parts[1]
	}
	return parts[0]
}

// SameMajor reports whether two server versions have the same major version.
func SameMajor(dialect, a, b string) bool { return major(dialect, a) == major(dialect, b) }
