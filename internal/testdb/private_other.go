//go:build !linux

package testdb

import (
	"os"
	"os/exec"
	"syscall"
)

// The servers that scripts/servers fetches run only on Linux, so these are never called elsewhere.

func handOver(string) error { return nil }

func asOrdinaryUser(cmd *exec.Cmd) *exec.Cmd { return cmd }

func startWithUs(cmd *exec.Cmd, _ syscall.Signal, exited chan struct{}) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return nil
}

func kill(pid int, exited <-chan struct{}) {
	if process, err := os.FindProcess(pid); err == nil {
		_ = process.Kill()
	}
	<-exited
}

func clean(string) {}
