// Package otelwhimbrel reports migrations to OpenTelemetry, as spans and metrics. Only programs
// that import it link OpenTelemetry.
//
//	m := whimbrel.New(db, set, whimbrel.Options{Observe: otelwhimbrel.Observer(otelwhimbrel.Options{})})
//	result, err := m.Up(ctx) // the spans are children of the span in ctx
//
// # Spans
//
// Each call that applies a plan with steps is a span "whimbrel.migrate", a child of the span in the
// context of the call. It contains
//
//   - a span "whimbrel.migration" for each step, from the moment the engine passes its script to
//     the database until the step is committed or fails;
//   - in it, a span "whimbrel.statement" for each statement of a script that runs outside a
//     transaction;
//   - a span "whimbrel.lock_wait" for the time in which another process holds the migration lock.
//
// Other occurrences are span events: "resumed", "cleaned up", "waiting for another session",
// "terminated a session", "retry", "skipped" and, during a backfill, "held back" and "rows failed".
// If a step fails, its span and that of the call have the error and the status Error. The steps of
// one transaction end together, because the database may execute them together.
//
// # Attributes
//
//	whimbrel.set                    string  the name of the set
//	whimbrel.goal                   string  "latest", "version 12", …
//	whimbrel.version                int     the version of the migration; -1 for a script without one
//	whimbrel.name                   string  its name
//	whimbrel.direction              string  "up", "down", "baseline", "mark", "repeat", "seed";
//	                                        of a backfill "start" or, if it continues, "finish"
//	whimbrel.mode                   string  "transaction", "outside a transaction" or "batches"
//	whimbrel.statement.index        int     the position of a statement in its script, from 1
//	db.query.text                   string  the statement, with its secrets masked, at most 2,048 bytes
//	whimbrel.retry.pause            double  the pause before another attempt, in seconds
//	whimbrel.backfill.rows          int     the rows that a backfill has done, at the last report
//	whimbrel.backfill.signals       string[] the limits that hold a backfill back, such as "max-lag"
//	whimbrel.outcome                string  "done", "skipped" or "failed"; only on metrics
//
// # Metrics
//
//	whimbrel.migration.duration     histogram, s   of each step; by set, direction and outcome
//	whimbrel.statement.duration     histogram, s   of each statement outside a transaction; by set
//	whimbrel.lock_wait.duration     histogram, s   of each wait for the migration lock; by set
//	whimbrel.retries                counter        attempts after the first; by set
//	whimbrel.retries.duration       histogram, s   of all attempts at a step that failed because of a
//	                                               lock, and of the pauses after them; by set and outcome
//
// Metrics have neither versions nor names, so their number does not grow with the migrations.
package otelwhimbrel

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/whimbrel-db/whimbrel"
)

// scope is the name of the instrumentation.
const scope = "github.com/whimbrel-db/whimbrel/otelwhimbrel"

// textLimit limits db.query.text, in bytes.
const textLimit = 2048

// Options are the options of Observer. The zero value uses OpenTelemetry's global providers.
type Options struct {
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	// Attributes are added to every span and every measurement, such as those that name the
	// database: db.system.name, server.address, db.namespace.
	Attributes []attribute.KeyValue
}

// Observer returns a function for [whimbrel.Options].Observe. One function can observe any number
// of Migrators and of concurrent calls. It does not block: spans and measurements are recorded in
// memory, and the providers export them.
func Observer(opts Options) func(context.Context, whimbrel.Event) {
	if opts.TracerProvider == nil {
		opts.TracerProvider = otel.GetTracerProvider()
	}
	if opts.MeterProvider == nil {
		opts.MeterProvider = otel.GetMeterProvider()
	}
	version := whimbrel.ToolVersion()
	o := &observer{
		tracer: opts.TracerProvider.Tracer(scope, trace.WithInstrumentationVersion(version)),
		own:    opts.Attributes,
		calls:  map[context.Context]*call{},
	}
	o.instruments(opts.MeterProvider.Meter(scope, metric.WithInstrumentationVersion(version)))
	return o.observe
}
