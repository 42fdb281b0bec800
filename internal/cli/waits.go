package cli

import "github.com/spf13/cobra"

// waitFlags are the flags of the commands that run scripts which limit their waits for locks of
// others. They have the form of the command line; "" is not given.
type waitFlags struct{ lockTimeout, retryFor, terminateAfter string }

// What 0 means for each of them.
const (
	noLockTimeout = "to wait without limit"
	noRetry       = "not to try again"
	noTerminate   = "to terminate nothing"
)

// addWaits adds the flags.
func (a *app) addWaits(cmd *cobra.Command) {
	for _, flag := range []struct {
		to                *string
		name, zero, usage string
	}{
		{&a.waits.lockTimeout, "lock-timeout", noLockTimeout, "`duration` that a statement may wait for a lock, such as 2s; 0 is no limit (default: the setting lock_timeout, 2s)"},
		{&a.waits.retryFor, "retry-for", noRetry, "`duration` for which a migration that fails because of a lock is tried again; 0 is never (default: the setting retry_for, 10m)"},
		{&a.waits.terminateAfter, "terminate-blockers-after", noTerminate, "`duration`, such as 1m, after which the sessions that block a migration are terminated; 0 is never (default 0)"},
	} {
		cmd.Flags().Func(flag.name, flag.usage, func(s string) error {
			*flag.to = s
			_, err := parseTimeout(s, flag.zero)
			return err
		})
		must(cmd.RegisterFlagCompletionFunc(flag.name, cobra.NoFileCompletions))
	}
}
