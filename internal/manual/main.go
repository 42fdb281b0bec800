// Command manual writes the man pages and the shell completions of whimbrel into a folder:
//
//	go run ./internal/manual FOLDER
//
// Their content depends on the command's source alone, except for the date of the man pages, which
// is $SOURCE_DATE_EPOCH if it is set.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/whimbrel-db/whimbrel/internal/cli"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("need one argument, the folder to write to; got %d", len(args))
	}
	date := time.Now()
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
		}
		date = time.Unix(seconds, 0)
	}
	cobra.EnableCommandSorting = false // commands are listed in the order of use
	root := cli.Command()
	values := map[*pflag.Flag]string{}
	prepare(root, values)
	if err := writeMan(root, values, filepath.Join(args[0], "man", "man1"), date.UTC()); err != nil {
		return err
	}
	return writeCompletions(cli.Command(), filepath.Join(args[0], "completions"))
}

// prepare escapes the texts of a command and its subcommands, which cobra takes for Markdown, and
// collects the names of the flags' values, as pflag shows them in a help text.
func prepare(cmd *cobra.Command, values map[*pflag.Flag]string) {
	cmd.DisableAutoGenTag = true
	cmd.InitDefaultHelpFlag()
	lines := strings.Split(cmd.Long, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "  ") {
			lines[i] = "\t" + line // code, which needs no escapes
		} else {
			lines[i] = escape.Replace(line)
		}
	}
	cmd.Short, cmd.Long = escape.Replace(cmd.Short), strings.Join(lines, "\n")
	for _, flags := range []*pflag.FlagSet{cmd.PersistentFlags(), cmd.LocalFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			if _, done := values[f]; !done {
				name, usage := pflag.UnquoteUsage(f)
				values[f], f.Usage = name, escape.Replace(usage)
			}
		})
	}
	for _, c := range cmd.Commands() {
		prepare(c, values)
	}
}

// escape escapes the characters that have a meaning in Markdown.
var escape = strings.NewReplacer(
	`\`, `\\`, `*`, `\*`, `_`, `\_`, `<`, `\<`, `>`, `\>`, "`", "\\`", `[`, `\[`, `]`, `\]`, `~`, `\~`,
)

// writeMan writes a page for a command and each of its subcommands.
func writeMan(cmd *cobra.Command, values map[*pflag.Flag]string, dir string, date time.Time) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			if err := writeMan(c, values, dir, date); err != nil {
				return err
			}
		}
	}
	var b bytes.Buffer
	header := doc.GenManHeader{Section: "1", Date: &date, Source: "Whimbrel", Manual: "Whimbrel"}
	if err := doc.GenMan(cmd, &header, &b); err != nil {
		return err
	}
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
	text := paragraph.ReplaceAll(withoutInherited(withValues(cmd, values, b.Bytes())), []byte("$1.TP\n$2\n"))
	return os.WriteFile(filepath.Join(dir, name), text, 0o666)
}

// paragraph is an option of a man page, which becomes a tagged paragraph: its text is indented.
var paragraph = regexp.MustCompile(`(?m)^(\.SH OPTIONS\n|\.PP\n)(\\fB-.*)\n\t`)

// withoutInherited replaces the global options with a reference to the page that has them.
func withoutInherited(page []byte) []byte {
	before, after, found := bytes.Cut(page, []byte("\n.SH OPTIONS INHERITED FROM PARENT COMMANDS\n"))
	if !found {
		return page
	}
	_, rest, _ := bytes.Cut(after, []byte("\n.SH "))
	return fmt.Appendf(nil, "%s\n.SH GLOBAL OPTIONS\nSee \\fBwhimbrel(1)\\fP.\n\n.SH %s", before, rest)
}

// option is an option of a man page, with its name and the value that cobra writes.
var option = regexp.MustCompile(`(?m)^(.*\\fB--([a-z0-9-]+)\\fP)\[?=.*$`)

// withValues replaces the values of the options of a page, which are their defaults, with names.
func withValues(cmd *cobra.Command, values map[*pflag.Flag]string, page []byte) []byte {
	return option.ReplaceAllFunc(page, func(found []byte) []byte {
		m := option.FindSubmatch(found)
		if f := cmd.Flag(string(m[2])); f != nil && values[f] != "" {
			return fmt.Appendf(nil, `%s=\fI%s\fP`, m[1], values[f])
		}
		return m[1]
	})
}

// writeCompletions writes the completion script of each shell, under the name that the shell's own
// folder of completions requires.
func writeCompletions(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, generate := range map[string]func(*bytes.Buffer) error{
		"whimbrel.bash": func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) },
		"_whimbrel":     func(b *bytes.Buffer) error { return root.GenZshCompletion(b) },
		"whimbrel.fish": func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) },
		"whimbrel.ps1":  func(b *bytes.Buffer) error { return root.GenPowerShellCompletionWithDesc(b) },
	} {
		var b bytes.Buffer
		if err := generate(&b); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o666); err != nil {
			return err
		}
	}
	return nil
}
