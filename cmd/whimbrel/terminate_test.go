package main

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// A session of the application that blocks a migration is terminated on request, and the history
// keeps that. Nothing else ends it.
func TestTerminatedBlocker(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	role := "role_" + nameOf(t, raw)
	admin, err := sql.Open("pgx", raw)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	a := &advised{newShell(t, t.TempDir()), admin}
	a.exec("CREATE ROLE "+role+" LOGIN", "CREATE TABLE public.t (x int)", "GRANT SELECT ON public.t TO "+role)
	defer a.exec("DROP OWNED BY "+role, "DROP ROLE "+role)
	a.env = append(a.env, "DATABASE_URL="+raw)
	a.write("1_note.up.sql", "ALTER TABLE public.t ADD COLUMN note text")
	app, err := openSQL(as(t, raw, role))
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	tx, err := app.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT x AS what_the_application_read FROM public.t"); err != nil {
		t.Fatal(err)
	}

	if got := a.answer("whimbrel up --allow-unrecorded --lock-timeout 500ms --retry-for 0"); !strings.Contains(got, "canceling statement due to lock timeout") {
		t.Errorf("without the flag, up answers\n%s", got)
	}
	if _, err := tx.Exec("SELECT 1"); err != nil {
		t.Fatalf("without the flag, the session ends: %v", err)
	}
	got := a.answer("whimbrel up --allow-unrecorded --lock-timeout 500ms --terminate-blockers-after 1s")
	for _, part := range []string{"terminated: pid ", ", user " + role + ",", "Applied 1 migration in "} {
		if !strings.Contains(got, part) {
			t.Errorf("up lacks %q:\n%s", part, got)
		}
	}
	if tx.Commit() == nil {
		t.Error("the session that blocked is still alive")
	}
	if got := a.answer("whimbrel history"); !strings.Contains(got, "terminate  1") || !strings.Contains(got, ", user "+role+",") {
		t.Errorf("the history does not name the session:\n%s", got)
	}
}
