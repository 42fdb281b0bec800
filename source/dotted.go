package source

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// DottedVersion returns the version that Read gives "1.2" in a Flyway folder that has versions with
// dots.
func DottedVersion(text string) (int64, error) {
	n, _ := flywayName("V" + text + "__.sql")
	if !flywayVersion.MatchString(text) {
		return 0, fmt.Errorf("%q is not a version; versions are numbers, such as 3 or 1.2", text)
	}
	v, err := n.number(true)
	return v.version, err
}

// DottedText returns a version as Flyway writes it, with at least one dot: the reverse of
// DottedVersion.
func DottedText(version int64) string {
	const base = flywayPart + 1
	parts := []int64{version / base / base / base, version / base / base % base, version / base % base, version % base}
	for len(parts) > 2 && parts[len(parts)-1] == 0 {
		parts = parts[:len(parts)-1]
	}
	text := strconv.FormatInt(parts[0], 10)
	for _, p := range parts[1:] {
		text += "." + strconv.FormatInt(p, 10)
	}
	return text
}

// IsDottedName reports whether a file's name is that of a Flyway script whose version has a dot.
func IsDottedName(name string) bool {
	n, ok := flywayName(name)
	return ok && n.kind != 'R' && n.end == ".sql" && n.dotted() && strings.Contains(path.Base(name), "__")
}

// IsDotted reports whether the versions of a set are those of a Flyway folder that has versions
// with dots.
func IsDotted(set *migration.Set) bool {
	for m := range set.Each() {
		if m.Origin == nil {
			return false
		}
		if IsDottedName(m.Up.File) {
			return true
		}
	}
	return false
}
