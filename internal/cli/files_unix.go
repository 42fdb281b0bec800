//go:build unix

package cli

import "syscall"

// dontWait makes opening a pipe return at once instead of waiting for a writer.
const dontWait = syscall.O_NONBLOCK
