package pgcatalog_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// dumpMajor is the newest server that the installed pg_dump supports.
func dumpMajor(t testing.TB) int {
	t.Helper()
	out, err := exec.Command(testdb.Tool(t, "pg_dump"), "--version").Output()
	var major int
	if _, serr := fmt.Sscanf(string(out), "pg_dump (PostgreSQL) %d", &major); err != nil {
		t.Fatal(err)
	} else if serr != nil {
		t.Fatal(serr)
	}
	return major
}

// dump returns the entries of pg_dump's output for a schema, in alphabetical order.
func dump(t testing.TB, url string) []string {
	t.Helper()
	cmd := exec.Command(testdb.Tool(t, "pg_dump"), "--schema-only", "--no-owner", "--dbname", url)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, &problems)
	}
	text := regexp.MustCompile(`(?m)^(--|SET |SELECT pg_catalog.set_config|\\).*\n`).ReplaceAllString(string(out), "")
	var entries []string
	for entry := range strings.SplitSeq(text, "\n\n\n") {
		switch entry = strings.TrimSpace(entry); {
		case entry == "", strings.HasPrefix(entry, "CREATE USER MAPPING"): // which a snapshot leaves out
		case strings.HasPrefix(entry, "GRANT "), strings.HasPrefix(entry, "REVOKE "), strings.HasPrefix(entry, "ALTER DEFAULT PRIVILEGES "):
			entries = append(entries, strings.Split(entry, "\n")...) // they come in the order of their making
		default:
			entries = append(entries, storage.ReplaceAllStringFunc(entry, sorted))
		}
	}
	slices.Sort(entries)
	return entries
}

// storage matches storage parameters, whose order depends on their creation.
var storage = regexp.MustCompile(`WITH \(.*\)`)

func sorted(with string) string {
	list := strings.Split(strings.TrimSuffix(strings.TrimPrefix(with, "WITH ("), ")"), ", ")
	slices.Sort(list)
	return "WITH (" + strings.Join(list, ", ") + ")"
}

// pg_dump's output for a database created from a snapshot's text equals that of the original.
func TestSnapshotIsWhatPgDumpSees(t *testing.T) {
	for _, m := range dumpedMajors(t) {
		for _, file := range corpus(t, m.Major) {
			name := strings.TrimSuffix(filepath.Base(file), ".sql")
			if name == "inherited_late" { // pg_dump changes the order of their columns
				continue
			}
			t.Run(fmt.Sprint(m.Major, "/", name), func(t *testing.T) {
				t.Parallel()
				original, rebuilt := m.New(t), m.New(t)
				execute(t, original, read(t, file))
				execute(t, rebuilt, snapshot(t, original, catalog.Options{}).Text())
				for _, difference := range dumpsDiffer(dump(t, original), dump(t, rebuilt)) {
					t.Error(difference)
				}
			})
		}
	}
}

// dumpedMajors returns the oldest and the newest server that the installed pg_dump supports.
func dumpedMajors(t *testing.T) []testdb.Major {
	t.Helper()
	newest := dumpMajor(t)
	majors := slices.DeleteFunc(testdb.PostgresMajors(t), func(m testdb.Major) bool { return m.Major > newest })
	if len(majors) == 0 {
		t.Fatalf("pg_dump %d is older than all servers", newest)
	}
	if len(majors) == 1 {
		return majors
	}
	return []testdb.Major{majors[0], majors[len(majors)-1]}
}

// dumpsDiffer returns the entries that only one of two dumps has.
func dumpsDiffer(want, got []string) (differences []string) {
	for _, entry := range want {
		if !slices.Contains(got, entry) {
			differences = append(differences, "missing:\n"+entry)
		}
	}
	for _, entry := range got {
		if !slices.Contains(want, entry) {
			differences = append(differences, "too much:\n"+entry)
		}
	}
	return differences
}

// Snapshots differ after a change if and only if the output of pg_dump differs.
func TestEqualExactlyWhenPgDumpSaysSo(t *testing.T) {
	t.Parallel()
	majors := dumpedMajors(t)
	m := majors[len(majors)-1]
	rapid.Check(t, func(check *rapid.T) {
		url := m.New(t)
		script, changes := randomSchema(check, m.Major)
		// pg_dump omits invalid objects, so their later state can't be compared
		changes = slices.DeleteFunc(changes, func(c change) bool { return strings.Contains(c.sql, "indisvalid") })
		execute(t, url, script)
		was, dumped := snapshot(t, url, catalog.Options{}), dump(t, url)
		for range 2 {
			c := rapid.SampledFrom(changes).Draw(check, "change")
			if !tryExecute(t, url, c.sql) {
				continue // what it changes has just gone
			}
			is, dumpedNow := snapshot(t, url, catalog.Options{}), dump(t, url)
			differences := dumpsDiffer(dumped, dumpedNow)
			if equal := was.Fingerprint() == is.Fingerprint(); equal != (len(differences) == 0) {
				check.Errorf("%s\nsnapshots are equal: %v %v\npg_dump: %v", c.sql, equal, catalog.Compare(was, is), differences)
			}
			was, dumped = is, dumpedNow
		}
	})
}

// tryExecute reports whether a script succeeds as one transaction.
func tryExecute(t *testing.T, url, script string) bool {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	_, err := conn.PgConn().Exec(context.Background(), script).ReadAll()
	return err == nil
}
