package database_test

import (
	"slices"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

func TestFold(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	event := func(id int64, d database.Direction, text string) database.Entry {
		return database.Entry{
			ID: id, Version: 1, Name: "name " + text, Direction: d, Checksum: migration.Sum(text),
			StartedAt: at.Add(time.Duration(id) * time.Hour), Duration: time.Duration(id) * time.Second,
		}
	}
	applied := func(e database.Entry) *database.AppliedMigration {
		return &database.AppliedMigration{
			Version: 1, Name: e.Name, Checksum: e.Checksum, EntryID: e.ID,
			Marked: e.Direction == database.Mark, AppliedAt: e.StartedAt, Duration: e.Duration,
		}
	}
	up, again := event(1, database.Up, "up"), event(9, database.Up, "again")
	mark, down := event(2, database.Mark, "mark"), event(3, database.Down, "down")
	forget, accept := event(4, database.Forget, "forget"), event(5, database.Accept, "accept")
	setting := event(6, database.Setting, "setting")
	accepted := func(of database.Entry) *database.AppliedMigration { // a new text, run as the old one was
		a := applied(accept)
		a.Marked, a.AppliedAt, a.Duration = of.Direction == database.Mark, of.StartedAt, of.Duration
		return a
	}
	tests := []struct {
		name   string
		events []database.Entry
		want   *database.AppliedMigration
	}{
		{"nothing", nil, nil},
		{"up", []database.Entry{up}, applied(up)},
		{"up and down", []database.Entry{up, down}, nil},
		{"up, down and up again", []database.Entry{up, down, again}, applied(again)},
		{"up twice", []database.Entry{up, again}, applied(again)},
		{"mark", []database.Entry{mark}, applied(mark)},
		{"mark and forget", []database.Entry{mark, forget}, nil},
		{"mark and down", []database.Entry{mark, down}, nil},
		{"up and forget", []database.Entry{up, forget}, nil},
		{"down alone", []database.Entry{down}, nil},
		{"accept alone", []database.Entry{accept}, nil},
		{"accept of an edited script", []database.Entry{up, accept}, accepted(up)},
		{"accept of a marked version", []database.Entry{mark, accept}, accepted(mark)},
		{"accept and down", []database.Entry{up, accept, down}, nil},
		{"accept after down", []database.Entry{up, down, accept}, nil},
		{"a setting", []database.Entry{up, setting}, applied(up)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := versions(0, 7)
			st := database.State{Applied: m}
			for _, e := range tt.events {
				st.Fold(e)
			}
			got, ok := m.Get(1)
			switch {
			case ok != (tt.want != nil):
				t.Errorf("applied: %v", ok)
			case ok && got != *tt.want:
				t.Errorf("got\n\t%+v\nwant\n\t%+v", got, *tt.want)
			}
			m.Remove(1)
			if !slices.Equal(m.Versions(), []int64{0, 7}) {
				t.Errorf("the others are %d", m.Versions())
			}
		})
	}
}

// Scripts count as run until the last version is rolled back. An entry that only records changes
// nothing in the database.
func TestFoldOfScripts(t *testing.T) {
	t.Parallel()
	of := func(d database.Direction, version int64) database.Entry {
		return database.Entry{Version: version, Name: string(d), Direction: d}
	}
	script := func(d database.Direction) database.Entry { return of(d, database.NilVersion) }
	ran := []database.Entry{of(database.Up, 1), of(database.Mark, 2), script(database.Repeat), script(database.Seed)}
	for _, tt := range []struct {
		name string
		then []database.Entry
		want bool
	}{
		{"nothing", nil, true},
		{"a rollback", []database.Entry{of(database.Down, 2)}, true},
		{"a rollback of everything", []database.Entry{of(database.Down, 2), of(database.Down, 1)}, false},
		{"a rollback of everything, and up", []database.Entry{of(database.Down, 2), of(database.Down, 1), of(database.Up, 1)}, false},
		{"a rollback of everything, and another run", []database.Entry{of(database.Down, 2), of(database.Down, 1), script(database.Repeat), script(database.Seed)}, true},
		{"a rollback of what remains", []database.Entry{of(database.Forget, 1), of(database.Down, 2)}, false},
		{"everything is forgotten", []database.Entry{of(database.Forget, 2), of(database.Forget, 1)}, true},
		{"a failed rollback", []database.Entry{of(database.Failed, 1)}, true},
		{"a reset", []database.Entry{script(database.Reset)}, false},
	} {
		var st database.State
		for _, e := range slices.Concat(ran, tt.then) {
			st.Fold(e)
		}
		if _, got := st.Repeated[string(database.Repeat)]; got != tt.want {
			t.Errorf("after %s, the repeatable script counts as run: %t", tt.name, got)
		}
		if _, got := st.Seeded[string(database.Seed)]; got != tt.want {
			t.Errorf("after %s, the seed counts as run: %t", tt.name, got)
		}
	}
}

func TestStateVersion(t *testing.T) {
	for _, tt := range []struct {
		st    database.State
		want  int64
		dirty bool
	}{
		{database.State{}, database.NilVersion, false},
		{database.State{Applied: versions(), Interrupted: &database.Journal{}}, database.NilVersion, true},
		{database.State{Applied: versions(0)}, 0, false},
		{database.State{Applied: versions(9, 3), Interrupted: &database.Journal{}}, 9, true},
	} {
		if v, dirty := tt.st.Version(); v != tt.want {
			t.Errorf("tt.st.Version(): v = %v, want %v", v, tt.want)
		} else if dirty != tt.dirty {
			t.Errorf("tt.st.Version(): dirty = %v, want %v", dirty, tt.dirty)
		}
	}
}

// A backfill is applied when it starts, and is finished later, even if its edit was accepted
// meanwhile.
func TestFoldBackfills(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	st := &database.State{}
	check := func(what string, unfinished bool, took time.Duration) {
		t.Helper()
		a, ok := st.Applied.Get(7)
		if !ok || a.Unfinished != unfinished || a.Duration != took || !a.AppliedAt.Equal(at) {
			t.Errorf("%s: %+v, want unfinished %v after %s", what, a, unfinished, took)
		}
	}
	st.Fold(database.Entry{ID: 1, Version: 7, Direction: database.Start, StartedAt: at, Duration: time.Millisecond})
	check("started", true, time.Millisecond)
	st.Fold(database.Entry{ID: 2, Version: 7, Direction: database.Control, StartedAt: at.Add(time.Minute)})
	check("paused", true, time.Millisecond)
	st.Fold(database.Entry{ID: 3, Version: 7, Direction: database.Accept, StartedAt: at.Add(2 * time.Minute)})
	check("accepted", true, time.Millisecond)
	st.Fold(database.Entry{ID: 4, Version: 7, Direction: database.Finish, StartedAt: at.Add(time.Hour)})
	check("finished", false, time.Hour)
	st.Fold(database.Entry{ID: 5, Version: 7, Direction: database.Down})
	st.Fold(database.Entry{ID: 6, Version: 7, Direction: database.Finish, StartedAt: at.Add(2 * time.Hour)})
	if st.Applied.Len() > 0 {
		t.Errorf("the end of a backfill that was rolled back makes it applied: %+v", st.Applied.Versions())
	}
}
