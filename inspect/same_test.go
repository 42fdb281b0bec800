package inspect_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
)

func TestSame(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, db database.Database) {
		two := setOf(t, step{"CREATE TABLE a (id integer)", ""}, step{"CREATE INDEX i ON a (id)", ""})
		for name, c := range map[string]struct {
			other step
			want  []string
		}{
			"the same in one migration": {step{"CREATE TABLE a (id integer); CREATE INDEX i ON a (id)", ""}, nil},
			"without the index":         {step{"CREATE TABLE a (id integer)", ""}, []string{"removed"}},
		} {
			changes, err := inspect.Same(t.Context(), two, setOf(t, c.other), inspect.Beside(db))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var got []string
			for _, each := range changes {
				got = append(got, string(each.Change))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s:\n%s", name, diff)
			}
		}
	})
}
