package cli

import (
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// scratchError is a result or failure of a trial on a scratch database.
type scratchError struct{ error }

func (e *scratchError) Unwrap() error { return e.error }

// scratchRules handle the results of trials on scratch databases.
func scratchRules() []rule {
	return []rule{
		on(kindSource, explainOutside),
		on(kindSource, func(f *render.Failure, e *inspect.DataError) {
			for _, s := range e.Statements {
				f.Problems = append(f.Problems, render.Problem{Message: s.Why + ": " + s.SQL, File: s.Pos.File, Line: s.Pos.Line, Column: s.Pos.Column})
			}
			setPlace(f, e.Statements[0].Pos)
			f.Message = "the range has statements whose effects a schema does not show"
			f.Next = "A squash of the schema would lose these effects. End the range before them, or start it after them. To leave them out, so that new databases lack them, add --drop-data."
		}),
		on(kindSource, func(f *render.Failure, e *inspect.NotSameError) {
			f.Message, _, _ = strings.Cut(e.Error(), "\n")
			f.Differences = render.NewChanges(e.Changes)
			f.Next = "Join the scripts instead: leave out --minimal."
			if e.Before {
				f.Next = "Begin the range with the folder's first migration, or join the scripts instead: leave out --minimal."
			}
		}),
		on(kindSource, func(f *render.Failure, e *differentError) {
			f.Differences = e.changes
			f.Next = "Nothing was written. This should not happen: please report it with the folder."
		}),
		on(kindSource, func(f *render.Failure, e *inspect.NoTextError) {
			f.Message = relabelled(f, f.Message, e.Event.Version)
			f.Next = `Pass the folder that has the applied file with --dir. Or accept the present schema: whimbrel drift --accept --reason "…"`
		}),
	}
}

// explainOutside handles scripts that would change something outside the scratch database.
func explainOutside(f *render.Failure, err *inspect.OutsideError) {
	for _, s := range err.Statements {
		f.Problems = append(f.Problems, render.Problem{Message: s.Reaches() + ": " + s.SQL, File: s.Pos.File, Line: s.Pos.Line, Column: s.Pos.Column})
	}
	setPlace(f, err.Statements[0].Pos)
	f.Message = "nothing was run: scripts would change something outside the scratch database"
	if err.Why != "" {
		f.Message += ", and its server may be the database's own (" + err.Why + ")"
	}
	f.Outcome = sentence(f.Message)
	f.Next = outsideRemedies(err)
}

// outsideRemedies lists the ways to run such scripts.
func outsideRemedies(err *inspect.OutsideError) string {
	next := `To skip a statement on scratch databases, write "-- whimbrel: skip-on-scratch" above it. To skip all of these, add --skip-outside. `
	beyond := func(e sqltext.Effect) bool { return e.Outer.Beyond() }
	if !slices.ContainsFunc(err.Statements, func(s inspect.OutsideStatement) bool { return slices.ContainsFunc(s.Effects, beyond) }) {
		next += `To run them, use a separate server: --scratch local starts one, --scratch URL names one. `
	}
	return next + `To run them on the scratch database's server anyway, add --allow-outside ` + strings.Join(kindsOf(err.Statements), ",") + `.`
}

// kindsOf returns the kinds of effects, as --allow-outside names them.
func kindsOf(all []inspect.OutsideStatement) []string {
	var kinds []string
	for _, s := range all {
		for _, e := range s.Effects {
			if !slices.Contains(kinds, string(e.Outer)) {
				kinds = append(kinds, string(e.Outer))
			}
		}
	}
	return kinds
}
