package localserver

import (
	"cmp"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

type postgres struct{ bin string }

// findPostgres finds initdb and postgres. Packages often install them outside of $PATH.
func findPostgres(ctx context.Context, opts Options) (kind, string, error) {
	folders := places(opts, "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin", "/Library/PostgreSQL/*/bin", "/Applications/Postgres.app/Contents/Versions/*/bin")
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	all := search(ctx, folders, "initdb", "postgres")
	if len(all) == 0 {
		return nil, "", &NoProgramError{Program: "initdb", Looked: folders}
	}
	f := best(all, opts)
	return postgres{f.folder}, f.version, nil
}

func (p postgres) prepare(ctx context.Context, k *Kit) error {
	args := []string{"-D", k.template(), "-U", k.user(), "-E", "UTF8", "--locale=C", "--auth-local=trust", "--auth-host=reject", "-N"}
	if err := k.tool(ctx, "", filepath.Join(p.bin, "initdb"), args...); err != nil {
		return err
	}
	switch k.opts.Database {
	case "", "postgres", "template1", "template0":
		return nil
	}
	create := `CREATE DATABASE "` + strings.ReplaceAll(k.opts.Database, `"`, `""`) + "\"\n"
	return k.tool(ctx, create, filepath.Join(p.bin, "postgres"), "--single", "-F", "-D", k.template(), "postgres")
}

// user returns the superuser's name. PostgreSQL reserves names that begin with pg_.
func (k *Kit) user() string {
	if k.opts.User == "" || strings.HasPrefix(k.opts.User, "pg_") {
		return "postgres"
	}
	return k.opts.User
}

func (p postgres) command(k *Kit, dir string) ([]string, string) {
	args := []string{filepath.Join(p.bin, "postgres"), "-D", filepath.Join(dir, "data"), "-F"}
	for _, set := range []string{
		"listen_addresses=", "unix_socket_directories=" + dir, "synchronous_commit=off", "full_page_writes=off", "max_connections=" + strconv.Itoa(cmp.Or(k.opts.Connections, 30)), "logging_collector=off",
		"dynamic_shared_memory_type=mmap", // in its folder, so that a killed server leaves nothing elsewhere
	} {
		args = append(args, "-c", set)
	}
	return args, "QUIT"
}

// ready reads the state that the server writes to postmaster.pid, because the server listens before
// it accepts connections.
func (postgres) ready(dir string) bool {
	pid, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	lines := strings.Split(strings.TrimSpace(string(pid)), "\n")
	return err == nil && strings.TrimSpace(lines[len(lines)-1]) == "ready"
}

func (postgres) url(k *Kit, dir string) string {
	name := k.opts.Database
	if name == "" {
		name = "postgres"
	}
	q := url.Values{"host": {dir}, "port": {"5432"}, "user": {k.user()}, "sslmode": {"disable"}}
	return "postgres:///" + url.PathEscape(name) + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}
