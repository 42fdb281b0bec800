package inspect

import (
	"context"
	"errors"
	"fmt"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Rebuild runs SQL text, such as the Text of a snapshot, in a scratch database, and returns the
// snapshot of the result. name identifies the text in errors. If the text fails, the error is a
// *database.StatementError; if it affects anything outside the database, an *OutsideError. It runs
// as a whole or not at all, unless it controls transactions itself.
func Rebuild(ctx context.Context, name, text string, scratch Scratch) (s *catalog.Snapshot, err error) {
	script := migration.Text(name, text)
	t, as, err := scratch.newTrial(ctx, false, []*migration.Script{script})
	if err != nil {
		return nil, err
	}
	script = as[script]
	err = t.on(ctx, func(empty database.Database) error {
		a, err := script.Analyze(empty.Dialect(), empty.Tables())
		if err != nil {
			return err
		}
		script.NoTransaction = a.Control != nil
		set, err := migration.NewSet("rebuild", migration.Migration{Version: 0, Name: "text", Up: script})
		if err != nil {
			return err
		}
		if _, err := whimbrel.New(empty, set, t.options(whimbrel.Options{TextLimit: -1})).Up(ctx); err != nil {
			var statement *database.StatementError
			if errors.As(err, &statement) { // the migration's name means nothing here
				return fmt.Errorf("on a scratch database: %w", statement)
			}
			return err
		}
		s, err = database.Snapshot(ctx, empty, catalog.Options{})
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
