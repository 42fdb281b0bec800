package whimbrel_test

import (
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

func TestVerificationComesFirst(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	mustUp(t, whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{}))
	edited := plain(3)
	edited[0].up = "CREATE TABLE t1 (x, y)"
	m := whimbrel.New(db, newSet(t, edited...), whimbrel.Options{})
	for name, do := range map[string]func() error{
		"Up":       func() error { return tryUp(t, m) },
		"Rollback": func() error { return tryMigrate(t, m, whimbrel.DownTo(1)) },
		"To":       func() error { return tryMigrate(t, m, whimbrel.Version(1)) },
		"Verify":   func() error { return m.Verify(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			mismatch := wantError[*whimbrel.ChecksumMismatchError](t, do())
			wantEqual(t, "version", mismatch.Version, 1)
			wantEqual(t, "how many to redo", mismatch.Newest, 2)
			wantEqual(t, "stored checksum", mismatch.Stored, migration.Sum("CREATE TABLE t1 (x)"))
			wantEqual(t, "expected checksum", mismatch.Expected, migration.Sum("CREATE TABLE t1 (x, y)"))
			wantText(t, "the difference", mismatch.Diff, "-CREATE TABLE t1 (x)")
			wantText(t, "the difference", mismatch.Diff, "+CREATE TABLE t1 (x, y)")
			wantEqual(t, "whether only blanks differ", mismatch.OnlyBlank, false)
		})
	}
	wantTables(t, target, "t1", "t2")

	// An edit is accepted with a reason, which the history keeps.
	if err := m.Accept(t.Context(), "", 1); err == nil {
		t.Error("Accept without a reason is no error")
	}
	noError(t, m.Accept(t.Context(), "the column was added by hand", 1))
	wantApplied(t, mustUp(t, m), 3)
}

func TestMismatchInCommentsOnlySaysSo(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	mustUp(t, whimbrel.New(db, newSet(t, script{1, "CREATE TABLE t1 (x);", "-"}), whimbrel.Options{}))
	verify := func(text string) error {
		return whimbrel.New(db, newSet(t, script{1, text, "-"}), whimbrel.Options{}).Verify(t.Context())
	}
	for text, blank := range map[string]bool{
		"-- a table\nCREATE  TABLE t1 ( /* one */ x ) ;\n": true,
		"CREATE TABLE t1 (X);":                             false,
		"CREATE TABLE t1 (x); SELECT ' ';":                 false,
	} {
		mismatch := wantError[*whimbrel.ChecksumMismatchError](t, verify(text))
		wantEqual(t, "whether only blanks differ in "+text, mismatch.OnlyBlank, blank)
	}
	noError(t, verify("\ufeffCREATE TABLE t1 (x);")) // a byte-order mark is no difference
}
