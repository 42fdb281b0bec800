package adopt_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/whimbrel-db/whimbrel/adopt"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// exec executes statements as the tool would, on a connection that Whimbrel does not know.
func (x target) exec(t *testing.T, statements ...string) {
	t.Helper()
	db := x.pool(t)
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (x target) pool(t *testing.T) *sql.DB {
	t.Helper()
	if x.kind == sqltext.MySQL {
		return testdb.OpenMariaDB(t, x.url)
	}
	driver := "pgx"
	if x.kind == sqltext.SQLite {
		driver = "sqlite"
	}
	db, err := sql.Open(driver, x.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// text returns the script of a version in the tests.
func text(version int64) string { return fmt.Sprintf("CREATE TABLE t%d (x int);\n", version) }

// set returns a set of versions, whose origins origin returns.
func set(t *testing.T, origin func(version int64) *migration.Origin, versions ...int64) *migration.Set {
	t.Helper()
	var c migration.Contents
	for _, v := range versions {
		m := migration.Migration{Version: v, Name: "step", Up: migration.Text(fmt.Sprintf("%d_step.sql", v), text(v))}
		if origin != nil {
			m.Origin = origin(v)
		}
		c.Migrations = append(c.Migrations, m)
	}
	return setOf(t, c)
}

func setOf(t *testing.T, c migration.Contents) *migration.Set {
	t.Helper()
	s, err := c.Set("")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func named(format string) func(int64) *migration.Origin {
	return func(v int64) *migration.Origin { return &migration.Origin{ID: fmt.Sprintf(format, v)} }
}

// journaled returns origins with a time of Drizzle's journal.
func journaled(v int64) *migration.Origin {
	return &migration.Origin{ID: fmt.Sprintf("%04d_step", v), When: time.UnixMilli(1700000000000 + v)}
}

// tableCase is a history table in the form of a tool.
type tableCase struct {
	tool adopt.Tool
	// ddl creates the table; on a database without an entry the tool has none.
	ddl map[sqltext.Dialect]string
	// row returns the statement that adds a migration, and bad one of a migration that failed or
	// stopped; "" if the tool has no such thing.
	row func(version int64) string
	bad func(version int64) string
	// edited adds a migration with another checksum; nil if the tool has none.
	edited func(version int64) string
	origin func(version int64) *migration.Origin
	// noBlock are the databases in which nothing keeps the tool out, noReverse says that only the
	// block can be removed.
	noBlock   []sqltext.Dialect
	noReverse bool
	// named is the tool if it is only taken over by its name.
	named adopt.Tool
}

func all(ddl string) map[sqltext.Dialect]string {
	return map[sqltext.Dialect]string{sqltext.PostgreSQL: ddl, sqltext.SQLite: ddl, sqltext.MySQL: ddl}
}

const pg, lite, maria = sqltext.PostgreSQL, sqltext.SQLite, sqltext.MySQL

// flywayCRC is Flyway's checksum of a script of the tests, which has one line.
func flywayCRC(v int64) int32 { return int32(crc32.ChecksumIEEE([]byte(strings.TrimSpace(text(v))))) }

var tableCases = map[string]tableCase{
	"flyway": {
		tool: adopt.Flyway,
		ddl: all(`CREATE TABLE flyway_schema_history (installed_rank INT NOT NULL PRIMARY KEY, version VARCHAR(50), description VARCHAR(200) NOT NULL,
			type VARCHAR(20) NOT NULL, script VARCHAR(1000) NOT NULL, checksum INTEGER, installed_by VARCHAR(100) NOT NULL,
			installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, execution_time INTEGER NOT NULL, success BOOLEAN NOT NULL)`),
		row: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO flyway_schema_history (installed_rank, version, description, type, script, checksum, installed_by, execution_time, success)
				VALUES (%[1]d, '%[1]d', 'step', 'SQL', 'V%[1]d__step.sql', %[2]d, 'x', 1, true)`, v, flywayCRC(v))
		},
		bad: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO flyway_schema_history (installed_rank, version, description, type, script, checksum, installed_by, execution_time, success)
				VALUES (%[1]d, '%[1]d', 'step', 'SQL', 'V%[1]d__step.sql', 0, 'x', 1, false)`, v)
		},
		edited: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO flyway_schema_history (installed_rank, version, description, type, script, checksum, installed_by, execution_time, success)
				VALUES (%[1]d, '%[1]d', 'step', 'SQL', 'V%[1]d__step.sql', 1, 'x', 1, true)`, v)
		},
		origin: named("%d"),
	},
	"liquibase": {
		tool: adopt.Liquibase,
		ddl: all(`CREATE TABLE DATABASECHANGELOG (ID VARCHAR(255) NOT NULL, AUTHOR VARCHAR(255) NOT NULL, FILENAME VARCHAR(255) NOT NULL, DATEEXECUTED TIMESTAMP NOT NULL,
			ORDEREXECUTED INT NOT NULL, EXECTYPE VARCHAR(10) NOT NULL, MD5SUM VARCHAR(35), DESCRIPTION VARCHAR(255), COMMENTS VARCHAR(255), TAG VARCHAR(255),
			LIQUIBASE VARCHAR(20), CONTEXTS VARCHAR(255), LABELS VARCHAR(255), DEPLOYMENT_ID VARCHAR(10));
			CREATE TABLE DATABASECHANGELOGLOCK (ID INT NOT NULL PRIMARY KEY, LOCKED BOOLEAN NOT NULL, LOCKGRANTED TIMESTAMP NULL, LOCKEDBY VARCHAR(255));
			INSERT INTO DATABASECHANGELOGLOCK (ID, LOCKED) VALUES (1, false)`),
		row: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO DATABASECHANGELOG (ID, AUTHOR, FILENAME, DATEEXECUTED, ORDEREXECUTED, EXECTYPE, MD5SUM)
				VALUES ('%[1]d', 'alice', 'changelog.sql', CURRENT_TIMESTAMP, %[1]d, 'EXECUTED', '9:00')`, v)
		},
		bad: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO DATABASECHANGELOG (ID, AUTHOR, FILENAME, DATEEXECUTED, ORDEREXECUTED, EXECTYPE, MD5SUM)
				VALUES ('%[1]d', 'alice', 'changelog.sql', CURRENT_TIMESTAMP, %[1]d, 'FAILED', '9:00')`, v)
		},
		origin: named("alice:%d@changelog.sql"),
	},
	"atlas": {
		tool: adopt.Atlas, noBlock: []sqltext.Dialect{maria},
		ddl: map[sqltext.Dialect]string{
			pg: `CREATE SCHEMA atlas_schema_revisions; CREATE TABLE atlas_schema_revisions.atlas_schema_revisions (version varchar PRIMARY KEY, description varchar NOT NULL,
				type bigint NOT NULL DEFAULT 2, applied bigint NOT NULL DEFAULT 0, total bigint NOT NULL DEFAULT 0, executed_at timestamptz NOT NULL, execution_time bigint NOT NULL,
				error text, error_stmt text, hash varchar NOT NULL, partial_hashes jsonb, operator_version varchar NOT NULL); SET search_path = atlas_schema_revisions`,
			lite: atlasTable, maria: atlasTable,
		},
		row: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO atlas_schema_revisions (version, description, type, applied, total, executed_at, execution_time, hash, operator_version)
				VALUES ('%[1]d', 'step', 2, 1, 1, CURRENT_TIMESTAMP, 1, 'sum%[1]d', 'Atlas CLI')`, v)
		},
		bad: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO atlas_schema_revisions (version, description, type, applied, total, executed_at, execution_time, hash, operator_version)
				VALUES ('%[1]d', 'step', 2, 1, 3, CURRENT_TIMESTAMP, 1, 'sum%[1]d', 'Atlas CLI')`, v)
		},
		edited: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO atlas_schema_revisions (version, description, type, applied, total, executed_at, execution_time, hash, operator_version)
				VALUES ('%[1]d', 'step', 2, 1, 1, CURRENT_TIMESTAMP, 1, 'other', 'Atlas CLI')`, v)
		},
		origin: func(v int64) *migration.Origin {
			return &migration.Origin{ID: fmt.Sprint(v), Sum: fmt.Sprintf("sum%d", v)}
		},
	},
	"prisma": {
		tool: adopt.Prisma,
		ddl: map[sqltext.Dialect]string{
			pg: `CREATE TABLE _prisma_migrations (id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ, migration_name VARCHAR(255) NOT NULL,
				logs TEXT, rolled_back_at TIMESTAMPTZ, started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)`,
			lite: `CREATE TABLE _prisma_migrations (id TEXT PRIMARY KEY NOT NULL, checksum TEXT NOT NULL, finished_at DATETIME, migration_name TEXT NOT NULL,
				logs TEXT, rolled_back_at DATETIME, started_at DATETIME NOT NULL DEFAULT current_timestamp, applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0)`,
			maria: `CREATE TABLE _prisma_migrations (id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at DATETIME(3), migration_name VARCHAR(255) NOT NULL,
				logs TEXT, rolled_back_at DATETIME(3), started_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0)`,
		},
		row: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, rolled_back_at, applied_steps_count) VALUES
				('a%[1]d', '%[2]x', NULL, '%[1]d_step', CURRENT_TIMESTAMP, 0), ('b%[1]d', '%[2]x', CURRENT_TIMESTAMP, '%[1]d_step', NULL, 1)`, v, sha256.Sum256([]byte(text(v))))
		},
		bad: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO _prisma_migrations (id, checksum, migration_name, logs) VALUES ('a%[1]d', '00', '%[1]d_step', 'error')`, v)
		},
		edited: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name) VALUES ('a%[1]d', '00', CURRENT_TIMESTAMP, '%[1]d_step')`, v)
		},
		origin: named("%d_step"),
	},
	"drizzle": {
		tool: adopt.Drizzle, noBlock: []sqltext.Dialect{maria},
		ddl: map[sqltext.Dialect]string{
			pg:    `CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint); SET search_path = drizzle`,
			lite:  `CREATE TABLE __drizzle_migrations (id INTEGER PRIMARY KEY, hash text NOT NULL, created_at numeric)`,
			maria: `CREATE TABLE __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)`,
		},
		row: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('%x', %d)`, sha256.Sum256([]byte(text(v))), 1700000000000+v)
		},
		edited: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('00', %d)`, 1700000000000+v)
		},
		origin: journaled,
	},
	"sqlx": {
		tool: adopt.Sqlx,
		ddl: map[sqltext.Dialect]string{
			pg: `CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
				success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)`,
			lite: sqlxTable, maria: sqlxTable,
		},
		row: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (%d, 'step', true, BYTES'%x', 1)`, v, sha512.Sum384([]byte(text(v))))
		},
		bad: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (%d, 'step', false, BYTES'00', -1)`, v)
		},
		edited: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (%d, 'step', true, BYTES'00', 1)`, v)
		},
	},
	"river": {
		tool: adopt.River, named: adopt.River,
		ddl: map[sqltext.Dialect]string{
			pg:   `CREATE TABLE river_migration (line TEXT NOT NULL DEFAULT 'main', version bigint NOT NULL, created_at timestamptz NOT NULL DEFAULT NOW(), PRIMARY KEY (line, version)); INSERT INTO river_migration (line, version) VALUES ('pro', 7)`,
			lite: `CREATE TABLE river_migration (id integer PRIMARY KEY, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, version integer NOT NULL)`,
		},
		row: func(v int64) string { return fmt.Sprintf(`INSERT INTO river_migration (version) VALUES (%d)`, v) },
	},
	"diesel": {
		tool: adopt.Diesel, noBlock: []sqltext.Dialect{maria},
		ddl: all(`CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)`),
		row: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO __diesel_schema_migrations (version) VALUES ('%014d')`, v)
		},
		origin: named("%014d"),
	},
	"sqitch": {
		tool: adopt.Sqitch, noReverse: true,
		ddl: map[sqltext.Dialect]string{
			pg: `CREATE SCHEMA sqitch; SET search_path = sqitch; CREATE TABLE releases (version REAL PRIMARY KEY, installed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
				installer_name TEXT NOT NULL, installer_email TEXT NOT NULL); CREATE TABLE changes (change_id TEXT PRIMARY KEY, script_hash TEXT, change TEXT NOT NULL, project TEXT NOT NULL, note TEXT NOT NULL DEFAULT '',
				committed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(), committer_name TEXT NOT NULL, committer_email TEXT NOT NULL, planned_at TIMESTAMPTZ NOT NULL,
				planner_name TEXT NOT NULL, planner_email TEXT NOT NULL)`,
		},
		row: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO changes (change_id, script_hash, change, project, committer_name, committer_email, planned_at, planner_name, planner_email)
				VALUES ('id%[1]d', '%[2]x', 'step%[1]d', 'app', 'x', 'x', now(), 'x', 'x')`, v, sha1.Sum([]byte(text(v))))
		},
		edited: func(v int64) string {
			return fmt.Sprintf(`INSERT INTO changes (change_id, script_hash, change, project, committer_name, committer_email, planned_at, planner_name, planner_email)
				VALUES ('id%[1]d', '00', 'step%[1]d', 'app', 'x', 'x', now(), 'x', 'x')`, v)
		},
		origin: named("step%d"),
	},
	"hasura": {
		tool: adopt.Hasura,
		ddl: map[sqltext.Dialect]string{
			pg: `CREATE SCHEMA hdb_catalog; SET search_path = hdb_catalog; CREATE TABLE schema_migrations (version bigint PRIMARY KEY NOT NULL, dirty boolean NOT NULL)`,
		},
		row: func(v int64) string { return fmt.Sprintf(`INSERT INTO schema_migrations VALUES (%d, false)`, v) },
		bad: func(v int64) string { return fmt.Sprintf(`INSERT INTO schema_migrations VALUES (%d, true)`, v) },
	},
	"hasura with a state": {
		tool: adopt.Hasura, noBlock: []sqltext.Dialect{pg},
		ddl: map[sqltext.Dialect]string{
			pg: `CREATE SCHEMA hdb_catalog; SET search_path = hdb_catalog; CREATE TABLE hdb_version (hasura_uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(), version text NOT NULL,
				upgraded_on timestamptz NOT NULL, cli_state jsonb NOT NULL DEFAULT '{}', console_state jsonb NOT NULL DEFAULT '{}');
				INSERT INTO hdb_version (version, upgraded_on, cli_state) VALUES ('48', now(), '{"settings": {"migration_mode": "true"}, "migrations": {"default": {}}}')`,
		},
		row: func(v int64) string {
			return fmt.Sprintf(`UPDATE hdb_version SET cli_state = jsonb_set(cli_state, '{migrations,default,%d}', 'false')`, v)
		},
		bad: func(v int64) string {
			return fmt.Sprintf(`UPDATE hdb_version SET cli_state = jsonb_set(cli_state, '{migrations,default,%d}', 'true')`, v)
		},
	},
}

const atlasTable = `CREATE TABLE atlas_schema_revisions (version varchar(255) PRIMARY KEY, description varchar(255) NOT NULL, type bigint NOT NULL DEFAULT 2,
	applied bigint NOT NULL DEFAULT 0, total bigint NOT NULL DEFAULT 0, executed_at timestamp NOT NULL, execution_time bigint NOT NULL,
	error longtext, error_stmt longtext, hash varchar(255) NOT NULL, partial_hashes longtext, operator_version varchar(255) NOT NULL)`

const sqlxTable = `CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
	success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)`

// fill creates the table of a case and adds rows. A connection with a search path is kept.
func (x target) fill(t *testing.T, c tableCase, rows ...string) {
	t.Helper()
	db := x.pool(t)
	db.SetMaxOpenConns(1)
	statements := append(strings.Split(c.ddl[x.kind], ";"), rows...)
	for _, s := range statements {
		bytes := "x'"
		if x.kind == pg {
			bytes = `E'\\x`
		}
		if _, err := db.ExecContext(t.Context(), strings.ReplaceAll(s, "BYTES'", bytes)); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	db.Close()
}

// eachTable calls f for each case and each database that it has.
func eachTable(t *testing.T, f func(t *testing.T, c tableCase, x target)) {
	t.Parallel()
	for name, c := range tableCases {
		for kind := range c.ddl {
			t.Run(name+" on "+kindNames[kind], func(t *testing.T) {
				t.Parallel()
				f(t, c, create(t, kind))
			})
		}
	}
}

// adoptedVersions returns the versions of a result.
func adoptedVersions(list []adopt.Adopted) (all []int64) {
	for _, a := range list {
		all = append(all, a.Version)
	}
	return all
}

func TestTablesOfEachTool(t *testing.T) {
	eachTable(t, func(t *testing.T, c tableCase, x target) {
		x.fill(t, c, c.row(1), c.row(2))
		db := x.open(t)
		s := set(t, c.origin, 1, 2, 3)
		began := time.Now()
		block := !slices.Contains(c.noBlock, x.kind)
		if !block {
			var unsupported *adopt.UnsupportedError
			if _, err := adopt.From(t.Context(), db, s, adopt.Options{Tool: c.named, Block: true}); !errors.As(err, &unsupported) {
				t.Errorf("a block that can't be: %v", err)
			}
		}
		r, err := adopt.From(t.Context(), db, s, adopt.Options{Tool: c.named, Block: block})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the tool", r.Tool, c.tool)
		equal(t, "adopted", fmt.Sprint(adoptedVersions(r.Adopted)), "[1 2]")
		for _, a := range r.Adopted {
			if !a.At.IsZero() && (began.Sub(a.At).Abs() > 10*time.Minute) && c.tool != adopt.Drizzle {
				t.Errorf("%d was applied at %v, and it is %v", a.Version, a.At, began)
			}
		}
		again, err := adopt.From(t.Context(), db, s, adopt.Options{Tool: c.named, Block: block})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "a second call adopts", len(again.Adopted), 0)
		equal(t, "blocked", again.Blocked, block)

		if c.noReverse {
			back, err := adopt.Reverse(t.Context(), db, s, adopt.ReverseOptions{Tool: c.named})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "blocked after a reversal", back.Blocked, false)
			return
		}
		up(t, db, s)
		back, err := adopt.Reverse(t.Context(), db, s, adopt.ReverseOptions{Tool: c.named})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "written", fmt.Sprint(adoptedVersions(back.Written)), "[3]")
		r, err = adopt.From(t.Context(), db, s, adopt.Options{Tool: c.named})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "adopted after a return", fmt.Sprint(adoptedVersions(r.Adopted)), "[1 2 3]")
		equal(t, "blocked after a return", r.Blocked, false)
	})
}

// refusals returns the kinds and versions of what an error refuses.
func refusals(t *testing.T, err error) (all []string) {
	t.Helper()
	var refused *adopt.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("the error is %v, want a RefusedError", err)
	}
	for _, r := range refused.Refused {
		all = append(all, fmt.Sprintf("%s %s", r.Why, cmpID(r)))
	}
	slices.Sort(all)
	return all
}

// cmpID returns the version of a refusal, or what the row says.
func cmpID(r adopt.Refused) string {
	if r.Version >= 0 {
		return fmt.Sprint(r.Version)
	}
	return r.ID
}

func TestRefusalsOfEachTool(t *testing.T) {
	eachTable(t, func(t *testing.T, c tableCase, x target) {
		rows := []string{c.row(1), c.row(5)}
		want := 2 // no file for 5; 2 never ran
		if c.bad != nil {
			rows = append(rows, c.bad(3))
			want++
		}
		if c.edited != nil {
			rows = append(rows, c.edited(4))
			want++
		} else {
			rows = append(rows, c.row(4))
		}
		x.fill(t, c, rows...)
		db := x.open(t)
		s := set(t, c.origin, 1, 2, 3, 4, 6)
		_, err := adopt.From(t.Context(), db, s, adopt.Options{Tool: c.named})
		got := refusals(t, err)
		if c.bad == nil && c.edited != nil {
			want = len(got) // an edited one is no newest one
		}
		if len(got) < 2 {
			t.Errorf("refused %q, want %d refusals", got, want)
		}
		for _, kind := range []struct {
			why  adopt.Why
			here bool
		}{{adopt.NoFile, true}, {adopt.Edited, c.edited != nil}} {
			equal(t, string(kind.why), slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, string(kind.why)) }), kind.here)
		}
		failed := slices.ContainsFunc(got, func(s string) bool {
			return strings.HasPrefix(s, string(adopt.Failed)) || strings.HasPrefix(s, string(adopt.Dirty))
		})
		equal(t, "a failed row is refused", failed, c.bad != nil)
		equal(t, "what is applied", applied(t, db, s), "[]")
		if st, err := db.State(t.Context(), s.Name()); err != nil || st.Head != 0 {
			t.Errorf("something was written: head %d, %v", st.Head, err)
		}
	})
}
