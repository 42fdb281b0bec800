package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whimbrel-db/whimbrel/internal/durations"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/internal/spelling"
	"github.com/whimbrel-db/whimbrel/source"
)

// usageError reports an invalid command line, environment variable or whimbrel.yaml.
type usageError struct {
	msg, hint string
	// The position of the mistake, if it is in a file.
	file         string
	line, column int
}

func (e *usageError) Error() string { return e.msg }

// usage returns a usageError. It redacts URLs and passwords in args.
func usage(hint, format string, args ...any) error {
	return &usageError{msg: fmt.Sprintf(format, shownArgs(args)...), hint: hint}
}

func seeHelp(cmd *cobra.Command) string {
	return fmt.Sprintf("See %q.", cmd.CommandPath()+" --help")
}

// flagError turns an error of the flag parser into a usageError.
func flagError(cmd *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var bare *pflag.ValueRequiredError
	switch {
	case errors.As(err, &missing) && isNumber(missing.GetSpecifiedShortnames()):
		return usage(`To roll back everything, run "whimbrel down --all". To roll back one migration, run "whimbrel down".`,
			"versions and numbers of steps can't be negative (got -%s)", missing.GetSpecifiedShortnames())
	case errors.As(err, &missing) && missing.GetSpecifiedShortnames() != "":
		return usage(seeHelp(cmd), "%q has no flag -%s", cmd.CommandPath(), missing.GetSpecifiedName())
	case errors.As(err, &missing):
		return usage(nearestFlag(cmd, missing.GetSpecifiedName()), "%q has no flag --%s", cmd.CommandPath(), missing.GetSpecifiedName())
	case errors.As(err, &bare):
		return usage(seeHelp(cmd), "--%s needs a value", bare.GetFlag().Name)
	case errors.As(err, &invalid) && invalid.GetValue() == "":
		return emptyFlag(invalid.GetFlag())
	case errors.As(err, &invalid):
		why := invalid.Unwrap()
		switch flag := invalid.GetFlag(); {
		case flag.Value.Type() == "bool":
			why = errors.New("neither true nor false")
		case errors.Is(why, strconv.ErrRange):
			why = errors.New("out of range")
		case errors.Is(why, strconv.ErrSyntax):
			why = errors.New("not a number")
		}
		return usage(seeHelp(cmd), "--%s %s: %v", invalid.GetFlag().Name, invalid.GetValue(), why)
	}
	return usage(seeHelp(cmd), "%v", err)
}

// emptyFlag reports a flag whose value is empty.
func emptyFlag(flag *pflag.Flag) error {
	return usage("Pass a value, or omit the flag.", "--%s is empty", flag.Name)
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

func nearestFlag(cmd *cobra.Command, name string) string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if best := nearest(name, names); best != "" {
		return fmt.Sprintf("Did you mean --%s?", best)
	}
	return seeHelp(cmd)
}

// noArgs rejects arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := seeHelp(cmd)
	if cmd.Flags().Lookup("to") != nil && isNumber(args[0]) {
		hint = fmt.Sprintf("To name a version, run \"%s --to %s\".", cmd.CommandPath(), args[0])
	}
	return usage(hint, "%q takes no arguments (got %q)", cmd.CommandPath(), args[0])
}

// needArgs requires at least least and at most most arguments; a negative most means any number.
// what describes the arguments.
func needArgs(what string, least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage(seeHelp(cmd), "%q needs %s", cmd.CommandPath(), what)
		case most >= 0 && len(args) > most:
			return usage(seeHelp(cmd), "unexpected extra argument %q; %q needs %s", args[most], cmd.CommandPath(), what)
		}
		return nil
	}
}

// unknownCommand rejects a first argument that is not a command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := seeHelp(cmd)
	if name := nearestCommand(cmd, args[0]); name != "" {
		hint = fmt.Sprintf("Did you mean %q?", cmd.CommandPath()+" "+name)
	}
	return usage(hint, "%q has no command %q", cmd.CommandPath(), args[0])
}

// nearestCommand returns the command that the user probably meant, or "". It also knows the names
// that other tools use.
func nearestCommand(cmd *cobra.Command, written string) string {
	var names []string
	for _, c := range cmd.Commands() {
		if slices.Contains(c.SuggestFor, strings.ToLower(written)) {
			return c.Name()
		}
		names = append(append(names, c.Name()), c.Aliases...)
	}
	return nearest(written, names)
}

// reasonRequired reports a missing --reason; use says what the reason is for.
func reasonRequired(use string) error {
	return usage("Add --reason \"…\" to the command.", "--reason is required; %s", use)
}

// needReason returns a cobra.Command.PreRunE that requires --reason.
func needReason(reason *string, use string) func(*cobra.Command, []string) error {
	return func(*cobra.Command, []string) error {
		if *reason == "" {
			return reasonRequired(use)
		}
		return nil
	}
}

// parseVersion parses a version. Leading zeros are allowed: 0003 is 3.
func parseVersion(s string) (int64, error) {
	if strings.Contains(s, ".") { // Flyway's
		return source.DottedVersion(s)
	}
	v, err := strconv.ParseInt(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("version %s is too large", s)
	case err != nil:
		return 0, fmt.Errorf("%q is not a version; versions are numbers, such as 3", s)
	case v < 0:
		return 0, fmt.Errorf("version %d is negative; to roll back everything, run \"whimbrel down --all\"", v)
	}
	return v, nil
}

func parseVersions(args []string) ([]int64, error) {
	var vs []int64
	for _, arg := range args {
		v, err := parseVersion(arg)
		if err != nil {
			return nil, usage("", "%v", err)
		}
		if slices.Contains(vs, v) {
			return nil, usage("Name each version once.", "version %d is given twice", v)
		}
		vs = append(vs, v)
	}
	return vs, nil
}

var plainNumber = lazyregexp.New(`^[0-9]+$`)

// parseTimeout parses a duration that is not negative.
func parseTimeout(s, zero string) (time.Duration, error) {
	d, err := durations.Parse(s)
	switch {
	case err != nil && plainNumber.MatchString(s):
		return 0, fmt.Errorf("%q has no unit; use a duration such as %ss or %sms", s, s, s)
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration; use one such as 30s, or 0 %s", s, zero)
	case d < 0:
		return 0, fmt.Errorf("%s is negative; use a duration such as 30s, or 0 %s", s, zero)
	}
	return d, nil
}

// durationFlag adds a flag whose value is a positive duration.
func durationFlag(cmd *cobra.Command, to *time.Duration, name, usage string) {
	cmd.Flags().Func(name, usage, func(s string) error {
		d, err := durations.Parse(s)
		switch {
		case err != nil && plainNumber.MatchString(s):
			return fmt.Errorf("a duration needs a unit, such as %ss or %sh", s, s)
		case err != nil:
			return errors.New("not a duration; use one such as 90s, 2h or 1d")
		case d <= 0:
			return errors.New("not positive; use a duration such as 2h")
		}
		*to = d
		return nil
	})
}

// nearest returns the word that is closest to what the user wrote, or "" if none is close: one edit
// apart for up to three letters, two for up to seven, else three.
func nearest(written string, words []string) string {
	best, least := "", min(len(written)/4+1, 3)+1
	for _, w := range words {
		if d := spelling.Distance(strings.ToLower(written), w); d < least {
			best, least = w, d
		}
	}
	return best
}
