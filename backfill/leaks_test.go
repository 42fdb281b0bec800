package backfill_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/backfill"
)

// envProcess has the job of a test binary that is started as a worker.
const envProcess = "WHIMBREL_TEST_WORKER"

// job is what a worker in a process of its own does.
type job struct {
	URL   string
	Lease time.Duration
	Until backfill.Until
}

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(envProcess); ok {
		if err := runJob(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func runJob(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return backfill.Work(ctx, j.URL, backfill.WorkOptions{
		Config: backfill.Config{Options: whimbrel.Options{BackfillLease: j.Lease}, Turn: time.Second},
		Until:  j.Until,
		Ready:  func(backfill.Ready) { fmt.Println("ready") },
	})
}
