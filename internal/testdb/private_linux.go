package testdb

import (
	"bytes"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ordinary returns the user that servers run as if the tests run as root: PostgreSQL refuses to run
// as root.
func ordinary() (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return 0, 0, false
	}
	uid, _ = strconv.Atoi(nobody.Uid)
	gid, _ = strconv.Atoi(nobody.Gid)
	return uid, gid, true
}

// handOver gives a folder to the user that servers run as.
func handOver(folder string) error {
	if uid, gid, ok := ordinary(); ok {
		return os.Chown(folder, uid, gid)
	}
	return nil
}

func asOrdinaryUser(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if uid, gid, ok := ordinary(); ok {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return cmd
}

// startWithUs starts a process that receives a signal when this process ends in any way. It closes
// exited when the process has ended.
func startWithUs(cmd *exec.Cmd, orphaned syscall.Signal, exited chan struct{}) error {
	cmd.SysProcAttr.Pdeathsig = orphaned
	started := make(chan error)
	go func() {
		// The signal is sent when the thread that started the process ends, so this thread waits
		// for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(exited)
		}
	}()
	return <-started
}

// kill kills a process and its descendants, and returns when they have ended.
func kill(pid int, exited <-chan struct{}) {
	_ = syscall.Kill(pid, syscall.SIGSTOP) // so that it starts no further ones
	all := append(startedBy(pid), pid)
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-exited
	for _, pid := range all {
		for !gone(pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

// startedBy returns the processes started by a session leader: its children (those of PostgreSQL
// have sessions of their own) and the other processes in its session.
func startedBy(leader int) []int {
	var pids []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if _, parent, session := status(pid); pid != leader && (parent == leader || session == leader) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone reports whether a process has ended, including one that was not waited for.
func gone(pid int) bool {
	state, _, _ := status(pid)
	return state == "" || state == "Z" || state == "X"
}

// status returns a process's state, parent and session, from "pid (name) state parent group session
// …".
func status(pid int) (state string, parent, session int) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", 0, 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 4 {
		return "", 0, 0
	}
	parent, _ = strconv.Atoi(fields[1])
	session, _ = strconv.Atoi(fields[3])
	return fields[0], parent, session
}

// clean removes what a killed server leaves in the kernel: the small System V shared memory segment
// that shows a starting server whether another one uses its data.
func clean(data string) {
	pidFile, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return // it was shut down
	}
	lines := strings.Split(string(pidFile), "\n")
	if len(lines) < 7 {
		return
	}
	if ids := strings.Fields(lines[6]); len(ids) == 2 { // key, id
		if id, err := strconv.Atoi(ids[1]); err == nil {
			_, _, _ = syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), 0 /* IPC_RMID */, 0)
		}
	}
}
