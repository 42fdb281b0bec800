package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// scratchError is what was found out, or went wrong, with scratch databases.
type scratchError struct{ error }

func (e *scratchError) Unwrap() error { return e.error }

// explainScratch covers what a trial on scratch has found.
func explainScratch(f *render.Failure, err error) bool {
	var (
		data *inspect.DataError
		same *inspect.NotSameError
		text *inspect.NoTextError
		outs *inspect.OutsideError
	)
	switch {
	case errors.As(err, &outs):
		explainOutside(f, outs)
	case errors.As(err, &data):
		for _, s := range data.Statements {
			f.Problems = append(f.Problems, render.Problem{Message: s.Why + ": " + s.SQL, File: s.Pos.File, Line: s.Pos.Line, Column: s.Pos.Column})
		}
		first := data.Statements[0].Pos
		f.Message, f.File, f.Line, f.Column = "the range does what a schema does not show, and what would be lost", first.File, first.Line, first.Column
		f.Next = "A schema does not show this, so it would be lost. End the range before it, or begin behind it; or say --drop-data, and a new database will not have it."
	case errors.As(err, &same):
		first, _, _ := strings.Cut(same.Error(), "\n")
		f.Message = first
		f.Differences = render.NewChanges(same.Changes)
		f.Next = "Join the scripts instead: leave out --minimal."
		if same.Before {
			f.Next = "Begin the range with the folder's first migration, or join the scripts instead: leave out --minimal."
		}
	case errors.As(err, &text):
		f.Next = `Name the folder that has its file as it was applied (--dir). Or accept the schema as it is once: whimbrel drift --accept --reason "…"`
	default:
		return false
	}
	f.Kind = kindSource
	return true
}

// explainOutside covers scripts that reach out of a scratch database.
func explainOutside(f *render.Failure, err *inspect.OutsideError) {
	for _, s := range err.Statements {
		f.Problems = append(f.Problems, render.Problem{Message: s.Reaches() + ": " + s.SQL, File: s.Pos.File, Line: s.Pos.Line, Column: s.Pos.Column})
	}
	first := err.Statements[0].Pos
	f.File, f.Line, f.Column = first.File, first.Line, first.Column
	f.Message = "nothing was run: scripts would change, for real, what is outside of the scratch database"
	if err.Why != "" {
		f.Message += ", whose server is not proven to be another one (" + err.Why + ")"
	}
	f.Stands = sentence(f.Message)
	f.Next = outsideRemedies(err)
}

// outsideRemedies says what can be done about it.
func outsideRemedies(err *inspect.OutsideError) string {
	next := `To leave a statement out on scratch, write "-- whimbrel: skip-on-scratch" above it; to leave all of these out, add --skip-outside. `
	beyond := func(e sqltext.Effect) bool { return e.Outer.Beyond() }
	if !slices.ContainsFunc(err.Statements, func(s inspect.OutsideStatement) bool { return slices.ContainsFunc(s.Effects, beyond) }) {
		next += `To run them, use a server that nobody else uses: --scratch local starts one, --scratch URL names one. `
	}
	return next + `To let them happen where the scratch database is, add --allow-outside ` + strings.Join(kindsOf(err), ",") + `.`
}

// kindsOf are what the statements reach, as --allow-outside has it.
func kindsOf(err *inspect.OutsideError) []string {
	var kinds []string
	for _, s := range err.Statements {
		for _, e := range s.Effects {
			if !slices.Contains(kinds, string(e.Outer)) {
				kinds = append(kinds, string(e.Outer))
			}
		}
	}
	return kinds
}
