//go:build unix

package cli

import "syscall"

// dontWait keeps the opening of a pipe from waiting for somebody who writes to it.
const dontWait = syscall.O_NONBLOCK
