package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/source"
)

// complete is a completion function, as cobra defines it.
type complete = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// choice selects and orders the versions that a completion offers.
type choice func(s *whimbrel.Status) []int64

// Choices in the order in which people need them.
var (
	pendingFirst choice = func(s *whimbrel.Status) []int64 { return s.PendingVersions() }
	appliedFirst choice = func(s *whimbrel.Status) []int64 { return newestFirst(s.AppliedVersions()) }
	everyVersion choice = func(s *whimbrel.Status) []int64 {
		return append(newestFirst(s.AppliedVersions()), s.PendingVersions()...)
	}
	editedFirst    choice = func(s *whimbrel.Status) []int64 { return newestFirst(s.InState(whimbrel.StateModified)) }
	interruptedOne choice = func(s *whimbrel.Status) []int64 {
		if s.Interrupted == nil || s.Interrupted.Version == whimbrel.NilVersion {
			return nil
		}
		return []int64{s.Interrupted.Version}
	}
)

func newestFirst(versions []int64) []int64 {
	versions = slices.Clone(versions)
	slices.Reverse(versions)
	return versions
}

// completionTime is how long a completion waits for the database.
const completionTime = 2 * time.Second

// completeVersions completes at most most arguments with versions; a negative most means any
// number. If the database does not answer at once, it offers all versions of the folder, the newest
// first. It offers versions as the files have them, unless the user begins with another digit.
func (a *app) completeVersions(most int, choose choice) complete {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
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
		names := map[int64]string{}
		for _, m := range set.All() {
			names[m.Version] = m.Name
		}
		versions := newestFirst(set.Versions())
		if s, err := a.completionStatus(cmd.Context()); err == nil {
			versions = choose(s)
			for _, m := range s.Migrations {
				names[m.Version] = strings.TrimSpace(m.Name + " (" + strings.ReplaceAll(string(m.State), "_", " ") + ")")
			}
		}
		digits := render.DigitsOf(set)
		if begun != "" && begun[0] != '0' && digits != render.Dotted {
			digits = 0
		}
		var offers []string
		for _, v := range versions {
			if label := digits.Label(v); strings.HasPrefix(label, begun) && !given(args, v) {
				offers = append(offers, label+"\t"+names[v])
			}
		}
		return offers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// given reports whether a version is one of the arguments.
func given(args []string, version int64) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		v, err := parseVersion(arg)
		return err == nil && v == version
	})
}

// completionStatus reads the status of the database, if it answers at once. It runs no
// password_command, because a completion must not ask for anything.
func (a *app) completionStatus(ctx context.Context) (*whimbrel.Status, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	a.global.quiet = true
	a.completing = true
	t, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer t.close()
	return t.migrator().Status(ctx)
}

// completeVersionFlag completes the flag --to.
func (a *app) completeVersionFlag(cmd *cobra.Command, choose choice) {
	must(cmd.RegisterFlagCompletionFunc("to", a.completeVersions(-1, choose)))
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

// oneOf offers fixed words.
func oneOf(words []string) complete {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// formats are the names of all formats.
func formats() (all []string) {
	for _, f := range source.Formats() {
		all = append(all, string(f))
	}
	return all
}

// completeGlobals completes the values of the global flags.
func (a *app) completeGlobals(root *cobra.Command) {
	var schemes []string
	for _, d := range database.Drivers() {
		schemes = append(schemes, d+":")
	}
	must(root.RegisterFlagCompletionFunc("format", oneOf(formats())))
	must(root.RegisterFlagCompletionFunc("database", cobra.FixedCompletions(schemes, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)))
	must(root.RegisterFlagCompletionFunc("lock", oneOf(lockKinds)))
	must(root.RegisterFlagCompletionFunc("env", a.completeEnvironments))
	must(root.MarkPersistentFlagDirname("dir"))
	must(root.MarkPersistentFlagFilename("config", "yaml", "yml"))
	for _, name := range []string{"set", "schema", "history-table", "tables-owner", "migration-lock-timeout"} {
		must(root.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions))
	}
	a.completeFiles(root)
}

// completeFiles offers files only where the command takes some. Otherwise shells offer them
// wherever nothing else is known. Descriptions lack the marks of the help.
func (a *app) completeFiles(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && cmd.ValidateArgs(nil) == nil && cmd.ValidateArgs([]string{"x"}) != nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	flags := func(f *pflag.Flag) {
		if kind, _ := pflag.UnquoteUsage(f); kind != "file" && kind != "folder" {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions) // fails if it has another
		}
		if a.completes() {
			f.Usage = strings.ReplaceAll(f.Usage, "`", "")
		}
	}
	cmd.LocalFlags().VisitAll(flags)
	for _, c := range cmd.Commands() {
		a.completeFiles(c)
	}
}

// completes reports whether a shell asks for completions.
func (a *app) completes() bool {
	return len(a.Args) > 0 && strings.HasPrefix(a.Args[0], cobra.ShellCompRequestCmd)
}

// completeEnvironments offers the environments of the configuration file, in its order.
func (a *app) completeEnvironments(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	c, err := readConfig(a.global.config)
	if err != nil || c == nil {
		return nil, directive
	}
	return slices.DeleteFunc(c.environments(), func(name string) bool { return slices.Contains(args, name) }), directive
}

// must panics on errors that only a programming mistake in this package can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
