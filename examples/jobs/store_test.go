package jobs

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestSlotsInPostgreSQL(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), testdb.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	q, err := Start(t.Context(), Options{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	in := func(work func(pgx.Tx) error) error { return pgx.BeginFunc(t.Context(), pool, work) }
	testSlots(t, q, in)

	// A fence keeps the slot until its transaction ends, even if the lease ends before that.
	one := []limit{{"fenced", 1}}
	claim := func(token string) (bool, error) {
		return q.store.claim(t.Context(), one, Lease{}, token, time.Hour)
	}
	if err := q.store.prepare(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if ok, err := claim("a"); err != nil || !ok {
		t.Fatalf("the first claim returns %t, %v", ok, err)
	}
	err = in(func(tx pgx.Tx) error {
		if ok, err := q.store.fence(t.Context(), tx, "a", 1); err != nil || !ok {
			t.Fatalf("the fence returns %t, %v", ok, err)
		}
		if ok, err := q.store.renew(t.Context(), "a", 1, -time.Hour); err != nil || !ok {
			t.Errorf("a renewal beside the fence returns %t, %v", ok, err)
		}
		if ok, err := claim("b"); err != nil || ok {
			t.Errorf("a claim beside the fence returns %t, %v, want false", ok, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := claim("b"); err != nil || !ok {
		t.Errorf("a claim after the transaction returns %t, %v, want true", ok, err)
	}
}

func TestSlotsInSQLite(t *testing.T) {
	t.Parallel()
	handle, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handle.Close() })
	q, err := StartSQLite(t.Context(), SQLiteOptions{DB: handle})
	if err != nil {
		t.Fatal(err)
	}
	testSlots(t, q, func(work func(*sql.Tx) error) error {
		tx, err := handle.BeginTx(t.Context(), nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		return work(tx)
	})
}

// testSlots checks what a store promises. in does work in a transaction.
func testSlots[Tx any](t *testing.T, q *Queue[Tx], in func(work func(Tx) error) error) {
	t.Cleanup(func() { q.Stop(context.WithoutCancel(t.Context())) })
	ctx, s := t.Context(), q.store
	mail, all := limit{"mail", 2}, limit{allQueues, 5}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	claim := func(token string, length time.Duration, limits ...limit) bool {
		t.Helper()
		ok, err := s.claim(ctx, limits, Lease{JobID: 7, Client: "here"}, token, length)
		must(err)
		return ok
	}
	holds := func(token string, n int) (held bool) {
		t.Helper()
		must(in(func(tx Tx) (err error) {
			held, err = s.fence(ctx, tx, token, n)
			return err
		}))
		return held
	}
	taken := func() (names []string) {
		t.Helper()
		leases, err := s.list(ctx)
		must(err)
		for _, l := range leases {
			names = append(names, l.Queue)
		}
		return names
	}
	want := func(what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}

	must(s.prepare(ctx, []limit{mail, all}))
	must(s.prepare(ctx, []limit{mail, {allQueues, 3}})) // adds nothing
	want("a claim of both limits", true, claim("a", time.Hour, mail, all))
	want("the slots after it", []string{"*", "mail"}, taken())
	want("a process with a smaller limit", false, claim("b", time.Hour, limit{"mail", 1}))
	want("the last slot", true, claim("b", time.Hour, mail))
	want("a claim without a free slot of the first limit", false, claim("c", time.Hour, mail, all))
	want("a claim without a free slot of the second limit", false, claim("c", time.Hour, all, mail))
	want("the slots that it left", []string{"*", "mail", "mail"}, taken())

	want("the fence of a job with its slots", true, holds("a", 2))
	want("the fence of a job without", false, holds("c", 1))
	renewed, err := s.renew(ctx, "c", 1, time.Hour)
	must(err)
	want("a renewal without slots", false, renewed)

	renewed, err = s.renew(ctx, "b", 1, -time.Hour) // ends now
	must(err)
	want("a renewal", true, renewed)
	want("the fence of a job whose lease has ended, and whose slot is free", true, holds("b", 1))
	want("a claim of the slot", true, claim("d", time.Hour, mail))
	want("the fence after that", false, holds("b", 1))
	must(s.release(ctx, "b")) // of a job that has lost its slot
	want("the slots after that", []string{"*", "mail", "mail"}, taken())
	must(s.release(ctx, "a"))
	want("the slots after a release", []string{"mail"}, taken())
}
