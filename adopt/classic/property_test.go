package classic_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel/adopt/classic"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// TestAnyQueue queues any calls, and expects what a set of versions and a number of rows say.
func TestAnyQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := memdb.New()
		db, err := target.Open(t.Context(), database.Options{})
		check(t, err)
		d, err := classic.WithInstance(db, classic.Config{})
		check(t, err)
		defer d.Close()
		applied, rows := map[uint64]bool{}, 0
		check(t, d.Run(strings.NewReader("CREATE TABLE t (x int)"), "sql", "0.up.sql"))
		check(t, d.InsertVersion(0))
		applied[0] = true
		for range rapid.IntRange(1, 5).Draw(t, "units") {
			applied, rows = unit(t, d, applied, rows)
			got, err := target.Rows(t.Context(), "t")
			if len(got) != rows || err != nil {
				t.Fatalf("the table has %d rows, %v; want %d", len(got), err, rows)
			}
			wantApplied(t, d, applied)
		}
	})
}

// TestAnyText runs any text as a file of any type: an error or not, but the driver still works.
func TestAnyText(t *testing.T) {
	db, err := memdb.New().Open(t.Context(), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := classic.WithInstance(db, classic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	piece := rapid.SampledFrom([]string{"- ", "type: run_sql", "\n", "  ", "args:", "sql: ", "tables:", "t:", "{", "}", "[", "]", "&a", "*a", "'", "\"", "--", "whimbrel: secret", "; ", "BEGIN", "COMMIT", "SELECT 1", "\x00", "|", "é"})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "text"), "")
		check(t, d.Lock())
		_ = d.Run(strings.NewReader(text), rapid.SampledFrom([]string{"sql", "meta", "x"}).Draw(t, "type"), "file")
		d.ResetQuery()
		_ = d.Run(strings.NewReader(text), "meta", "file")
		_ = d.UnLock()
		_ = d.ApplyMetadata(text)
		if _, _, err := d.Version(); err != nil {
			t.Fatal(err)
		}
		check(t, d.Lock())
		check(t, d.UnLock())
	})
}

// unit calls any methods between Lock and UnLock, and returns what they lead to.
func unit(t *rapid.T, d classic.Driver, before map[uint64]bool, rowsBefore int) (map[uint64]bool, int) {
	after, rows, valid := maps.Clone(before), rowsBefore, true
	type removal struct {
		version   uint64
		hasScript bool
	}
	var last removal // of version 0, unless the last version was removed
	pending := false // a script since the last version
	check(t, d.Lock())
	for range rapid.IntRange(0, 6).Draw(t, "calls") {
		v := rapid.Uint64Range(1, 4).Draw(t, "version")
		switch rapid.SampledFrom([]string{"insert", "mark", "remove", "forget", "run", "fail", "reset"}).Draw(t, "call") {
		case "insert":
			check(t, d.Run(strings.NewReader("INSERT INTO t VALUES (1)"), "sql", fmt.Sprintf("%d.up.sql", v)))
			rows++
			fallthrough
		case "mark":
			check(t, d.InsertVersion(int64(v)))
			valid = valid && !after[v]
			after[v], last, pending = true, removal{}, false
		case "remove":
			check(t, d.Run(strings.NewReader("INSERT INTO t VALUES (2)"), "sql", fmt.Sprintf("%d.down.sql", v)))
			rows++
			pending = true
			fallthrough
		case "forget":
			check(t, d.RemoveVersion(int64(v)))
			again := last.version == v && !(last.hasScript && pending) // is one with the removal before
			valid = valid && (after[v] || again)
			last = removal{v, pending || again && last.hasScript}
			delete(after, v)
			pending = false
		case "run":
			check(t, d.Run(strings.NewReader("INSERT INTO t VALUES (3)"), "sql", "rows.sql"))
			rows++
			pending = true
		case "fail":
			check(t, d.Run(strings.NewReader("INSERT INTO missing VALUES (3)"), "sql", "missing.sql"))
			valid = false
		case "reset":
			d.ResetQuery()
			after, rows, valid = maps.Clone(before), rowsBefore, true
			last, pending = removal{}, false
		}
		if valid {
			wantApplied(t, d, after)
		}
	}
	err := d.UnLock()
	if valid {
		check(t, err)
		return after, rows
	}
	if err == nil {
		t.Fatal("UnLock returned no error")
	}
	return before, rowsBefore
}

func wantApplied(t *rapid.T, d classic.Driver, applied map[uint64]bool) {
	var got []uint64
	for v, ok := d.First(); ok; v, ok = d.Next(v) {
		got = append(got, v)
	}
	if want := slices.Sorted(maps.Keys(applied)); !slices.Equal(got, want) {
		t.Fatalf("applied are %v, want %v", got, want)
	}
}

func check(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}
