package adopt_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/adopt"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// gooseTable is goose's table with versions up to a number.
func gooseTable(kind sqltext.Dialect, versions int) []string {
	id := "serial PRIMARY KEY"
	if kind == sqltext.SQLite {
		id = "INTEGER PRIMARY KEY AUTOINCREMENT"
	}
	all := []string{"CREATE TABLE goose_db_version (id " + id + ", version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)"}
	for v := range versions + 1 {
		all = append(all, fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, true)", v))
	}
	return all
}

// history returns how many entries say that a version was adopted.
func history(t *testing.T, db database.Database, set *migration.Set) map[int64]int {
	t.Helper()
	all := map[int64]int{}
	for e, err := range db.History(t.Context(), database.HistoryQuery{Set: set.Name()}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.Remark, "adopted from ") {
			all[e.Version]++
		}
	}
	return all
}

func eachKind(t *testing.T, f func(t *testing.T, x target)) {
	t.Parallel()
	for _, kind := range everywhere {
		t.Run(kindNames[kind], func(t *testing.T) {
			t.Parallel()
			f(t, create(t, kind))
		})
	}
}

// Twenty processes take over at once: each version is recorded once, and all succeed.
func TestTwentyTakeoversAtOnce(t *testing.T) {
	eachKind(t, func(t *testing.T, x target) {
		x.exec(t, gooseTable(x.kind, 5)...)
		s := set(t, nil, 1, 2, 3, 4, 5, 6)
		var wait sync.WaitGroup
		var mu sync.Mutex
		adopted := 0
		for range 20 {
			db := x.open(t)
			wait.Add(1)
			go func() {
				defer wait.Done()
				r, err := adopt.From(t.Context(), db, s, adopt.Options{Block: true, Migrator: whimbrel.Options{MigrationLockTimeout: 5 * time.Minute}})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				adopted += len(r.Adopted)
			}()
		}
		wait.Wait()
		equal(t, "adopted by all", adopted, 5)
		equal(t, "the entries", fmt.Sprint(history(t, x.open(t), s)), "map[1:1 2:1 3:1 4:1 5:1]")
	})
}

// envKilled is the database that a child process of TestKilledTakeover takes over.
const envKilled = "WHIMBREL_ADOPT_KILLED"

// A process that is killed in the middle of a takeover leaves nothing, and the next one succeeds.
func TestKilledTakeover(t *testing.T) {
	if url := os.Getenv(envKilled); url != "" {
		takeOverAndWait(t, url)
		return
	}
	eachKind(t, func(t *testing.T, x target) {
		x.exec(t, gooseTable(x.kind, 3)...)
		s := set(t, nil, 1, 2, 3)
		reached := filepath.Join(t.TempDir(), "reached")
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledTakeover$")
		c.Env = append(os.Environ(), envKilled+"="+x.url, "WHIMBREL_ADOPT_REACHED="+reached)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(reached); err == nil {
				break
			}
			if t.Context().Err() != nil {
				t.Fatal("the process did not get there")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // it was killed
		db := x.open(t)
		equal(t, "what is applied", applied(t, db, s), "[]")
		r, err := adopt.From(t.Context(), db, s, adopt.Options{Migrator: whimbrel.Options{MigrationLockTimeout: 5 * time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "adopted", len(r.Adopted), 3)
		equal(t, "blocked", r.Blocked, false)
	})
}

// errNever keeps the process in its transaction.
var errNever = errors.New("the process was not killed")

// takeOverAndWait takes over, and waits before the COMMIT.
func takeOverAndWait(t *testing.T, url string) {
	db, err := database.Open(t.Context(), url, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := set(t, nil, 1, 2, 3)
	_, err = adopt.From(t.Context(), stopped{db}, s, adopt.Options{Block: true})
	t.Fatalf("%v: %v", errNever, err)
}

// stopped is a database whose transactions stop before their COMMIT.
type stopped struct{ database.Database }

type stoppedTx struct{ database.Tx }

func (s stopped) Query(ctx context.Context, statement string) (*database.Rows, error) {
	return database.ReadQuery(ctx, s.Database, statement)
}

func (s stopped) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
	tx, found, err := s.Database.Begin(ctx, set, opts)
	return stoppedTx{tx}, found, err
}

func (s stoppedTx) Query(ctx context.Context, statement string) (*database.Rows, error) {
	return database.TxQuery(ctx, s.Tx, statement)
}

func (s stoppedTx) Commit(ctx context.Context) (database.Recorded, error) {
	if _, err := s.Tx.State(ctx); err != nil { // everything queued has been sent
		return database.Recorded{}, err
	}
	if err := os.WriteFile(os.Getenv("WHIMBREL_ADOPT_REACHED"), nil, 0o644); err != nil {
		return database.Recorded{}, err
	}
	<-ctx.Done()
	return database.Recorded{}, ctx.Err()
}

// slow returns a statement during which a migration of a test runs.
func slow(kind sqltext.Dialect) string {
	if kind == sqltext.MySQL {
		return "SELECT SLEEP(20)"
	}
	return "SELECT pg_sleep(20)"
}

// While the real tool runs a migration, nothing is taken over.
func TestWhileTheToolRuns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		program string
		kind    sqltext.Dialect
	}{{"migrate", pg}, {"migrate", maria}, {"tern", pg}} {
		t.Run(tt.program+" on "+kindNames[tt.kind], func(t *testing.T) {
			t.Parallel()
			p := programs[tt.program]
			dir, x := t.TempDir(), create(t, tt.kind)
			p.write(t, dir, tt.kind, 1)
			p.mustRun(t, tt.program, dir, x.address, tt.kind)
			for name, text := range p.files(2, slow(tt.kind)+";", "SELECT 1;") {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			ctx, kill := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				args, env := p.command(dir, x.address, tt.kind)
				c := exec.CommandContext(ctx, path(t, tt.program), args...)
				c.Env, c.Dir = append(os.Environ(), env...), t.TempDir()
				_ = c.Run() // it is killed
			}()
			t.Cleanup(func() { kill(); <-ended })
			x.waitFor(t, slow(tt.kind))

			db := x.open(t)
			s := read(t, dir, p.format)
			var locked *adopt.LockedError
			opts := adopt.Options{Migrator: whimbrel.Options{LockTimeout: 200 * time.Millisecond}}
			if _, err := adopt.From(t.Context(), db, s, opts); !errors.As(err, &locked) || !errors.Is(err, database.ErrLocked) {
				t.Errorf("the error is %v, want a LockedError", err)
			} else {
				equal(t, "the tool", locked.Tool, p.tool)
			}
			equal(t, "what is applied", applied(t, db, s), "[]")
		})
	}
}

// waitFor waits until the server executes a statement.
func (x target) waitFor(t *testing.T, statement string) {
	t.Helper()
	query := "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%" + statement + "%'"
	if x.kind == sqltext.MySQL {
		query = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID() AND INFO LIKE '%" + statement + "%'"
	}
	db := x.pool(t)
	for {
		n := 0
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Other tools' locks are tried, too.
func TestTheToolsLock(t *testing.T) {
	t.Parallel()
	crc := func(name string) int64 { return int64(crc32.ChecksumIEEE([]byte(name))) }
	for name, tt := range map[string]struct {
		kind sqltext.Dialect
		lock func(database string) string
	}{
		"sqlx":      {pg, func(d string) string { return fmt.Sprintf("SELECT pg_advisory_lock(%d)", 0x3d32ad9e*crc(d)) }},
		"prisma":    {pg, func(string) string { return "SELECT pg_advisory_lock(72707369)" }},
		"sqitch":    {pg, func(string) string { return "SELECT pg_advisory_lock(75474063)" }},
		"atlas":     {pg, func(string) string { return "SELECT pg_advisory_lock(2686470616)" }},
		"flyway":    {pg, func(string) string { return fmt.Sprintf("SELECT pg_advisory_lock(%d)", 77431708279161+2125624436) }},
		"liquibase": {pg, func(string) string { return "UPDATE databasechangeloglock SET locked = true, lockedby = 'host'" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, c := create(t, tt.kind), tableCases[name]
			x.fill(t, c, c.row(1))
			tool := x.pool(t)
			tool.SetMaxOpenConns(1)
			if _, err := tool.ExecContext(t.Context(), tt.lock(x.name())); err != nil {
				t.Fatal(err)
			}
			db := x.open(t)
			s := set(t, c.origin, 1, 2)
			var locked *adopt.LockedError
			opts := adopt.Options{Block: true, Migrator: whimbrel.Options{LockTimeout: 200 * time.Millisecond}}
			if _, err := adopt.From(t.Context(), db, s, opts); !errors.As(err, &locked) {
				t.Fatalf("the error is %v, want a LockedError", err)
			}
			equal(t, "the tool", locked.Tool, c.tool)
			equal(t, "what is applied", applied(t, db, s), "[]")
			if c.tool == adopt.Liquibase {
				x.exec(t, "UPDATE databasechangeloglock SET locked = false, lockedby = NULL")
			}
			tool.Close() // the tool has ended
			if _, err := adopt.From(t.Context(), db, s, adopt.Options{Migrator: whimbrel.Options{LockTimeout: 5 * time.Minute}}); err != nil {
				t.Error(err)
			}
		})
	}
}

// name returns the name of the database.
func (x target) name() string {
	u, err := url.Parse(x.url)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
}
