package cli

import (
	"errors"
	"strings"

	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
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
	)
	switch {
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
	case errors.As(err, &text):
		f.Next = `Name the folder that has its file as it was applied (--dir). Or accept the schema as it is once: whimbrel drift --accept --reason "…"`
	default:
		return false
	}
	f.Kind = kindSource
	return true
}
