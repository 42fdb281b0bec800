package inspect_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// provesOn has, in a child process, the URL of the database beside which it proves a set.
const provesOn = "WHIMBREL_TEST_PROVES_ON"

func TestMain(m *testing.M) {
	if url := os.Getenv(provesOn); url != "" {
		if err := prove(context.Background(), url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// prove proves a set. It prints the location of the first scratch database, and continues when its
// standard input ends.
func prove(ctx context.Context, url string) error {
	db, err := database.Open(ctx, url, database.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	set, err := migration.NewSet("s", migration.Migration{
		Version: 1, Up: migration.Text("1.up.sql", "CREATE TABLE a (x int)"), Down: migration.Text("1.down.sql", "DROP TABLE a"),
	})
	if err != nil {
		return err
	}
	scratch := inspect.Beside(db)
	scratch.Observe = func(b inspect.Begun) {
		fmt.Println(b.Where)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	v, err := inspect.Verify(ctx, set, scratch)
	if err == nil && !v.OK() {
		err = errors.New("the set is not correct")
	}
	return err
}

// prover is a child process that proves a set.
type prover struct {
	cmd     *exec.Cmd
	input   io.Closer
	scratch string // the name of its scratch database
}

func startProver(t *testing.T, url string) *prover {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), provesOn+"="+url), os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	name := regexp.MustCompile(`whimbrel_scratch_\w+`).FindString(line)
	if name == "" {
		t.Fatalf("the process prints %q (%v), want the place of its scratch database", line, err)
	}
	return &prover{cmd, input, name}
}

// TestScratchOfAKilledProcess: the next process drops the scratch database of one that was killed,
// and not that of one that lives.
func TestScratchOfAKilledProcess(t *testing.T) {
	t.Parallel()
	for kind, server := range map[string]struct {
		url    func(testing.TB) string
		exists string
	}{
		"postgres": {testdb.Postgres, "SELECT count(*) FROM pg_database WHERE datname = '%s'"},
		"mariadb":  {testdb.MariaDB, "SELECT count(*) FROM information_schema.schemata WHERE schema_name = '%s'"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			url := server.url(t)
			db := open(t, url)
			exists := func(name string) bool {
				t.Helper()
				rows, err := database.ReadQuery(t.Context(), db, fmt.Sprintf(server.exists, name))
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Sprint(rows.Rows[0][0]) == "1"
			}
			killed, living := startProver(t, url), startProver(t, url)
			if !exists(killed.scratch) {
				t.Errorf("the scratch database %s does not exist", killed.scratch)
			}
			if err := killed.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = killed.cmd.Wait() // its error is the signal
			// The server needs a moment to see that the process is gone.
			for exists(killed.scratch) {
				next := open(t, url)
				_, drop, err := database.Scratch(t.Context(), next)
				if err != nil {
					t.Fatal(err)
				}
				if err := drop(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if !exists(living.scratch) {
				t.Errorf("the scratch database %s of a process that lives is gone", living.scratch)
			}
			living.input.Close()
			if err := living.cmd.Wait(); err != nil {
				t.Errorf("the process that lives: %v", err)
			}
			if exists(living.scratch) {
				t.Errorf("the process has left its scratch database %s", living.scratch)
			}
		})
	}
}
