package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
)

// selecting are the flags that select the database, the files and the history, so that advice must
// repeat them.
var selecting = []string{"env-file", "config", "env", "database", "dir", "format", "no-placeholders", "placeholder", "set", "schema", "history-table"}

// untargeted are the commands that none of these flags affects.
var untargeted = []string{"help", "flags", "init", "drivers", "version", "completion", "config"}

// aim returns the flags with which a command was called that select what it works on, as words for
// a shell.
func aim(cmd *cobra.Command) string {
	var words []string
	for _, name := range selecting {
		f := cmd.Flags().Lookup(name)
		if f == nil || !f.Changed {
			continue
		}
		switch all, repeated := f.Value.(pflag.SliceValue); {
		case repeated:
			for _, value := range all.GetSlice() {
				words = append(words, "--"+name, shellWord(name, value))
			}
		case f.Value.Type() == "bool":
			words = append(words, "--"+name+map[string]string{"false": "=false"}[f.Value.String()])
		default:
			words = append(words, "--"+name, shellWord(name, f.Value.String()))
		}
	}
	return strings.Join(words, " ")
}

// aimed returns the commands to which advice adds these flags.
func aimed() (commands []string) {
	for _, c := range Command().Commands() {
		if slices.Contains(untargeted, c.Name()) {
			continue
		}
		commands = append(commands, c.Name())
		for _, sub := range c.Commands() {
			commands = append(commands, c.Name()+" "+sub.Name())
		}
	}
	order.By(commands, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return commands
}

// shellWord returns the value of a flag as one word. A URL with a password is "…".
func shellWord(flag, value string) string {
	switch {
	case flag == "database" && database.Redact(value) != value:
		return `"…"`
	case isPlainWord(value):
		return value
	}
	return "'" + strings.ReplaceAll(shown(value), "'", `'\''`) + "'"
}

// isPlainWord reports whether a shell takes a text as one word that means itself.
func isPlainWord(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_./:@%+,=-", r))
	})
}
