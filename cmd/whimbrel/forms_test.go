package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	processes = regexp.MustCompile(`pid \d+|process \d+|[0-9a-f]{12,}`)
	bare      = regexp.MustCompile(`(^|[^0-9])(337|341|359|367)([^0-9]|$)`)
	otherTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d`)
	sentence  = regexp.MustCompile(`(since|until|at) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d( UTC)?`)
)

// Every text that the command prints has versions as the files are named, and times in UTC as
// 2026-11-23 08:50:07.
func TestOneFormOfVersionsAndTimes(t *testing.T) {
	t.Parallel()
	sh := newShell(t, t.TempDir())
	sh.env = append(sh.env, "WHIMBREL_DATABASE_URL=sqlite:app.db")
	sh.run(`mkdir migrations; cd migrations
echo 'CREATE TABLE a (x int);' > 0337_a.up.sql; echo 'DROP TABLE a;' > 0337_a.down.sql
echo 'CREATE TABLE b (x int);' > 0341_b.up.sql
echo 'CREATE TABLE c (x int);' > 0359_c.up.sql; echo 'DROP TABLE nosuch;' > 0359_c.down.sql`)
	versions := 0
	for _, command := range []string{
		"whimbrel", "whimbrel status", "whimbrel plan", "whimbrel to 341", "whimbrel to 341", "whimbrel history", "whimbrel status",
		"whimbrel to 999", "whimbrel up --dry-run", "whimbrel up", "whimbrel down", "whimbrel down --to 337", "whimbrel mark 341", "whimbrel forget 341 999",
		"whimbrel forget 341", "whimbrel up", "whimbrel up --allow-out-of-order --dry-run", "whimbrel mark 341", "whimbrel redo", "whimbrel history show 2",
		"whimbrel baseline 341", "whimbrel resolve 341 --retry", "whimbrel abandon 341", "whimbrel squash --from 337 --to 999 --name q",
		"echo 'CREATE TABLE a (y int);' > migrations/0337_a.up.sql; whimbrel verify", "whimbrel up", "whimbrel status", "whimbrel",
		"whimbrel accept 337 --reason 'only the name'", "whimbrel verify",
		"printf -- '-- whimbrel: no-transaction\\nCREATE TABLE d (x int);\\nSELECT nosuch;\\n' > migrations/0367_d.up.sql; whimbrel up", "whimbrel status", "whimbrel up",
		"whimbrel resolve 367 --done", "whimbrel abandon 367", "rm migrations/0367_d.up.sql; whimbrel up; whimbrel down", "whimbrel history",
		"whimbrel freeze --reason later --until 2099-01-01", "whimbrel up", "whimbrel plan", "whimbrel settings", "whimbrel reset --dry-run", "whimbrel history",
		"whimbrel report --out r.html && sed 's/datetime=\"[^\"]*\"//g' r.html", "whimbrel thaw", "whimbrel settings set order any --until '2099-01-01 08:00:00 UTC'",
		"whimbrel history --since '2026-01-01 00:00:00 UTC'", "whimbrel __complete to ''",
	} {
		out := sh.answer(command)
		if strings.TrimSpace(out) == "" {
			t.Errorf("%s prints nothing", command)
		}
		text := processes.ReplaceAllString(moments.ReplaceAllString(lengths.ReplaceAllString(out, ""), "WHEN"), "")
		if found := bare.FindString(text); found != "" {
			t.Errorf("%s prints the version %q without its zero:\n%s", command, found, out)
		}
		if found := otherTime.FindString(out); found != "" {
			t.Errorf("%s prints the time %q:\n%s", command, found, out)
		}
		for _, m := range sentence.FindAllStringSubmatch(out, -1) {
			if m[2] == "" {
				t.Errorf("%s prints %q without its zone:\n%s", command, m[0], out)
			}
		}
		versions += strings.Count(out, "0341") + strings.Count(out, "0367")
	}
	if versions < 40 {
		t.Errorf("all commands together print a version %d times; want 40 or more", versions)
	}
	if _, err := os.Stat(sh.dir + "/r.html"); err != nil {
		t.Error(err)
	}
}
