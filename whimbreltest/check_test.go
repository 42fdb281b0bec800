//go:build unix

package whimbreltest_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/whimbreltest"
)

// envCheck names the case of checkCases, and the driver, that TestCheckOfACase checks.
const envCheck = "WHIMBREL_TEST_CHECK"

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

var good = fstest.MapFS{
	"0001_users.up.sql":    file("CREATE TABLE users (id int PRIMARY KEY, name varchar(100));"),
	"0001_users.down.sql":  file("DROP TABLE users;"),
	"0002_orders.up.sql":   file("CREATE TABLE orders (id int PRIMARY KEY);"),
	"0002_orders.down.sql": file("DROP TABLE orders;"),
	"0003_data.up.sql":     file("INSERT INTO users VALUES (1, 'Ada');"),
}

// with returns the good migrations with other files.
func with(files fstest.MapFS) fstest.MapFS {
	all := fstest.MapFS{}
	for name, f := range good {
		all[name] = f
	}
	for name, f := range files {
		all[name] = f
	}
	return all
}

var checkCases = map[string]struct {
	files fstest.MapFS
	want  []string // regular expressions for the output, in this order
}{
	"good": {good, []string{
		"--- PASS: .*/1_users ", "--- PASS: .*/2_orders ", "--- PASS: .*/3_data ", "it has no down script",
	}},
	"a down script that leaves something": {
		with(fstest.MapFS{"0002_orders.up.sql": file("CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE items (id int PRIMARY KEY);")}),
		[]string{
			"--- PASS: .*/1_users ", "--- FAIL: .*/2_orders ",
			"After up and down, the schema is not what it was before:\n\\s+table (public.)?items added:\n\\s+CREATE TABLE", "--- PASS: .*/3_data ",
		},
	},
	"an up script that fails": {
		with(fstest.MapFS{"0002_orders.up.sql": file("CREATE TABLE orders (id int PRIMARY KEY);\nSELECT nothing FROM nowhere;")}),
		[]string{
			"--- PASS: .*/1_users ", "--- FAIL: .*/2_orders ", `migration 2 orders \(up\) failed: 0002_orders.up.sql:2`, "--- SKIP: .*/3_data ", "not tried, since migration 2 failed",
		},
	},
	"a down script that fails": {
		with(fstest.MapFS{"0002_orders.down.sql": file("DROP TABLE order_list;")}),
		[]string{"--- FAIL: .*/2_orders ", `migration 2 orders \(down\) failed: 0002_orders.down.sql:1`, "--- PASS: .*/3_data "},
	},
	"a role": {with(fstest.MapFS{
		"0004_role.up.sql":   file("CREATE ROLE whimbreltest_reader;"),
		"0004_role.down.sql": file("DROP ROLE whimbreltest_reader;"),
	}), nil},
	"nothing": {fstest.MapFS{}, []string{`whimbreltest.Check: the folder "." has no migrations`}},
}

// TestCheckOfACase is run by TestCheck in a process of its own, since it may fail.
func TestCheckOfACase(t *testing.T) {
	name, driver, ok := strings.Cut(os.Getenv(envCheck), "/")
	if !ok {
		t.Skip("TestCheck runs it")
	}
	whimbreltest.Options{Driver: driver}.Check(t, checkCases[name].files)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for driver, k := range map[string]*kind{"postgres": servers[0], "mysql": servers[1], "sqlite": servers[2]} {
		for name, tc := range checkCases {
			if tc.want == nil { // another test runs it
				continue
			}
			t.Run(driver+"/"+name, func(t *testing.T) {
				t.Parallel()
				k.need(t)
				// TestMain of the child starts no server: it has those of this process.
				cmd := exec.Command(os.Args[0], "-test.run=^TestCheckOfACase$", "-test.v")
				cmd.Env = append(os.Environ(), envCheck+"="+name+"/"+driver, "TMPDIR="+t.TempDir()) // of SQLite's files
				out, err := cmd.CombinedOutput()
				if (name == "good") != (err == nil) {
					t.Errorf("the test ended with %v", err)
				}
				for _, want := range tc.want {
					if !regexp.MustCompile(want).Match(out) {
						t.Errorf("the output lacks %q", want)
					}
				}
				if t.Failed() {
					t.Logf("%s", out)
				}
			})
		}
	}
}

// Check refuses what reaches out of its database on a server that others use. On its own server it
// doesn't.
func TestCheckOfRoles(t *testing.T) {
	t.Parallel()
	k := servers[0]
	k.need(t)
	for _, tc := range []struct {
		name, url string
		fails     bool
		want      string
	}{
		{"on a given server", k.url, true, "reaches roles (CREATE ROLE)"},
		{"on its own server", "", false, "--- PASS: TestCheckOfACase/4_role "},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCheckOfACase$", "-test.v")
		cmd.Env = append(os.Environ(), envCheck+"=a role/postgres", k.variable+"="+tc.url)
		out, err := cmd.CombinedOutput()
		if tc.fails == (err == nil) || !strings.Contains(string(out), tc.want) {
			t.Errorf("%s: the test ended with %v, want %q in its output\n%s", tc.name, err, tc.want, out)
		}
	}
}
