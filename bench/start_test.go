package bench

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const startTitle = "start of the program"

// start is what it takes to start a program that does next to nothing.
type start struct {
	name  string
	args  []string
	walls []time.Duration
}

// measureStart starts the command, and a program that only links its drivers (floor), in turns.
func measureStart(t *testing.T, programs string, rounds int) []start {
	t.Helper()
	starts := []start{
		{name: "a program that links the drivers and does nothing", args: []string{filepath.Join(programs, "floor")}},
		{name: "`whimbrel version`", args: []string{filepath.Join(programs, "whimbrel"), "version"}},
	}
	for range rounds {
		for i, s := range starts {
			cmd := exec.Command(s.args[0], s.args[1:]...)
			began := time.Now()
			if err := cmd.Run(); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			starts[i].walls = append(s.walls, time.Since(began))
		}
	}
	return starts
}
