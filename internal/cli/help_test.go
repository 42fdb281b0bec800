package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// TestHelpFits looks at the help of every command there is.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Parent() != nil && cmd.Parent().Name() == "completion" {
			return // cobra's
		}
		var out bytes.Buffer
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		Run(Process{Args: args, LookupEnv: func(string) (string, bool) { return "", false }, Stdout: render.Stream{Writer: &out}, Stderr: render.Stream{Writer: &out}})
		if !strings.Contains(out.String(), "Usage:\n") {
			t.Errorf("%s: %s", cmd.CommandPath(), out.String())
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > helpWidth {
				t.Errorf("%s --help has a line of %d: %s", cmd.CommandPath(), n, line)
			}
		}
		for _, c := range cmd.Commands() {
			check(c)
		}
	}
	check((&app{}).root())
}

func TestReflow(t *testing.T) {
	t.Parallel()
	got := reflow("One two\nthree four.\n\n  as it is,\n  this\n\nläßt übrig", 9)
	want := "One two\nthree\nfour.\n\n  as it is,\n  this\n\nläßt\nübrig"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
