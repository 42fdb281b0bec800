package inspect_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

const hunter = "hunter2hunter2"

// secretServer is a server with roles, and statements that set a password.
type secretServer struct {
	name, url         string
	create, drop, bad string // bad fails, and the server's message quotes it
}

func secretServers(t *testing.T) []secretServer {
	role := "w_" + strings.ToLower(rand.Text()[:12])
	return []secretServer{
		{
			"postgres", testdb.Postgres(t), "CREATE ROLE " + role + "_pg PASSWORD '" + hunter + "'", "DROP ROLE IF EXISTS " + role + "_pg",
			"DO $$ BEGIN EXECUTE 'ALTER ROLE " + role + "_nobody PASSWORD ''" + hunter + "'''; END $$",
		},
		{
			"mariadb", testdb.MariaDB(t), "CREATE USER " + role + "_my IDENTIFIED BY '" + hunter + "'", "DROP USER IF EXISTS " + role + "_my",
			"CREATE USER " + role + "_bad IDENTIFIED BY '" + hunter + "' NOSUCHWORD",
		},
	}
}

// observed returns options that write every log record and event to log.
func observed(log *strings.Builder) whimbrel.Options {
	slogs := whimbrel.Log(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	return whimbrel.Options{Observe: func(ctx context.Context, e whimbrel.Event) {
		if s, ok := e.(whimbrel.StatementStarted); ok {
			fmt.Fprintln(log, s.SQL)
		}
		slogs(ctx, e)
	}}
}

func TestPasswordsOfStatementsAreNotShown(t *testing.T) {
	for _, s := range secretServers(t) {
		t.Run(s.name, func(t *testing.T) {
			db := open(t, s.url)
			defer onItsOwn(t, db, s.drop)
			set := setOf(t, step{s.create, "-"})
			var log strings.Builder
			m := whimbrel.New(db, set, observed(&log))
			plan, err := m.Plan(t.Context(), whimbrel.Latest())
			if err != nil {
				t.Fatal(err)
			}
			if steps := plan.Steps; len(steps) != 1 {
				t.Errorf("len(steps) = %v, want 1", len(steps))
			} else if len(steps[0].Secrets) != 1 {
				t.Errorf("len(steps[0].Secrets) = %v, want 1", len(steps[0].Secrets))
			} else if steps[0].Secrets[0].String() != "1.up.sql:1:1" {
				t.Errorf("steps[0].Secrets[0].String() = %q, want %q", steps[0].Secrets[0].String(), "1.up.sql:1:1")
			}
			if _, err := m.Apply(t.Context(), plan, whimbrel.ApplyOptions{}); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(log.String(), hunter) {
				t.Errorf("it was said:\n%s", log.String())
			}
			edited := whimbrel.New(db, setOf(t, step{strings.Replace(s.create, hunter, hunter+"3", 1) + " -- edited", "-"}), whimbrel.Options{})
			_, err = edited.Plan(t.Context(), whimbrel.Latest())
			var mismatch *whimbrel.ChecksumMismatchError
			if !errors.As(err, &mismatch) {
				t.Fatalf("got %v, want a %T", err, mismatch)
			}
			if strings.Contains(mismatch.Diff, hunter) {
				t.Errorf("mismatch.Diff = %q, want a text without %q", mismatch.Diff, hunter)
			}
			if mismatch.Diff == "" {
				t.Error("mismatch.Diff is \"\"")
			}
		})
	}
}

func TestAFailingStatementDoesNotShowItsPassword(t *testing.T) {
	for _, s := range secretServers(t) {
		for _, alone := range []bool{false, true} {
			t.Run(fmt.Sprint(s.name, " alone ", alone), func(t *testing.T) {
				db := open(t, s.url)
				up := migration.Text("1.up.sql", "-- one\n"+s.bad+";\n")
				up.NoTransaction = alone
				set, err := migration.NewSet(fmt.Sprint("s", alone), migration.Migration{Version: 1, Name: "m", Up: up})
				if err != nil {
					t.Fatal(err)
				}
				var log strings.Builder
				_, err = whimbrel.New(db, set, observed(&log)).Up(t.Context())
				var st *database.StatementError
				if !errors.As(err, &st) {
					t.Fatalf("got %v, want a %T", err, st)
				}
				if st.Excerpt == "" {
					t.Fatal("st.Excerpt is \"\"")
				}
				state, serr := db.State(t.Context(), set.Name())
				if serr != nil {
					t.Fatal(serr)
				}
				said := fmt.Sprintf("%v\n%s %s %s %s %s %s\n%s\n%+v", err, st.Statement, st.Message, st.Detail, st.Hint, st.Where, st.Excerpt, log.String(), state.Interrupted)
				if strings.Contains(said, hunter) {
					t.Errorf("it was said:\n%s", said)
				}
			})
		}
	}
}

func TestSecretScriptIsNotKept(t *testing.T) {
	const up, down = "CREATE TABLE a (x text DEFAULT '" + hunter + "')", "DROP TABLE a; SELECT '" + hunter + "'"
	url := testdb.Postgres(t)
	db := open(t, url)
	secret := func(name, text string) *migration.Script {
		s := migration.Text(name, text)
		s.Secret = true
		return s
	}
	m := migration.Migration{Version: 1, Name: "m", Up: secret("1.up.sql", up), Down: secret("1.down.sql", down)}
	set, err := migration.NewSet("s", m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for e, err := range db.History(t.Context(), database.HistoryQuery{Set: "s", Texts: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.UpText != "" {
			t.Errorf("e.UpText = %q, want %q", e.UpText, "")
		}
		if e.DownText != "" {
			t.Errorf("e.DownText = %q, want %q", e.DownText, "")
		}
		if e.HasDownText {
			t.Error("e.HasDownText = true, want false")
		}
		if e.Checksum != m.Up.Checksum {
			t.Errorf("e.Checksum = %v, want %v", e.Checksum, m.Up.Checksum)
		}
		if e.DownChecksum != m.Down.Checksum {
			t.Errorf("e.DownChecksum = %v, want %v", e.DownChecksum, m.Down.Checksum)
		}
		if !e.UpDirectives.Secret {
			t.Error("e.UpDirectives.Secret = false, want true")
		}
	}
	empty, err := migration.NewSet("s")
	if err != nil {
		t.Fatal(err)
	}
	var irreversible *whimbrel.IrreversibleError
	if _, err := whimbrel.New(db, empty, whimbrel.Options{}).Migrate(t.Context(), whimbrel.By(-1), whimbrel.ApplyOptions{}); !errors.As(err, &irreversible) {
		t.Errorf("got %v, want a %T", err, irreversible)
	} else if !irreversible.TextNotKept {
		t.Error("irreversible.TextNotKept = false, want true")
	}
	if _, err := whimbrel.New(db, set, whimbrel.Options{}).Migrate(t.Context(), whimbrel.By(-1), whimbrel.ApplyOptions{}); err != nil {
		t.Error(err)
	}
}

// TestARoleLooksWithoutTheTexts executes the grants in the documentation.
func TestARoleLooksWithoutTheTexts(t *testing.T) {
	doc, err := os.ReadFile("../docs/postgresql.md")
	if err != nil {
		t.Fatal(err)
	}
	grants := ""
	for block := range strings.SplitSeq(string(doc), "```") {
		if sql, ok := strings.CutPrefix(block, "sql\n"); ok && strings.Contains(sql, "TO viewer") {
			grants += sql
		}
	}
	admin := testdb.Postgres(t)
	db := open(t, admin)
	set := setOf(t, step{"CREATE TABLE a (x int)", "DROP TABLE a"}, step{"CREATE TABLE b (x int)", "DROP TABLE b"})
	if _, err := whimbrel.New(db, set, whimbrel.Options{}).Migrate(t.Context(), whimbrel.Version(1), whimbrel.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	viewer := "w_" + strings.ToLower(rand.Text()[:12])
	onItsOwn(t, db, "CREATE ROLE "+viewer+" LOGIN;\n"+strings.ReplaceAll(grants, "TO viewer", "TO "+viewer))
	defer onItsOwn(t, db, "DROP OWNED BY "+viewer+"; DROP ROLE "+viewer)
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(viewer)
	looks := open(t, u.String())
	defer looks.Close()
	m := whimbrel.New(looks, set, whimbrel.Options{})
	st, err := m.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Version != 1 {
		t.Errorf("st.Version = %v, want 1", st.Version)
	}
	plan, err := m.Plan(t.Context(), whimbrel.Latest())
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Steps) != 1 {
		t.Errorf("len(plan.Steps) = %v, want 1", len(plan.Steps))
	}
	if err := m.Verify(t.Context()); err != nil {
		t.Errorf("verify: %v", err)
	}
	events := 0
	for _, err := range m.History(t.Context(), database.HistoryQuery{}) {
		if err != nil {
			t.Fatalf("history: %v", err)
		}
		events++
	}
	if events != 1 {
		t.Errorf("the history has %d events", events)
	}
	var edited *whimbrel.ChecksumMismatchError
	if _, err := whimbrel.New(looks, setOf(t, step{"CREATE TABLE a (y int)", "-"}), whimbrel.Options{}).Plan(t.Context(), whimbrel.Latest()); !errors.As(err, &edited) {
		t.Errorf("an edited script: %v", err)
	}
	for _, err := range looks.History(t.Context(), database.HistoryQuery{Texts: true}) {
		if err == nil {
			t.Error("the role reads the texts")
		}
	}
}
