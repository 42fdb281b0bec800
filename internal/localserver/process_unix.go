//go:build unix

package localserver

import (
	"bytes"
	"context"
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

// What a guarded shell runs. Its standard input is a pipe of which this process has the other end,
// so that it reads an end of file when this process is gone, however that came.
const (
	// keepFolder removes the folder $0 then. A server that is in it may still be writing.
	keepFolder = `read x; i=0; while ! rm -rf "$0" 2>/dev/null && [ $i -lt 50 ]; do i=$((i+1)); sleep 0.2; done`
	// runServer runs the server "$@" with the folder $0, and ends it then with the signal $1.
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
	hold  *os.File // our end of its pipe
	ended chan struct{}
}

// guard starts a shell with a script; args are $0 and what follows.
func guard(dir, script string, args ...string) (*guarded, error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command("sh", append([]string{"-c", script}, args...)...)
	cmd.Stdin, cmd.Dir, cmd.Env = theirs, dir, environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
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
		_ = cmd.Wait() // how it has ended does not matter
		close(g.ended)
	}()
	return g, nil
}

// end has the shell end what it runs, and waits for that.
func (g *guarded) end() {
	if g == nil {
		return
	}
	g.hold.Close()
	<-g.ended
}

// startPatience bounds what a server may take to start, which is long after a busy machine has done
// it.
const startPatience = 2 * time.Minute

// until waits until a server that it runs is ready.
func (g *guarded) until(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		if ready() {
			return nil
		}
		select {
		case <-g.ended:
			return fmt.Errorf("it ended by itself")
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

// environment has nothing that would lead a server or its tools elsewhere.
func environment() []string { return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"} }

// ordinary lets a program of the superuser run as "nobody", since servers refuse to run with all
// rights.
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
		return 0, 0, fmt.Errorf("database servers refuse to run as root, and there is no user to run one as: %w", err)
	}
	id, err1 := strconv.ParseUint(u.Uid, 10, 32)
	group, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("the user nobody has the numbers %s and %s", u.Uid, u.Gid)
	}
	return uint32(id), uint32(group), nil
}

// makeFolder makes a private folder for whoever runs the servers. A socket's path must be short.
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

// open reports whether everybody may go to a folder, and make and remove folders there.
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
