package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

const setName = "shop"

// scenario is a command and the state before it.
type scenario struct {
	name  string
	files []file // version 1 and following
	opts  whimbrel.Options
	// before prepares the database and is never interrupted. do is the command; a second execution
	// has no effect.
	before, do func(context.Context, *whimbrel.Migrator) error
	// ddl is set if the scenario needs transactions that can change the schema.
	ddl bool
	// blocked is a table that another session keeps locked until a process has tried the command's
	// step twice; "" for none.
	blocked string
	// race has two processes execute the command at once, one of which is broken.
	race bool
}

// file is one migration. Texts in braces are placeholders; see place.placeholders.
type file struct{ up, down string }

var (
	tableA = file{"CREATE TABLE a (x int); INSERT INTO a VALUES (1)", "DROP TABLE a"}
	tableB = file{"CREATE TABLE b (x int); INSERT INTO b VALUES (1); INSERT INTO a VALUES (2)", "DELETE FROM b; DROP TABLE b"}
	indexB = file{"CREATE INDEX b_x ON b (x); INSERT INTO b VALUES (3)", "DROP INDEX b_x{of b}; INSERT INTO b VALUES (4)"}
	// long is sent in several messages.
	long  = file{strings.Repeat("SELECT 1;\n", 40) + "INSERT INTO a VALUES (20);\n{copy 21 and 22 into a}\n", "DELETE FROM a"}
	after = file{"INSERT INTO a VALUES (5)", "INSERT INTO a VALUES (6)"}

	// mixed has statements of all kinds: statements whose transaction also updates the journal,
	// statements that can't be in a transaction, a transaction of the script, and statements that
	// change the session for later ones.
	mixed = file{
		up: `CREATE TABLE m (x int);
INSERT INTO m VALUES (1);
{set seven};
CREATE INDEX{concurrently} m_x ON m (x);
{insert 7 if seven is set};
BEGIN;
INSERT INTO m VALUES (3);
INSERT INTO m VALUES (4);
COMMIT;
{vacuum m};
{copy 8 and 9 into m}
DROP INDEX{concurrently} m_x{of m};
CREATE INDEX{concurrently} m_y ON m (x);
INSERT INTO m VALUES (5);`,
		down: `INSERT INTO a VALUES (10);
DROP INDEX{concurrently} m_y{of m};
{vacuum m};
BEGIN;
INSERT INTO a VALUES (11);
INSERT INTO a VALUES (12);
COMMIT;
DROP TABLE m;`,
	}
	// several has transactions of its own, one after the other, and settings for the session or one
	// transaction.
	several = file{
		up: `INSERT INTO a VALUES (30);
COMMIT;
BEGIN;
INSERT INTO a VALUES (31);
SAVEPOINT s;
INSERT INTO a VALUES (99);
ROLLBACK TO SAVEPOINT s;
INSERT INTO a VALUES (32);
COMMIT;
{set seven};
{begin serializable};
INSERT INTO a VALUES (33);
INSERT INTO a VALUES (34);
COMMIT AND CHAIN;
INSERT INTO a VALUES (35);
COMMIT;
BEGIN;
INSERT INTO a VALUES (98);
ROLLBACK;
INSERT INTO a VALUES (36);`,
		down: `BEGIN;
INSERT INTO a VALUES (40);
COMMIT;
BEGIN;
INSERT INTO a VALUES (41);
INSERT INTO a VALUES (42);
COMMIT;`,
	}
	// waits executes statements outside a transaction, of which one waits for a lock on table a.
	waits = file{
		up: `CREATE TABLE w (x int);
INSERT INTO w VALUES (60);
INSERT INTO a VALUES (61);
BEGIN;
INSERT INTO w VALUES (62);
COMMIT;
INSERT INTO a VALUES (63);`,
		down: `INSERT INTO w VALUES (64);
INSERT INTO a VALUES (65);
BEGIN;
INSERT INTO a VALUES (66);
COMMIT;
DROP TABLE w;`,
	}
	// waitsInside has a transaction of its own, which waits for a lock on table b.
	waitsInside = file{up: `{set seven};
INSERT INTO a VALUES (70);
BEGIN;
INSERT INTO a VALUES (71);
INSERT INTO b VALUES (72);
COMMIT;
INSERT INTO a VALUES (73);`, down: "DELETE FROM a"}
	indexAgain = file{"CREATE INDEX{concurrently} a_y ON a (x)", "DROP INDEX{concurrently} a_y{of a}"}
	index      = file{"CREATE INDEX{concurrently} a_x ON a (x)", "DROP INDEX{concurrently} a_x{of a}"}
)

func up(ctx context.Context, m *whimbrel.Migrator) error {
	_, err := m.Up(ctx)
	return err
}

func to(version int64) func(context.Context, *whimbrel.Migrator) error {
	return func(ctx context.Context, m *whimbrel.Migrator) error {
		_, err := m.Migrate(ctx, whimbrel.Version(version), whimbrel.ApplyOptions{})
		return err
	}
}

func rollback(ctx context.Context, m *whimbrel.Migrator) error {
	_, err := m.Migrate(ctx, whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{})
	return err
}

// mark records all versions as applied, unless they already are.
func mark(ctx context.Context, m *whimbrel.Migrator) error {
	err := m.Mark(ctx, "already in the schema", 1, 2, 3)
	var already *whimbrel.AlreadyAppliedError
	if errors.As(err, &already) {
		return nil
	}
	return err
}

var scenarios = []*scenario{
	{name: "one transaction", files: []file{tableA}, do: up},
	{name: "transactions", files: []file{tableA, tableB, indexB, long}, do: up},
	{name: "an atomic transaction", files: []file{tableA, long, tableB, indexB}, opts: whimbrel.Options{Atomic: true}, do: up, ddl: true},
	{name: "a mixed run", files: []file{tableA, mixed, after}, before: to(1), do: up},
	{name: "transactions of its own", files: []file{tableA, several, after}, before: to(1), do: up},
	{name: "transactions of its own, down", files: []file{tableA, several, after}, before: up, do: to(1)},
	{name: "a concurrent index", files: []file{tableA, index}, before: to(1), do: up},
	{name: "concurrent indexes that follow each other", files: []file{tableA, index, indexAgain, after}, before: to(1), do: up},
	{name: "runs in one message", files: runsOfA, before: to(1), do: up},
	{name: "runs in one message, down", files: runsOfA, before: up, do: to(1)},
	{name: "runs between transactions", files: runsBetween, before: to(1), do: up},
	{name: "runs between transactions, down", files: runsBetween, before: up, do: to(1)},
	{name: "two processes with runs between transactions", files: runsBetween, do: up, race: true},
	{name: "an atomic transaction of rows", files: []file{tableA, after, {"INSERT INTO a VALUES (8); INSERT INTO a VALUES (9)", ""}}, opts: whimbrel.Options{Atomic: true}, before: to(1), do: up},
	{name: "one down", files: []file{tableA, tableB, indexB}, before: up, do: to(2)},
	{name: "a run down", files: []file{tableA, mixed, after}, before: up, do: to(1)},
	{name: "a rollback", files: []file{tableA, tableB, indexB, mixed}, before: up, do: rollback},
	{name: "a sequence", files: slices.Concat([]file{tableA}, rowsOfA(80, 12)), do: up},
	{name: "a sequence down", files: slices.Concat([]file{tableA}, rowsOfA(80, 12)), before: up, do: to(1)},
	{name: "two processes with sequences", files: slices.Concat([]file{tableA}, rowsOfA(80, 12)), do: up, race: true},
	{name: "recording only", files: []file{tableA, tableB, indexB}, do: mark},
	{name: "two processes", files: []file{tableA, mixed, after}, do: up, race: true},
	{name: "a transaction that is tried again", files: []file{tableA, tableB, after}, opts: impatient, before: to(1), do: up, blocked: "a"},
	{name: "a statement that is tried again", files: []file{tableA, waits, after}, opts: impatient, before: to(1), do: up, blocked: "a"},
	{name: "a transaction of a run that is tried again", files: []file{tableA, tableB, waitsInside}, opts: impatient, before: to(2), do: up, blocked: "b"},
	{name: "a run down that is tried again", files: []file{tableA, waits}, opts: impatient, before: up, do: to(1), blocked: "a"},
}

// runsBetween are runs with so few transactions between them that these share the lock of the run.
var runsBetween = slices.Concat([]file{tableA, index}, rowsOfA(80, 5), []file{indexAgain}, rowsOfA(90, 3))

// runsOfA are so many runs that one message has several. Every third one has two statements.
var runsOfA = func() []file {
	all := []file{tableA}
	for i := range 9 {
		one := file{fmt.Sprintf("CREATE INDEX{concurrently} a_%d ON a (x)", i), fmt.Sprintf("DROP INDEX{concurrently} a_%d{of a}", i)}
		if i%3 == 2 {
			one.up += fmt.Sprintf(";\nCREATE INDEX{concurrently} a_more_%d ON a (x)", i)
			one.down = fmt.Sprintf("DROP INDEX{concurrently} a_more_%d{of a};\n", i) + one.down
		}
		all = append(all, one)
	}
	return all
}()

// rowsOfA returns migrations that insert one row each.
func rowsOfA(from, n int) (all []file) {
	for i := range n {
		all = append(all, file{fmt.Sprintf("INSERT INTO a VALUES (%d)", from+i), fmt.Sprintf("INSERT INTO a VALUES (%d)", from+i+100)})
	}
	return all
}

// impatient lets statements wait for locks as short as possible.
var impatient = whimbrel.Options{LockTimeout: time.Millisecond}

// unnamed creates an index without a name, so executing its statement twice creates two.
var unnamed = &scenario{name: "an index without a name", files: []file{tableA, {up: "{index without a name}"}}, before: to(1), do: up}

// unnamedFirst is unnamed in a script with another statement. PostgreSQL's driver announces the
// index in a message of its own.
var unnamedFirst = &scenario{name: "an index without a name, and a query", files: []file{tableA, {up: "{index without a name};\nSELECT 1"}}, before: to(1), do: up}

// oneMore is a transaction that writes to an existing table.
var oneMore = &scenario{name: "one more transaction", files: []file{tableA, tableB}, before: to(1), do: up}

// patient is oneMore with statements that wait without limit.
var patient = &scenario{
	name: "one more transaction, which waits without limit", files: oneMore.files, opts: whimbrel.Options{LockTimeout: whimbrel.NoTimeout}, before: to(1), do: up,
}

// withoutDDL are the scenarios that need no schema changes in a transaction.
var withoutDDL = slices.DeleteFunc(slices.Clone(scenarios), func(s *scenario) bool { return s.ddl })

// grouped is a run whose rows a driver may insert in groups, which commit with the journal.
var grouped = &scenario{name: "a run of many rows", files: []file{tableA, {up: "CREATE TABLE r (x int);\n" + inserts("r", 100)}, after}, before: to(1), do: up}

// inserts returns statements that insert one row each.
func inserts(table string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "INSERT INTO %s VALUES (%d);\n", table, i)
	}
	return b.String()
}

// onMariaDB are the scenarios for MariaDB.
var onMariaDB = append([]*scenario{grouped, aheadUp, aheadDown, filledInSteps}, withoutDDL...)

// tablesWithIndexes are migrations of DDL alone, of which one message has several.
var tablesWithIndexes = func() (all []file) {
	for _, t := range []string{"p", "q", "r", "s", "t", "u", "v"} {
		all = append(all, file{fmt.Sprintf("CREATE TABLE %s (x int); CREATE INDEX %[1]s_x ON %[1]s (x)", t), "DROP TABLE " + t})
	}
	return all
}()

var (
	aheadUp   = &scenario{name: "migrations in one message", files: tablesWithIndexes, opts: briefly, do: up}
	aheadDown = &scenario{name: "rollbacks in one message", files: tablesWithIndexes, opts: briefly, before: up, do: to(0)}
)

// filledInSteps is a backfill of a table that no transaction can create.
var filledInSteps = &scenario{
	name: "a backfill after DDL",
	files: []file{
		{"CREATE TABLE f (id int PRIMARY KEY, x int NOT NULL)", "DROP TABLE f"},
		{filledRows(40), "DELETE FROM f"},
		filledTable(40, "batch 10", "parallel 2")[1],
	},
	opts: briefly, before: to(2), do: up,
}

func scenarioOf(name string) *scenario {
	for _, s := range slices.Concat([]*scenario{unnamed, unnamedFirst, oneMore, patient, grouped, aheadUp, aheadDown, filledInSteps, counted, countedElsewhere}, filling, scenarios) {
		if s.name == name {
			return s
		}
	}
	panic("there is no scenario " + name)
}

// run executes the command. observe, which may be nil, receives the events beside the observer of
// the scenario itself.
func (s *scenario) run(ctx context.Context, db database.Database, words []string, observe func(context.Context, whimbrel.Event)) error {
	opts := s.opts
	opts.MigrationLockTimeout = testTimeout
	opts.Observe = func(ctx context.Context, e whimbrel.Event) {
		for _, o := range []func(context.Context, whimbrel.Event){s.opts.Observe, observe} {
			if o != nil {
				o(ctx, e)
			}
		}
	}
	return s.do(ctx, whimbrel.New(db, s.set(words), opts))
}

// set returns the scenario's migrations, with words in the place of the placeholders.
func (s *scenario) set(words []string) *migration.Set {
	say := strings.NewReplacer(words...)
	var all []migration.Migration
	for i, f := range s.files {
		v := int64(i + 1)
		m := migration.Migration{
			Version: v, Name: "m",
			Up:   migration.Text(fmt.Sprintf("%d_m.up.sql", v), say.Replace(f.up)),
			Down: migration.Text(fmt.Sprintf("%d_m.down.sql", v), say.Replace(f.down)),
		}
		if strings.HasPrefix(f.up, "-- whimbrel: backfill") {
			if err := m.Up.ParseBackfill(0); err != nil {
				panic(err)
			}
		}
		all = append(all, m)
	}
	set, err := migration.NewSet(setName, all...)
	if err != nil {
		panic(err) // a scenario above is wrong
	}
	return set
}
