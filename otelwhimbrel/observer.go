package otelwhimbrel

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/whimbrel-db/whimbrel"
)

// observer turns the events of all calls into spans and measurements.
type observer struct {
	tracer trace.Tracer
	own    []attribute.KeyValue

	migrations, statements, lockWaits, retrying metric.Float64Histogram
	retries                                     metric.Int64Counter

	mu    sync.Mutex
	calls map[context.Context]*call // by the context of their events
}

// call is one call that applies a plan.
type call struct {
	set       string
	left      int // steps that are not done
	ctx       context.Context
	span      trace.Span
	lock      *timed // the wait for the migration lock, if there is one now
	steps     []*step
	statement *timed // of the last of steps
}

// timed is a span that was started.
type timed struct {
	span  trace.Span
	start time.Time
}

// step is a step that was started and is not done.
type step struct {
	timed
	ctx  context.Context
	step whimbrel.Step
}

// instruments creates the instruments. A provider that refuses one returns a working substitute, so
// the error is OpenTelemetry's to handle.
func (o *observer) instruments(m metric.Meter) {
	seconds := func(name, description string) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(.005, .025, .1, .5, 1, 5, 30, 120, 600, 3600))
		if err != nil {
			otel.Handle(err)
		}
		return h
	}
	o.migrations = seconds("whimbrel.migration.duration", "Duration of the steps of plans.")
	o.statements = seconds("whimbrel.statement.duration", "Duration of statements outside transactions.")
	o.lockWaits = seconds("whimbrel.lock_wait.duration", "Duration of waits for the migration lock.")
	o.retrying = seconds("whimbrel.retries.duration", "Duration of attempts that failed because of a lock, and of the pauses after them.")
	var err error
	o.retries, err = m.Int64Counter("whimbrel.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts after the first."))
	if err != nil {
		otel.Handle(err)
	}
}

func (o *observer) observe(ctx context.Context, e whimbrel.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := e.(whimbrel.Planned); ok {
		o.begin(ctx, e.Plan)
		return
	}
	c := o.calls[ctx]
	if c == nil { // the call applies no plan
		return
	}
	switch e := e.(type) {
	case whimbrel.LockWaiting:
		o.waiting(c, e)
	case whimbrel.StatementWaiting:
		c.innermost().AddEvent("waiting for another session", holder(e.Blockage.First().String()))
	case whimbrel.Retrying:
		o.retry(c, e)
	case whimbrel.Terminated:
		c.innermost().AddEvent("terminated a session", holder(e.Blocker.Holder.String()))
	case whimbrel.StepStarted:
		o.endWait(c)
		o.startStep(c, e.Step)
	case whimbrel.Resumed:
		c.innermost().AddEvent("resumed", trace.WithAttributes(attribute.Int("whimbrel.statement.index", e.From)))
	case whimbrel.CleanedUp:
		c.innermost().AddEvent("cleaned up", trace.WithAttributes(queryText(e.SQL)))
	case whimbrel.StatementStarted:
		o.startStatement(c, e)
	case whimbrel.StepDone:
		o.endWait(c)
		o.endStep(ctx, c, e)
	case whimbrel.BackfillProgress:
		c.innermost().SetAttributes(attribute.Int64("whimbrel.backfill.rows", e.Backfill.RowsDone))
	case whimbrel.BackfillWaiting:
		c.innermost().AddEvent("held back", trace.WithAttributes(attribute.StringSlice("whimbrel.backfill.signals", signals(e))))
	case whimbrel.BackfillRetrying:
		o.retries.Add(c.ctx, 1, o.measured(attribute.String("whimbrel.set", c.set)))
		c.innermost().AddEvent("rows failed", trace.WithAttributes(
			attribute.String("error.message", e.Err.Error()), attribute.Float64("whimbrel.retry.pause", e.Pause.Seconds())))
	case whimbrel.Failed:
		o.fail(ctx, c, e.Err)
	}
}

// signals returns the names of the signals that hold a backfill back.
func signals(e whimbrel.BackfillWaiting) (all []string) {
	for _, s := range e.Signals {
		all = append(all, s.Name)
	}
	return all
}

// retry ends the spans of what is done again: of a statement, or of all steps of a transaction.
func (o *observer) retry(c *call, e whimbrel.Retrying) {
	o.endWait(c)
	o.retries.Add(c.ctx, 1, o.measured(attribute.String("whimbrel.set", c.set)))
	if e.Statement > 0 {
		o.endStatement(c)
	} else {
		o.abandon(c)
	}
	c.innermost().AddEvent("retry", trace.WithAttributes(
		attribute.String("error.message", e.Err.Error()), attribute.Float64("whimbrel.retry.pause", e.Pause.Seconds())))
}

// retried measures how long a step was held up by locks.
func (o *observer) retried(c *call, wait time.Duration, outcome string) {
	if wait > 0 {
		o.retrying.Record(c.ctx, wait.Seconds(), o.measured(attribute.String("whimbrel.set", c.set), attribute.String("whimbrel.outcome", outcome)))
	}
}

// begin starts the span of a call, unless its plan has no steps.
func (o *observer) begin(ctx context.Context, p *whimbrel.Plan) {
	if len(p.Steps) == 0 {
		return
	}
	c := &call{set: p.Set, left: len(p.Steps)}
	c.ctx, c.span = o.tracer.Start(ctx, "whimbrel.migrate", o.attributes(
		attribute.String("whimbrel.set", p.Set), attribute.String("whimbrel.goal", p.Goal.String()),
		attribute.Int("whimbrel.steps", len(p.Steps))))
	o.calls[ctx] = c
}

func (o *observer) waiting(c *call, e whimbrel.LockWaiting) {
	if c.lock == nil {
		_, span := o.tracer.Start(c.ctx, "whimbrel.lock_wait", o.attributes(attribute.String("whimbrel.set", c.set)))
		c.lock = &timed{span, time.Now()}
	}
	c.lock.span.AddEvent("waiting", holder(e.Holder.String()))
}

func (o *observer) endWait(c *call) {
	if c.lock == nil {
		return
	}
	c.lock.span.End()
	o.lockWaits.Record(c.ctx, since(c.lock.start), o.measured(attribute.String("whimbrel.set", c.set)))
	c.lock = nil
}

func (o *observer) startStep(c *call, s whimbrel.Step) {
	started := &step{step: s}
	started.ctx, started.span = o.tracer.Start(c.ctx, "whimbrel.migration", o.attributes(
		attribute.String("whimbrel.set", c.set), attribute.Int64("whimbrel.version", s.Version),
		attribute.String("whimbrel.name", s.Name), attribute.String("whimbrel.direction", string(s.Direction)),
		attribute.String("whimbrel.mode", string(s.Mode))))
	started.start = time.Now()
	c.steps = append(c.steps, started)
}

func (o *observer) startStatement(c *call, e whimbrel.StatementStarted) {
	o.endStatement(c)
	parent := c.ctx
	if n := len(c.steps); n > 0 {
		parent = c.steps[n-1].ctx
	}
	_, span := o.tracer.Start(parent, "whimbrel.statement", o.attributes(
		attribute.Int("whimbrel.statement.index", e.Index+1), queryText(e.SQL)), trace.WithSpanKind(trace.SpanKindClient))
	c.statement = &timed{span, time.Now()}
}

func (o *observer) endStatement(c *call) {
	if c.statement == nil {
		return
	}
	c.statement.span.End()
	o.statements.Record(c.ctx, since(c.statement.start), o.measured(attribute.String("whimbrel.set", c.set)))
	c.statement = nil
}

// endStep ends the span of a step, and with the last step that of the call.
func (o *observer) endStep(ctx context.Context, c *call, e whimbrel.StepDone) {
	o.endStatement(c)
	outcome := "done"
	if e.Skipped {
		outcome = "skipped"
		c.span.AddEvent("skipped", trace.WithAttributes(
			attribute.Int64("whimbrel.version", e.Step.Version), attribute.String("whimbrel.name", e.Step.Name)))
	}
	for i, s := range c.steps {
		if same(s.step, e.Step) {
			s.span.End()
			c.steps = append(c.steps[:i:i], c.steps[i+1:]...)
			break
		}
	}
	o.record(c, e.Step, e.Duration, outcome)
	o.retried(c, e.LockWait, outcome)
	if c.left--; c.left == 0 {
		o.abandon(c) // none is left, unless the engine started one and skipped it
		o.end(ctx, c)
	}
}

func same(a, b whimbrel.Step) bool {
	return a.Version == b.Version && a.Name == b.Name && a.Direction == b.Direction
}

// fail ends the spans of a call that failed. The step that was started last is the one that failed.
func (o *observer) fail(ctx context.Context, c *call, err error) {
	o.endWait(c)
	mark := func(s trace.Span) {
		s.RecordError(err)
		s.SetStatus(codes.Error, err.Error())
	}
	if c.statement != nil {
		mark(c.statement.span)
	}
	if n := len(c.steps); n > 0 {
		last := c.steps[n-1]
		mark(last.span)
		o.record(c, last.step, time.Since(last.start), "failed")
	}
	var failed *whimbrel.MigrationError
	if errors.As(err, &failed) {
		o.retried(c, failed.LockWait, "failed")
	}
	mark(c.span)
	o.abandon(c)
	o.end(ctx, c)
}

// abandon ends the spans of steps of which nothing remains.
func (o *observer) abandon(c *call) {
	o.endStatement(c)
	for _, s := range c.steps {
		s.span.SetAttributes(attribute.Bool("whimbrel.rolled_back", true))
		s.span.End()
	}
	c.steps = nil
}

func (o *observer) end(ctx context.Context, c *call) {
	c.span.End()
	delete(o.calls, ctx)
}

func (o *observer) record(c *call, s whimbrel.Step, d time.Duration, outcome string) {
	o.migrations.Record(c.ctx, d.Seconds(), o.measured(attribute.String("whimbrel.set", c.set),
		attribute.String("whimbrel.direction", string(s.Direction)), attribute.String("whimbrel.outcome", outcome)))
}

// innermost returns the span that is the most specific for what happens now.
func (c *call) innermost() trace.Span {
	switch n := len(c.steps); {
	case c.statement != nil:
		return c.statement.span
	case n > 0:
		return c.steps[n-1].span
	default:
		return c.span
	}
}

func (o *observer) attributes(more ...attribute.KeyValue) trace.SpanStartEventOption {
	return trace.WithAttributes(append(more, o.own...)...)
}

func (o *observer) measured(more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributes(append(more, o.own...)...)
}

func holder(text string) trace.EventOption {
	return trace.WithAttributes(attribute.String("whimbrel.holder", text))
}

// queryText returns a statement as an attribute, cut at a character within the limit.
func queryText(sql string) attribute.KeyValue {
	if len(sql) > textLimit {
		end := textLimit
		for end > 0 && !utf8.RuneStart(sql[end]) {
			end--
		}
		sql = sql[:end]
	}
	return attribute.String("db.query.text", strings.ToValidUTF8(sql, "\uFFFD"))
}

func since(start time.Time) float64 { return time.Since(start).Seconds() }
