package source

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/internal/order"
)

// Versions are numbers here. Diesel and dbmate compare theirs as texts, and people write dates. If
// that is another order, Whimbrel does not guess.

// entry is a file or folder whose name begins with a version.
type entry struct {
	numbered
	file string // within fsys
	rest string // of the name, behind the version
}

// numberedEntries returns the files and folders of the root that are migrations in the format,
// ordered by version.
func (f *folder) numberedEntries() []entry {
	all := make([]entry, 0, len(f.entries))
	for _, e := range f.entries {
		name := e.Name()
		if !startsWithDigit(name) {
			continue
		}
		if e.IsDir() && !f.holdsScript(name) || !e.IsDir() && !f.isNumberedFile(name) {
			continue
		}
		if n, rest, err := cutVersion(name); err == nil {
			all = append(all, entry{n, name, rest})
		}
	}
	order.StableBy(all, func(a, b entry) int { return cmp.Compare(a.version, b.version) })
	return all
}

// holdsScript reports whether a folder of the root is a migration.
func (f *folder) holdsScript(name string) bool {
	switch f.format {
	case Hasura, Diesel:
		return f.hasuraSeen(name) != ""
	case Prisma, Drizzle:
		return f.prismaSeen(name) != ""
	}
	return false
}

func (f *folder) isNumberedFile(name string) bool {
	switch f.format {
	case Diesel, Prisma, Flyway, Drizzle, Sqitch:
		return false
	case GolangMigrate:
		_, pair := golangMigrateName(name)
		return pair
	}
	return hasSQLSuffix(name)
}

// checkDates finds versions that another tool, or the author of the names, would order differently.
func (f *folder) checkDates() {
	if f.format != Hasura && f.format != Dbmate && f.sameLength() {
		return
	}
	all := f.numberedEntries()
	dates := f.checkShortDates(all)
	switch {
	case dates:
	case f.format == Hasura && f.opts.Format == Auto:
		if a, b, differs := disorder(all, func(e entry) string { return e.digits }); differs {
			f.add(f.path(b.file), "Hasura compares versions as numbers, and runs %s before this; Diesel compares them as texts, and runs it after; "+
				"give the versions the same number of digits, or read the folder as Hasura's", a.file)
		}
	case f.format == Diesel:
		if a, b, differs := disorder(all, func(e entry) string { return e.digits }); differs {
			f.add(f.path(b.file), "Diesel compares versions as texts, and runs this before %s; as numbers, which count here, they are the other way round; "+
				"give the versions the same number of digits", a.file)
		}
	case f.format == Prisma || f.format == Drizzle && !f.hasJournal():
		if a, b, differs := disorder(all, func(e entry) string { return e.file }); differs {
			f.add(f.path(b.file), toolName(f.format)+" runs its folders in the order of their names, this before %s; their versions, which count here, are the other way round; "+
				"give the versions the same number of digits", a.file)
		}
	case f.format == Dbmate:
		if a, b, differs := disorder(all, func(e entry) string { return e.file }); differs {
			f.add(f.path(b.file), "dbmate runs its files in the order of their names, this before %s; their versions, which count here, are the other way round; "+
				"give the versions the same number of digits", a.file)
		}
	}
}

// sameLength reports whether all versions have the same number of digits, so that none is a date
// which has fewer than others.
func (f *folder) sameLength() bool {
	length := 0
	for _, e := range f.entries {
		name := e.Name()
		switch digits := leadingDigits(name); {
		case digits == 0:
		case isDashed(name), length != 0 && digits != length:
			return false
		default:
			length = digits
		}
	}
	return true
}

// toolName is the name of a format's tool at the beginning of a message.
func toolName(format Format) string { return strings.ToUpper(string(format[:1])) + string(format[1:]) }

// disorder finds two entries whose keys have another order than their versions.
func disorder(all []entry, key func(entry) string) (a, b entry, differs bool) {
	for i := 1; i < len(all); i++ {
		if all[i-1].version < all[i].version && key(all[i-1]) > key(all[i]) {
			return all[i-1], all[i], true
		}
	}
	return a, b, false
}

// checkShortDates reports dates that have fewer digits than others and so come before them as
// numbers although they are later.
func (f *folder) checkShortDates(all []entry) (found bool) {
	if !slices.ContainsFunc(all, func(e entry) bool { return len(e.digits) != len(all[0].digits) }) {
		return false
	}
	earliest := map[int]entry{} // of each length
	for _, e := range slices.Backward(all) {
		date, ok := e.date()
		if !ok {
			continue
		}
		for length := len(date) + 2; length <= len(secondsLayout); length += 2 {
			if longer, ok := earliest[length]; ok && date > longer.digits[:len(date)] {
				f.shortDate(e, longer)
				found = found || isDashed(e.file)
				break
			}
		}
		earliest[len(date)] = e
	}
	return found
}

// clock matches a time of day after a day, as in 2024-03-13_170000_name.
var clock = lazyregexp.New(`^[_.]([0-9]{6}|[0-9]{4})([_.].*)$`)

// shortDate reports a date that comes, as a number, before an earlier one. Without dashes it may be
// a number that only looks like a date.
func (f *folder) shortDate(e, before entry) {
	msg := fmt.Sprintf("its version is %s, which comes before %s (%s) as a number, but after it as a date", e.digits, before.digits, before.file)
	if f.format == Hasura || f.format == Diesel {
		msg += "; Diesel compares versions as texts, Hasura and Whimbrel as numbers"
	}
	sep, remedy := "", fmt.Sprintf("if that is not meant, write its date with %d digits", len(before.digits))
	if isDashed(e.file) {
		sep, remedy = "-", fmt.Sprintf("write its date with %d digits", len(before.digits))
	}
	if m := clock.FindStringSubmatch(e.rest); m != nil {
		remedy = "did you mean " + strings.TrimSuffix(e.file, e.rest) + sep + m[1] + m[2] + "?"
	}
	if isDashed(e.file) {
		f.add(f.path(e.file), "%s; %s", msg, remedy)
		return
	}
	f.warn(f.path(path.Clean(e.file)), 0, 0, "%s; %s", msg, remedy)
}
