//go:build unix

package localserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Scripts of a guarded shell. Its standard input is a pipe whose other end this process holds. When
// this process ends, even by kill -9, the shell reads the end of the file.
const (
	// keepFolder then removes the folder $0. It tries again while a server still writes there.
	keepFolder = `read x; i=0; while ! rm -rf "$0" 2>/dev/null && [ $i -lt 50 ]; do i=$((i+1)); sleep 0.2; done`
	// runServer runs the server "$@" in the folder $0, and then ends it with the signal $1.
	runServer = `signal=$1; shift; exec 3<&0
"$@" >"$0/log" 2>&1 </dev/null 3<&- &
pid=$!
( read x <&3; kill "-$signal" $pid; while kill -0 $pid; do sleep 0.1; done; rm -rf "$0" ) >/dev/null 2>&1 &
exec 3<&-
wait $pid`
)

// guarded is a shell that ends when this process does.
type guarded struct {
	cmd   *exec.Cmd
	hold  *os.File // this process's end of the pipe
	ended chan struct{}
}

// guard starts a shell with a script; args are $0, $1 and so on.
func guard(dir, script string, args ...string) (*guarded, error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command("sh", append([]string{"-c", script}, args...)...)
	cmd.Stdin, cmd.Dir, cmd.Env = theirs, dir, environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must reach only this process
	if err := ordinary(cmd); err != nil {
		ours.Close()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, err
	}
	g := &guarded{cmd: cmd, hold: ours, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its exit code does not matter
		close(g.ended)
	}()
	return g, nil
}

// end makes the shell end its work, and waits until it has.
func (g *guarded) end() {
	if g == nil {
		return
	}
	g.hold.Close()
	<-g.ended
}

// startTimeout limits how long a server may take to start, even on a busy machine.
const startTimeout = 2 * time.Minute

// until waits until the server that g runs is ready.
func (g *guarded) until(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if ready() {
			return nil
		}
		select {
		case <-g.ended:
			return errors.New("it ended unexpectedly")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tool runs a program to its end. input is its standard input.
func (k *Kit) tool(ctx context.Context, input, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	cmd.Dir, cmd.Env = k.dir, environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := ordinary(cmd); err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, tail(out.String()))
	}
	return nil
}

// environment omits variables that would redirect a server or its tools.
func environment() []string { return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"} }

// ordinary makes cmd run as "nobody" if this process is root, because servers refuse to run as
// root.
func ordinary(cmd *exec.Cmd) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := nobody()
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	return nil
}

func nobody() (uid, gid uint32, err error) {
	u, err := user.Lookup("nobody")
	if err != nil {
		return 0, 0, fmt.Errorf("database servers refuse to run as root, and there is no user \"nobody\" to run one as: %w", err)
	}
	id, err1 := strconv.ParseUint(u.Uid, 10, 32)
	group, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("the user nobody has the numbers %s and %s", u.Uid, u.Gid)
	}
	return uint32(id), uint32(group), nil
}

// makeFolder creates a private folder for the user that runs the servers. Its path is short,
// because a socket's path must be.
func makeFolder() (string, error) {
	base := os.TempDir()
	if len(base) > 60 || os.Geteuid() == 0 && !open(base) {
		base = "/tmp"
	}
	dir, err := os.MkdirTemp(base, "whimbrel-")
	if err != nil || os.Geteuid() != 0 {
		return dir, err
	}
	uid, gid, err := nobody()
	if err == nil {
		err = os.Chown(dir, int(uid), int(gid))
	}
	if err != nil {
		os.RemoveAll(dir)
	}
	return dir, err
}

// open reports whether every user may enter a folder, and create and remove folders there.
func open(dir string) bool {
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o002 == 0 {
		return false
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}
