// Package localserver starts database servers of its own, to try things out: PostgreSQL, MariaDB or
// MySQL, as far as their programs are on this machine. A server lives in a temporary folder,
// listens on a socket there and on no network, and is gone with the process that started it.
package localserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Options of Prepare.
type Options struct {
	// Dialect is "postgresql" or "mysql".
	Dialect string
	// Version is the version of the server that it is to be like, such as "15.20"; "" for any. If
	// none with its major version is there, the newest is taken.
	Version string
	// User is the name of the superuser on PostgreSQL, and Database that of the database that each
	// server has.
	User, Database string
	// Connections is how many clients a server lets in at the same time; 0: 30 on PostgreSQL, and
	// the server's own default elsewhere.
	Connections int
	// Path are the folders in which programs are looked for first: those of $PATH.
	Path []string
}

// NoProgramError reports that a program is not on this machine.
type NoProgramError struct {
	Program string
	Looked  []string // the folders
}

func (e *NoProgramError) Error() string {
	return fmt.Sprintf("there is no %s on this machine (looked in %s)", e.Program, strings.Join(e.Looked, ", "))
}

// Kit is what servers are made from: the programs, and a folder with data as they are in the
// beginning.
type Kit struct {
	Version string // of the servers
	opts    Options
	kind    kind
	dir     string
	home    *guarded // removes dir when this process is gone
	started int
}

// kind is what is different for each kind of server.
type kind interface {
	// prepare makes the data folder at k.template().
	prepare(ctx context.Context, k *Kit) error
	// command is the server's, for the folder dir with data in dir/data, and how it is ended at
	// once.
	command(k *Kit, dir string) (args []string, signal string)
	// ready reports whether it answers, and url is how its database is opened.
	ready(dir string) bool
	url(k *Kit, dir string) string
}

// Prepare finds the programs, and makes the data from which servers start.
func Prepare(ctx context.Context, opts Options) (_ *Kit, err error) {
	k := &Kit{opts: opts}
	switch opts.Dialect {
	case "postgresql":
		k.kind, k.Version, err = findPostgres(ctx, opts)
	case "mysql":
		k.kind, k.Version, err = findMySQL(ctx, opts)
	default:
		err = fmt.Errorf("there is no local server for %s", opts.Dialect)
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

// Close removes the folder. The servers must be closed before.
func (k *Kit) Close() error {
	if k.home != nil {
		k.home.end()
	}
	return os.RemoveAll(k.dir)
}

// Server is a server that runs.
type Server struct {
	// URL opens its database.
	URL string
	dir string
	run *guarded
}

// Start starts a server with nothing in its database, and waits until it answers.
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

// Close ends the server at once, and removes its folder.
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

// SameMajor reports whether two versions of servers are of one major version.
func SameMajor(dialect, a, b string) bool { return major(dialect, a) == major(dialect, b) }
