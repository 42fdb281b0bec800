package hostile

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/adopt"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/cli"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// files are the migrations. They look up nothing themselves, so the hostile objects don't affect
// them.
var files = map[string]string{
	"migrations/1_a.up.sql":   `CREATE /*theirs*/ TABLE public.a (x int); INSERT /*theirs*/ INTO public.a VALUES (1);`,
	"migrations/1_a.down.sql": `DROP /*theirs*/ TABLE public.a;`,
	"migrations/2_session.up.sql": `SET /*theirs*/ lock_timeout = '9s'; SET /*theirs*/ app.tenant = 'x'; CREATE /*theirs*/ TEMP TABLE mine (x int);
CREATE /*theirs*/ FUNCTION pg_temp.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; PREPARE /*theirs*/ p AS SELECT 1;
DECLARE /*theirs*/ c CURSOR WITH HOLD FOR SELECT 1; LISTEN /*theirs*/ x; SELECT /*theirs*/ pg_catalog.pg_advisory_lock(5), pg_catalog.pg_advisory_lock_shared(5, 6);
SET /*theirs*/ search_path = public; SET /*theirs*/ ROLE pg_monitor;`,
	"migrations/2_session.down.sql": `SET /*theirs*/ LOCAL lock_timeout = '9s';`,
	"migrations/3_timeout.up.sql":   "-- whimbrel: lock-timeout 8s\n" + `CREATE /*theirs*/ TABLE public.b (x int, y int);`,
	"migrations/3_timeout.down.sql": `DROP /*theirs*/ TABLE public.b;`,
	"migrations/4_index.up.sql":     `CREATE INDEX /*theirs*/ CONCURRENTLY b_x ON public.b (x);`,
	"migrations/4_index.down.sql":   `DROP INDEX /*theirs*/ CONCURRENTLY public.b_x;`,
	"migrations/5_objects.up.sql": `CREATE /*theirs*/ TYPE public.mood AS ENUM ('good'); CREATE /*theirs*/ DOMAIN public.small AS int; CREATE /*theirs*/ SEQUENCE public.s;
CREATE /*theirs*/ VIEW public.v AS SELECT x FROM public.a; CREATE /*theirs*/ MATERIALIZED VIEW public.m AS SELECT x FROM public.a;
CREATE /*theirs*/ FUNCTION public.f(int, public.mood) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE /*theirs*/ SCHEMA more; CREATE /*theirs*/ TABLE more.t (x int PRIMARY KEY);
CREATE /*theirs*/ FUNCTION public.tr() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; COMMENT /*theirs*/ ON TABLE public.a IS 'a';
CREATE /*theirs*/ TRIGGER tr BEFORE INSERT ON public.a FOR EACH ROW EXECUTE FUNCTION public.tr();`,
	"migrations/5_objects.down.sql": `DROP /*theirs*/ SCHEMA more CASCADE; DROP /*theirs*/ TRIGGER tr ON public.a; DROP /*theirs*/ FUNCTION public.tr(); DROP /*theirs*/ FUNCTION public.f(int, public.mood);
DROP /*theirs*/ MATERIALIZED VIEW public.m; DROP /*theirs*/ VIEW public.v; DROP /*theirs*/ SEQUENCE public.s; DROP /*theirs*/ DOMAIN public.small; DROP /*theirs*/ TYPE public.mood;
COMMENT /*theirs*/ ON TABLE public.a IS NULL;`,
	"migrations/6_run.up.sql": "-- whimbrel: no-transaction\n" + `SET /*theirs*/ ROLE pg_monitor; RESET /*theirs*/ ROLE; VACUUM /*theirs*/ public.a; INSERT /*theirs*/ INTO public.a VALUES (2);
BEGIN; INSERT /*theirs*/ INTO public.a VALUES (3); COMMIT;`,
	"migrations/6_run.down.sql": `DELETE /*theirs*/ FROM public.a;`,
	"migrations/R__views.sql":   `CREATE /*theirs*/ OR REPLACE VIEW public.again AS SELECT 1 AS x;`,
	"seeds/people.sql":          `INSERT /*theirs*/ INTO public.b VALUES (1, 1);`,
	"facts.yaml":                "tables:\n  public.a:\n    description: what a is for\n",
}

// play is one run through everything that Whimbrel does, and its failures.
type play struct {
	*testing.T
	url      string // the listener's address
	dir      string
	database string
	problems []string
}

func (p *play) report(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

func (p *play) exec(c *pgconn.PgConn, sql string) {
	if _, err := c.Exec(context.Background(), sql).ReadAll(); err != nil {
		p.report("%s: %v", sql, err)
	}
}

func (p *play) check(what string, err error) {
	if err != nil {
		p.report("%s: %v", what, err)
	}
}

// everything does all that Whimbrel can do.
func (p *play) everything(ctx context.Context) {
	p.check("writing files", p.writeFiles())
	p.commands()
	p.objects(ctx)
	for name, open := range p.ways(ctx) {
		db, err := open(database.Options{App: "hostile " + name})
		if err != nil {
			p.report("%s: %v", name, err)
			continue
		}
		p.transactions(ctx, name, db)
		p.check(name, db.Close())
	}
	db, err := database.Open(ctx, p.url+"&target_session_attrs=primary", database.Options{})
	if err != nil {
		p.report("opening: %v", err)
		return
	}
	defer db.Close()
	p.outcomes(ctx, db)
	p.backfills(ctx, db)
	p.adoptions(ctx, db)
	p.waiting(ctx, db)
	p.reset()
}

func (p *play) write(name, text string) error {
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o666)
}

func (p *play) writeFiles() (err error) {
	for name, text := range files {
		err = errors.Join(err, p.write(name, text))
	}
	return err
}

// command runs the command, which must exit with one of the codes, if any are given.
func (p *play) command(codes []int, args ...string) string {
	var out bytes.Buffer
	stream := render.Stream{Writer: &out}
	code := cli.Run(cli.Process{
		Args:      append(args, "--database", p.url, "--dir", filepath.Join(p.dir, "migrations"), "--no-color"),
		LookupEnv: func(string) (string, bool) { return "", false },
		Stdin:     cli.Input{Reader: strings.NewReader("")},
		Stdout:    stream, Stderr: stream,
		Exit: func(int) {},
	})
	if codes != nil && !slices.Contains(codes, code) {
		p.report("whimbrel %s ended with %d, want %v:\n%.2000s", strings.Join(args, " "), code, codes, out.String())
	}
	return out.String()
}

func (p *play) path(name string) string { return filepath.Join(p.dir, name) }

// commands runs every command. Objects in public that no migration created are differences, for
// which the code is 3.
func (p *play) commands() {
	done, differs, pending, failed, refused := []int{0}, []int{0, 3}, []int{0, 3}, []int{1}, []int{5}
	for _, c := range []struct {
		codes []int
		args  []string
	}{
		{pending, []string{"status"}},
		{pending, []string{"plan"}},
		{done, []string{"to", "2", "--allow-unrecorded"}}, // the objects of others
		{done, []string{"up", "--to", "5", "--atomic=false"}},
		{done, []string{"up"}},
		{done, []string{"status"}},
		{done, []string{"plan"}},
		{done, []string{"history"}},
		{done, []string{"verify"}},
		{done, []string{"verify", "--scratch", "auto"}},
		{done, []string{"snapshot", "--out", p.path("s.sql")}},
		{done, []string{"snapshot", "--out", p.path("s.json")}},
		{differs, []string{"diff", p.path("s.json"), p.url}},
		{differs, []string{"drift"}},
		{done, []string{"drift", "--accept", "--reason", "test"}},
		{done, []string{"metadata", "apply", p.path("facts.yaml")}},
		{done, []string{"metadata", "export"}},
		{differs, []string{"metadata", "diff", p.path("facts.yaml")}},
		{done, []string{"metadata", "reload"}},
		{done, []string{"metadata", "inconsistent"}},
		{done, []string{"metadata", "check", "--require", "description", "--tables", "public.a"}},
		{done, []string{"sql", "SELECT /*theirs*/ 1"}},
		{done, []string{"down"}},
		{done, []string{"up"}},
		{done, []string{"redo"}},
		{done, []string{"forget", "6"}},
		{done, []string{"mark", "6"}},
		{done, []string{"baseline", "6", "--force", "--reason", "test"}},
		{done, []string{"settings"}},
		{done, []string{"settings", "set", "migration_lock_timeout", "14s", "--reason", "test"}},
		{done, []string{"settings", "get", "migration_lock_timeout"}},
		{done, []string{"settings", "unset", "migration_lock_timeout", "--reason", "test"}},
		{done, []string{"freeze", "--reason", "test", "--for", "1h"}},
		{refused, []string{"down"}},
		{done, []string{"thaw", "--reason", "test"}},
		{done, []string{"seed", "--seeds", p.path("seeds")}},
	} {
		p.command(c.codes, c.args...)
	}
	write := func(name, text string) { p.check("writing", p.write(name, text)) }
	write("migrations/1_a.up.sql", files["migrations/1_a.up.sql"]+"\n-- edited")
	p.command(refused, "verify")
	p.command(done, "accept", "1", "--reason", "test")
	write("migrations/7_stuck.up.sql", "-- whimbrel: no-transaction\nINSERT /*theirs*/ INTO public.a VALUES (4); INSERT /*theirs*/ INTO public.missing VALUES (1);")
	p.command(failed, "up")
	p.command(append(failed, pending...), "status")
	write("migrations/7_stuck.up.sql", "-- whimbrel: no-transaction\nINSERT /*theirs*/ INTO public.a VALUES (4); SELECT /*theirs*/ 1;")
	p.command(done, "up")
	write("copy/1_a.up.sql", files["migrations/1_a.up.sql"])
	write("copy/2_b.up.sql", "CREATE /*theirs*/ TABLE public.c (x int PRIMARY KEY);")
	p.command(done, "squash", "--from", "1", "--to", "2", "--name", "both", "--minimal", "--drop-data", "--dir", p.path("copy"))
}

func (p *play) reset() {
	p.command([]int{0}, "reset", "--dry-run")
	p.command([]int{0}, "reset", "--yes", p.database)
}

// ways returns the ways to open a database.
func (p *play) ways(ctx context.Context) map[string]func(database.Options) (database.Database, error) {
	return map[string]func(database.Options) (database.Database, error){
		"url": func(o database.Options) (database.Database, error) {
			return database.Open(ctx, p.url+"&target_session_attrs=prefer-standby", o)
		},
		"pool": func(o database.Options) (database.Database, error) {
			pool, err := pgxpool.New(ctx, p.url)
			if err != nil {
				return nil, err
			}
			p.Cleanup(pool.Close)
			return postgres.NewPool(pool, o), nil
		},
		"connection": func(o database.Options) (database.Database, error) {
			c, err := pgx.Connect(ctx, p.url)
			if err != nil {
				return nil, err
			}
			p.Cleanup(func() { c.Close(context.Background()) })
			_, err = c.Exec(ctx, temporary, pgx.QueryExecModeSimpleProtocol)
			return postgres.NewConn(c, o), err
		},
		"sql.DB": func(o database.Options) (database.Database, error) {
			db, err := sql.Open("pgx", p.url)
			if err != nil {
				return nil, err
			}
			p.Cleanup(func() { db.Close() })
			return postgres.NewDB(db, o), nil
		},
	}
}

// temporary creates temporary objects named like the server's own, which come first unless the path
// says otherwise.
const temporary = `CREATE /*theirs*/ FUNCTION pg_temp.executed(pg_catalog.text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'HOSTILE temporary %', $1; RETURN true; END $$;
DO /*theirs*/ $do$ DECLARE n pg_catalog.text; BEGIN
	FOREACH n IN ARRAY ARRAY['text', 'name', 'oid', 'json', 'jsonb', 'int8', 'int4', 'bool', 'timestamptz', 'regclass'] LOOP
		EXECUTE pg_catalog.format('CREATE DOMAIN pg_temp.%I AS pg_catalog.%1$I CHECK (pg_temp.executed(%L))', n, n);
	END LOOP;
	FOREACH n IN ARRAY ARRAY['pg_class', 'pg_namespace', 'pg_locks', 'pg_settings', 'pg_type', 'pg_proc', 'pg_depend', 'pg_stat_activity', 'pg_database'] LOOP
		EXECUTE pg_catalog.format('CREATE TEMP VIEW %I AS SELECT * FROM pg_catalog.%1$I WHERE pg_temp.executed(%L)', n, n);
	END LOOP;
END $do$`

func script(text string) *migration.Script { return migration.Text("1_x.up.sql", text) }

var longer = database.LockOptions{Timeout: time.Minute}

// objects creates what the other parts need.
func (p *play) objects(ctx context.Context) {
	c, err := pgx.Connect(ctx, p.url)
	if err != nil {
		p.report("connecting: %v", err)
		return
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, `CREATE /*theirs*/ TABLE more.parted (x int) PARTITION BY RANGE (x); CREATE /*theirs*/ TABLE more.part PARTITION OF more.parted FOR VALUES FROM (1) TO (2);
CREATE /*theirs*/ TABLE more.twice (x int); INSERT /*theirs*/ INTO more.twice VALUES (1), (1); CREATE /*theirs*/ PROCEDURE more.p() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'`, pgx.QueryExecModeSimpleProtocol)
	p.check("making objects", err)
}

// transactions calls the methods of a transaction.
func (p *play) transactions(ctx context.Context, name string, db database.Database) {
	check := func(what string, err error) { p.check(name+": "+what, err) }
	_, err := db.State(ctx, name)
	check("State", err)
	var events int
	for _, err := range db.History(ctx, database.HistoryQuery{Texts: true}) {
		check("History", err)
		events++
	}
	_, err = database.Snapshot(ctx, db, catalog.Options{Schemas: []string{"more"}})
	check("Snapshot", err)
	_, err = database.ReadQuery(ctx, db, "SELECT /*theirs*/ pg_catalog.current_setting('app.tenant', true)")
	check("Query", err)

	b, _, err := db.Begin(ctx, name, longer)
	if err != nil {
		check("Begin", err)
		return
	}
	defer b.Rollback(ctx)
	_, err = b.State(ctx)
	check("Tx.State", err)
	state, err := database.TxMetadata(ctx, b)
	check("Tx.Metadata", err)
	change := &metadata.Change{}
	if state != nil {
		for _, o := range state.Objects {
			if o.Name.Schema == "more" || o.Name.Schema == "public" && o.Name.Object == "f" {
				change.Comments = append(change.Comments, metadata.Comment{Name: o.Name, ID: o.ID, Text: "about " + o.Name.Object})
			}
		}
	}
	check("PutMetadata", database.TxPutMetadata(ctx, b, change))
	for v, s := range []*migration.Script{
		script("CREATE /*theirs*/ TEMP TABLE mine (x int); CREATE /*theirs*/ FUNCTION pg_temp.f(int, pg_catalog.text) RETURNS int LANGUAGE sql AS 'SELECT 1'"),
		postgres.Func("f", func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "INSERT /*theirs*/ INTO public.a VALUES (5)")
			return err
		}),
		script(strings.Repeat("SELECT /*theirs*/ 1;", 100)),
		script("INSERT /*theirs*/ INTO public.a VALUES (6)"),
	} {
		check("Run", b.Exec(ctx, s))
		check("Record", b.Record(ctx, database.Entry{Version: int64(v + 1), Name: "m", Direction: database.Up, Checksum: s.Checksum}))
	}
	_, err = b.Commit(ctx)
	check("Commit", err)

	b, _, err = db.Begin(ctx, name, longer)
	if err != nil {
		check("Begin", err)
		return
	}
	check("Run", b.Exec(ctx, script("SET /*theirs*/ search_path = more; PREPARE /*theirs*/ q AS SELECT 1")))
	check("Rollback", b.Rollback(ctx))
}

// outcomes checks the outcome of each kind of statement, in a run whose connections break.
func (p *play) outcomes(ctx context.Context, db database.Database) {
	r, _, err := db.Guard(ctx, "outcomes", longer)
	if err != nil {
		p.report("Guard: %v", err)
		return
	}
	defer r.Close(ctx)
	s := script("SELECT 1")
	statement := func(sql string) sqltext.Statement {
		return sqltext.Statement{Kind: sqltext.SQL, Text: sql, Raw: sql, Pos: sqltext.Position{File: "1_x.up.sql", Line: 1, Column: 1}}
	}
	for _, sql := range []string{
		"CREATE INDEX /*theirs*/ CONCURRENTLY i ON more.t (x)", "DROP INDEX /*theirs*/ CONCURRENTLY more.t_pkey", "REINDEX /*theirs*/ TABLE CONCURRENTLY more.t",
		"REINDEX /*theirs*/ INDEX CONCURRENTLY more.t_pkey", "REINDEX /*theirs*/ SCHEMA CONCURRENTLY more", "REINDEX /*theirs*/ DATABASE CONCURRENTLY x",
		"ALTER /*theirs*/ TABLE more.parted DETACH PARTITION more.part CONCURRENTLY", "CREATE /*theirs*/ DATABASE x", "CREATE /*theirs*/ TABLESPACE x LOCATION '/x'",
		"DROP /*theirs*/ SUBSCRIPTION x", "COMMIT /*theirs*/ PREPARED 'x'", "CALL /*theirs*/ more.p()", "VACUUM /*theirs*/ more.t",
	} {
		st := statement(sql)
		j := &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 2, Begun: sql}
		p.check("Announce "+sql, r.Announce(ctx, st, j))
		_, err = r.Outcome(ctx, st, j.Before, longer)
		p.check("Outcome "+sql, err)
	}
	twice := statement("CREATE UNIQUE INDEX /*theirs*/ CONCURRENTLY twice_x ON more.twice (x)")
	for _, st := range []sqltext.Statement{twice, twice, statement("CREATE UNIQUE INDEX /*theirs*/ CONCURRENTLY IF NOT EXISTS twice_x ON more.twice (x)")} {
		var failed *database.StatementError
		if err := r.Exec(ctx, s, st, nil, nil); !errors.As(err, &failed) {
			p.report("%s: %v", st.Text, err)
		}
	}
	p.check("Exec", r.Exec(ctx, s, statement("INSERT /*theirs*/ INTO public.a VALUES (7)"), nil, &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 2, Done: 1}))
	if pid := database.Backend(r); pid != 0 {
		c := connect(p.T, p.url)
		p.exec(c, fmt.Sprintf("SELECT /*theirs*/ pg_catalog.pg_terminate_backend(%d)", pid))
		r.Exec(ctx, s, statement("SELECT /*theirs*/ 1"), nil, nil) // finds the connection broken
		_, err := r.Outcome(ctx, twice, "", longer)
		p.check("Outcome after the connection broke", err)
	}
	p.check("Journal", r.Journal(ctx, nil))
	_, err = r.Record(ctx, database.Entry{Version: 1, Name: "m", Direction: database.Up, Checksum: s.Checksum})
	p.check("Run.Record", err)
}

// waiting waits for locks: of a set, of all running processes, and of a foreign transaction.
func (p *play) waiting(ctx context.Context, db database.Database) {
	b, _, err := db.Begin(ctx, "waiting", longer)
	if err != nil {
		p.report("Begin: %v", err)
		return
	}
	if _, _, err := db.Begin(ctx, "waiting", database.LockOptions{}); !errors.Is(err, database.ErrLocked) {
		p.report("a lock that is held: %v", err)
	}
	if _, _, err := db.Guard(ctx, "waiting", database.LockOptions{}); !errors.Is(err, database.ErrLocked) {
		p.report("a lock that is held: %v", err)
	}
	var unsettled *database.UnsettledError
	update := database.SettingUpdate{Name: database.MigrationLockTimeout, Value: "14s", Reason: "test", Settle: &database.LockOptions{}}
	if err := database.UpdateSetting(ctx, db, update); !errors.As(err, &unsettled) {
		p.report("a setting during a run: %v", err)
	}
	p.check("Rollback", b.Rollback(ctx))

	c := connect(p.T, p.url)
	p.exec(c, "BEGIN; LOCK /*theirs*/ TABLE more.t IN ROW EXCLUSIVE MODE")
	var once sync.Once
	released := make(chan struct{})
	opts := longer
	opts.Blocked = func(database.Blockage) {
		once.Do(func() {
			go func() {
				defer close(released)
				p.exec(c, "COMMIT")
			}()
		})
	}
	r, _, err := db.Guard(ctx, "waiting", opts)
	if err != nil {
		p.report("Guard: %v", err)
		return
	}
	defer r.Close(ctx)
	st := sqltext.Statement{Kind: sqltext.SQL, Text: "CREATE INDEX /*theirs*/ CONCURRENTLY waited ON more.t (x)", Pos: sqltext.Position{File: "1_x.up.sql", Line: 1, Column: 1}}
	p.check("Exec", r.Exec(ctx, script("SELECT 1"), st, nil, nil))
	once.Do(func() {
		p.report("no event reported the session for which CREATE INDEX CONCURRENTLY waits")
		close(released)
	})
	<-released
}

// toolTables are tables of other tools, in which version 1 is applied.
var toolTables = map[adopt.Tool]string{
	adopt.GolangMigrate: `CREATE /*theirs*/ TABLE more.schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL); INSERT /*theirs*/ INTO more.schema_migrations VALUES (1, false)`,
	adopt.Goose: `CREATE /*theirs*/ TABLE more.goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp NOT NULL DEFAULT pg_catalog.now());
INSERT /*theirs*/ INTO more.goose_db_version (version_id, is_applied) VALUES (0, true), (1, true)`,
	adopt.Tern:       `CREATE /*theirs*/ TABLE more.schema_version (version pg_catalog.int4 NOT NULL); INSERT /*theirs*/ INTO more.schema_version VALUES (1)`,
	adopt.SQLMigrate: `CREATE /*theirs*/ TABLE more.gorp_migrations (id pg_catalog.text PRIMARY KEY, applied_at pg_catalog.timestamptz); INSERT /*theirs*/ INTO more.gorp_migrations VALUES ('1_x.up.sql', pg_catalog.now())`,
	adopt.Flyway: `CREATE /*theirs*/ TABLE more.flyway_schema_history (installed_rank int PRIMARY KEY, version varchar(50), description varchar(200), type varchar(20), script varchar(1000),
checksum int, installed_by varchar(100), installed_on timestamp DEFAULT pg_catalog.now(), execution_time int, success boolean); INSERT /*theirs*/ INTO more.flyway_schema_history VALUES (1, '1', 'x', 'SQL', 'x', NULL, 'x', pg_catalog.now(), 1, true)`,
	adopt.Liquibase: `CREATE /*theirs*/ TABLE more.databasechangelog (id pg_catalog.text, author pg_catalog.text, filename pg_catalog.text, dateexecuted timestamp, orderexecuted int, exectype pg_catalog.text, md5sum pg_catalog.text, description pg_catalog.text, comments pg_catalog.text, tag pg_catalog.text,
liquibase pg_catalog.text); CREATE /*theirs*/ TABLE more.databasechangeloglock (id int, locked boolean, lockgranted timestamp, lockedby pg_catalog.text); INSERT /*theirs*/ INTO more.databasechangeloglock VALUES (1, false);
INSERT /*theirs*/ INTO more.databasechangelog VALUES ('1', 'a', 'f', pg_catalog.now(), 1, 'EXECUTED')`,
	adopt.Sqlx: `CREATE /*theirs*/ TABLE more._sqlx_migrations (version bigint PRIMARY KEY, description pg_catalog.text, installed_on pg_catalog.timestamptz DEFAULT pg_catalog.now(), success boolean, checksum pg_catalog.bytea, execution_time bigint);
INSERT /*theirs*/ INTO more._sqlx_migrations VALUES (1, 'x', pg_catalog.now(), true, pg_catalog.sha384('INSERT /*theirs*/ INTO public.a VALUES (7)'), 1)`,
	adopt.Diesel: `CREATE /*theirs*/ TABLE more.__diesel_schema_migrations (version varchar(50) PRIMARY KEY, run_on timestamp DEFAULT pg_catalog.now()); INSERT /*theirs*/ INTO more.__diesel_schema_migrations VALUES ('1')`,
}

// adoptions takes over the history of other tools, and gives the database back.
func (p *play) adoptions(ctx context.Context, db database.Database) {
	c, err := pgx.Connect(ctx, p.url)
	if err != nil {
		p.report("connecting: %v", err)
		return
	}
	defer c.Close(ctx)
	for tool, ddl := range toolTables {
		_, err = c.Exec(ctx, ddl, pgx.QueryExecModeSimpleProtocol)
		p.check("making the table of "+string(tool), err)
	}
	_, err = adopt.Detect(ctx, db)
	p.check("Detect", err)
	for tool := range toolTables {
		var all migration.Contents
		for v := range int64(2) {
			s := migration.Text(fmt.Sprintf("%d_x.up.sql", v+1), "INSERT /*theirs*/ INTO public.a VALUES (7)")
			all.Migrations = append(all.Migrations, migration.Migration{Version: v + 1, Name: "x", Up: s, Origin: &migration.Origin{ID: fmt.Sprintf("a:%d@f", v+1)}})
			if tool == adopt.Flyway {
				all.Migrations[v].Origin.ID = fmt.Sprint(v + 1)
			}
		}
		set, err := all.Set("adopted from " + string(tool))
		if err == nil {
			_, err = adopt.From(ctx, db, set, adopt.Options{Tool: tool, Block: true})
		}
		if err == nil {
			_, err = whimbrel.New(db, set, whimbrel.Options{}).Up(ctx)
		}
		if err == nil {
			_, err = adopt.Reverse(ctx, db, set, adopt.ReverseOptions{Tool: tool})
		}
		p.check("taking over "+string(tool), err)
	}
}

// nameOf returns the database name in a URL.
func nameOf(t testing.TB, raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}
