package mysql_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// The error of an invalid URL says what to write, and contains no password.
func TestURLErrors(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	empty := filepath.Join(folder, "empty.pem")
	must(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	for u, want := range map[string]string{
		"mysql:app":                                  "use mysql://user:password@host:port/database",
		"mysql://u:secret@h/":                        "names no database",
		"mariadb://u:secret@h":                       "names no database",
		"mysql://u:secret@h/a/b":                     "name a socket with ?socket=",
		"mysql://u:se%cret@h/a":                      "%XX",
		"mysql://u:secret@h/a?parseTime=true":        `unknown parameter "parseTime"; the parameters are charset, cleartext-password, lock, socket, sql_mode, timeout, tls, tls-ca, tls-cert, tls-key`,
		"mysql://u:secret@h/a?timeout=5":             "use a duration such as 5s",
		"mysql://u:secret@h/a?timeout=1s&timeout=2s": "appears twice",
		"mysql://u:secret@h/a?socket=/x":             "a host and a socket",
		"mysql://u:secret@h/a?charset=latin1":        "utf8mb4",
		"mysql://u:secret@h/a?lock=maybe":            "use advisory or lease",
		"mysql://u:secret@h/a?tls=maybe":             "use true, skip-verify, preferred or false",
		"mysql://u:secret@h/a?tls-cert=/x":           "must be used together",
		"mysql://u:secret@h/a?tls-ca=/nowhere":       "no such file",
		"mysql://u:secret@h/a?tls-ca=" + empty:       "no certificate",
		"mysql://u:secret@h/a?cleartext-password=1":  "use true or false",
	} {
		_, err := database.Open(context.Background(), u, database.Options{})
		e := as[*database.URLError](t, err)
		contains(t, u, e.Error(), want)
		if strings.Contains(e.Error(), "secret") {
			t.Errorf("%s: the error shows the password: %v", u, e)
		}
	}
	_, err := database.Open(context.Background(), "mysql://h/a", database.Options{Schema: "b"})
	contains(t, "the error of a schema", err.Error(), "name that in the URL")
}

// The error of a failed connection says what to do.
func TestConnectErrors(t *testing.T) {
	t.Parallel()
	good := testdb.MariaDB(t)
	u, err := url.Parse(good)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	nobody := l.Addr().String()
	must(t, l.Close())
	noServer, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer noServer.Close()
	go func() {
		for {
			c, err := noServer.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for bad, want := range map[string]string{
		"mysql://root@" + nobody + "/a":                   "check host and port",
		"mysql://root@" + noServer.Addr().String() + "/a": "MySQL or MariaDB server",
		"mysql://root@no-such-host.invalid/a":             "host",
		"mysql://root@" + u.Host + "/no_such_database":    "create the database first",
		"mysql://" + u.Host + u.Path:                      "names no user",
		"mysql://somebody@" + u.Host + u.Path:             "the URL has no password",
		"mysql://somebody:wrong@" + u.Host + u.Path:       "check user and password",
		good + "?tls=true":                                "does not support TLS",
		"mysql://root@/a?socket=/no/such/socket":          "check the socket's path",
	} {
		_, err := database.Open(background(t), bad, database.Options{})
		e := as[*database.ConnectError](t, err)
		contains(t, bad, e.Error(), want)
		if strings.Contains(e.Error(), "wrong@") {
			t.Errorf("the error shows the password: %v", e)
		}
	}
}

// Sockets, and all TLS modes, work.
func TestWaysToConnect(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t)
	base := server.New()
	name := base[strings.LastIndexByte(base, '/')+1:]
	socket := strings.Replace(server.Socket(), "/?", "/"+name+"?", 1)
	equal(t, "the applied versions", versions(t, open(t, socket), "s"), "[]")
	equal(t, "the applied versions", versions(t, open(t, base+"?tls=preferred"), "s"), "[]")

	files := server.SpeakTLS()
	for _, query := range []string{
		"?tls=skip-verify", "?tls=preferred", "?tls-ca=" + files.CA, "?tls=true&tls-ca=" + files.CA,
		"?tls-ca=" + files.CA + "&tls-cert=" + files.Cert + "&tls-key=" + files.Key,
	} {
		db := open(t, base+query)
		rows, err := database.ReadQuery(background(t), db, "SHOW STATUS LIKE 'Ssl_cipher'")
		must(t, err)
		if rows.Rows[0][1] == "" {
			t.Errorf("%s: the connection is not encrypted", query)
		}
	}
	_, err := database.Open(background(t), base+"?tls=true", database.Options{})
	contains(t, "the error of a certificate nobody knows", as[*database.ConnectError](t, err).Error(), "tls-ca=")
}
