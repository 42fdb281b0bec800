package mycatalog_test

import (
	"context"
	"database/sql"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// TestMain reduces rapid's 100 checks unless a flag sets their number (-rapid.checks=1000): each
// creates two schemas and takes several snapshots.
func TestMain(m *testing.M) {
	checks := flag.Lookup("rapid.checks")
	usual := checks.Value.String()
	flag.Parse()
	if checks.Value.String() == usual {
		if err := checks.Value.Set("8"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// TestCompareNamesExactlyWhatChanged creates each thing, and makes each of its changes alone.
func TestCompareNamesExactlyWhatChanged(t *testing.T) {
	t.Parallel()
	next := 0
	m := &maker{choose: func(_ string, n int) int {
		next++
		return next % n
	}}
	for _, make := range m.things() {
		thing := make()
		t.Run(thing.name, func(t *testing.T) {
			t.Parallel()
			conn, _ := connect(t)
			for _, c := range thing.changes {
				run(t, conn, thing.create)
				exactly(t, conn, snapshot(t, conn), c)
				empty(t, conn)
			}
		})
	}
}

// exactly fails unless a change has the expected differences, and no others.
func exactly(t failer, conn *sql.Conn, before *catalog.Snapshot, c change) {
	t.Helper()
	run(t, conn, c.sql)
	after := snapshot(t, conn)
	var got []string
	for _, d := range catalog.Compare(before, after) {
		id := string(d.Kind) + " " + d.Name
		if d.Change == catalog.Changed {
			got = append(got, id+": "+d.Detail)
		} else {
			got = append(got, id+" "+d.Change)
		}
	}
	want := slices.Sorted(slices.Values(c.want))
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%s\n got %s\nwant %s", c.sql, strings.Join(got, ", "), strings.Join(want, ", "))
	}
	if (before.Fingerprint() == after.Fingerprint()) != (len(want) == 0) {
		t.Errorf("%s\nthe fingerprint is wrong", c.sql)
	}
}

// empty drops everything.
func empty(t failer, conn *sql.Conn) {
	t.Helper()
	drops, err := mycatalog.DropAll(context.Background(), conn, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	script := mycatalog.BeforeDrop
	for _, d := range drops {
		script += ";\n" + d.SQL
	}
	run(t, conn, script+";\nSET foreign_key_checks = 1")
}

// TestRandomSchemas: the snapshot of any schema recreates it, and a change of either is detected
// exactly.
func TestRandomSchemas(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	rapid.Check(t, func(t *rapid.T) {
		empty(t, conn)
		run(t, conn, "SET sql_mode = DEFAULT")
		m := &maker{choose: func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }}
		var changes []change
		for range 1 + m.choose("things", 5) {
			thing := rapid.SampledFrom(m.things()).Draw(t, "thing")()
			run(t, conn, thing.create)
			changes = append(changes, thing.changes...)
		}
		want := snapshot(t, conn)
		empty(t, conn)
		run(t, conn, want.Text())
		got := snapshot(t, conn)
		same(t, want, got)
		run(t, conn, "SET foreign_key_checks = 1, time_zone = 'SYSTEM'")
		exactly(t, conn, got, rapid.SampledFrom(changes).Draw(t, "change"))
	})
}
