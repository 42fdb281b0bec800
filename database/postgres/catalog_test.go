package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func snapshotOf(t *testing.T, db database.Database, opts catalog.Options) *catalog.Snapshot {
	t.Helper()
	s, err := database.Snapshot(context.Background(), db, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// connected returns a connection to a new database, and the database on it.
func connected(t *testing.T, url string, opts database.Options) (*pgx.Conn, database.Database) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(ctx) })
	return conn, postgres.NewConn(conn, opts)
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%v: %s", err, sql)
	}
}

// TestSnapshotLeavesOutOwnTables: a snapshot contains neither Whimbrel's tables nor the schema
// created for them, but it contains other objects in that schema.
func TestSnapshotLeavesOutOwnTables(t *testing.T) {
	ctx := context.Background()
	for _, schema := range []string{"", "of_whimbrel"} {
		conn, db := connected(t, testdb.Postgres(t), database.Options{Schema: schema, HistoryTable: "My history"})
		empty := snapshotOf(t, db, catalog.Options{})
		if err := database.UpdateSetting(ctx, db, database.SettingUpdate{Name: database.Frozen, Value: "true"}); err != nil {
			t.Fatal(err)
		}
		if changes := catalog.Compare(empty, snapshotOf(t, db, catalog.Options{})); len(changes) > 0 {
			t.Error(changes)
		}
		mustExec(t, conn, `CREATE TABLE of_others (a integer)`)
		if schema != "" {
			mustExec(t, conn, `ALTER TABLE of_others SET SCHEMA of_whimbrel`)
		}
		var got []string
		for _, c := range catalog.Compare(empty, snapshotOf(t, db, catalog.Options{})) {
			got = append(got, c.String())
		}
		want := "table public.of_others added"
		if schema != "" {
			want = "schema of_whimbrel added, table of_whimbrel.of_others added"
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("got %q", got)
		}
	}
}

// TestSnapshotRestoresTheSession: session settings don't affect a snapshot, and the snapshot
// restores them.
func TestSnapshotRestoresTheSession(t *testing.T) {
	ctx := context.Background()
	conn, db := connected(t, testdb.Postgres(t), database.Options{})
	mustExec(t, conn, `CREATE SCHEMA s; CREATE TYPE s.e AS ENUM ('a');
		CREATE TABLE s.t (e s.e DEFAULT 'a', d date DEFAULT '2020-02-01', at timestamptz DEFAULT '2020-02-01 12:00+00', i interval DEFAULT '1 day 02:00', f float8 DEFAULT 0.1, b bytea DEFAULT '\xab');
		CREATE VIEW s.v AS SELECT e FROM s.t WHERE d > '2020-03-04'::date AND at < '2020-02-01 12:00+00'::timestamptz`)
	want := snapshotOf(t, db, catalog.Options{})
	const settings = `SET search_path = s; SET datestyle = 'SQL, DMY'; SET timezone = 'Asia/Tokyo'; SET intervalstyle = 'iso_8601';
		SET extra_float_digits = -5; SET bytea_output = 'escape'; SET quote_all_identifiers = on`
	mustExec(t, conn, settings)
	if got := snapshotOf(t, db, catalog.Options{}); got.Text() != want.Text() {
		t.Errorf("%s\n---\n%s", want.Text(), got.Text())
	}
	for name, want := range map[string]string{"search_path": "s", "datestyle": "SQL, DMY", "quote_all_identifiers": "on"} {
		var got string
		if err := conn.QueryRow(ctx, `SELECT current_setting($1)`, name).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestSnapshotOfSchemas: if schemas are given, objects outside schemas are left out.
func TestSnapshotOfSchemas(t *testing.T) {
	conn, db := connected(t, testdb.Postgres(t), database.Options{})
	mustExec(t, conn, `CREATE SCHEMA a; CREATE SCHEMA "b c"; CREATE TABLE a.t (x integer); CREATE TABLE "b c".t (x integer); CREATE TABLE t (x integer);
		CREATE EXTENSION hstore SCHEMA "b c"; CREATE EXTENSION citext; CREATE CAST (a.t AS integer) WITH INOUT; GRANT SELECT ON a.t TO pg_monitor`)
	var got []string
	for _, o := range snapshotOf(t, db, catalog.Options{Schemas: []string{"b c", "a", "not there"}, NoGrants: true}).Objects {
		if !o.Part {
			got = append(got, o.ID())
		}
	}
	if want := `schema a, schema "b c", extension hstore, table a.t, table "b c".t`; strings.Join(got, ", ") != want {
		t.Errorf("got %q", got)
	}
}

// TestSnapshotFails: a failed snapshot leaves the connection unchanged.
func TestSnapshotFails(t *testing.T) {
	conn, db := connected(t, testdb.Postgres(t), database.Options{})
	mustExec(t, conn, `CREATE TABLE t (x integer)`)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := database.Snapshot(ctx, db, catalog.Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	mustExec(t, conn, `SET statement_timeout = '1ms'`)
	_, err := database.Snapshot(context.Background(), db, catalog.Options{})
	t.Log(err)
	mustExec(t, conn, `SET statement_timeout = 0`)
	if s := snapshotOf(t, db, catalog.Options{}); s.Find("table public.t") == nil {
		t.Error(s.Text())
	}
	if status := conn.PgConn().TxStatus(); status != 'I' {
		t.Errorf("status %c", status)
	}
}

// TestSnapshotThroughAPooler: a snapshot needs no session of its own.
func TestSnapshotThroughAPooler(t *testing.T) {
	ctx := context.Background()
	pooled, direct := testdb.PgBouncer(t)
	conn, straight := connected(t, direct, database.Options{})
	mustExec(t, conn, `CREATE TABLE t (x integer)`)
	db, err := database.Open(ctx, pooled, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got, want := snapshotOf(t, db, catalog.Options{}), snapshotOf(t, straight, catalog.Options{}); got.Fingerprint() != want.Fingerprint() {
		t.Error(catalog.Compare(want, got))
	}
}

// TestSnapshotByAnyRole: a role without privileges gets the same snapshot as the superuser.
func TestSnapshotByAnyRole(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			admin, super := connected(t, m.New(t), database.Options{})
			role := pgx.Identifier{"snapshot " + strings.ToLower(rand.Text())}.Sanitize()
			mustExec(t, admin, `CREATE SCHEMA closed; CREATE TABLE closed.t (id serial PRIMARY KEY, x integer CHECK (x > 0)); CREATE VIEW closed.v AS SELECT * FROM closed.t;
				CREATE FUNCTION closed.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'; REVOKE ALL ON FUNCTION closed.f() FROM PUBLIC; CREATE INDEX ON closed.t ((x + 1)) WHERE x > 5;
				CREATE MATERIALIZED VIEW closed.m AS SELECT 1 AS a; CREATE PUBLICATION p FOR TABLE closed.t; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor;
				CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw; CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (password 'secret'); SELECT lo_create(0);
				CREATE SUBSCRIPTION sub CONNECTION 'password=secret' PUBLICATION p WITH (connect = false, slot_name = NONE, enabled = false)`)
			want := snapshotOf(t, super, catalog.Options{})
			mustExec(t, admin, `CREATE ROLE `+role+`; SET SESSION AUTHORIZATION `+role)
			t.Cleanup(func() {
				mustExec(t, admin, "RESET SESSION AUTHORIZATION; DROP SUBSCRIPTION sub; DROP ROLE "+role)
			})
			got := snapshotOf(t, super, catalog.Options{})
			if diff := cmp.Diff(want.Text(), got.Text()); diff != "" {
				t.Errorf("the text (-want +got):\n%s", diff)
			}
			if got.Fingerprint() != want.Fingerprint() {
				t.Errorf("the fingerprint is %s, want %s", got.Fingerprint(), want.Fingerprint())
			}
			if said := strings.Join(want.Omitted, ", "); said != "large objects: 1, subscription sub, user mapping of public on server s" {
				t.Errorf("got %q", said)
			}
			if strings.Contains(want.Text(), "secret") {
				t.Error("a password is in the text")
			}
		})
	}
}

// TestSnapshotRoundTrips: the number of round trips doesn't depend on the number of objects.
func TestSnapshotRoundTrips(t *testing.T) {
	proxy := testdb.NewProxy(t, testdb.Postgres(t))
	conn, db := connected(t, proxy.URL, database.Options{})
	for _, tables := range []int{0, 1, 200} {
		mustExec(t, conn, fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP EXECUTE format('CREATE TABLE of_%[1]d_%%s (id serial PRIMARY KEY)', i); END LOOP; END $$`, tables))
		proxy.Reset()
		snapshotOf(t, db, catalog.Options{})
		if turns := proxy.Turns(); turns > 2 {
			t.Errorf("%d round trips", turns)
		}
	}
}

// TestInternalOptionsAreNoDifference: the minor releases from November 2026 on store an option
// pg_attver=N with each column, and N differs between columns. The test writes it into the
// catalogue, as on such a server.
func TestInternalOptionsAreNoDifference(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			conn, db := connected(t, m.New(t), database.Options{})
			mustExec(t, conn, `CREATE TABLE t (a integer, b integer); ALTER TABLE t ALTER b SET (n_distinct = 5)`)
			before := snapshotOf(t, db, catalog.Options{})
			mustExec(t, conn, `SET allow_system_table_mods = on;
				UPDATE pg_attribute SET attoptions = ARRAY['pg_attver=89350608'] WHERE attrelid = 't'::regclass AND attname = 'a';
				UPDATE pg_attribute SET attoptions = ARRAY['pg_attver=84867160', 'n_distinct=5', 'pg_another'] WHERE attrelid = 't'::regclass AND attname = 'b'`)
			after := snapshotOf(t, db, catalog.Options{})
			if diff := cmp.Diff(before.Text(), after.Text()); diff != "" {
				t.Errorf("the text (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(catalog.Compare(before, after), []catalog.Change(nil)); diff != "" {
				t.Errorf("the comparison:\n%s", diff)
			}
			mustExec(t, conn, `UPDATE pg_attribute SET attoptions = ARRAY['pg_attver=1', 'n_distinct=6'] WHERE attrelid = 't'::regclass AND attname = 'b'`)
			if got := fmt.Sprint(catalog.Compare(before, snapshotOf(t, db, catalog.Options{}))); got != "[column public.t.b: options n_distinct=5 → n_distinct=6]" {
				t.Errorf("got %s", got)
			}
		})
	}
}
