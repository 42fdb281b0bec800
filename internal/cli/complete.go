package cli

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/source"
)

// complete is a completion function, as cobra defines it.
type complete = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// completeVersions completes at most most arguments with the folder's versions; a negative most
// means any number. It does not connect to the database. The newest version comes first, because
// people choose it most often.
func (a *app) completeVersions(most int) complete {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		r, err := a.resolve()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		set, err := a.readSet(r, "")
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var offers []string
		for _, m := range slices.Backward(set.All()) {
			if v := strconv.FormatInt(m.Version, 10); strings.HasPrefix(v, begun) {
				offers = append(offers, v+"\t"+m.Name)
			}
		}
		return offers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

func (a *app) completeVersionFlag(cmd *cobra.Command) {
	must(cmd.RegisterFlagCompletionFunc("to", a.completeVersions(-1)))
}

func completeSettings(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var offers []string
	for _, s := range database.DeclaredSettings() {
		switch {
		case len(args) == 0:
			offers = append(offers, s.Name+"\t"+s.Doc)
		case len(args) == 1 && args[0] == s.Name && cmd.Name() == "set" && s.Type == database.BoolSetting:
			offers = []string{"true", "false"}
		case len(args) == 1 && args[0] == s.Name && cmd.Name() == "set":
			offers = s.Choices
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}

// completeGlobals completes the values of the global flags.
func (a *app) completeGlobals(root *cobra.Command) {
	words := func(words []string) complete {
		return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	}
	var formats, schemes []string
	for _, f := range source.Formats() {
		formats = append(formats, string(f))
	}
	for _, d := range database.Drivers() {
		schemes = append(schemes, d+":")
	}
	must(root.RegisterFlagCompletionFunc("format", words(formats)))
	must(root.RegisterFlagCompletionFunc("database", words(schemes)))
	must(root.RegisterFlagCompletionFunc("lock", words(lockKinds)))
	must(root.RegisterFlagCompletionFunc("env", a.completeEnvironments))
	must(root.MarkPersistentFlagDirname("dir"))
	must(root.MarkPersistentFlagFilename("config", "yaml", "yml"))
	for _, name := range []string{"set", "schema", "history-table", "tables-owner", "migration-lock-timeout"} {
		must(root.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions))
	}
}

// completeEnvironments offers the environments of the configuration file.
func (a *app) completeEnvironments(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, err := readConfig(a.global.config)
	if err != nil || c == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(c.Environments)), cobra.ShellCompDirectiveNoFileComp
}

// must panics on errors that only a programming mistake in this package can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
