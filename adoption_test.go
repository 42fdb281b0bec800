package whimbrel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// adoptAll returns a function for Adopt that takes over all migrations of a set.
func adoptAll(set *migration.Set, at time.Time) func(context.Context, database.Tx, *database.State) ([]whimbrel.Adoption, error) {
	return func(context.Context, database.Tx, *database.State) (all []whimbrel.Adoption, err error) {
		for m := range set.Each() {
			all = append(all, whimbrel.Adoption{Direction: database.Mark, Migration: m, At: at, Remark: "from elsewhere"})
		}
		return all, nil
	}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	set := newSet(t, plain(2)...)
	m := migrator(t, target, set)
	at := time.Date(2020, 5, 17, 1, 2, 3, 4000, time.UTC)
	entries, err := m.Adopt(t.Context(), "we move", adoptAll(set, at))
	noError(t, err)
	wantEqual(t, "the number of entries", len(entries), 2)
	for _, e := range entries {
		wantEqual(t, "direction", e.Direction, database.Mark)
		wantEqual(t, "time", e.StartedAt.Equal(at), true)
		wantEqual(t, "remark", e.Remark, "from elsewhere")
		wantEqual(t, "reason", e.Reason, "we move")
		wantEqual(t, "the down script is kept", e.HasDownText, true)
	}
	wantTables(t, target) // nothing ran
	wantEqual(t, "the number of applied migrations", len(mustUp(t, m).Applied), 0)

	_, err = m.Adopt(t.Context(), "", func(_ context.Context, _ database.Tx, st *database.State) (all []whimbrel.Adoption, err error) {
		for a := range st.Applied.All() {
			all = append(all, whimbrel.Adoption{Direction: database.Forget, Migration: migration.Migration{Version: a.Version}})
		}
		return all, nil
	})
	noError(t, err)
	wantEqual(t, "version", mustStatus(t, m).Version, whimbrel.NilVersion)
}

func TestAdoptIsAllOrNothing(t *testing.T) {
	t.Parallel()
	set := newSet(t, plain(2)...)
	first, _ := set.Get(1)
	failed := errors.New("failed")
	for name, read := range map[string]func(context.Context, database.Tx, *database.State) ([]whimbrel.Adoption, error){
		"an error": func(context.Context, database.Tx, *database.State) ([]whimbrel.Adoption, error) { return nil, failed },
		"a version that is not applied": func(context.Context, database.Tx, *database.State) ([]whimbrel.Adoption, error) {
			return []whimbrel.Adoption{{Direction: database.Mark, Migration: first}, {Direction: database.Forget, Migration: migration.Migration{Version: 2}}}, nil
		},
		"no script": func(context.Context, database.Tx, *database.State) ([]whimbrel.Adoption, error) {
			return []whimbrel.Adoption{{Direction: database.Mark, Migration: first}, {Direction: database.Mark, Migration: migration.Migration{Version: 2}}}, nil
		},
		"another direction": func(context.Context, database.Tx, *database.State) ([]whimbrel.Adoption, error) {
			return []whimbrel.Adoption{{Direction: database.Mark, Migration: first}, {Direction: database.Down, Migration: first}}, nil
		},
		"nothing": func(context.Context, database.Tx, *database.State) ([]whimbrel.Adoption, error) { return nil, nil },
	} {
		m := migrator(t, memdb.New(), set)
		entries, err := m.Adopt(t.Context(), "", read)
		wantEqual(t, name+": an error is returned", err != nil, name != "nothing")
		wantEqual(t, name+": the number of entries", len(entries), 0)
		wantEqual(t, name+": version", mustStatus(t, m).Version, whimbrel.NilVersion)
	}
}

func TestAdoptWhileFrozen(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	set := newSet(t, plain(1)...)
	setting(t, open(t, target), database.Frozen, "true")
	_, err := migrator(t, target, set).Adopt(t.Context(), "", adoptAll(set, time.Time{}))
	wantError[*whimbrel.FrozenError](t, err)
}
