package source

import (
	"path"

	"github.com/whimbrel-db/whimbrel/migration"
)

// Diesel, the Rust library: folders VERSION_name that contain up.sql and down.sql.
//
//   - The version is digits, in which dashes don't count: 2024-01-31-093000 is 20240131093000.
//     Diesel compares versions as texts. A folder in which the numbers have another order is an
//     error that names two of them.
//   - A metadata.toml with run_in_transaction = false runs both scripts outside a transaction. Any
//     other setting in it is an error.
//   - Without down.sql the migration is irreversible.
//   - An up.sql with nothing in it is unfinished, as in Diesel; one with only comments does
//     nothing.
//   - A folder without up.sql is an error, as in Diesel. So is a migration whose version has
//     anything but digits and dashes. Files in the root are skipped.
//   - Diesel's history knows a migration by the digits, with leading zeros: Migration.Origin.
//   - Hasura's folders look the same. They are read as Diesel's if one of them has a version with
//     dashes, or a metadata.toml.

func dieselShows(f *folder, e *listed) string {
	switch {
	case hasuraShows(f, e) == "":
		return ""
	case isDashed(e.Name()):
		return "a folder whose version has dashes"
	case f.listed(e.Name(), metadataTOML):
		return "a folder that holds " + metadataTOML
	}
	return ""
}

// dieselFiles have a version with dashes, unless those of the folder have none.
func dieselFiles(f *folder, version, name string) []File {
	dashes := len(version) == len(secondsLayout)
	for _, e := range f.entries {
		if n, rest, err := cutVersion(e.Name()); e.IsDir() && startsWithDigit(e.Name()) && err == nil && n.version > 0 {
			dashes = dashes && len(e.Name())-len(rest) > len(n.digits)
		}
	}
	if dashes {
		version = version[:4] + "-" + version[4:6] + "-" + version[6:8] + "-" + version[8:]
	}
	return hasuraFiles(f, version, name)
}

func (f *folder) diesel() []migration.Migration {
	var halves []half
	for _, e := range f.entries {
		name := e.Name()
		switch {
		case !e.IsDir():
		case !startsWithDigit(name):
			f.numberless(name, "up.sql", "Diesel")
		default:
			halves = append(halves, f.dieselFolder(name)...)
		}
	}
	all := f.pairs(halves)
	digits := make(map[int64]string, len(halves))
	for _, h := range halves {
		digits[h.version] = h.digits
	}
	for i := range all {
		all[i].Origin = &migration.Origin{ID: digits[all[i].Version]}
	}
	return all
}

// dieselFolder returns the halves that a folder holds, with what its metadata.toml says of them.
func (f *folder) dieselFolder(name string) []half {
	if n, rest, err := cutVersion(name); err == nil && rest != "" && rest[0] != '_' {
		f.add(f.path(name), "its version has more than digits and dashes before the first underscore; Diesel orders it as a text, Whimbrel as the number %d; rename the folder", n.version)
		return nil
	}
	halves := f.hasuraFolder(name)
	no, err := f.dieselTransaction(name)
	if err != nil {
		f.problems.all = append(f.problems.all, err)
	}
	for _, h := range halves {
		if h.file.err == nil {
			h.file.whole.NoTransaction = no
		}
	}
	return halves
}

// dieselTransaction reads the metadata.toml of a folder.
func (f *folder) dieselTransaction(dir string) (no bool, wrong *Error) {
	if !f.listed(dir, metadataTOML) {
		return false, nil
	}
	name := path.Join(dir, metadataTOML)
	all, err := f.settings(name)
	if err != nil {
		return false, err
	}
	for _, s := range all {
		switch {
		case s.key != "run_in_transaction":
			return false, &Error{File: f.path(name), Line: s.line, Column: s.column, Msg: "unknown setting " + quoted(s.key) + "; the only one that is known is run_in_transaction"}
		case s.value != "true" && s.value != "false":
			return false, &Error{File: f.path(name), Line: s.line, Column: s.column, Msg: "run_in_transaction is neither true nor false: " + quoted(s.value)}
		}
		no = s.value == "false"
	}
	return no, nil
}

// numberless reports a folder of the root that holds a migration and has no version.
func (f *folder) numberless(dir, script, tool string) {
	entries, _ := readDir(f.fsys, dir, "")
	for _, e := range entries {
		if e.Name() == script {
			f.add(f.path(dir), "has no version: its name has to begin with a number, because %s orders folders by name; names look like 20240131093000_add_users", tool)
			return
		}
	}
}
