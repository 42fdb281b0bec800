package testdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestProxyStallAfterTheNthMessage(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.Postgres(t))
	proxy.Quiet = 0
	for n, want := range []string{"0", "1"} { // the counted message is the INSERT
		direct := connect(t, proxy.URL)
		query(t, direct, "DROP TABLE IF EXISTS t; CREATE TABLE t ()")
		proxy.Reset()
		proxy.StallAfter(testdb.ToServer, n)
		answer := make(chan error, 1)
		go func() {
			_, err := direct.Exec(context.Background(), "INSERT INTO t DEFAULT VALUES").ReadAll()
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
		proxy.Resume()
		proxy.Reset()
		conn := connect(t, proxy.URL)
		awaitEnd(t, conn, direct.PID())
		if got := query(t, conn, "SELECT count(*) FROM t"); got != want {
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
