package cli

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// timeout(1) signals its child and then the process group, so the child receives the signal twice.
func TestSignalDeliveredTwice(t *testing.T) {
	t.Parallel()
	now := time.Now()
	first := delivered{syscall.SIGTERM, now}
	for _, c := range []struct {
		signal os.Signal
		after  time.Duration
		want   bool
	}{
		{syscall.SIGTERM, 0, true},
		{syscall.SIGTERM, time.Second - 1, true},
		{syscall.SIGTERM, time.Second, false},
		{os.Interrupt, 0, false},
	} {
		if got := first.again(c.signal, now.Add(c.after)); got != c.want {
			t.Errorf("%v after %v: again is %v, want %v", c.signal, c.after, got, c.want)
		}
	}
}
