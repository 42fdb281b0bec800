package postgres_test

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/database/databasetest"
)

// sessionChange is a script that changes the session, and an expression that detects the change.
type sessionChange struct{ change, found string }

// probe returns a statement that inserts a row into the table probe if the session is changed.
func (s sessionChange) probe() string {
	return "INSERT INTO public.probe SELECT 1 WHERE " + s.found
}

// setting returns a change of a setting, which current_setting detects.
func setting(change, name, shown string) sessionChange {
	return sessionChange{change, fmt.Sprintf("current_setting('%s', true) = '%s'", name, shown)}
}

func relation(change string) sessionChange {
	return sessionChange{change, "EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema())"}
}

// sessionChanges are all ways to change a session, in groups that can be tested together.
var sessionChanges = map[string][]sessionChange{
	"settings": {
		setting("SET lock_timeout = '1234ms'", "lock_timeout", "1234ms"),
		setting("SET SESSION statement_timeout = '123s'", "statement_timeout", "123s"),
		setting("SET TIME ZONE INTERVAL '+03:30' HOUR TO MINUTE", "TimeZone", "<+03:30>-03:30"),
		setting("SET DateStyle = 'German, DMY'", "DateStyle", "German, DMY"),
		setting("SET session_replication_role = replica", "session_replication_role", "replica"),
		setting("SET standard_conforming_strings = off", "standard_conforming_strings", "off"),
		setting("SET client_min_messages = error", "client_min_messages", "error"),
		setting("SET whim.colour = 'blue'", "whim.colour", "blue"),
		setting("SELECT set_config('whim.shape', 'round', false)", "whim.shape", "round"),
		setting("DO $$ BEGIN SET \"Whim\".size = 'big'; END $$", "whim.size", "big"),
		setting("DO $$ BEGIN PERFORM set_config('work_mem', '7MB', false); END $$", "work_mem", "7MB"),
	},
	"time zone":             {setting("SET timezone = 'Asia/Tokyo'", "TimeZone", "Asia/Tokyo")},
	"application":           {setting("SET application_name = 'o''clock'", "application_name", "o''clock")},
	"search path":           {{"SET search_path = pg_catalog", "current_setting('search_path') = 'pg_catalog'"}},
	"no search path":        {{"SELECT set_config('search_path', '', false)", `current_setting('search_path') IN ('', '""')`}},
	"role":                  {{"GRANT INSERT ON probe TO pg_signal_backend; SET ROLE pg_signal_backend", "current_user <> session_user"}},
	"session authorization": {{"GRANT INSERT ON probe TO pg_signal_backend; SET SESSION AUTHORIZATION pg_signal_backend", "session_user = 'pg_signal_backend'"}},
	"temporary objects": {
		relation("CREATE TEMP TABLE \"a table\" (id int GENERATED ALWAYS AS IDENTITY, n serial)"),
		relation("CREATE TEMP VIEW v AS SELECT 1"),
		relation("CREATE TEMP SEQUENCE s"),
		{"CREATE FUNCTION pg_temp.f(a int, b text) RETURNS int LANGUAGE sql AS 'SELECT 1'", "EXISTS (SELECT FROM pg_proc WHERE pronamespace = pg_my_temp_schema())"},
		{"CREATE TYPE pg_temp.mood AS ENUM ('good', 'bad')", "EXISTS (SELECT FROM pg_type WHERE typnamespace = pg_my_temp_schema() AND typtype = 'e')"},
		{"CREATE DOMAIN pg_temp.positive AS int CHECK (VALUE > 0)", "EXISTS (SELECT FROM pg_type WHERE typnamespace = pg_my_temp_schema() AND typtype = 'd')"},
	},
	"what else a session has": {
		{"PREPARE \"my plan\" AS SELECT 1", "EXISTS (SELECT FROM pg_prepared_statements WHERE from_sql)"},
		{"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "EXISTS (SELECT FROM pg_cursors WHERE name = 'c')"},
		{"LISTEN news", "EXISTS (SELECT FROM pg_listening_channels())"},
		{
			"SELECT pg_advisory_lock(-9223372036854775808); SELECT pg_advisory_lock_shared(1, -2)",
			"EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND (objsubid = 2 OR classid = 2147483648))",
		},
	},
}

// forContract returns the changes in the form of the contract's suite.
func forContract() (all []databasetest.SessionChange) {
	for name, group := range sessionChanges {
		var changes, found []string
		for _, s := range group {
			changes, found = append(changes, s.change), append(found, s.found)
		}
		together := sessionChange{strings.Join(changes, "; "), strings.Join(found, " OR ")}
		all = append(all, databasetest.SessionChange{Name: name, Change: together.change, Probe: together.probe()})
	}
	return all
}
