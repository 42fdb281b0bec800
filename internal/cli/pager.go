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

// pagerCommand is what shows long answers, "" for nothing: what the environment says, else
// less if it is there. An empty value and "cat" are nothing.
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

// page returns what shows a text with the pager, nil if there is none.
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

// runPager runs a command and waits until its reader has had enough. It is an error only if the
// command can't be run: how a reader leaves is nobody's business.
func (a *app) runPager(command, text string) error {
	c := pagerProcess(command)
	c.Env = os.Environ()
	// Colours, no wiping of the screen at the end, and out again if it fits after all.
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
	if errors.As(err, &exit) && (exit.ExitCode() == 126 || exit.ExitCode() == 127) { // of the shell: it did not find it
		return errors.New("can't be run")
	}
	return nil
}

// pagerProcess is a command as it was written. A shell stands in between only where it is needed,
// since it would take the signals.
func pagerProcess(command string) *exec.Cmd {
	if strings.ContainsAny(command, "|&;<>()$`\\\"'*?[#~=%\n") {
		return exec.Command("sh", "-c", command)
	}
	words := strings.Fields(command)
	return exec.Command(words[0], words[1:]...)
}

// forwardSignals hands signals to the pager, but for Ctrl-C, which the terminal has told it itself.
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
