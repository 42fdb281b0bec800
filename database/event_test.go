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
	event := func(id int64, d database.Direction, text string) database.Event {
		return database.Event{
			ID: id, Version: 1, Name: "name " + text, Direction: d, Checksum: migration.Sum(text),
			StartedAt: at.Add(time.Duration(id) * time.Hour), Duration: time.Duration(id) * time.Second,
		}
	}
	applied := func(e database.Event) *database.Applied {
		return &database.Applied{
			Version: 1, Name: e.Name, Checksum: e.Checksum, EventID: e.ID,
			Marked: e.Direction == database.Mark, AppliedAt: e.StartedAt, Duration: e.Duration,
		}
	}
	up, again := event(1, database.Up, "up"), event(9, database.Up, "again")
	mark, down := event(2, database.Mark, "mark"), event(3, database.Down, "down")
	forget, accept := event(4, database.Forget, "forget"), event(5, database.Accept, "accept")
	setting := event(6, database.Setting, "setting")
	accepted := func(of database.Event) *database.Applied { // a new text, run as the old one was
		a := applied(accept)
		a.Marked, a.AppliedAt, a.Duration = of.Direction == database.Mark, of.StartedAt, of.Duration
		return a
	}
	tests := []struct {
		name   string
		events []database.Event
		want   *database.Applied
	}{
		{"nothing", nil, nil},
		{"up", []database.Event{up}, applied(up)},
		{"up and down", []database.Event{up, down}, nil},
		{"up, down and up again", []database.Event{up, down, again}, applied(again)},
		{"up twice", []database.Event{up, again}, applied(again)},
		{"mark", []database.Event{mark}, applied(mark)},
		{"mark and forget", []database.Event{mark, forget}, nil},
		{"mark and down", []database.Event{mark, down}, nil},
		{"up and forget", []database.Event{up, forget}, nil},
		{"down alone", []database.Event{down}, nil},
		{"accept alone", []database.Event{accept}, nil},
		{"accept of an edited script", []database.Event{up, accept}, accepted(up)},
		{"accept of a marked version", []database.Event{mark, accept}, accepted(mark)},
		{"accept and down", []database.Event{up, accept, down}, nil},
		{"accept after down", []database.Event{up, down, accept}, nil},
		{"a setting", []database.Event{up, setting}, applied(up)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := versions(0, 7)
			st := database.State{Applied: m}
			for _, e := range tt.events {
				st.Fold(e)
			}
			got, ok := m.Read(1)
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
		if v, dirty := tt.st.Version(); v != tt.want || dirty != tt.dirty {
			t.Errorf("Version of %d = %d, %v", tt.st.Applied.Versions(), v, dirty)
		}
	}
}
