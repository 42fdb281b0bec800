package testdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestProxyStallAfterTheNthMessage(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	server := connect(t, url)
	for n, want := range []string{"0", "1"} { // the counted message is the INSERT
		query(t, server, "DROP TABLE IF EXISTS t; CREATE TABLE t ()")
		proxy := testdb.NewProxy(t, url)
		proxy.Quiet = 0
		proxy.RefuseAfterCut() // otherwise pgx's cancel request can end the INSERT
		client := connect(t, proxy.URL)
		proxy.Reset()
		proxy.StallAfter(testdb.ToServer, n)
		answer := make(chan error, 1)
		go func() {
			_, err := client.Exec(context.Background(), "INSERT INTO t DEFAULT VALUES").ReadAll()
			answer <- err
		}()
		for !proxy.Stalled() {
			time.Sleep(time.Millisecond)
		}
		select {
		case err := <-answer:
			t.Errorf("an answer came after the wire was stalled (%v)", err)
		default:
		}
		proxy.Cut()
		if err := <-answer; err == nil {
			t.Error("there is no error after the stalled wire was cut")
		}
		awaitEnd(t, server, client.PID())
		if got := query(t, server, "SELECT count(*) FROM t"); got != want {
			t.Errorf("stalled after %d messages, the table has %s rows, want %s", n, got, want)
		}
	}
}

func TestProxyCutsOneConnectionAlone(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.Postgres(t))
	one, other := connect(t, proxy.URL), connect(t, proxy.URL)
	proxy.CutAlone()
	proxy.Reset()
	proxy.CutAfter(testdb.ToServer, 0)
	if _, err := one.Exec(t.Context(), "SELECT 1").ReadAll(); err == nil {
		t.Error("a connection that was cut still works")
	}
	if got := query(t, other, "SELECT 2"); got != "2" {
		t.Errorf("the other says %s", got)
	}
}
