package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// overview implements "whimbrel" without a command: it shows the state and the next step. If no
// database is configured, it prints the help, unless --json or --env is given.
func (a *app) overview(cmd *cobra.Command) error {
	url, err := a.databaseURL()
	var none *noDatabaseError
	if errors.As(err, &none) && !a.global.json && a.global.env == "" {
		return cmd.Help()
	}
	if err != nil {
		return err
	}
	return a.with(a.openForStatus, func(cmd *cobra.Command, t *target, _ []string) (render.Document, error) {
		s, err := t.status(cmd.Context())
		if err != nil {
			return nil, err
		}
		doc := render.NewOverview(s, database.Redact(url), t.where(), t.dir)
		u, err := a.unrecorded(cmd.Context(), t)
		doc.SetUnrecorded(u)
		return doc, err
	})(cmd, nil)
}
