//go:build unix

package cli

import (
	"os"
	"syscall"
)

// execute replaces this process with a program that gets the same arguments, so that it also gets
// the signals. It returns only if that fails.
func (a *app) execute(path string) (int, error) {
	return exitFailed, syscall.Exec(path, append([]string{path}, a.Args...), os.Environ())
}
