package source

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/migration"
)

// NewOptions describe a new migration.
type NewOptions struct {
	// Name says what the migration does. White space becomes underscores. A character that some
	// system does not allow in a file's name is an error.
	Name string
	// Sequence requests the next number after the newest version. Timestamp requests that time, in
	// UTC. With neither, the version is like the newest one of the folder.
	Sequence  bool
	Timestamp time.Time
	// Backfill requests a backfill, and is the table whose rows it changes, as SQL writes it. Only a
	// folder of the native format can have one.
	Backfill string
	// Format is the folder's; Auto detects it.
	Format Format
}

// File is a file to be written.
type File struct {
	Name    string // within the folder, with slashes
	Content string
	// Rewrite means that the folder has the file already, such as a plan that lists the migrations,
	// and Content is its whole new text.
	Rewrite bool

	version string // of the migration, where the name does not begin with it
}

// Version returns the version of the migration that the file belongs to, as Read reads the name.
func (f File) Version() (int64, error) {
	if n, ok := flywayName(f.Name); ok && n.kind != 'R' {
		v, err := n.number(n.dotted())
		return v.version, err
	}
	name := cmp.Or(f.version, f.Name)
	if !startsWithDigit(name) {
		return 0, fmt.Errorf("%s has no version", f.Name)
	}
	n, _, err := cutVersion(name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name, err)
	}
	return n.version, nil
}

// NewFiles returns the files of a new migration, for the caller to write. They have the next
// version, names in the folder's format, and a text to fill in. If the format lists its migrations
// in a file, such as Sqitch's plan, that file is among them, to be rewritten. The first file is
// the up script.
//
// In a folder with sequence numbers the version is the next number, with as many digits as the
// newest version has. In a folder with timestamps it is a timestamp of the same kind: the current
// time, or directly after the newest version if that is later. An empty or missing folder begins as
// usual in its format: Native with 0001.
func NewFiles(fsys fs.FS, opts NewOptions) ([]File, error) {
	name, err := cleanName(opts.Name)
	if err != nil {
		return nil, err
	}
	if fsys == nil {
		return nil, errors.New("there is no folder for the new migration: the file system is nil")
	}
	if opts.Sequence && !opts.Timestamp.IsZero() {
		return nil, errors.New("a new version is either a sequence number or a timestamp, not both")
	}
	format, err := ParseFormat(string(opts.Format))
	if err != nil {
		return nil, err
	}
	if format == Auto {
		if format, err = Detect(fsys); errors.Is(err, fs.ErrNotExist) {
			format, err = Native, nil
		}
		if err != nil {
			return nil, err
		}
	}
	if err := opts.checkBackfill(format); err != nil {
		return nil, err
	}
	f := newFolder(fsys, Options{Format: format})
	f.format, f.layout = format, layoutOf(format)
	if f.entries, err = readDir(fsys, ".", ""); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	newest := f.newestVersion
	if f.layout.newest != nil {
		newest = func() numbered { return f.layout.newest(f) }
	}
	version, err := nextVersion(newest(), f.layout.numbering, opts)
	if err != nil {
		return nil, err
	}
	files := f.skeleton(version, name)
	if opts.Backfill != "" {
		files = backfillFiles(version, name, opts.Backfill)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	for i := range files {
		files[i].version = cmp.Or(files[i].version, version)
	}
	return files, nil
}

// checkBackfill refuses a backfill in another format than the native one, and a table that a
// directive can't have.
func (o NewOptions) checkBackfill(format Format) error {
	switch {
	case o.Backfill == "":
		return nil
	case format != Native:
		return fmt.Errorf("only a folder of the native format has backfills, and this one is in the format of %s", format)
	}
	s := migration.Script{Backfill: &migration.Backfill{}}
	if err := s.Direct("backfill " + o.Backfill); err != nil || strings.ContainsAny(o.Backfill, "\r\n") {
		return fmt.Errorf("%q is not the name of a table, such as users or public.users", o.Backfill)
	}
	return nil
}

// nameLimit keeps file names below what file systems take.
const nameLimit = 200

func cleanName(name string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return "", errors.New("a new migration needs a name that describes it, such as add_users")
	case !utf8.ValidString(name):
		return "", fmt.Errorf("the name %q is not UTF-8", name)
	case len(name) > nameLimit:
		return "", fmt.Errorf("the name is too long: %d bytes, the most is %d", len(name), nameLimit)
	case hasSQLSuffix(name):
		return "", fmt.Errorf("the name %q ends in .sql, which is added automatically; omit it", name)
	case strings.HasSuffix(name, "."):
		return "", fmt.Errorf("the name %q ends in a dot, which not every file system supports", name)
	}
	if i := strings.IndexFunc(name, func(r rune) bool {
		return strings.ContainsRune(`/\:*?"<>|`, r) || unicode.IsControl(r) && !unicode.IsSpace(r)
	}); i >= 0 {
		r, _ := utf8.DecodeRuneInString(name[i:])
		return "", fmt.Errorf("the name %q has %q in it, which can't be in a file's name on every system", name, r)
	}
	return strings.Join(strings.Fields(name), "_"), nil
}

// newestVersion returns the highest version of the migrations and baselines in the root; the zero
// value if it has none.
func (f *folder) newestVersion() (newest numbered) {
	for _, e := range f.entries {
		name := e.Name()
		if f.format == Native && isBaseline(name) {
			name = name[len("B"):]
		}
		_, pair := golangMigrateName(name)
		counts := pair || hasSQLSuffix(name) || path.Ext(name) == ".go" || e.IsDir() && f.hasFolders()
		if !counts || !startsWithDigit(name) {
			continue
		}
		n, _, err := cutVersion(name)
		longer := n.version == newest.version && len(n.digits) > len(newest.digits)
		if err == nil && (n.version > newest.version || longer) {
			newest = n
		}
	}
	return newest
}

// numbering is how an empty folder of a format begins.
type numbering struct {
	digits int // of a sequence number; 0 where it begins with timestamps
	stamp  stamp
	why    string // there are no timestamps
}

// noStamps says why a version can't be a timestamp.
func (n numbering) noStamps() error {
	return errors.New(cmp.Or(n.why, "the format has no timestamps as versions"))
}

// stamp formats a time, in UTC, as a version.
type stamp func(time.Time) string

func seconds(t time.Time) string { return t.Format(secondsLayout) }
func unix(t time.Time) string    { return strconv.FormatInt(t.Unix(), 10) }
func millis(t time.Time) string  { return strconv.FormatInt(t.UnixMilli(), 10) }

const secondsLayout = "20060102150405"

// stampOf returns how to format a timestamp of the version's kind, nil if it is no timestamp.
func (n numbered) stampOf() stamp {
	switch v := n.version; {
	case v >= 1e12 && v < 2e12:
		return millis
	case v >= 1e9 && v < 2e9:
		return unix
	case v >= 1e13 && v < 1e14: // yyyymmddhhmmss, even if there is no such date
		return seconds
	case n.beginsWithDay():
		return longer(len(n.digits))
	}
	return nil
}

// beginsWithDay reports whether a version begins with a date, yyyymmdd, followed by any number of
// digits. Two migrations that are created on one day on two branches need different versions, so
// such a folder continues with seconds.
func (n numbered) beginsWithDay() bool {
	const day = "20060102"
	if len(n.digits) < len(day) {
		return false
	}
	t, err := time.Parse(day, n.digits[:len(day)])
	return err == nil && 1990 <= t.Year() && t.Year() < 2100
}

// longer returns timestamps of yyyymmddhhmmss and fractions of a second with as many digits as
// existing ones.
func longer(digits int) stamp {
	return func(t time.Time) string {
		text := strings.Replace(t.Format(secondsLayout+".000000000"), ".", "", 1)
		return text[:min(max(digits, len(secondsLayout)), 18)]
	}
}

func nextVersion(newest numbered, begin numbering, opts NewOptions) (string, error) {
	if strings.ContainsAny(newest.digits, "._") {
		if !opts.Timestamp.IsZero() {
			return "", fmt.Errorf("the folder has versions with dots (the newest is %s); a timestamp would not fit", newest.digits)
		}
		return afterDotted(newest.digits)
	}
	if newest.version == math.MaxInt64 {
		return "", fmt.Errorf("there is no version after %d", newest.version)
	}
	stamp := newest.stampOf()
	if begin.stamp == nil { // tern's versions are small numbers, whatever they look like
		stamp = nil
	}
	switch {
	case opts.Sequence && stamp != nil:
		return "", fmt.Errorf("the folder counts in timestamps (the newest is %s); a sequence number would come before them", newest.digits)
	case opts.Sequence:
	case !opts.Timestamp.IsZero() && begin.stamp == nil:
		return "", begin.noStamps()
	case !opts.Timestamp.IsZero() && stamp == nil, newest.digits == "" && begin.digits == 0:
		stamp = begin.stamp
	}
	if stamp == nil {
		width := begin.digits
		if newest.digits != "" {
			width = len(newest.digits)
		}
		return fmt.Sprintf("%0*d", width, newest.version+1), nil
	}
	at := opts.Timestamp
	if at.IsZero() {
		at = time.Now()
	}
	version := stamp(at.UTC())
	if n, err := strconv.ParseInt(version, 10, 64); err == nil && n > newest.version {
		return version, nil
	}
	if t, err := time.Parse(secondsLayout, newest.digits); err == nil {
		return seconds(t.Add(time.Second)), nil
	}
	return strconv.FormatInt(newest.version+1, 10), nil
}

// unfinished is the line that keeps a new up script from running until it is written, in formats in
// which a script without a statement does nothing.
const unfinished = "-- whimbrel: " + migration.UnfinishedWord + "\n"

// skeleton returns the files of a new migration. Its up script can't run until it is written: it
// has no statement or, in formats in which a script without a statement does nothing, the directive
// unfinished.
func (f *folder) skeleton(version, name string) []File {
	if f.layout.skeleton != nil {
		return f.layout.skeleton(f, version, name)
	}
	up := upText(name)
	if f.layout.takesEmpty {
		up = unfinished + up
	}
	return pairFiles(version+"_"+name, up, name)
}

// pairFiles are an up file and a down file.
func pairFiles(base, up, name string) []File {
	return []File{{Name: base + ".up.sql", Content: up}, {Name: base + ".down.sql", Content: downText(name)}}
}

// upText returns the up script that NewFiles writes if the file needs no markers.
func upText(name string) string { return "-- " + name + "\n\n" }

// downText returns the down script that NewFiles writes if it is a file of its own.
func downText(name string) string {
	return "-- Takes back " + name + ". If that can't be done, delete this file.\n\n"
}
