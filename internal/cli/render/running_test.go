package render

import (
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

func TestStatusShowsARunningMigration(t *testing.T) {
	t.Parallel()
	j := &database.Journal{Version: 2, Name: "b", Direction: database.Up, Of: 3, Done: 1, UpdatedAt: time.Now(), Host: "ci-7", PID: 12, OSUser: "alice", Actor: "a CI run", Held: true}
	s := &whimbrel.Status{Interrupted: j, Migrations: []whimbrel.MigrationStatus{
		{Version: 2, State: whimbrel.StatePending, ReplacedBy: whimbrel.NilVersion}, {Version: 3, State: whimbrel.StatePending, ReplacedBy: whimbrel.NilVersion},
	}}
	d := NewStatus(s, "migrations")
	if got := d.Migrations[0].State + " " + d.Migrations[1].State; got != "running pending" {
		t.Errorf("the states are %q, want running and pending", got)
	}
	for _, part := range []string{"running at statement 2 of 3", "on host ci-7", "pid 12", "user alice", "a CI run"} {
		if !strings.Contains(d.Interrupted.where(), part) {
			t.Errorf("the run is described as %q, without %q", d.Interrupted.where(), part)
		}
	}
	j.Held = false
	if got := NewStatus(s, "migrations").Migrations[0].State; got != "interrupted" {
		t.Errorf("the state of an interrupted migration is %q, want interrupted", got)
	}
}
