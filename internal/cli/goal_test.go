package cli

import (
	"io"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The command that resumes does the rest of what the user asked for.
func TestCommandThatResumes(t *testing.T) {
	t.Parallel()
	done := []whimbrel.StepResult{{Version: 3}}
	for _, c := range []struct {
		args   []string
		flags  migrateFlags // as the command parses args
		result whimbrel.Result
		want   string
	}{
		{[]string{"up"}, migrateFlags{}, whimbrel.Result{Applied: done}, "whimbrel up"},
		{[]string{"up", "--to", "0012", "--reason", "x"}, migrateFlags{to: 12}, whimbrel.Result{}, "whimbrel up --to 12"},
		{[]string{"up", "--steps", "3"}, migrateFlags{steps: 3}, whimbrel.Result{Applied: done}, "whimbrel up --steps 2"},
		{[]string{"to", "7"}, migrateFlags{}, whimbrel.Result{}, "whimbrel to 7"},
		{[]string{"down"}, migrateFlags{}, whimbrel.Result{}, "whimbrel down"},
		{[]string{"down", "--all"}, migrateFlags{all: true}, whimbrel.Result{}, "whimbrel down --all"},
		{[]string{"down", "--steps", "2"}, migrateFlags{steps: 2}, whimbrel.Result{RolledBack: done}, "whimbrel down --steps 1"},
		{[]string{"redo"}, migrateFlags{}, whimbrel.Result{RolledBack: done}, "whimbrel up"},
	} {
		root := (&app{}).root()
		cmd, rest, err := root.Find(c.args)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Fatal(err)
		}
		m := c.flags
		if got := m.again(cmd, &c.result, 0); got != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}

// A failure says what remains applied and what to do next, for a wrong statement, for a failure
// that the statement did not cause, and for an unknown outcome.
func TestAppliedStatementsOfARun(t *testing.T) {
	t.Parallel()
	step := whimbrel.Step{Version: 12, Name: "add_index", Direction: database.Up, Script: migration.Text("x.sql", "")}
	fromHistory := step
	fromHistory.From = whimbrel.FromHistory
	for _, c := range []struct {
		journal       database.Journal
		kind          render.Kind
		next          string
		step          whimbrel.Step
		outcome, want string
	}{
		{
			database.Journal{Done: 2, Of: 7},
			kindStatement, "", step,
			"The first 2 statements of migration 12 add_index ran outside a transaction and remain applied.",
			`Fix the file from statement 3 on, then run "whimbrel up" to resume at statement 3 of 7.`,
		},
		{
			database.Journal{Done: 2, Of: 7},
			kindStatement, "", fromHistory,
			"The first 2 statements of migration 12 add_index ran outside a transaction and remain applied.",
			`Add a down script to the folder, corrected from statement 3 on (this one came from the history), then run "whimbrel up" to resume at statement 3 of 7.`,
		},
		{
			database.Journal{Of: 7, Begun: "VACUUM"},
			kindStatement, "Free space, then run the command again.", step,
			"Statement 1 may or may not have taken effect.",
			"Free space, then run \"whimbrel up\" to check the outcome of statement 1 of 7 and continue.\nTo give it up instead, run: whimbrel abandon 12",
		},
		{
			database.Journal{Done: 1, Of: 7},
			kindInterrupted, "", step,
			"The first statement of migration 12 add_index ran outside a transaction and remains applied.",
			"Run \"whimbrel up\" to resume at statement 2 of 7.\nTo give it up instead, run: whimbrel abandon 12",
		},
		{
			database.Journal{Done: 7, Of: 7},
			kindConnection, "", step,
			"All statements of migration 12 add_index ran outside a transaction and remain applied; only the history entry is missing.",
			`Run "whimbrel up" to add the history entry.`,
		},
	} {
		version := int64(12)
		f := &render.Failure{Kind: c.kind, Version: &version, Name: "add_index", Direction: "up", Next: c.next, Journal: &c.journal}
		c.step.Mode = whimbrel.OutsideTransaction
		p := &whimbrel.Plan{Steps: []whimbrel.Step{c.step}}
		advise(f, p, &whimbrel.Result{}, "whimbrel up")
		wantEqual(t, "outcome", f.Outcome, c.outcome)
		wantEqual(t, "advice", f.Next, c.want)
	}
}

// If the answer to a COMMIT was lost, the command doesn't say that nothing has changed.
func TestAdviceAfterALostCommit(t *testing.T) {
	t.Parallel()
	p := &whimbrel.Plan{Steps: []whimbrel.Step{{Version: 12, Name: "add_index", Direction: database.Up}, {Version: 13, Name: "b", Direction: database.Up}}}
	for atomic, want := range map[bool]string{
		false: "Migration 12 add_index may or may not have taken effect. The next ones may have, too.",
		true:  "All of it may or may not have taken effect.",
	} {
		f, _ := explain(t.Context(), &whimbrel.MigrationError{Version: 12, Name: "add_index", Direction: database.Up, Err: &database.CommitUnknownError{Err: io.EOF}}, 0)
		p.Atomic = atomic
		advise(f, p, &whimbrel.Result{}, "whimbrel up")
		wantEqual(t, "outcome", f.Outcome, want)
		wantEqual(t, "advice", f.Next, "Run the same command again: it checks the history and does what is not done yet.")
	}
}
