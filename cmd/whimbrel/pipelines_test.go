package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// The pages docs/ci.md and docs/containers.md are tested with the commands of their YAML.

const install = "go install github.com/whimbrel-db/whimbrel/cmd/whimbrel@latest"

// pipeline is one job of a page: the commands that it runs in one database.
type pipeline struct {
	name     string
	commands []string
}

// workflow is a workflow of GitHub Actions.
type workflow struct {
	Jobs yaml.MapSlice
}

// job is a job of a workflow, or of a .gitlab-ci.yml.
type job struct {
	Env          map[string]string
	Variables    map[string]string
	Steps        []struct{ Run, Uses string }
	BeforeScript []string `yaml:"before_script"`
	Script       []string
}

// yamlOf decodes the YAML block under a heading of a page.
func yamlOf(t *testing.T, page, heading string, to any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "# "+heading+"\n")
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(section)
	if !found || block == nil {
		t.Fatalf("docs/%s has no YAML under %q", page, heading)
	}
	if err := yaml.Unmarshal([]byte(block[1]), to); err != nil {
		t.Fatalf("docs/%s, %s: %v", page, heading, err)
	}
}

// decode turns a decoded YAML value into a struct.
func decode(t *testing.T, v, to any) {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

func githubPipelines(t *testing.T) (all []pipeline) {
	var w workflow
	yamlOf(t, "ci.md", "GitHub Actions", &w)
	for _, item := range w.Jobs {
		var j job
		decode(t, item.Value, &j)
		if j.Env["DATABASE_URL"] == "" {
			t.Errorf("the job %s has no DATABASE_URL", item.Key)
		}
		p := pipeline{name: item.Key.(string)}
		for _, s := range j.Steps {
			if s.Run != "" {
				p.commands = append(p.commands, s.Run)
			}
		}
		if len(p.commands) == 0 || p.commands[0] != install {
			t.Errorf("the job %s does not begin with %q", p.name, install)
			continue
		}
		p.commands = p.commands[1:]
		all = append(all, p)
	}
	return all
}

func gitlabPipelines(t *testing.T) (all []pipeline) {
	var file yaml.MapSlice
	yamlOf(t, "ci.md", "GitLab", &file)
	installed := false
	for _, item := range file {
		var j job
		if item.Key == "stages" {
			continue
		}
		decode(t, item.Value, &j)
		installed = installed || len(j.BeforeScript) == 1 && j.BeforeScript[0] == install
		if len(j.Script) > 0 {
			if j.Variables["DATABASE_URL"] == "" {
				t.Errorf("the job %s has no DATABASE_URL", item.Key)
			}
			all = append(all, pipeline{item.Key.(string), j.Script})
		}
	}
	if !installed {
		t.Errorf("before_script is not %q", install)
	}
	return all
}

// shopFolder returns a folder that contains the migrations of examples/shop in migrations.
func shopFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "migrations"), os.DirFS("../../examples/shop")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCIPage runs the pipelines of docs/ci.md. Each job has a database of its own. Then it runs
// them with a down script that undoes nothing, which verify must find.
func TestCIPage(t *testing.T) {
	t.Parallel()
	for platform, read := range map[string]func(*testing.T) []pipeline{"GitHub": githubPipelines, "GitLab": gitlabPipelines} {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			all := read(t)
			if len(all) != 2 || all[0].name != "prove" || all[1].name != "deploy" {
				t.Fatalf("the page has the jobs %v, want prove and deploy", all)
			}
			dir := shopFolder(t)
			for _, p := range all {
				sh := newShell(t, dir)
				sh.env = append(sh.env, "DATABASE_URL="+testdb.Postgres(t), "GITHUB_SHA=0123abc", "CI_COMMIT_SHA=0123abc")
				for _, command := range p.commands {
					sh.run(command)
				}
			}
			wrongDown := filepath.Join(dir, "migrations/0004_order_sizes.down.sql")
			if err := os.WriteFile(wrongDown, []byte("SELECT 1;\n"), 0o666); err != nil {
				t.Fatal(err)
			}
			sh := newShell(t, dir)
			sh.env = append(sh.env, "DATABASE_URL="+testdb.Postgres(t))
			verify := slices.IndexFunc(all[0].commands, func(c string) bool { return strings.HasPrefix(c, "whimbrel verify") })
			if verify < 0 {
				t.Fatalf("the job prove has no verify: %q", all[0].commands)
			}
			if got := sh.answer(all[0].commands[verify]); !strings.Contains(got, "order_sizes") {
				t.Errorf("%s does not report the wrong down script:\n%s", all[0].commands[verify], got)
			}
		})
	}
}

// container is a container of a Kubernetes manifest.
type container struct {
	Args            []string
	Env             []struct{ Name string }
	SecurityContext struct {
		RunAsNonRoot           bool `yaml:"runAsNonRoot"`
		ReadOnlyRootFilesystem bool `yaml:"readOnlyRootFilesystem"`
	} `yaml:"securityContext"`
}

// manifest is the part of a Job or a Deployment that has containers.
type manifest struct {
	Spec struct {
		Template struct {
			Spec struct {
				InitContainers []container `yaml:"initContainers"`
				Containers     []container
			}
		}
	}
}

// run starts the command as a container would: with the variables of the manifest and nothing
// else, as a user that is not root, in a folder that contains the migrations and must not change.
func (c container) run(ctx context.Context, t *testing.T, dir, url string) *exec.Cmd {
	t.Helper()
	if len(c.Env) != 1 || c.Env[0].Name != "DATABASE_URL" {
		t.Fatalf("the container has the variables %v, want DATABASE_URL", c.Env)
	}
	program, err := exec.LookPath("whimbrel")
	if err != nil {
		t.Fatal(err)
	}
	if program, err = filepath.Abs(program); err != nil {
		t.Fatal(err)
	}
	words := slices.Concat([]string{program}, c.Args)
	if os.Geteuid() == 0 {
		words[0] = everybodys(t, program)
		public(t, dir)
		words = slices.Concat([]string{testdb.Tool(t, "setpriv"), "--reuid=65532", "--regid=65532", "--clear-groups"}, words)
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.Env = dir, []string{"DATABASE_URL=" + url}
	return cmd
}

// everybodys returns the path of a program that every user can start.
func everybodys(t *testing.T, program string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), filepath.Base(program))
	// Another process writes it: a child of this one, which another test starts meanwhile, would
	// inherit the open file, and a program that is open for writing can't be started.
	if out, err := exec.Command("cp", program, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(copied, 0o755); err != nil {
		t.Fatal(err)
	}
	public(t, filepath.Dir(copied))
	return copied
}

// public lets every user enter a folder of t.TempDir, whose parent is private.
func public(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
}

// code runs the command and returns its exit code and output.
func (c container) code(t *testing.T, dir, url string) (int, string) {
	t.Helper()
	cmd := c.run(t.Context(), t, dir, url)
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// readOnly makes the files and folders below a folder read-only until the test ends.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	set := func(folder, file os.FileMode) {
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() {
				return os.Chmod(path, folder)
			}
			return os.Chmod(path, file)
		})
		if err != nil {
			t.Error(err)
		}
	}
	set(0o555, 0o444)
	t.Cleanup(func() { set(0o755, 0o644) })
}

// TestContainersPage runs the commands of the manifests of docs/containers.md, each twice, and then
// the init container that waits for a job.
func TestContainersPage(t *testing.T) {
	t.Parallel()
	dir := shopFolder(t)
	readOnly(t, dir)
	var fromJob, fromInit manifest
	yamlOf(t, "containers.md", "A job", &fromJob)
	yamlOf(t, "containers.md", "An init container", &fromInit)
	inits := fromInit.Spec.Template.Spec.InitContainers
	if len(inits) != 2 || !slices.Contains(inits[0].Args, "wait") {
		t.Fatalf("the page has the init containers %v, want wait and migrate", inits)
	}
	for name, containers := range map[string][]container{"a job": fromJob.Spec.Template.Spec.Containers, "init containers": inits} {
		for _, c := range containers {
			if s := c.SecurityContext; !s.RunAsNonRoot || !s.ReadOnlyRootFilesystem {
				t.Errorf("%s: %v may run as root or write", name, c.Args)
			}
		}
		pending := container{Args: shownArgs(t, "status", "--exit-code", "--quiet"), Env: containers[0].Env}
		url := testdb.Postgres(t)
		if code, out := pending.code(t, dir, url); code != 3 {
			t.Errorf("%s: before it, %v exits with %d, want 3: %s", name, pending.Args, code, out)
		}
		for range 2 {
			for _, c := range containers {
				if code, out := c.code(t, dir, url); code != 0 {
					t.Errorf("%s: %v exits with %d\n%s", name, c.Args, code, out)
				}
			}
		}
		if code, out := pending.code(t, dir, url); code != 0 {
			t.Errorf("%s: after it, %v exits with %d\n%s", name, pending.Args, code, out)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder contains %v (%v), want migrations only", left, err)
	}
}

// shownArgs returns args, which docs/containers.md must contain in this form.
func shownArgs(t *testing.T, args ...string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/containers.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := `args: ["` + strings.Join(args, `", "`) + `"]`
	if !strings.Contains(strings.Join(strings.Fields(string(page)), " "), quoted) {
		t.Errorf("docs/containers.md lacks %s", quoted)
	}
	return args
}

// TestContainersPageExitCodes ends the command with the exit codes of docs/containers.md. The codes
// 4 and 143 are in TestContainersPageSignal.
func TestContainersPageExitCodes(t *testing.T) {
	t.Parallel()
	dir := shopFolder(t)
	readOnly(t, dir)
	var m manifest
	yamlOf(t, "containers.md", "A job", &m)
	env := m.Spec.Template.Spec.Containers[0].Env
	server := testdb.Postgres(t)
	missing, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	missing.Path += "_new"
	nobody := *missing
	nobody.Host = "127.0.0.1:1"
	wait := shownArgs(t, "wait", "--timeout", "2m")
	for _, c := range []struct {
		url  string
		args []string
		code int
	}{
		{nobody.String(), []string{"wait", "--timeout", "1ms"}, 1},
		{nobody.String(), []string{"up"}, 1},
		{missing.String(), wait, 0},
		{missing.String(), []string{"up"}, 1},
		{missing.String(), shownArgs(t, "create"), 0},
		{missing.String(), []string{"up"}, 0},
		{missing.String(), []string{"drop", "--yes", strings.TrimPrefix(missing.Path, "/")}, 0},
		{server, []string{"up", "--nosuch"}, 2},
		{server, []string{"status", "--exit-code"}, 3},
		{server, []string{"freeze", "--reason", "a test"}, 0},
		{server, []string{"up"}, 5},
		{server, []string{"thaw"}, 0},
		{server, []string{"up"}, 0},
	} {
		if code, out := (container{Args: c.args, Env: env}).code(t, dir, c.url); code != c.code {
			t.Errorf("%v exits with %d, want %d\n%s", c.args, code, c.code, out)
		}
	}
}

// TestContainersPageEntrypoint runs the shell script of docs/containers.md.
func TestContainersPageEntrypoint(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/containers.md")
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile("(?s)```sh\n(#!/bin/sh\n.*?)```").FindStringSubmatch(string(page))
	if script == nil {
		t.Fatal("docs/containers.md has no entrypoint")
	}
	dir := shopFolder(t)
	if err := os.WriteFile(filepath.Join(dir, "entrypoint"), []byte(script[1]), 0o755); err != nil {
		t.Fatal(err)
	}
	sh := newShell(t, dir)
	sh.env = append(sh.env, "DATABASE_URL="+testdb.Postgres(t))
	if got := sh.answer("./entrypoint echo the application"); !strings.HasSuffix(got, "\nthe application\n") {
		t.Errorf("the entrypoint prints %q, want the application's output at the end", got)
	}
	sh.run("rm -r migrations")
	if got := sh.answer("./entrypoint echo the application"); strings.Contains(got, "the application") {
		t.Errorf("without migrations the entrypoint prints %q, want no start of the application", got)
	}
}

// TestContainersPageSignal sends SIGTERM to the job of docs/containers.md while a statement runs.
func TestContainersPageSignal(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "migrations"), 0o777); err != nil {
		t.Fatal(err)
	}
	text := "CREATE TABLE slow ();\nSELECT pg_sleep(600);\n"
	if err := os.WriteFile(filepath.Join(dir, "migrations/0001_slow.up.sql"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	var m manifest
	yamlOf(t, "containers.md", "A job", &m)
	cmd := m.Spec.Template.Spec.Containers[0].run(t.Context(), t, dir, url)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for running := false; !running; time.Sleep(20 * time.Millisecond) {
		const query = `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`
		if err := db.QueryRowContext(t.Context(), query).Scan(&running); err != nil {
			t.Fatal(err)
		}
	}
	another := container{Args: []string{"up", "--migration-lock-timeout", "10ms"}, Env: m.Spec.Template.Spec.Containers[0].Env}
	if code, out := another.code(t, dir, url); code != 4 {
		t.Errorf("another process exits with %d, want 4: %s", code, out)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its error is the exit code
	if code := cmd.ProcessState.ExitCode(); code != 143 {
		t.Errorf("exit code %d, want 143:\n%s", code, out.String())
	}
	var left bool
	if err := db.QueryRowContext(t.Context(), `SELECT to_regclass('slow') IS NOT NULL`).Scan(&left); err != nil || left {
		t.Errorf("the table of the interrupted migration exists: %v, %v", left, err)
	}
}
