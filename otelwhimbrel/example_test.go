package otelwhimbrel_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/otelwhimbrel"
)

// Report migrations as spans.
func ExampleObserver() {
	ctx := context.Background()
	spans := tracetest.NewSpanRecorder() // instead of an exporter
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans))

	db, err := database.Open(ctx, "sqlite::memory:", database.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	files := fstest.MapFS{"1_users.up.sql": {Data: []byte("CREATE TABLE users (id INTEGER)")}}
	_, err = whimbrel.Up(ctx, db, files, whimbrel.UpOptions{Options: whimbrel.Options{
		Observe: otelwhimbrel.Observer(otelwhimbrel.Options{
			TracerProvider: provider,
			Attributes:     []attribute.KeyValue{attribute.String("db.system.name", "sqlite")},
		}),
	}})
	if err != nil {
		fmt.Println(err)
	}
	for _, s := range spans.Started() {
		fmt.Println(s.Name())
	}
	// Output:
	// whimbrel.migrate
	// whimbrel.migration
}
