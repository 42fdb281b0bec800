package otelwhimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/otelwhimbrel"
)

// rig is an OpenTelemetry SDK in memory.
type rig struct {
	spans    *tracetest.SpanRecorder
	tracer   *trace.TracerProvider
	reader   *metric.ManualReader
	observer func(context.Context, whimbrel.Event)
}

func newRig() *rig {
	r := &rig{spans: tracetest.NewSpanRecorder(), reader: metric.NewManualReader()}
	r.tracer = trace.NewTracerProvider(trace.WithSpanProcessor(r.spans))
	r.observer = otelwhimbrel.Observer(otelwhimbrel.Options{
		TracerProvider: r.tracer,
		MeterProvider:  metric.NewMeterProvider(metric.WithReader(r.reader)),
		Attributes:     []attribute.KeyValue{attribute.String("db.namespace", "shop")},
	})
	return r
}

// tree returns the ended spans in the order in which they started, indented below their parents.
func (r *rig) tree(t *testing.T) []string {
	t.Helper()
	if n, m := len(r.spans.Started()), len(r.spans.Ended()); n != m {
		t.Errorf("%d spans started, %d ended", n, m)
	}
	depth := map[string]int{}
	var lines []string
	for _, s := range r.spans.Started() {
		d := 0
		if s.Parent().HasSpanID() {
			d = depth[s.Parent().SpanID().String()] + 1
		}
		depth[s.SpanContext().SpanID().String()] = d
		line := strings.Repeat("  ", d) + s.Name()
		for _, a := range s.Attributes() {
			if a.Key == "whimbrel.version" || a.Key == "db.query.text" || a.Key == "whimbrel.rolled_back" {
				line += " " + a.Value.String()
			}
		}
		for _, e := range s.Events() {
			line += " [" + e.Name + "]"
		}
		if s.Status().Code == codes.Error {
			line += " failed"
		}
		lines = append(lines, line)
	}
	return lines
}

// counts returns how many measurements each metric has, by its attributes.
func (r *rig) counts(t *testing.T) map[string]uint64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := r.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	all := map[string]uint64{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch points := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range points.DataPoints {
					all[m.Name+" "+text(p.Attributes)] = p.Count
				}
			case metricdata.Sum[int64]:
				for _, p := range points.DataPoints {
					all[m.Name+" "+text(p.Attributes)] = uint64(p.Value)
				}
			}
		}
	}
	return all
}

func text(set attribute.Set) string {
	var parts []string
	for _, a := range set.ToSlice() {
		if a.Key != "db.namespace" {
			parts = append(parts, a.Value.String())
		}
	}
	return strings.Join(parts, ",")
}

func open(t *testing.T, target *memdb.Target) *memdb.Database {
	t.Helper()
	db, err := target.Open(t.Context(), database.Options{App: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newSet(t *testing.T, ups ...string) *migration.Set {
	t.Helper()
	var all []migration.Migration
	for i, up := range ups {
		name := fmt.Sprintf("m%d", i+1)
		all = append(all, migration.Migration{Version: int64(i + 1), Name: name, Up: migration.Text(name+".up.sql", up)})
	}
	set, err := migration.NewSet("shop", all...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestSpansAndMetrics(t *testing.T) {
	t.Parallel()
	r := newRig()
	set := newSet(t, "CREATE TABLE t (x)", "CREATE INDEX CONCURRENTLY i ON t (x); INSERT INTO t VALUES (1)")
	ctx, parent := r.tracer.Tracer("test").Start(t.Context(), "start of the service")
	if _, err := whimbrel.New(open(t, memdb.New()), set, whimbrel.Options{Observe: r.observer}).Up(ctx); err != nil {
		t.Fatal(err)
	}
	parent.End()
	want := []string{
		"start of the service",
		"  whimbrel.migrate",
		"    whimbrel.migration 1",
		"    whimbrel.migration 2",
		"      whimbrel.statement CREATE INDEX CONCURRENTLY i ON t (x)",
		"      whimbrel.statement INSERT INTO t VALUES (1)",
	}
	if diff := cmp.Diff(want, r.tree(t)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	for _, s := range r.spans.Ended()[:5] {
		if !strings.Contains(fmt.Sprint(s.Attributes()), "db.namespace") {
			t.Errorf("span %s lacks the caller's attributes: %v", s.Name(), s.Attributes())
		}
	}
	counts := map[string]uint64{
		"whimbrel.migration.duration up,done,shop": 2,
		"whimbrel.statement.duration shop":         2,
	}
	if diff := cmp.Diff(counts, r.counts(t)); diff != "" {
		t.Errorf("measurements (-want +got):\n%s", diff)
	}
}

func TestNothingPendingIsNoSpan(t *testing.T) {
	t.Parallel()
	r := newRig()
	set, target := newSet(t, "CREATE TABLE t (x)"), memdb.New()
	for range 2 {
		if _, err := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: r.observer}).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"whimbrel.migrate", "  whimbrel.migration 1"}
	if diff := cmp.Diff(want, r.tree(t)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	r := newRig()
	set := newSet(t, "CREATE TABLE t (x)", "NONSENSE")
	if _, err := whimbrel.New(open(t, memdb.New()), set, whimbrel.Options{Observe: r.observer}).Up(t.Context()); err == nil {
		t.Fatal("a script with a syntax error succeeded")
	}
	want := []string{
		"whimbrel.migrate [exception] failed",
		"  whimbrel.migration 1",
		"  whimbrel.migration 2 true [exception] failed",
	}
	if diff := cmp.Diff(want, r.tree(t)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	counts := map[string]uint64{
		"whimbrel.migration.duration up,done,shop":   1,
		"whimbrel.migration.duration up,failed,shop": 1,
	}
	if diff := cmp.Diff(counts, r.counts(t)); diff != "" {
		t.Errorf("measurements (-want +got):\n%s", diff)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	r := newRig()
	db, lost := open(t, memdb.New()), false
	db.SetHook(func(op string) error {
		if op == memdb.OpTxCommit && !lost {
			lost = true
			return memdb.ErrNotCommitted
		}
		return nil
	})
	set := newSet(t, "CREATE TABLE t (x)")
	if _, err := whimbrel.New(db, set, whimbrel.Options{Observe: r.observer}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"whimbrel.migrate [retry]", "  whimbrel.migration 1 true", "  whimbrel.migration 1"}
	if diff := cmp.Diff(want, r.tree(t)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	if got := r.counts(t)["whimbrel.retries shop"]; got != 1 {
		t.Errorf("%d retries were counted, want 1", got)
	}
}

// A retry because of a lock ends the spans of what is done again, and its time is measured.
func TestRetryBecauseOfALock(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		noTransaction bool
		retries       int
		want          []string
		measured      map[string]uint64
	}{
		{"a transaction", false, 1, []string{"whimbrel.migrate [retry]", "  whimbrel.migration 1 true", "  whimbrel.migration 1"}, map[string]uint64{"whimbrel.retries shop": 1, "whimbrel.retries.duration done,shop": 1}},
		{"a run", true, 1, []string{
			"whimbrel.migrate", "  whimbrel.migration 1 [retry]", "    whimbrel.statement CREATE TABLE t (x)", "    whimbrel.statement CREATE TABLE t (x)",
		}, map[string]uint64{"whimbrel.retries shop": 1, "whimbrel.retries.duration done,shop": 1}},
		{"a failure", false, 0, []string{"whimbrel.migrate [exception] failed", "  whimbrel.migration 1 true [exception] failed"}, map[string]uint64{"whimbrel.retries shop": 0, "whimbrel.retries.duration failed,shop": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, target := newRig(), memdb.New()
			target.Deadlock("t", 1)
			opts := whimbrel.Options{Observe: r.observer}
			if tt.retries == 0 {
				opts.RetryFor = whimbrel.NoTimeout
			}
			set := newSet(t, "CREATE TABLE t (x)")
			set.All()[0].Up.NoTransaction = tt.noTransaction
			if _, err := whimbrel.New(open(t, target), set, opts).Up(t.Context()); (err == nil) != (tt.retries > 0) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, r.tree(t)); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
			counts := r.counts(t)
			for name, want := range tt.measured {
				if counts[name] != want {
					t.Errorf("%s has %d measurements, want %d: %v", name, counts[name], want, counts)
				}
			}
		})
	}
}

func TestLockWait(t *testing.T) {
	t.Parallel()
	r := newRig()
	target := memdb.New()
	other := open(t, target)
	tx, _, err := other.Begin(t.Context(), "shop", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	observe := func(ctx context.Context, e whimbrel.Event) {
		if _, ok := e.(whimbrel.LockWaiting); ok {
			tx.Rollback(ctx)
		}
		r.observer(ctx, e)
	}
	set := newSet(t, "CREATE TABLE t (x)")
	if _, err := whimbrel.New(open(t, target), set, whimbrel.Options{Observe: observe}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"whimbrel.migrate", "  whimbrel.lock_wait [waiting]", "  whimbrel.migration 1"}
	if diff := cmp.Diff(want, r.tree(t)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	if got := r.counts(t)["whimbrel.lock_wait.duration shop"]; got != 1 {
		t.Errorf("%d waits were measured, want 1", got)
	}
}

// A statement is cut at a character.
func TestLongStatement(t *testing.T) {
	t.Parallel()
	r := newRig()
	set := newSet(t, "CREATE TABLE t (x); CREATE INDEX CONCURRENTLY i"+strings.Repeat("ä", 2000)+" ON t (x)")
	if _, err := whimbrel.New(open(t, memdb.New()), set, whimbrel.Options{Observe: r.observer}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	longest := ""
	for _, s := range r.spans.Ended() {
		for _, a := range s.Attributes() {
			if a.Key == "db.query.text" && len(a.Value.AsString()) > len(longest) {
				longest = a.Value.AsString()
			}
		}
	}
	if len(longest) != 2047 {
		t.Errorf("the text has %d bytes, want 2047: 31 bytes and 1,008 characters of two", len(longest))
	}
}

// What happens to a backfill is part of the span of its step.
func TestBackfill(t *testing.T) {
	t.Parallel()
	r := newRig()
	s := whimbrel.Step{Set: "shop", Version: 12, Name: "fill", Direction: database.Start, Mode: whimbrel.InBatches}
	b := whimbrel.BackfillStatus{Backfill: database.Backfill{BackfillID: database.BackfillID{Set: "shop", Version: 12}, RowsDone: 500}}
	for _, e := range []whimbrel.Event{
		whimbrel.Planned{Plan: &whimbrel.Plan{Set: "shop", Steps: []whimbrel.Step{s}}},
		whimbrel.StepStarted{Step: s, Of: 1},
		whimbrel.BackfillProgress{Set: "shop", Backfill: b},
		whimbrel.BackfillWaiting{Set: "shop", Backfill: b, Signals: []database.Signal{{Name: "max-lag", Over: true}}},
		whimbrel.BackfillRetrying{Set: "shop", Version: 12, Attempt: 2, Err: errors.New("deadlock detected")},
		whimbrel.StepDone{Step: s, Of: 1},
	} {
		r.observer(t.Context(), e)
	}
	want := []string{"whimbrel.migrate", "  whimbrel.migration 12 [held back] [rows failed]"}
	if diff := cmp.Diff(want, r.tree(t)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	span := fmt.Sprint(r.spans.Ended()[0].Attributes(), r.spans.Ended()[0].Events())
	for _, want := range []string{"whimbrel.backfill.rows", "500", "max-lag", "deadlock detected"} {
		if !strings.Contains(span, want) {
			t.Errorf("the span lacks %s: %s", want, span)
		}
	}
	if got := r.counts(t)["whimbrel.retries shop"]; got != 1 {
		t.Errorf("%d retries were counted, want 1", got)
	}
}
