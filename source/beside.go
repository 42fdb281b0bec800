package source

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// A folder of the native format can also have
//
//   - baselines, B0005_name.sql: an empty database starts from it, instead of running every
//     migration up to version 5;
//   - repeatable scripts, R__name.sql, which run after the migrations whenever their text changes.
//
// Neither has a down file. In the other formats such names have no meaning.

const repeatableStart = "R__"

func isBaseline(name string) bool {
	return strings.HasPrefix(name, "B") && startsWithDigit(name[1:]) && hasSQLSuffix(name)
}

func isRepeatable(name string) bool {
	return strings.HasPrefix(name, repeatableStart) && hasSQLSuffix(name)
}

// besideMeant suggests a name for a file that is nearly named like a baseline or a repeatable
// script, "" for another.
func besideMeant(name string) string {
	if !hasSQLSuffix(name) {
		return ""
	}
	rest := strings.TrimLeft(name[1:], "_")
	switch {
	case name[1] == '_' && name[0]|0x20 == 'r' && len(rest) > len(".sql"):
		return repeatableStart + rest
	case name[0]|0x20 == 'b' && startsWithDigit(rest):
		return "B" + rest
	}
	return ""
}

// besideName refuses what is named like an up or down file.
func besideName(what, stem string) (string, error) {
	for _, direction := range []string{".up", ".down"} {
		if bare, ok := strings.CutSuffix(strings.ToLower(stem), direction); ok {
			return "", fmt.Errorf("%s is neither up nor down: leave %s out, so that the name ends in %s.sql", what, direction, stem[:len(bare)])
		}
	}
	name := strings.TrimLeft(stem, "_")
	if name == "" {
		return "", fmt.Errorf("%s needs a name, such as %s", what, map[string]string{"a baseline": "B0005_schema.sql", "a repeatable script": "R__views.sql"}[what])
	}
	return name, nil
}

// baselineName reads B0005_name.sql.
func baselineName(name string) (n numbered, err error) {
	n, rest, err := cutVersion(name[len("B"):])
	if err != nil {
		return n, err
	}
	stem := rest[:len(rest)-len(".sql")]
	if stem != "" && stem[0] != '_' {
		return n, fmt.Errorf("is not named like a baseline; names look like B0005_schema.sql")
	}
	n.name, err = besideName("a baseline", stem)
	return n, err
}

// beside reads a baseline or a repeatable script, and reports whether the file is one.
func (f *folder) beside(e *listed) bool {
	name := e.name
	switch {
	case isBaseline(name):
		n, err := baselineName(name)
		if err != nil {
			f.add(f.path(name), "%v", err)
		} else if s := f.besideScript(e.file); s != nil {
			f.others.Baselines = append(f.others.Baselines, migration.Migration{Version: n.version, Name: n.name, Up: s})
		}
	case isRepeatable(name):
		stem, err := besideName("a repeatable script", name[len(repeatableStart):len(name)-len(".sql")])
		if err != nil {
			f.add(f.path(name), "%v", err)
		} else if s := f.besideScript(e.file); s != nil {
			f.others.Repeatables = append(f.others.Repeatables, migration.Named{Name: stem, Script: s})
		}
	default:
		return false
	}
	return true
}

func (f *folder) besideScript(file *file) *migration.Script {
	if f.reported(file) {
		return nil
	}
	s := f.script(file)
	f.needStatementIn("the script", file, s, file.empty())
	return s
}
