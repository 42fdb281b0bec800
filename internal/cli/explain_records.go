package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// which names the migration of a failure, or the script if it has no version.
func which(f *render.Failure) string {
	if f.Version == nil {
		return fmt.Sprintf("script %q", f.Name)
	}
	return fmt.Sprintf("migration %d %s", *f.Version, f.Name)
}

// explainRecords handles squashes and baselines that don't fit the history.
func explainRecords(f *render.Failure, err error) bool {
	var (
		squashed *whimbrel.SquashedError
		history  *whimbrel.HistoryExistsError
	)
	switch {
	case errors.As(err, &squashed):
		f.Kind, f.Version, f.Name, f.File, f.Versions = kindSquashed, &squashed.Version, squashed.Name, squashed.File, squashed.Lacks
		f.Message = fmt.Sprintf("the database has only some of the versions that this squash replaces: it lacks %s, and the files of %s are missing", list(squashed.Lacks), list(squashed.Missing))
		f.Next = fmt.Sprintf("Restore these files, or migrate the database to version %d with an older build. Then run the command again.", squashed.Version)
	case errors.As(err, &history):
		f.Kind, f.Entry = kindHistory, new(render.NewEntry(history.Last))
		f.Message = fmt.Sprintf("set %q already has a history: %s", history.Set, nowApplied(history))
		f.Next = `Use baseline only for a set without a history. To correct this history, add --force --reason "…"`
	default:
		return false
	}
	return true
}

func nowApplied(e *whimbrel.HistoryExistsError) string {
	if e.Version == whimbrel.NilVersion {
		return "nothing is applied at present"
	}
	return fmt.Sprintf("%d applied, the newest version is %d", e.AppliedCount, e.Version)
}

func list(vs []int64) string {
	words := make([]string, len(vs))
	for i, v := range vs {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ", ")
}
