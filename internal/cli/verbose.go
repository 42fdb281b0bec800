package cli

import (
	"context"
	"log/slog"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// observe returns the function that shows events: with --verbose, also as records of a log.
func (a *app) observe(p *render.Printer) func(context.Context, whimbrel.Event) {
	if !a.global.verbose {
		return p.Observe
	}
	log := whimbrel.Log(slog.New(slog.NewTextHandler(p.Records(), &slog.HandlerOptions{Level: slog.LevelDebug})))
	return func(ctx context.Context, e whimbrel.Event) {
		log(ctx, e)
		p.Observe(ctx, e)
	}
}
