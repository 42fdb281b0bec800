//go:build !unix

package cli

import (
	"errors"
	"os"
	"os/exec"
)

// execute runs a program with the same arguments, and returns its exit code. The console sends
// Ctrl-C to both processes; this one waits for the other.
func (a *app) execute(path string) (int, error) {
	cmd := exec.Command(path, a.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return exitDone, err
}
