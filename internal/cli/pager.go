package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

const (
	envPager    = "WHIMBREL_PAGER"
	envPagerToo = "PAGER"
)

// pagerCommand returns the pager for long output: $WHIMBREL_PAGER, else $PAGER, else less if it is
// installed. It returns "" for no pager, also if the variable is empty or "cat".
func (a *app) pagerCommand() string {
	if a.global.noPager || a.global.json || a.global.quiet || !a.Stdout.Terminal {
		return ""
	}
	for _, name := range []string{envPager, envPagerToo} {
		if command, ok := a.LookupEnv(name); ok {
			if command = strings.TrimSpace(command); command == "cat" {
				return ""
			}
			return command
		}
	}
	if _, err := exec.LookPath("less"); err != nil {
		return ""
	}
	return "less"
}

// page returns a function that shows a text in the pager, or nil if there is no pager.
func (a *app) page() func(text string) bool {
	command := a.pagerCommand()
	if command == "" {
		return nil
	}
	return func(text string) bool {
		err := a.runPager(command, a.secrets.redact(text))
		if err != nil {
			fmt.Fprintf(a.Stderr, "the pager %q: %v\n", command, err)
		}
		return err == nil
	}
}

// runPager runs a pager until it exits. It fails only if the pager can't be started; the pager's
// exit code does not matter.
func (a *app) runPager(command, text string) error {
	c := pagerProcess(command)
	c.Env = os.Environ()
	// Show colours, keep the text on the screen, and exit if the text fits the screen.
	for name, value := range map[string]string{"LESS": "FRX", "LV": "-c"} {
		if _, ok := a.LookupEnv(name); !ok {
			c.Env = append(c.Env, name+"="+value)
		}
	}
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(text), a.Stdout.Writer, a.Stderr.Writer
	if err := c.Start(); err != nil {
		return errors.New("can't be run")
	}
	done := make(chan struct{})
	go a.forwardSignals(c.Process, done)
	err := c.Wait()
	close(done)
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == 126 || exit.ExitCode() == 127) { // the shell did not find the command
		return errors.New("can't be run")
	}
	return nil
}

// pagerProcess returns the process for a pager command. It uses a shell only if the command needs
// one, because a shell would receive the signals in place of the pager.
func pagerProcess(command string) *exec.Cmd {
	if strings.ContainsAny(command, "|&;<>()$`\\\"'*?[#~=%\n") {
		return exec.Command("sh", "-c", command)
	}
	words := strings.Fields(command)
	return exec.Command(words[0], words[1:]...)
}

// forwardSignals forwards signals to the pager, except Ctrl-C, which the terminal sends to both.
func (a *app) forwardSignals(p *os.Process, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case s := <-a.Signals:
			if s != os.Interrupt {
				_ = p.Signal(s) // it may have ended
			}
		}
	}
}
