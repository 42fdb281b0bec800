package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
	"github.com/jackc/pgpassfile"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// command is a command in the configuration: a list of its words, or a line for the shell.
type command struct {
	argv []string
	at   *token.Position
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (c *command) UnmarshalYAML(n ast.Node) error {
	c.at = n.GetToken().Position
	if list, ok := n.(*ast.SequenceNode); ok {
		for _, word := range list.Values {
			var s scalar
			if err := s.UnmarshalYAML(word); err != nil {
				return err
			}
			c.argv = append(c.argv, s.text)
		}
	} else {
		var s scalar
		if err := s.UnmarshalYAML(n); err != nil {
			return err
		}
		c.argv = shell(s.text)
	}
	if len(c.argv) == 0 || c.argv[len(c.argv)-1] == "" {
		return &yaml.SyntaxError{Message: "the command is empty", Token: n.GetToken()}
	}
	return nil
}

func shell(line string) []string {
	if strings.TrimSpace(line) == "" {
		return nil
	}
	if runtime.GOOS == "windows" {
		return []string{"cmd", "/C", line}
	}
	return []string{"sh", "-c", line}
}

// errCompleting says that a completion needs a program's answer.
var errCompleting = errors.New("a completion does not run password_command")

// passwordTimeout limits how long the password command may run.
const passwordTimeout = 30 * time.Second

// run returns what the command prints, without the end of the line. No error contains its output.
func (c *command) run(config *config) (string, error) {
	ctx, stop := context.WithTimeout(context.Background(), passwordTimeout)
	defer stop()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.WaitDelay = time.Second // for a child that keeps the pipe open
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	password := strings.TrimRight(out.String(), "\r\n")
	at := &scalar{at: c.at}
	switch {
	case ctx.Err() != nil:
		return "", config.fail(at, "password_command did not end within %s", passwordTimeout.String())
	case err != nil:
		return "", config.fail(at, "password_command failed: %v", err)
	case password == "":
		return "", config.fail(at, "password_command printed no password")
	case strings.ContainsAny(password, "\r\n\x00"):
		return "", config.fail(at, "password_command printed more than one line")
	}
	return password, nil
}

// server is the part of a database URL that a password belongs to.
type server struct {
	dialect                    sqltext.Dialect
	user, host, port, database string
	before, after              string // the URL around the place of the password
}

// serverOf returns the server of a URL without a password. It returns false for any other URL, and
// for one that names a password file.
func serverOf(raw string) (s server, ok bool) {
	scheme, rest, ok := strings.Cut(raw, "://")
	s.dialect = dialectOf(scheme)
	if !ok || s.dialect != sqltext.PostgreSQL && s.dialect != sqltext.MySQL {
		return s, false
	}
	place, query, _ := strings.Cut(rest, "?")
	params, err := url.ParseQuery(query)
	if err != nil || params.Get("password") != "" || params.Get("passfile") != "" {
		return s, false
	}
	userinfo, hosts, hasUser := strings.Cut(place, "@")
	if !hasUser || userinfo == "" || strings.Contains(userinfo, ":") || strings.Contains(userinfo, "/") {
		return s, false
	}
	if s.user, err = url.PathUnescape(userinfo); err != nil {
		return s, false
	}
	hosts, name, _ := strings.Cut(hosts, "/")
	first, _, _ := strings.Cut(hosts, ",")
	if s.host, s.port, err = net.SplitHostPort(first); err != nil {
		s.host = strings.Trim(first, "[]")
	}
	if s.host == "" {
		s.host = params.Get("host")
	}
	if s.database, err = url.PathUnescape(name); err != nil {
		return s, false
	}
	s.before, s.after = scheme+"://"+userinfo, raw[len(scheme)+len("://")+len(userinfo):]
	return s, true
}

func (s server) withPassword(password string) string {
	return s.before + url.UserPassword("", password).String() + s.after
}

// withPassword adds a missing password to the URL of a server: from the configuration's
// password_command if the URL is the configuration's, from the environment, or from the file in
// which the server's own clients look.
func (a *app) withPassword(raw string, configured bool) (string, error) {
	s, ok := serverOf(raw)
	if !ok {
		return raw, nil
	}
	if complete, ok := a.passwords[raw]; ok {
		return complete, nil
	}
	password, err := a.password(s, configured)
	if err != nil || password == "" {
		return raw, err
	}
	complete := s.withPassword(password)
	a.secrets.add(complete)
	if a.passwords == nil {
		a.passwords = map[string]string{}
	}
	a.passwords[raw] = complete
	return complete, nil
}

func (a *app) password(s server, configured bool) (string, error) {
	if configured {
		c, env, err := a.sections()
		if err != nil {
			return "", err
		}
		for _, section := range []*section{env, c.top()} {
			if section.PasswordCommand != nil {
				if a.completing {
					return "", errCompleting
				}
				return section.PasswordCommand.run(c)
			}
		}
	}
	if s.dialect == sqltext.MySQL {
		if password := a.variable("MYSQL_PWD"); password != "" {
			return password, nil
		}
		return a.optionFilePassword(s)
	}
	if password := a.variable("PGPASSWORD"); password != "" {
		return password, nil
	}
	return a.passfilePassword(s)
}

// top returns the section at the top of the file, empty without a file.
func (c *config) top() *section {
	if c == nil {
		return &section{}
	}
	return &c.Top
}

// passfilePassword returns the password from libpq's password file, "" for none.
func (a *app) passfilePassword(s server) (string, error) {
	path, given := a.LookupEnv("PGPASSFILE")
	if path == "" {
		given = false
		path = a.home(".pgpass")
		if dir := a.variable("APPDATA"); runtime.GOOS == "windows" && dir != "" {
			path = filepath.Join(dir, "postgresql", "pgpass.conf")
		}
	}
	text, err := a.readSecret(path, given, 0o077, "others can read it; allow only its owner: chmod 600 "+path)
	if err != nil || text == nil {
		return "", err
	}
	file, err := pgpassfile.ParsePassfile(bytes.NewReader(text))
	if err != nil {
		return "", usage("", "can't read the password file %s", path)
	}
	host, port := s.host, s.port
	if host == "" || strings.HasPrefix(host, "/") {
		host = "localhost" // as libpq looks up a socket
	}
	if port == "" {
		port = "5432"
	}
	return file.FindPassword(host, port, s.database, s.user), nil
}

// optionFilePassword returns the password for clients from MySQL's option file, "" for none. It
// applies if the file names no other user and no other host.
func (a *app) optionFilePassword(s server) (string, error) {
	text, err := a.readSecret(a.home(".my.cnf"), false, 0o002, "others can write to it")
	if err != nil || text == nil {
		return "", err
	}
	options, client := map[string]string{}, false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			client = line == "[client]" || line == "[client-mariadb]" || line == "[client-server]"
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !client || !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		options[strings.TrimSpace(name)] = optionValue(strings.TrimSpace(value))
	}
	if user := options["user"]; user != "" && user != s.user {
		return "", nil
	}
	if host := options["host"]; host != "" && host != s.host {
		return "", nil
	}
	return options["password"], nil
}

// optionValue removes quotes, or a comment, from a value.
func optionValue(v string) string {
	if len(v) > 1 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		return v[1 : len(v)-1]
	}
	return trailing.ReplaceAllString(v, "")
}

// home returns the path of a file in the user's home directory, "" if that is unknown.
func (a *app) home(name string) string {
	dir := a.variable("HOME")
	if dir == "" && runtime.GOOS == "windows" {
		dir = a.variable("USERPROFILE")
	}
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

const maxSecretFile = 1 << 20

// readSecret reads a file with passwords. It returns nil if the file does not exist, unless the
// user has named it. It ignores a file that others may access, with a warning: the bits of its mode
// in forbidden must not be set.
func (a *app) readSecret(path string, given bool, forbidden fs.FileMode, why string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&forbidden != 0:
		a.print().Waiting(fmt.Sprintf("warning: the password file %s is ignored: %s", path, why))
		return nil, nil
	}
	text, err := readFile(path, maxSecretFile)
	if err != nil && given {
		return nil, usage("", "can't read the password file %s: %v", path, err)
	}
	return text, nil
}
