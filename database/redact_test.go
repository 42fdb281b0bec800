package database_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/whimbrel-db/whimbrel/database"
)

func TestRedact(t *testing.T) {
	for url, want := range map[string]string{
		"":                                          "",
		"migrations/app.db":                         "migrations/app.db",
		`C:\data\app.db`:                            `C:\data\app.db`,
		"sqlite:app.db":                             "sqlite:app.db",
		"sqlite:///var/lib/app.db?mode=ro":          "sqlite:///var/lib/app.db?mode=ro",
		"sqlite:app.db?_key=secret":                 "sqlite:app.db?_key=xxxxx",
		"sqlite://user:secret@host/db":              "sqlite:…",
		"postgres://host/db":                        "postgres://host/db",
		"postgres://host:5432/db":                   "postgres://host:5432/db",
		"postgres://[::1]:5432/db":                  "postgres://[::1]:5432/db",
		"postgres://user@host:5432/db":              "postgres://user@host:5432/db",
		"postgres://user:secret@host:5432/db":       "postgres://user:xxxxx@host:5432/db",
		"postgres://user:secret@a:1,b:2/db":         "postgres://user:xxxxx@a:1,b:2/db",
		"postgres://user:@host/db":                  "postgres://user:xxxxx@host/db",
		"postgres://:secret@host/db":                "postgres://:xxxxx@host/db",
		"mysql://user:s:e%2Fcret@host/db":           "mysql://user:xxxxx@host/db",
		"postgres://user:secret@h/db?sslmode=d&a=b": "postgres://user:xxxxx@h/db?sslmode=d&a=xxxxx",
		"postgres:///db?user=u&password=secret":     "postgres:///db?user=xxxxx&password=xxxxx",
		"postgres:///db?PASSWORD=secret&secret":     "postgres:///db?PASSWORD=xxxxx&…",
		"postgres:///db?sslpassword=secret":         "postgres:///db?sslpassword=xxxxx",
		"postgres:///db?sslmode=:secret":            "postgres:///db?sslmode=xxxxx",

		// What is not certain: the scheme alone, or less.
		"postgres://user:se/cret@host/db":          "postgres://…",
		"postgres://user:se@cret@host/db":          "postgres://…",
		"postgres://user:se#cret@host/db":          "postgres://…",
		"postgres://user:se?cret@host/db":          "postgres://…",
		"postgres://user:secret@h/db?mail=a@b":     "postgres://…",
		"postgres://user:secret":                   "postgres://…",
		"postgres://user:secret/db":                "postgres://…",
		"postgres://user:my secret@host/db":        "postgres://…",
		"postgres://user:%zz@host":                 "postgres://…",
		"libsql://x.example.io?authToken=secret":   "libsql://…",
		"user:secret@tcp(host)/db":                 "…",
		"secret:x@host":                            "…",
		`host=h password='it\'s secret' user=u`:    "host=xxxxx password=xxxxx user=xxxxx",
		"see postgres://user:secret@host/db there": "…",
	} {
		got := database.Redact(url)
		if got != want {
			t.Errorf("Redact(%q) = %q, want %q", url, got, want)
		}
		if again := database.Redact(got); again != got {
			t.Errorf("Redact(%q) = %q: the second call changes what the first returned", got, again)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://user:secret@host:5432/db?sslmode=disable": "",
		"postgres:///db?host=/tmp":                            "",
		"postgres://u:p@[::1]:1,b/db":                         "",
		"postgres://%2Ftmp:5432/db":                           "",
		"mysql://root:s%2Fe%40c@127.0.0.1:3306/db?lock=lease": "",
		"postgres://postgres:pa/ss@127.0.0.1:1/postgres":      "the password seems to contain / or @; write %2F or %40",
		"postgres://postgres:pa@ss@127.0.0.1:1/postgres":      "the password seems to contain / or @; write %2F or %40",
		"postgres://postgres:pa#ss@127.0.0.1:1/postgres":      "the password seems to contain #; write %23",
		"postgres://postgres:pa?ss@127.0.0.1:1/postgres":      "the password seems to contain ?; write %3F",
		"postgres://u:p@ss?a=b@host/db":                       "the password seems to contain / or @; write %2F or %40",
		"postgres://user:1234/x@host":                         "the password seems to contain / or @; write %2F or %40",
		"postgres://user:secret/db":                           "is not user:password@host:port",
		"mysql://user:secret@tcp(127.0.0.1:3306)/db":          "write mysql://user:password@host:port/database",
		"mysql://user:secret@unix(/run/mysqld.sock)/db":       "mysql://user@/database?socket=/path",
		"postgres://user:a b@host/db":                         "white space",
		"postgres://user:a%b@host/db":                         "%25 for %",
		"postgres://user:ä@host/db":                           "is written %XX",
	} {
		err := database.CheckURL(url)
		var ue *database.URLError
		switch {
		case want == "" && err != nil:
			t.Errorf("CheckURL(%q) = %v", url, err)
		case want != "" && (!errors.As(err, &ue) || !strings.Contains(ue.Msg, want)):
			t.Errorf("CheckURL(%q) = %v, want %q", url, err, want)
		}
	}
}

func TestRedactor(t *testing.T) {
	r := database.NewRedactor("postgres://app:hunter%2F2@db.example/app", "app.db", "libsql://h?authToken=tok3n", "mysql://root:root@h/db")
	for text, want := range map[string]string{
		"unknown command postgres://app:hunter%2F2@db.example/app": "unknown command postgres://app:xxxxx@db.example/app",
		"the password hunter/2 is wrong":                           "the password xxxxx is wrong",
		`invalid port ":hunter%2F2" after host`:                    `invalid port ":xxxxx" after host`,
		"hunter/23 is another word":                                "hunter/23 is another word",
		"libsql://h?authToken=tok3n":                               "libsql://…",
		"app.db is a file":                                         "app.db is a file",
		"the user root":                                            "the user root",
	} {
		if got := r.Redact(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestRedactText(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "",
		"no URL: a@b":                       "no URL: a@b",
		"moved to postgres://u:secret@h/db": "moved to postgres://u:xxxxx@h/db",
		"x (mysql://u:se cret@h/db), and y": "x (mysql://…), and y",
		"see https://example.org/doc/1":     "see https://example.org/doc/1",
		"https://user:secret@example.org":   "https://…",
		"https://example.org?token=secret":  "https://…",
	} {
		if got := database.RedactText(text); got != want {
			t.Errorf("RedactText(%q) = %q, want %q", text, got, want)
		}
	}
}

// The canary is the password of URLs that are invalid in some way.
const canary = "Zk9QwCanary7xV"

func FuzzRedact(f *testing.F) {
	for _, s := range []struct{ scheme, user, before, after, tail string }{
		{"postgres", "u", "", "", "@h/db"},
		{"mysql", "root", "", "/x", "@127.0.0.1:3306/db"},
		{"mysql", "root", "pa#", "?", "@127.0.0.1:3306/db?lock=lease"},
		{"postgres", "", "@", "@", "@[::1]:5432,b/db#x"},
		{"postgres", "x?sslmode=", "", "", ""},
		{"sqlite", "x", "", "", "@h/db"},
		{"libsql", "h?authToken=", "", "", ""},
		{"postgres", "u", "%zz", " ", "@h:port/db"},
		{"p\x00q", "[", "::", "]", ""},
	} {
		f.Add(s.scheme, s.user, s.before, s.after, s.tail)
	}
	f.Fuzz(func(t *testing.T, scheme, user, before, after, tail string) {
		if strings.ContainsAny(scheme, ":/\n") { // then it is not the scheme
			return
		}
		url := scheme + "://" + user + ":" + before + canary + after + tail
		for _, shown := range []string{
			database.Redact(url),
			database.NewURLError(url, "want another").Error(),
			database.NewRedactor(url).Redact("here is " + url + " again"),
			fmt.Sprint(database.CheckURL(url)),
		} {
			if strings.Contains(shown, canary) {
				t.Errorf("%q is shown as %q", url, shown)
			}
		}
		if strings.Contains(tail, "@") && !strings.Contains(url, "\n") || !strings.ContainsFunc(url, unicode.IsSpace) { // else nobody can tell where it ends
			if shown := database.RedactText("a text with " + url); strings.Contains(shown, canary) {
				t.Errorf("in a text %q is shown as %q", url, shown)
			}
		}
		if shown := database.Redact(url); database.Redact(shown) != shown {
			t.Errorf("%q becomes %q, and that becomes %q", url, shown, database.Redact(shown))
		}
	})
}
