package source_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/whimbrel-db/whimbrel/source"
)

const (
	planHead = "%syntax-version=1.0.0\n%project=flipr\n%uri=https://example.com/flipr/\n\n"
	planner  = " 2024-01-02T03:04:05Z Marge N. O’Vera <marge@example.com>"
)

// planOf is a plan with these lines, each followed by a time and a planner.
func planOf(lines ...string) string {
	text := planHead
	for _, line := range lines {
		text += line + planner + " # a note, [with] @signs\n"
	}
	return text
}

func TestSqitch(t *testing.T) {
	psql := "BEGIN;\nSELECT 1;\nCOMMIT;\n"
	testReadings(t, source.Sqitch, []reading{
		{
			name: "the order of the plan, tags, and reworked changes",
			files: files("sqitch.conf", "[core]\n\tengine = pg\n\t# plan_file = sqitch.plan\n\t# top_dir = .\n", "sqitch.plan",
				planOf("zebra", "apple [zebra]", "@v1", "+ sub/users [apple @v1 !missing]", "@v2", "@v2b", "apple [apple@v1 sub/users@v2]"),
				"deploy/zebra.sql", psql, "deploy/apple@v1.sql", "SELECT 2;", "deploy/sub/users.sql", up, "deploy/apple.sql", up,
				"revert/zebra.sql", up, "revert/apple@v1.sql", up, "revert/apple.sql", "-- nothing\n"),
			want: `1 zebra
  up deploy/zebra.sql "BEGIN;\nSELECT 1;\nCOMMIT;\n"
  down revert/zebra.sql "SELECT 1;"
2 apple
  up deploy/apple@v1.sql "SELECT 2;"
  down revert/apple@v1.sql "SELECT 1;"
3 sub/users
  up deploy/sub/users.sql "SELECT 1;"
4 apple
  up deploy/apple.sql "SELECT 1;"`,
		},
		{
			name: "a plan with a byte-order mark, CRLF, tabs and comments",
			files: files("sqitch.plan", "\ufeff"+strings.ReplaceAll("%syntax-version=1.0.0\n% project = flipr\n# a comment in the header\n\n# another\n\ta\t2024-01-02T03:04:05Z\tX <x@y>\n   \n  b [a]2024-01-02T03:04:05Z X <x@y>\n", "\n", "\r\n"),
				"deploy/a.sql", up, "deploy/b.sql", up),
			want: "1 a\n  up deploy/a.sql \"SELECT 1;\"\n2 b\n  up deploy/b.sql \"SELECT 1;\"",
		},
		{
			name: "other places, and another extension",
			files: files("sqitch.conf", "[core]\n\tengine = pg\n\ttop_dir = db # here\n\textension = ddl\n[engine \"pg\"]\n\tdeploy_dir = \"db/up\"\n[engine \"sqlite\"]\n\tdeploy_dir = elsewhere\n[target \"x\"]\n\ttop_dir = no\n",
				"db/sqitch.plan", planOf("a"), "db/up/a.ddl", up, "db/revert/a.ddl", up),
			want: "1 a\n  up db/up/a.ddl \"SELECT 1;\"\n  down db/revert/a.ddl \"SELECT 1;\"",
		},
		{
			name:   "places outside of the folder",
			files:  files("sqitch.conf", "[core]\n\ttop_dir = ../db\n\tplan_file = /etc/plan\n\textension = a/b\n", "sqitch.plan", planOf("a"), "deploy/a.sql", up),
			errors: "sqitch.conf:2:2: top_dir = ../db is outside of this folder; name the folder that contains it\nsqitch.conf:3:2: plan_file = /etc/plan is outside of this folder; name the folder that contains it\nsqitch.conf:4:2: extension = a/b can't be part of a file's name",
		},
		{
			name:     "what does not run",
			files:    files("sqitch.plan", planOf("a"), "deploy/a.sql", up, "deploy/b.sql", up, "revert/c/d.sql", up, "verify/a.sql", up, "verify/b.sql", up),
			want:     "1 a\n  up deploy/a.sql \"SELECT 1;\"",
			warnings: "verify: Whimbrel does not run the verify scripts of Sqitch; it verifies a migration by what it and its down script do to a schema\ndeploy/b.sql: Sqitch skips this file, so it does not run: no change of sqitch.plan has this name\nrevert/c/d.sql: Sqitch skips this file, so it does not run: no change of sqitch.plan has this name",
		},
		{
			name:   "changes without a script",
			files:  files("sqitch.plan", planOf("a", "@v1", "a")),
			errors: "sqitch.plan:5:1: the change a has no deploy script: there is no file deploy/a@v1.sql\nsqitch.plan:7:1: the change a has no deploy script: there is no file deploy/a.sql",
		},
		{
			name: "what is wrong with changes and tags",
			files: files("sqitch.plan", planHead+"@v0"+planner+"\na"+planner+"\na"+planner+"\n-a"+planner+"\n_-"+planner+"\nb\nb X <x@y>\nb 2024-01-02T03:04:05Z\nb 2024-13-02T03:04:05Z X <x@y>\nb nonsense 2024-01-02T03:04:05Z X <x@y>\nHEAD"+planner+"\n"+
				strings.Repeat("a", 40)+planner+"\nb^2"+planner+"\n@v/x"+planner+"\n@v1 [a]"+planner+"\n@v1"+planner+"\n@v1"+planner+"\n%x=1\n", "deploy/a.sql", up),
			errors: `sqitch.plan:5:2: the tag @v0 comes before the first change
sqitch.plan:7:1: the change a is also in line 6; to rework it, a tag must be between them
sqitch.plan:8:1: "-" requests that a be reverted, which Sqitch has no support for; write a change that reverts it
sqitch.plan:9:1: the name "_-" is not valid: names don't begin or end with punctuation other than "_", and have no blank, "@", ":", "#" or "\" in them
sqitch.plan:10:1: b has no timestamp such as 2024-01-31T09:30:00Z
sqitch.plan:11:1: b has no timestamp such as 2024-01-31T09:30:00Z
sqitch.plan:12:1: b has no planner: NAME <EMAIL>
sqitch.plan:13:1: 2024-13-02T03:04:05Z is no date and time
sqitch.plan:14:1: b has no timestamp such as 2024-01-31T09:30:00Z
sqitch.plan:15:1: "HEAD" is a name that Sqitch reserves
sqitch.plan:16:1: the name "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" could be the ID of a change
sqitch.plan:17:1: the name "b^2" is not valid: names don't begin or end with punctuation other than "_", and have no blank, "@", ":", "#" or "\" in them
sqitch.plan:18:2: the tag "v/x" has a slash in it
sqitch.plan:19:2: the tag @v1 has dependencies, which only changes have
sqitch.plan:21:2: the tag @v1 is also in line 20
sqitch.plan:22:1: the pragma %x comes after an empty line, where Sqitch reads changes; move it up`,
		},
		{
			name: "dependencies",
			files: files("sqitch.plan", planOf("a", "b [c a:b]", "é [a  d b a]", "@v1", "c [!a !d @v2 c c@v1]", "d [other:x !other:x flipr:a 0123456789012345678901234567890123456789 x@@y]"),
				"deploy/a.sql", up, "deploy/b.sql", up, "deploy/é.sql", up, "deploy/c.sql", up, "deploy/d.sql", up),
			errors: `sqitch.plan:6:4: b depends on c, which is not in a line before it
sqitch.plan:6:6: b depends on a change of another project, a:b, which Whimbrel can't check; remove the dependency
sqitch.plan:7:7: é depends on d, which is not in a line before it
sqitch.plan:7:11: é depends on "a" twice
sqitch.plan:9:4: c conflicts with a, which the plan deploys before it
sqitch.plan:9:10: c depends on @v2, which is not in a line before it
sqitch.plan:9:14: c depends on itself
sqitch.plan:9:16: c depends on itself
sqitch.plan:10:4: d depends on a change of another project, other:x, which Whimbrel can't check; remove the dependency
sqitch.plan:10:12: d depends on a change of another project, other:x, which Whimbrel can't check; remove the dependency
sqitch.plan:10:29: d depends on a change by its ID, which Whimbrel can't check; name the change instead
sqitch.plan:10:70: "x@@y" is not a dependency; they look like users, users@v1, @v1, and !users`,
		},
		{name: "a plan without a project", files: files("sqitch.plan", "%syntax-version=1.0.0\n\na"+planner, "deploy/a.sql", up), errors: "sqitch.plan: has no line %project=NAME before its first empty line, which Sqitch needs"},
		{name: "a plan without a header", files: files("sqitch.plan", "%project=x\na"+planner, "deploy/a.sql", up), errors: "sqitch.plan:2:1: an empty line must come between the pragmas (%syntax-version, %project) and the changes"},
		{name: "another syntax", files: files("sqitch.plan", "%syntax-version=2.0.0\n%project=-\n"), errors: "sqitch.plan:1:1: the plan has syntax version 2.0.0; Whimbrel reads 1.0.0\nsqitch.plan:2:1: the project's name \"-\" is not valid: names don't begin or end with punctuation other than \"_\", and have no blank, \"@\", \":\", \"#\" or \"\\\" in them"},
		{name: "no plan", files: files("sqitch.conf", "[core]\nengine = pg"), errors: "sqitch.plan: can't be read: file does not exist"},
	})
}

func TestSqitchOrigins(t *testing.T) {
	t.Parallel()
	set, err := source.Read(files("sqitch.plan", planOf("a", "@v1", "@v2", "a"), "deploy/a@v2.sql", up, "deploy/a.sql", up), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, id := range []string{"a@v2", "a"} {
		if o := set.All()[i].Origin; o == nil || o.ID != id || !o.When.Equal(want) {
			t.Errorf("Origin = %v, want %s at %v", o, id, want)
		}
	}
}

// The order of versions is that of the plan, whatever the names are.
func TestSqitchOrderIsThatOfThePlan(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		folder := fstest.MapFS{}
		var lines, want []string
		tagged := map[string]int{} // the tags when a change was last added
		tags := 0
		for range 1 + r.IntN(20) {
			name := fmt.Sprintf("%c%d", 'a'+rune(r.IntN(5)), r.IntN(3))
			if at, again := tagged[name]; again && at == tags {
				tags++
				lines = append(lines, fmt.Sprintf("@t%d", tags))
			}
			if at, again := tagged[name]; again { // the script of the older one gets a name with a tag
				old := fmt.Sprintf("deploy/%s@t%d.sql", name, at+1+r.IntN(tags-at))
				folder[old] = folder["deploy/"+name+".sql"]
			}
			text := fmt.Sprintf("SELECT %d;", len(want))
			folder["deploy/"+name+".sql"] = &fstest.MapFile{Data: []byte(text)}
			tagged[name] = tags
			lines, want = append(lines, name), append(want, text)
		}
		folder["sqitch.plan"] = &fstest.MapFile{Data: []byte(planOf(lines...))}
		set, err := source.Read(folder, source.Options{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var got []string
		for _, m := range set.All() {
			text, _, _ := m.Up.Text(100)
			got = append(got, text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: got %v, want %v", seed, got, want)
		}
	}
}

// testdata/sqitch_plans.json has random plans, and for those that Sqitch 1.3.1 accepts the changes
// that "sqitch plan" lists. Whimbrel accepts the same ones, but for dependencies that it can't
// check and conflicts that prevent the plan from being deployed.
func TestSqitchPlansAsSqitchReadsThem(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/sqitch_plans.json")
	if err != nil {
		t.Fatal(err)
	}
	var plans []struct {
		Plan    string
		Changes []string
	}
	if err := json.Unmarshal(text, &plans); err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for _, p := range plans {
		names, err := source.PlannedChanges(p.Plan)
		var wrong *source.FolderError
		if errors.As(err, &wrong) && !slices.ContainsFunc(wrong.Problems, func(e *source.Error) bool {
			return !strings.Contains(e.Msg, " conflicts with ") && !strings.Contains(e.Msg, "Whimbrel can't check")
		}) {
			continue
		}
		if (err == nil) != (p.Changes != nil) || err == nil && !slices.Equal(names, p.Changes) {
			t.Errorf("%s\ngot %v, %v; Sqitch: %v", p.Plan, names, err, p.Changes)
		}
		if err == nil {
			accepted++
		}
	}
	if accepted < 15 || len(plans)-accepted < 100 {
		t.Errorf("%d of %d plans are accepted", accepted, len(plans))
	}
}

func TestSqitchNewFiles(t *testing.T) {
	t.Parallel()
	folder := files("sqitch.conf", "[core]\nengine = pg\n", "sqitch.plan", strings.TrimSuffix(planOf("a"), "\n"), "deploy/a.sql", up)
	made, err := source.NewFiles(folder, source.NewOptions{Name: "add users"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range made {
		names = append(names, fmt.Sprint(f.Name, " ", f.Rewrite))
		folder[f.Name] = &fstest.MapFile{Data: []byte(f.Content)}
	}
	if got, want := strings.Join(names, ", "), "deploy/add_users.sql false, revert/add_users.sql false, sqitch.plan true"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if version, err := made[0].Version(); version != 2 {
		t.Errorf("version = %v, %v", version, err)
	}
	if !strings.HasPrefix(made[2].Content, planOf("a")+"add_users 2") || !strings.HasSuffix(made[2].Content, "Z Whimbrel <whimbrel@localhost> # add users\n") {
		t.Errorf("plan = %s", made[2].Content)
	}
	set, err := source.Read(folder, source.Options{})
	if err != nil || set.Len() != 2 || set.All()[1].Up.Problem == nil {
		t.Errorf("set = %v, %v", set, err)
	}
	folder["sqitch.conf"] = &fstest.MapFile{Data: []byte("[user]\n\tname = M O\n\temail = m@x.y\n")}
	made, err = source.NewFiles(folder, source.NewOptions{Name: "c"})
	if err != nil || !strings.HasSuffix(made[2].Content, "Z M O <m@x.y> # c\n") {
		t.Errorf("made = %v, %v", made, err)
	}
	for name, want := range map[string]string{
		"a":   "sqitch.plan: has a change a already; to rework it, use: sqitch rework a",
		"b-":  `"b-" can't be the name of a change: `,
		"a b": "",
	} {
		_, err := source.NewFiles(folder, source.NewOptions{Name: name})
		if got := errorText(err); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	_, err = source.NewFiles(files(), source.NewOptions{Name: "a", Format: source.Sqitch})
	if got, want := errorText(err), "sqitch.plan: is missing; create it with: sqitch init PROJECT"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
