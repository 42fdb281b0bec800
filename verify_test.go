package whimbrel_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

func TestVerificationComesFirst(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	if _, err := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	edited := plain(3)
	edited[0].up = "CREATE TABLE t1 (x, y)"
	m := whimbrel.New(db, newSet(t, edited...), whimbrel.Options{})
	for name, do := range map[string]func() (*whimbrel.Result, error){
		"Up": func() (*whimbrel.Result, error) { return m.Up(t.Context()) },
		"Rollback": func() (*whimbrel.Result, error) {
			return m.Migrate(t.Context(), whimbrel.DownTo(1), whimbrel.ApplyOptions{})
		},
		"To": func() (*whimbrel.Result, error) {
			return m.Migrate(t.Context(), whimbrel.Version(1), whimbrel.ApplyOptions{})
		},
		"Verify": func() (*whimbrel.Result, error) { return nil, m.Verify(t.Context()) },
	} {
		_, err := do()
		var mismatch *whimbrel.ChecksumMismatchError
		if !errors.As(err, &mismatch) {
			t.Fatalf("%s: got %v, want a *ChecksumMismatchError", name, err)
		}
		if mismatch.Version != 1 || mismatch.Stored != migration.Sum("CREATE TABLE t1 (x)") || mismatch.Expected != migration.Sum("CREATE TABLE t1 (x, y)") {
			t.Errorf("%s: %+v", name, mismatch)
		}
		if !strings.Contains(mismatch.Diff, "-CREATE TABLE t1 (x)") || !strings.Contains(mismatch.Diff, "+CREATE TABLE t1 (x, y)") || mismatch.OnlyBlank {
			t.Errorf("%s: diff %q, only blank %v", name, mismatch.Diff, mismatch.OnlyBlank)
		}
	}
	wantTables(t, target, "t1", "t2")

	// Deliberate edits are accepted, with a reason, as an event.
	if err := m.Accept(t.Context(), "", 1); err == nil {
		t.Error("Accept took no reason")
	}
	if err := m.Accept(t.Context(), "the column was added by hand", 1); err != nil {
		t.Fatal(err)
	}
	if r, err := m.Up(t.Context()); err != nil || !slices.Equal(versions(r.Applied), []int64{3}) {
		t.Errorf("after Accept: %+v, %v", r, err)
	}
}

func TestMismatchInCommentsOnlySaysSo(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	if _, err := whimbrel.New(db, newSet(t, script{1, "CREATE TABLE t1 (x);", "-"}), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for text, blank := range map[string]bool{
		"-- a table\nCREATE  TABLE t1 ( /* one */ x ) ;\n": true,
		"CREATE TABLE t1 (X);":                             false,
		"CREATE TABLE t1 (x); SELECT ' ';":                 false,
	} {
		err := whimbrel.New(db, newSet(t, script{1, text, "-"}), whimbrel.Options{}).Verify(t.Context())
		var mismatch *whimbrel.ChecksumMismatchError
		if !errors.As(err, &mismatch) || mismatch.OnlyBlank != blank {
			t.Errorf("%q: got %v; OnlyBlank should be %v", text, err, blank)
		}
	}
	crlf := newSet(t, script{1, "\ufeffCREATE TABLE t1 (x);", "-"})
	if err := whimbrel.New(db, crlf, whimbrel.Options{}).Verify(t.Context()); err != nil {
		t.Errorf("a byte-order mark is no difference: %v", err)
	}
}
