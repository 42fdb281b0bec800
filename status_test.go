package whimbrel_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	if _, err := whimbrel.New(db, newSet(t, append(plain(3), plain(6)[5])...), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := plain(8)
	now[1].up = "CREATE TABLE t2 (edited)"
	now = slices.Delete(now, 2, 3) // version 3 was deleted, 4 and 5 come late, 7 and 8 are new
	st, err := whimbrel.New(db, newSet(t, now...), whimbrel.Options{}).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range st.Migrations {
		got = append(got, fmt.Sprintf("%d %s", m.Version, m.State))
	}
	want := []string{"1 applied", "2 modified", "3 unknown", "4 out_of_order", "5 out_of_order", "6 applied", "7 pending", "8 pending"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, tt := range map[string]struct{ got, want []int64 }{
		"all":     {st.KnownVersions(), []int64{1, 2, 4, 5, 6, 7, 8}},
		"applied": {st.AppliedVersions(), []int64{1, 2, 3, 6}},
		"pending": {st.PendingVersions(), []int64{4, 5, 7, 8}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s is %v, want %v", name, tt.got, tt.want)
		}
	}
	wantEqual(t, "version", st.Version, 6)
	empty := migrator(t, memdb.New(), newSet(t))
	wantEqual(t, "version of an empty database", mustStatus(t, empty).Version, whimbrel.NilVersion)
}
