package cli

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"

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

// printHelp prints the help of a command, wrapped to a width.
func printHelp(cmd *cobra.Command, width int) {
	about := strings.TrimRightFunc(reflow(cmp.Or(cmd.Long, cmd.Short), width), unicode.IsSpace)
	if about != "" {
		about += "\n\n"
	}
	if cmd.Runnable() || cmd.HasSubCommands() {
		about += cmd.UsageString()
	}
	fmt.Fprint(cmd.OutOrStdout(), fitLines(about, width))
}

// printUsage prints how a command is used, as cobra does, except that the flags of every command
// have a page of their own. Cobra's template is not changed instead, because package text/template
// makes the program larger: see report/markup.go.
func printUsage(cmd *cobra.Command, width int) error {
	var b strings.Builder
	b.WriteString("Usage:")
	if cmd.Runnable() {
		b.WriteString("\n  " + cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\n  " + cmd.CommandPath() + " [command]")
	}
	if len(cmd.Aliases) > 0 {
		b.WriteString("\n\nAliases:\n  " + cmd.NameAndAliases())
	}
	if cmd.HasExample() {
		b.WriteString("\n\nExamples:\n" + cmd.Example)
	}
	b.WriteString(subcommands(cmd) + flagUsages(cmd, width) + helpTopics(cmd))
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\n\nUse \"" + cmd.CommandPath() + " [command] --help\" for more information about a command.")
	}
	_, err := fmt.Fprintln(cmd.OutOrStderr(), b.String())
	return err
}

// subcommands lists the commands of a command by groups.
func subcommands(cmd *cobra.Command) string {
	list := func(heading string, in func(*cobra.Command) bool) (text string) {
		for _, c := range cmd.Commands() {
			if in(c) && (c.IsAvailableCommand() || c.Name() == "help") {
				text += fmt.Sprintf("\n  %-*s %s", c.NamePadding(), c.Name(), c.Short)
			}
		}
		if text != "" {
			text = "\n\n" + heading + text
		}
		return text
	}
	text := ""
	for _, g := range cmd.Groups() {
		text += list(g.Title, func(c *cobra.Command) bool { return c.GroupID == g.ID })
	}
	heading := "Available Commands:"
	if len(cmd.Groups()) > 0 {
		heading = "Additional Commands:"
	}
	return text + list(heading, func(c *cobra.Command) bool { return c.GroupID == "" })
}

// helpTopics lists the help topics of a command.
func helpTopics(cmd *cobra.Command) (text string) {
	if cmd.HasHelpSubCommands() {
		text += "\n\nAdditional help topics:"
		for _, c := range cmd.Commands() {
			if c.IsAdditionalHelpTopicCommand() {
				text += fmt.Sprintf("\n  %-*s %s", c.CommandPathPadding(), c.CommandPath(), c.Short)
			}
		}
	}
	return text
}

// flagUsages explains the flags of a command, apart from those of every command.
func flagUsages(cmd *cobra.Command, width int) string {
	text := ""
	if cmd.HasParent() && cmd.HasAvailableLocalFlags() {
		text = "\n\nFlags:\n" + strings.TrimRightFunc(cmd.LocalFlags().FlagUsagesWrapped(width), unicode.IsSpace)
	}
	if !cmd.HasParent() || cmd.HasAvailableInheritedFlags() {
		text += "\n\n" + seeFlags
	}
	return text
}

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

var columnGap = lazyregexp.New(`\S( {2,})\S`)

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
	completeInBash(c)
	c.RunE = func(*cobra.Command, []string) error { return nil } // Args rejects everything
}
