package locktable

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

var update = flag.Bool("update", false, "write testdata and docs/locks.md")

const page = "../../docs/locks.md"

// supported are the versions of the page.
var supported = []int{13, 14, 15, 16, 17, 18}

// fact is a line of testdata: what a statement did on one server.
type fact struct {
	SQL string `json:"sql"`
	observation
}

// TestThePageAgreesWithTheServers runs every statement of the page on every server, and compares
// the result with testdata, and the page with testdata.
func TestThePageAgreesWithTheServers(t *testing.T) {
	t.Run("servers", func(t *testing.T) {
		for _, m := range testdb.PostgresMajors(t) {
			t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
				t.Parallel()
				agree(t, fmt.Sprintf("postgres-%d.jsonl", m.Major), observeAll(t, m))
			})
		}
	})
	comparePage(t, "postgresql", postgresTables(t))
}

// observeAll runs all statements on one server.
func observeAll(t *testing.T, m testdb.Major) []fact {
	t.Helper()
	var facts []fact
	o := newObserver(t, m.Major, m.New(t))
	each(m.Major, func(s statement) {
		if !s.alone {
			facts = append(facts, fact{s.sql, o.inTransaction(s)})
		}
	})
	each(m.Major, func(s statement) {
		if s.alone {
			facts = append(facts, fact{s.sql, o.alone(s)})
		}
	})
	return facts
}

func each(major int, do func(statement)) {
	for _, sec := range sections {
		for _, s := range sec.statements {
			if s.since <= major {
				do(s)
			}
		}
	}
}

// agree compares values with the lines of a file of testdata.
func agree[T any](t *testing.T, name string, got []T) {
	t.Helper()
	file := filepath.Join("testdata", name)
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	for _, v := range got {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(text.String(), "\n")); diff != "" {
		t.Errorf("%s differs; run: go test ./internal/locktable -update\n(-want +got):\n%s", file, diff)
	}
}

// read returns the values of a file of testdata.
func read[T any](t *testing.T, name string) (all []T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%s: %v in %s", name, err, line)
		}
		all = append(all, v)
	}
	return all
}

// comparePage compares a generated part of docs/locks.md, which is between two comments.
func comparePage(t *testing.T, part, want string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	first, last := "<!-- generated: "+part+" -->\n", "<!-- end: "+part+" -->\n"
	before, rest, ok := strings.Cut(string(text), first)
	got, after, ok2 := strings.Cut(rest, last)
	if !ok || !ok2 {
		t.Fatalf("docs/locks.md has no part between %q and %q", first, last)
	}
	want = "\n" + want + "\n"
	if *update && !t.Failed() {
		if err := os.WriteFile(page, []byte(before+first+want+last+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("docs/locks.md differs from testdata; run: go test ./internal/locktable -update\n(-want +got):\n%s", diff)
	}
}

// postgresTables returns the tables of the page.
func postgresTables(t *testing.T) string {
	t.Helper()
	known := map[int]map[string]observation{}
	for _, major := range supported {
		known[major] = map[string]observation{}
		for _, f := range read[fact](t, fmt.Sprintf("postgres-%d.jsonl", major)) {
			known[major][f.SQL] = f.observation
		}
	}
	var b strings.Builder
	for i, sec := range sections {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "### %s\n\n| statement | lock | blocks | work | versions, remarks |\n|---|---|---|---|---|\n", sec.title)
		for _, s := range sec.statements {
			b.WriteString(row(s, known))
		}
	}
	return b.String()
}

// row returns a statement's row: what it does on the newest server, and the differences of others.
func row(s statement, known map[int]map[string]observation) string {
	newest := known[supported[len(supported)-1]][s.sql]
	sql := "`" + s.sql + "`"
	if s.alone {
		sql += " ¹"
	}
	cells := []string{sql, locksOf(newest), blocksOf(newest), workOf(newest), strings.Join(notes(s, known), "; ")}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// notes returns the differences between versions, and our remark.
func notes(s statement, known map[int]map[string]observation) (notes []string) {
	if s.since > supported[0] {
		notes = append(notes, fmt.Sprintf("since %d", s.since))
	}
	newest := known[supported[len(supported)-1]][s.sql]
	for i := 0; i < len(supported); i++ {
		first := supported[i]
		difference := known[first][s.sql].otherThan(newest)
		if first < s.since || difference == "" {
			continue
		}
		last := first
		for i+1 < len(supported) && known[supported[i+1]][s.sql].otherThan(newest) == difference {
			i++
			last = supported[i]
		}
		versions := fmt.Sprint(first)
		if last > first {
			versions = fmt.Sprintf("%d–%d", first, last)
		}
		notes = append(notes, versions+": "+difference)
	}
	if s.remark != "" {
		notes = append(notes, s.remark)
	}
	return notes
}

// otherThan says what differs from the newest server; "" if nothing does.
func (o observation) otherThan(newest observation) string {
	var all []string
	if locks := locksOf(o); locks != locksOf(newest) {
		all = append(all, strings.ReplaceAll(locks, "<br>", "; "))
	}
	if work := workOf(o); work != workOf(newest) {
		all = append(all, strings.ReplaceAll(work, "–", "no work"))
	}
	return strings.Join(all, "; ")
}

// lines returns the names of each mode of locks, and whom such a lock blocks.
func (o observation) lines() (locks, blocks []string) {
	for i, l := range o.Locks {
		if i > 0 && l.Mode == o.Locks[i-1].Mode && l.blocks() == o.Locks[i-1].blocks() {
			last := &locks[len(locks)-1]
			*last = strings.Replace(*last, "`:", "`, `"+l.On+"`:", 1)
			continue
		}
		locks = append(locks, fmt.Sprintf("`%s`: %s", l.On, l.Mode))
		blocks = append(blocks, l.blocks())
	}
	return locks, blocks
}

func locksOf(o observation) string {
	locks, _ := o.lines()
	if len(locks) == 0 {
		return "none"
	}
	return strings.Join(locks, "<br>")
}

// blocksOf says what each line of locksOf blocks.
func blocksOf(o observation) string {
	_, blocks := o.lines()
	if !slices.ContainsFunc(blocks, func(line string) bool { return line != neither }) {
		return neither
	}
	return strings.Join(blocks, "<br>")
}

const neither = "neither"

func (l lock) blocks() string {
	switch {
	case l.Reads:
		return "**reads, writes**"
	case l.Writes:
		return "writes"
	case len(l.Rows) > 0:
		return "these rows: " + strings.Join(l.Rows, ", ")
	}
	return neither
}

func workOf(o observation) string {
	var work []string
	say := func(verb string, names []string) {
		if len(names) > 0 {
			work = append(work, verb+" `"+strings.Join(names, "`, `")+"`")
		}
	}
	say("**rewrites**", o.Rewrites)
	say("empties", o.Empties)
	if len(o.Rewrites)+len(o.Empties) == 0 {
		say("rebuilds", o.Rebuilds)
	}
	switch {
	case o.Builds == 1:
		work = append(work, "builds an index")
	case o.Builds > 1:
		work = append(work, fmt.Sprintf("builds %d indexes", o.Builds))
	}
	if len(work) == 0 {
		say("scans", o.Scans)
	}
	if len(work) == 0 {
		return "–"
	}
	return strings.Join(work, ", ")
}
