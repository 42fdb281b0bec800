package localserver

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mysql is MySQL or, if install is set, MariaDB; install is the program that creates its data.
type mysql struct{ server, install string }

func findMySQL(ctx context.Context, opts Options) (kind, string, error) {
	folders := places(opts, "/usr/sbin", "/usr/bin", "/usr/libexec", "/usr/local/sbin", "/usr/local/mysql/bin", "/opt/homebrew/bin", "/opt/homebrew/opt/mariadb*/bin", "/opt/homebrew/opt/mysql*/bin")
	var all []found
	for _, program := range []string{"mariadbd", "mysqld"} {
		for _, f := range search(ctx, folders, program) {
			all = append(all, found{filepath.Join(f.folder, program), f.version})
		}
	}
	if len(all) == 0 {
		return nil, "", &NoProgramError{Program: "mariadbd or mysqld", Looked: folders}
	}
	f := best(all, opts)
	m := mysql{server: f.folder}
	if filepath.Base(f.folder) == "mariadbd" {
		for _, folder := range append([]string{filepath.Dir(f.folder), filepath.Join(filepath.Dir(f.folder), "../bin")}, folders...) {
			if p := filepath.Join(folder, "mariadb-install-db"); executable(p) {
				m.install = p
				break
			}
		}
		if m.install == "" {
			return nil, "", &NoProgramError{Program: "mariadb-install-db", Looked: folders}
		}
	}
	return m, f.version, nil
}

func (m mysql) prepare(ctx context.Context, k *Kit) error {
	name := "CREATE DATABASE IF NOT EXISTS `" + strings.ReplaceAll(k.database(), "`", "``") + "` CHARACTER SET utf8mb4;\n"
	init := filepath.Join(k.dir, "init.sql")
	if err := os.WriteFile(init, []byte(name), 0o644); err != nil {
		return err
	}
	if m.install != "" {
		return k.tool(ctx, "", m.install, "--no-defaults", "--datadir="+k.template(), "--auth-root-authentication-method=normal", "--skip-test-db")
	}
	return k.tool(ctx, "", m.server, "--no-defaults", "--initialize-insecure", "--datadir="+k.template())
}

func (k *Kit) database() string {
	if k.opts.Database == "" {
		return "app"
	}
	return k.opts.Database
}

func (m mysql) command(k *Kit, dir string) ([]string, string) {
	args := []string{
		m.server, "--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--socket=" + m.socket(dir), "--pid-file=" + filepath.Join(dir, "pid"),
		"--tmpdir=" + dir, "--skip-networking", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--character-set-server=utf8mb4",
		"--init-file=" + filepath.Join(k.dir, "init.sql"),
	}
	if k.opts.Connections > 0 {
		args = append(args, "--max-connections="+strconv.Itoa(k.opts.Connections))
	}
	if m.install == "" {
		args = append(args, "--mysqlx=OFF")
	}
	return args, "KILL"
}

// ready reports whether the server listens. A client that connects then waits for the database.
func (m mysql) ready(dir string) bool {
	c, err := net.Dial("unix", m.socket(dir))
	return err == nil && c.Close() == nil
}

func (mysql) socket(dir string) string { return filepath.Join(dir, "s") }

func (m mysql) url(k *Kit, dir string) string {
	return "mysql://root@/" + url.PathEscape(k.database()) + "?" + strings.ReplaceAll(url.Values{"socket": {m.socket(dir)}}.Encode(), "+", "%20")
}
