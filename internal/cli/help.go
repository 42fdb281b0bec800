package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// maxHelpWidth is the maximum width of help texts, in columns.
const maxHelpWidth = 80

// helpWidth returns the width of help texts.
func (a *app) helpWidth() int {
	if a.Stdout.Terminal && a.Stdout.Width != nil {
		if w := a.Stdout.Width(); w > 0 {
			return min(w, maxHelpWidth)
		}
	}
	return maxHelpWidth
}

// fitHelp wraps the help texts of a command and its subcommands to a width.
func fitHelp(cmd *cobra.Command, width int) {
	cmd.Long = reflow(cmd.Long, width)
	for _, c := range cmd.Commands() {
		fitHelp(c, width)
	}
	if !cmd.HasParent() {
		help := cmd.HelpFunc()
		cmd.SetHelpFunc(func(cmd *cobra.Command, args []string) {
			var text bytes.Buffer
			out := cmd.OutOrStdout()
			cmd.SetOut(&text)
			help(cmd, args)
			cmd.SetOut(out)
			fmt.Fprint(out, fitLines(text.String(), width))
		})
		usage := strings.ReplaceAll(cmd.UsageTemplate(), "Flags.FlagUsages ", fmt.Sprintf("Flags.FlagUsagesWrapped %d ", width))
		usage = strings.Replace(usage, "{{if .HasAvailableLocalFlags}}", "{{if not .HasParent}}\n\n"+seeFlags+"{{else if .HasAvailableLocalFlags}}", 1)
		cmd.SetUsageTemplate(inheritedFlags.ReplaceAllLiteralString(usage, "\n\n"+seeFlags+"{{end}}"))
	}
}

// inheritedFlags matches the part of cobra's template that lists the flags of every command.
var inheritedFlags = lazyregexp.New(`(?s)\n\nGlobal Flags:\n.*?\{\{end\}\}`)

const seeFlags = `Flags of every command, such as --database and --dir: see "whimbrel help flags".`

// fitLines wraps the lines that are wider than a width, below the column in which their second part
// begins: the meaning of a command or a flag, the comment of an example.
func fitLines(text string, width int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if ansi.StringWidth(line) > width {
			lines[i] = render.Hang(line, width, secondPart(line, width))
		}
	}
	return strings.Join(lines, "\n")
}

var columnGap = regexp.MustCompile(`\S( {2,})\S`)

// secondPart returns the column of what follows the first gap in a line, or an indentation if that
// would leave less than half of the width.
func secondPart(line string, width int) int {
	at := columnGap.FindStringSubmatchIndex(line)
	if at == nil || at[3] > width/2 {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if indent > 0 {
			indent += 2
		}
		return indent
	}
	return at[3]
}

// flagsTopic is the help about the flags of every command.
func flagsTopic(root *cobra.Command, width int) *cobra.Command {
	topic := &cobra.Command{
		Use:     "flags",
		GroupID: groupOther,
		Short:   "Explain the flags of every command",
	}
	topic.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		text := "These flags are allowed with every command.\n\nUsage:\n  " + root.Name() + " COMMAND [flags]\n\nFlags:\n" + root.PersistentFlags().FlagUsagesWrapped(width)
		fmt.Fprint(cmd.OutOrStdout(), fitLines(text, width))
	})
	return topic
}

// reflow rewraps each paragraph, except those with indented lines.
func reflow(text string, width int) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		if strings.HasPrefix(p, " ") || strings.Contains(p, "\n ") {
			continue
		}
		paragraphs[i] = render.Wrap(p, width)
	}
	return strings.Join(paragraphs, "\n\n")
}

// helpCommand is cobra's help command, except that it rejects unknown commands.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		GroupID: groupOther,
		Short:   "Show the help of a command",
		Long:    "Help shows what a command does, its flags, and examples.",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) (offers []string, _ cobra.ShellCompDirective) {
			if about, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
				for _, c := range about.Commands() {
					if c.IsAvailableCommand() && strings.HasPrefix(c.Name(), begun) {
						offers = append(offers, c.Name()+"\t"+c.Short)
					}
				}
			}
			return offers, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usage(seeHelp(cmd.Root()), "%v", err)
			}
			if len(rest) > 0 {
				return unknownCommand(about, rest)
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// completionCommand is cobra's completion command, except that it rejects unknown shells.
func completionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd("completion")
	c, _, err := root.Find([]string{"completion"})
	must(err)
	c.Use, c.Short = "completion SHELL", "Print a shell completion script"
	c.Long = "Completion prints a script for your shell that completes commands, flags, versions, environments and settings. The help of each shell's subcommand says how to install it."
	c.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(seeHelp(cmd), "%q needs a shell: bash, zsh, fish or powershell", cmd.CommandPath())
		}
		return usage("Choose one of: bash, zsh, fish, powershell.", "can't complete commands in %q", args[0])
	}
	c.RunE = func(*cobra.Command, []string) error { return nil } // Args rejects everything
}
