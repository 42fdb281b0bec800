package postgres_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// documented returns the code blocks of a language in docs/postgresql.md.
func documented(t *testing.T, language string) (blocks []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/postgresql.md")
	must(t, err)
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// The examples run, and the page contains the pool example unchanged.
func TestExamples(t *testing.T) {
	t.Setenv("DATABASE_URL", testdb.Postgres(t))
	ExampleNewPool()
	ExampleFunc()
	c := connect(t, os.Getenv("DATABASE_URL"))
	equal(t, "what the function counted", value(t, c, "SELECT count FROM counted"), "0")
	equal(t, "who was here", value(t, c, "SELECT string_agg(DISTINCT app, ',') FROM whimbrel_history WHERE set_name <> 'whimbrel'"), "birds")

	code, err := os.ReadFile("example_test.go")
	must(t, err)
	unindented := strings.ReplaceAll(string(code), "\n\t", "\n")
	for _, block := range documented(t, "go") {
		contains(t, "example_test.go", unindented, block)
	}
}

// The page's GRANTs suffice one after the other, and each is necessary.
func TestDocumentedGrants(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role := newRole(t, c)
	var all, run, set, fill string
	for _, block := range documented(t, "sql") {
		block = strings.ReplaceAll(block, " deploy;", " "+role+";")
		switch {
		case strings.Contains(block, " TO viewer"):
		case strings.Contains(block, "whimbrel_backfills"):
			fill = block
		case strings.Contains(block, "GRANT CREATE"):
			all = block
		case strings.Contains(block, "SELECT, INSERT"):
			run = block
		case strings.Contains(block, "UPDATE"):
			set = block
		}
	}
	do(t, c, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
	freeze := database.SettingUpdate{Name: database.Frozen, Value: "true"}

	db := open(t, asRole(url, role))
	if _, err := up(t, db, setOf(t, "s", "SELECT 1")); err == nil {
		t.Fatal("without any grant Up returned no error")
	}
	do(t, c, all)
	_, err := up(t, open(t, asRole(url, role)), setOf(t, "s", "CREATE TABLE a (x int)"))
	must(t, err)
	must(t, database.UpdateSetting(background(t), db, freeze))

	// Once more with tables of another role.
	do(t, c, "DROP OWNED BY "+role)
	_, err = up(t, open(t, url), setOf(t, "other", "SELECT 1"))
	must(t, err)
	db = open(t, asRole(url, role))
	statements := strings.SplitAfter(strings.TrimSpace(run), ";")
	for _, grant := range statements[:len(statements)-1] {
		if _, err := up(t, db, setOf(t, "s", "SELECT 1")); err == nil {
			t.Errorf("before %s Up returned no error", grant)
		}
		do(t, c, grant)
	}
	_, err = up(t, db, setOf(t, "s", "SELECT 1", "VACUUM; SELECT 1")) // also outside transactions
	must(t, err)
	if err := database.UpdateSetting(background(t), db, freeze); err == nil {
		t.Error("a role that may only read the settings changed one")
	}
	do(t, c, set)
	must(t, database.UpdateSetting(background(t), db, freeze))
	must(t, database.UpdateSetting(background(t), db, database.SettingUpdate{Name: database.Frozen, Unset: true}))

	_, _, s := filling(t, url, 10, fillBody)
	do(t, c, "GRANT SELECT, UPDATE ON t TO "+role)
	if _, _, err := backfiller(db).ClaimLane(background(t), claimOf(s, "w")); err == nil {
		t.Error("a role without the grants for backfills executes one")
	}
	do(t, c, fill)
	drain(t, db, s, 5)
	equal(t, "the rows", counts(t, c), "1: 10")
}

// The page's query lists the migrating processes.
func TestDocumentedQueryOfLocks(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	begin(t, open(t, url, database.Options{App: "birds"}), "s")
	for _, block := range documented(t, "sql") {
		if !strings.Contains(block, "pg_locks") {
			continue
		}
		query := strings.TrimSuffix(strings.TrimSpace(block), ";")
		equal(t, "what it shows", value(t, c, "SELECT string_agg(concat_ws(' ', mode, application_name, state), ', ') FROM ("+query+") q"),
			"ExclusiveLock birds idle in transaction, ShareLock birds idle in transaction")
	}
}
