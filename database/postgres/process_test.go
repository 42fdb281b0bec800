package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/migration"
)

// jobEnv contains the job of a child process, which runs this test binary.
const jobEnv = "WHIMBREL_TEST_JOB"

// job is the work of a child process: Up, of several sets at once.
type job struct {
	Jobs      []job // instead: several jobs at once
	URL       string
	PoolOfOne bool
	Atomic    bool
	Sets      map[string][]string // the up scripts, by set
	Leaks     bool                // instead: look for remaining goroutines
}

// process is a child process. It starts working when its stdin is closed.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr strings.Builder
}

func start(t testing.TB, j job) *process {
	t.Helper()
	text, err := json.Marshal(j)
	must(t, err)
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), jobEnv+"="+string(text))
	p.cmd.Stderr = &p.stderr
	p.stdin, err = p.cmd.StdinPipe()
	must(t, err)
	must(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
	return p
}

func (p *process) begin() { p.stdin.Close() }

// wait returns the error that the process printed.
func (p *process) wait() error {
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, p.stderr.String())
	}
	return nil
}

// kill kills the process with SIGKILL.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// work is the child process's main.
func work(text string) int {
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		io.Copy(io.Discard, os.Stdin)
		err = j.do(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (j job) do(ctx context.Context) error {
	switch {
	case len(j.Jobs) > 0:
		return j.doJobs(ctx)
	case j.Leaks:
		return j.leaks(ctx)
	}
	db, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	errs := make(chan error)
	for name, ups := range j.Sets {
		go func() { errs <- j.up(ctx, db, name, ups) }()
	}
	for range j.Sets {
		err = errors.Join(err, <-errs)
	}
	return err
}

func (j job) doJobs(ctx context.Context) (err error) {
	errs := make(chan error)
	for _, one := range j.Jobs {
		go func() { errs <- one.do(ctx) }()
	}
	for range j.Jobs {
		err = errors.Join(err, <-errs)
	}
	return err
}

func (j job) open(ctx context.Context) (database.Database, error) {
	if !j.PoolOfOne {
		return database.Open(ctx, j.URL, database.Options{App: "one of many"})
	}
	config, err := pgxpool.ParseConfig(j.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(ctx, config) // ends with the process
	return postgres.NewPool(pool, database.Options{App: "one of many"}), err
}

func (j job) up(ctx context.Context, db database.Database, name string, ups []string) error {
	var all []migration.Migration
	for i, up := range ups {
		all = append(all, migration.Migration{Version: int64(i + 1), Name: "m", Up: migration.Text(fmt.Sprintf("%s/%d_m.up.sql", name, i+1), up)})
	}
	set, err := migration.NewSet(name, all...)
	if err != nil {
		return err
	}
	r, err := whimbrel.New(db, set, whimbrel.Options{Atomic: j.Atomic, MigrationLockTimeout: waitLimit}).Up(ctx)
	if err == nil && len(r.Applied)+len(r.Skipped) > len(ups) {
		err = fmt.Errorf("applied %v and skipped %v of %d", r.Applied, r.Skipped, len(ups))
	}
	return err
}
