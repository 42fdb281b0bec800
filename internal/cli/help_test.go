package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// TestHelpFits looks at the help of every command there is, on terminals of several widths and in a
// pipe.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	for _, width := range []int{60, 80, 100, 200} {
		helpFits(t, func(out io.Writer) render.Stream {
			return render.Stream{Writer: out, Terminal: true, Width: func() int { return width }}
		}, min(width, maxHelpWidth))
	}
	helpFits(t, func(out io.Writer) render.Stream { return render.Stream{Writer: out} }, maxHelpWidth)
}

func helpFits(t *testing.T, stream func(io.Writer) render.Stream, width int) {
	t.Helper()
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Parent() != nil && cmd.Parent().Name() == "completion" {
			return // cobra's
		}
		var out bytes.Buffer
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		Run(Process{Args: args, LookupEnv: func(string) (string, bool) { return "", false }, Stdout: stream(&out), Stderr: stream(&out)})
		if !strings.Contains(out.String(), "Usage:\n") {
			t.Errorf("%s: %s", cmd.CommandPath(), out.String())
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("%s --help at %d columns has a line of %d: %s", cmd.CommandPath(), width, n, line)
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
