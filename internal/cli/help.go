package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// helpWidth is the width that help fits in: a terminal's smallest.
const helpWidth = 80

// fitHelp makes the help of a command, and of all that are under it, fit a terminal.
func fitHelp(cmd *cobra.Command) {
	cmd.Long = reflow(cmd.Long, helpWidth)
	for _, c := range cmd.Commands() {
		fitHelp(c)
	}
	if !cmd.HasParent() {
		cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), "Flags.FlagUsages ", "Flags.FlagUsagesWrapped 80 "))
	}
}

// reflow breaks the lines of each paragraph anew. One with indented lines stays as it is.
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

// helpCommand refuses a topic that there is not.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		GroupID: groupOther,
		Short:   "Show the help of a command",
		Long:    "Help shows what a command does, with examples and its flags.",
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

// completionCommand is cobra's, which must not take a shell that it does not know for a wish for help.
func completionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd("completion")
	c, _, err := root.Find([]string{"completion"})
	must(err)
	c.Use, c.Short = "completion SHELL", "Print the script that completes commands in a shell"
	c.Long = "Completion prints the script that makes a shell complete this program's commands, flags, versions, environments and settings. The help of each shell says where it belongs."
	c.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(seeHelp(cmd), "%q wants a shell: bash, zsh, fish or powershell", cmd.CommandPath())
		}
		return usage("There are: bash, zsh, fish, powershell.", "there are no completions for %q", args[0])
	}
	c.RunE = func(*cobra.Command, []string) error { return nil } // Args has refused everything
}
