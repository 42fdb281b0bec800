//go:build unix

package localserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/localserver"
	"github.com/whimbrel-db/whimbrel/migration"
)

// starter is set if the test's program must start a server and wait to be killed.
const starter = "WHIMBREL_LOCALSERVER_STARTER"

func TestMain(m *testing.M) {
	if dialect := os.Getenv(starter); dialect != "" {
		_, s, err := start(context.Background(), localserver.Options{Dialect: dialect, Path: folders()})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(s.URL)
		select {}
	}
	os.Exit(m.Run())
}

// folders returns the folders to search for programs; the tests' own come first.
func folders() []string {
	var all []string
	for pair := range strings.SplitSeq(os.Getenv("WHIMBREL_TEST_POSTGRES_BIN"), ",") {
		if _, bin, ok := strings.Cut(pair, "="); ok {
			all = append(all, bin)
		}
	}
	return append(all, filepath.SplitList(os.Getenv("PATH"))...)
}

func start(ctx context.Context, opts localserver.Options) (*localserver.Kit, *localserver.Server, error) {
	k, err := localserver.Prepare(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	s, err := k.Start(ctx)
	return k, s, err
}

// need skips the test if the programs are not installed.
func need(t *testing.T, err error) {
	t.Helper()
	if errors.As(err, new(*localserver.NoProgramError)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestServersOfTheirOwn(t *testing.T) {
	for dialect, role := range map[string]string{"postgresql": "CREATE ROLE", "mysql": "CREATE USER"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			k, first, err := start(t.Context(), localserver.Options{Dialect: dialect, User: "a user", Database: "my shop", Path: folders()})
			need(t, err)
			t.Cleanup(func() { first.Close(); k.Close() })
			second, err := k.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*localserver.Server{first, second} { // the objects of one are not in the other
				db, err := database.Open(t.Context(), s.URL, database.Options{})
				if err != nil {
					t.Fatal(err)
				}
				st, err := db.State(t.Context(), "s")
				if err != nil {
					t.Fatal(err)
				}
				if st.Database != "my shop" {
					t.Errorf("st.Database = %q, want %q", st.Database, "my shop")
				}
				set, err := migration.NewSet("s", migration.Migration{Version: 1, Up: migration.Text("f", role+" other")})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context()); err != nil {
					t.Error(err)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}
			dir := filepath.Dir(socketDir(first.URL))
			for _, c := range []io.Closer{first, second, k} {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", dir, err)
			}
		})
	}
}

// socketDir is the folder of the socket that a URL names.
func socketDir(url string) string {
	_, rest, _ := strings.Cut(strings.ReplaceAll(url, "%2F", "/"), "=")
	if i := strings.Index(url, "host="); i >= 0 {
		_, rest, _ = strings.Cut(strings.ReplaceAll(url[i:], "%2F", "/"), "=")
		rest, _, _ = strings.Cut(rest, "&")
		return rest
	}
	return filepath.Dir(rest)
}

// If the process that started a server is killed, the server ends and its folder is removed.
func TestNothingIsLeftOfAKilledProcess(t *testing.T) {
	for _, dialect := range []string{"postgresql", "mysql"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), starter+"="+dialect)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			url, err := bufio.NewReader(out).ReadString('\n')
			if strings.HasPrefix(url, "error: there is no") {
				t.Skip(url)
			}
			dir := socketDir(strings.TrimSpace(url))
			if _, serr := os.Stat(dir); err != nil {
				t.Fatalf("%q: %v", url, err)
			} else if serr != nil {
				t.Fatalf("%q: %v", url, serr)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			killed := time.Now()
			for {
				if _, err := os.Stat(filepath.Dir(dir)); os.IsNotExist(err) {
					return
				}
				if time.Since(killed) > 3*time.Minute { // much longer than a busy machine needs
					t.Fatalf("%s is still there", dir)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
}

func TestVersionIsThatOfTheTarget(t *testing.T) {
	bins := folders()
	k, err := localserver.Prepare(t.Context(), localserver.Options{Dialect: "postgresql", Version: "14.1", Path: bins})
	need(t, err)
	defer k.Close()
	has14 := strings.Contains(os.Getenv("WHIMBREL_TEST_POSTGRES_BIN"), "14=")
	if has14 != localserver.SameMajor("postgresql", k.Version, "14.9") {
		t.Errorf("the version is %s", k.Version)
	}
	var none *localserver.NoProgramError
	if _, err := localserver.Prepare(t.Context(), localserver.Options{Dialect: "sqlite"}); err == nil {
		t.Error("got no error")
	} else if errors.As(err, &none) {
		t.Error("errors.As(err, &none) = true, want false")
	}
}
