package postgres_test

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel/database/databasetest"
)

// setting is a change of a setting, which current_setting shows.
func setting(change, name, shown string) databasetest.SessionChange {
	return databasetest.SessionChange{
		Name: change, Change: change,
		Probe: fmt.Sprintf("INSERT INTO probe SELECT 1 WHERE current_setting('%s', true) = '%s'", name, shown),
	}
}

// found is a change that a query finds.
func found(change, query string) databasetest.SessionChange {
	return databasetest.SessionChange{Name: change, Change: change, Probe: "INSERT INTO public.probe SELECT 1 WHERE EXISTS (" + query + ")"}
}

// sessionChanges are ways to change a session, each with what finds it changed.
var sessionChanges = []databasetest.SessionChange{
	setting("SET lock_timeout = '1234ms'", "lock_timeout", "1234ms"),
	setting("SET SESSION statement_timeout = '123s'", "statement_timeout", "123s"),
	setting("SET timezone = 'Asia/Tokyo'", "TimeZone", "Asia/Tokyo"),
	setting("SET TIME ZONE INTERVAL '+03:30' HOUR TO MINUTE", "TimeZone", "<+03:30>-03:30"),
	setting("SET DateStyle = 'German, DMY'", "DateStyle", "German, DMY"),
	setting("SET session_replication_role = replica", "session_replication_role", "replica"),
	setting("SET standard_conforming_strings = off", "standard_conforming_strings", "off"),
	setting("SET client_min_messages = error", "client_min_messages", "error"),
	setting("SET application_name = 'o''clock'", "application_name", "o''clock"),
	setting("SET whim.colour = 'blue'", "whim.colour", "blue"),
	setting("SELECT set_config('whim.shape', 'round', false)", "whim.shape", "round"),
	setting("DO $$ BEGIN SET \"Whim\".size = 'big'; PERFORM set_config('work_mem', '7MB', false); END $$", "whim.size", "big"),
	setting("DO $$ BEGIN SET whim.size = 'big'; PERFORM set_config('work_mem', '7MB', false); END $$", "work_mem", "7MB"),
	found("SET search_path = pg_catalog", "SELECT WHERE current_setting('search_path') = 'pg_catalog'"),
	found("SELECT set_config('search_path', '', false)", "SELECT WHERE current_setting('search_path') IN ('', '\"\"')"),
	found("GRANT INSERT ON probe TO pg_signal_backend; SET ROLE pg_signal_backend", "SELECT WHERE current_user <> session_user"),
	found("GRANT INSERT ON probe TO pg_signal_backend; SET SESSION AUTHORIZATION pg_signal_backend", "SELECT WHERE session_user = 'pg_signal_backend'"),
	found("CREATE TEMP TABLE \"a table\" (id int GENERATED ALWAYS AS IDENTITY, n serial)", "SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema()"),
	found("CREATE TEMP VIEW v AS SELECT 1", "SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema()"),
	found("CREATE TEMP SEQUENCE s", "SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema()"),
	found("CREATE FUNCTION pg_temp.f(a int, b text) RETURNS int LANGUAGE sql AS 'SELECT 1'", "SELECT FROM pg_proc WHERE pronamespace = pg_my_temp_schema()"),
	found("CREATE TYPE pg_temp.mood AS ENUM ('good', 'bad')", "SELECT FROM pg_type WHERE typnamespace = pg_my_temp_schema() AND typtype = 'e'"),
	found("CREATE DOMAIN pg_temp.positive AS int CHECK (VALUE > 0)", "SELECT FROM pg_type WHERE typnamespace = pg_my_temp_schema() AND typtype = 'd'"),
	found("PREPARE \"my plan\" AS SELECT 1", "SELECT FROM pg_prepared_statements WHERE from_sql"),
	found("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SELECT FROM pg_cursors WHERE name = 'c'"),
	found("LISTEN news", "SELECT FROM pg_listening_channels()"),
	found("SELECT pg_advisory_lock(-9223372036854775808); SELECT pg_advisory_lock_shared(1, -2)", "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND (objsubid = 2 OR classid = 2147483648)"),
}
