package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// which names the migration, or the script that belongs to no version, that a failure is of.
func which(f *render.Failure) string {
	if f.Version == nil {
		return fmt.Sprintf("script %q", f.Name)
	}
	return fmt.Sprintf("migration %d %s", *f.Version, f.Name)
}

// explainRecords covers squashes, baselines and seeds.
func explainRecords(f *render.Failure, err error) bool {
	var (
		squashed *whimbrel.SquashedError
		history  *whimbrel.HistoryExistsError
	)
	switch {
	case errors.As(err, &squashed):
		f.Kind, f.Version, f.Name, f.File, f.Versions = kindSquashed, &squashed.Version, squashed.Name, squashed.File, squashed.Lacks
		f.Message = fmt.Sprintf("the database has applied only some of the versions that this squash replaces: it lacks %s, and there are no files for %s any more", list(squashed.Lacks), list(squashed.Missing))
		f.Next = fmt.Sprintf("Put these files back, or bring the database to version %d with an older build; then run the command again.", squashed.Version)
	case errors.As(err, &history):
		f.Kind, f.Event = kindHistory, new(render.NewEvent(history.Last))
		f.Message = fmt.Sprintf("set %q has a history already: %s", history.Set, nowApplied(history))
		f.Next = `A baseline is for a schema that nobody recorded. To set the record right all the same: --force --reason "…"`
	default:
		return false
	}
	return true
}

func nowApplied(e *whimbrel.HistoryExistsError) string {
	if e.Version == whimbrel.NilVersion {
		return "nothing is applied now"
	}
	return fmt.Sprintf("%d applied, the newest is version %d", e.AppliedCount, e.Version)
}

func list(vs []int64) string {
	words := make([]string, len(vs))
	for i, v := range vs {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ", ")
}
