package source

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// SquashOptions select the migrations of a squash.
type SquashOptions struct {
	// From and To are the oldest and the newest version. The squash has the version To.
	From, To int64
	// Name describes the squash, as in NewOptions.
	Name string
	// Format is the folder's: Native, GolangMigrate, or Auto, which must find Native.
	Format Format
	// Dir comes before the names of files in messages.
	Dir string
	// Dialect is the dialect of the scripts.
	Dialect sqltext.Dialect
	// Recorded says that every database has recorded or run the squashes in the range. The new
	// squash then names these squashes and not their originals, so it would not recognize a
	// database that still has the originals. Without Recorded, Squash refuses such a range.
	Recorded bool
	// Rewrite, if not nil, returns the scripts of the squash instead of the range's scripts joined.
	// It must ensure that they lead to the same schema.
	Rewrite func(SquashRange) (SquashScripts, error)
}

// SquashRange is the input of Rewrite.
type SquashRange struct {
	Set      *migration.Set // all of the folder
	From, To int64
	// Down joins the down scripts of the range. It fails if they can't be joined or one is missing.
	Down func() (string, error)
}

// SquashScripts are the up and the down script of a squash. Without a down script, Down is "" and
// NoDown is true.
type SquashScripts struct {
	Up, Down string
	NoDown   bool
}

// Squashed is a squash whose files are not written yet.
type Squashed struct {
	Version  int64
	Replaces []migration.Migration
	// Files are the files to write: an up file and, if every migration has one, a down file.
	Files []File
	// Sources are the names, in the folder, of the files that the squash replaces.
	Sources []string
	// Irreversible is the file of the first migration without a down script, "" for none.
	Irreversible string
}

// Squash joins a range of a folder's migrations into one. Its up script is the ups in order, its
// down script the downs in reverse. The beginning of the script lists the migrations that it
// replaces, with checksums, so that a database that has applied the range records the squash
// instead of running it. Squash writes nothing.
//
// A backfill of the range becomes statements that change all rows at once, if these have the same
// effect: UPDATE and DELETE of its table, and INSERT … SELECT from it, in which :first and :last
// only limit the key. Otherwise the error is an *[Error].
//
// If the scripts would not have the same effect in one transaction as in several, the error is an
// *[Error]: a statement that can't be in a transaction, a script that changes the session for later
// ones, an enum value that is used after it was added. This does not apply to MySQL, where no
// statement that changes a schema can be in a transaction: the squash runs statement by statement.
func Squash(fsys fs.FS, opts SquashOptions) (*Squashed, error) {
	s, err := newSquasher(fsys, opts)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(s.pieces, func(m migration.Migration) bool { return m.Metadata != nil }); i >= 0 {
		return nil, &Error{File: s.pieces[i].Metadata.File, Msg: "is metadata of a migration in the range, and YAML can't be joined; remove the file (the databases have its entries), and put them into the metadata of the squash"}
	}
	result := &Squashed{Version: opts.To, Replaces: s.pieces, Sources: s.sources()}
	if i := slices.IndexFunc(s.pieces, func(m migration.Migration) bool { return m.Down == nil }); i >= 0 {
		result.Irreversible = s.pieces[i].Up.File
	}
	collect, noDown := s.collect, result.Irreversible != ""
	if opts.Rewrite != nil {
		texts, err := opts.Rewrite(SquashRange{Set: s.set, From: opts.From, To: opts.To, Down: s.downs})
		if err != nil {
			return nil, err
		}
		noDown = texts.NoDown
		collect = func(direction string) (*joiner, error) {
			return s.rewrite(direction, map[string]string{wordUp: texts.Up, wordDown: texts.Down}[direction])
		}
	}
	for _, direction := range []string{wordUp, wordDown} {
		if direction == wordDown && noDown {
			break
		}
		j, err := collect(direction)
		if err != nil {
			return nil, err
		}
		text := s.head(direction, j) + j.text.String()
		if err := j.check(s.folder.path(s.file(direction)), text); err != nil {
			return nil, err
		}
		result.Files = append(result.Files, File{Name: s.file(direction), Content: text})
	}
	return result, s.fits(result.Files[0].Content)
}

// scripts returns the up or down scripts of the range, in the order in which they run.
func (s *squasher) scripts(direction string) (all []*migration.Script) {
	for _, m := range s.pieces {
		if direction == wordUp {
			all = append(all, m.Up)
		} else if m.Down != nil {
			all = append(all, m.Down)
		}
	}
	if direction == wordDown {
		slices.Reverse(all)
	}
	return all
}

// collect joins the scripts of the range.
func (s *squasher) collect(direction string) (*joiner, error) {
	j := &joiner{dialect: s.opts.Dialect}
	scripts := s.scripts(direction)
	last := len(scripts) - 1 // with statements
	for last > 0 && s.isEmpty(scripts[last]) {
		last--
	}
	for i, script := range scripts {
		if err := j.add(s.fileName(script), script, i >= last); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// rewrite takes a script in place of those of the range, and their timeouts.
func (s *squasher) rewrite(direction, text string) (*joiner, error) {
	j := &joiner{dialect: s.opts.Dialect}
	for _, script := range s.scripts(direction) {
		a, err := script.Analyze(j.dialect, nil)
		if err != nil {
			return nil, err
		}
		j.count(script, a)
	}
	all, err := sqltext.Split(text, j.dialect, sqltext.Options{File: s.folder.path(s.file(direction))})
	if err != nil {
		return nil, err
	}
	j.text.WriteString("\n")
	j.write(all, false)
	j.pieces = len(j.want)
	return j, nil
}

// squasher is the state of one call of Squash.
type squasher struct {
	opts     SquashOptions
	folder   *folder
	contents migration.Contents
	set      *migration.Set
	pieces   []migration.Migration // in order
	version  string                // as the newest file has it
	name     string
	names    map[string]string // of the files, by their paths; see fileName
}

func newSquasher(fsys fs.FS, opts SquashOptions) (*squasher, error) {
	name, err := cleanName(opts.Name)
	if err != nil {
		return nil, err
	}
	f, err := loadAs(fsys, Options{Format: opts.Format, Dir: opts.Dir, Dialect: opts.Dialect})
	if err != nil {
		return nil, err
	}
	if f.format != Native && f.format != GolangMigrate {
		return nil, fmt.Errorf("the folder is in the format of %s; a squash is written for folders of .up.sql and .down.sql files", f.format)
	}
	all := f.read(f.format)
	if err := f.err(); err != nil {
		return nil, err
	}
	s := &squasher{opts: opts, folder: f, contents: f.others, name: name}
	s.contents.Migrations = all
	return s, s.choose()
}

// choose finds the migrations of the range.
func (s *squasher) choose() error {
	set, err := s.contents.Set("")
	if err != nil {
		return err
	}
	s.set = set
	from, to := s.opts.From, s.opts.To
	for _, v := range []int64{from, to} {
		if q, ok := set.Squash(v); ok && q.Version != v {
			return fmt.Errorf("migration %0*d is part of the squash %s already", set.Digits(), v, q.Up.File)
		}
		if _, ok := set.Get(v); !ok {
			return fmt.Errorf("there is no migration %0*d in the folder to squash", set.Digits(), v)
		}
	}
	for _, m := range set.All() {
		if m.Version < from || m.Version > to {
			continue
		}
		for _, r := range m.Up.Replaces {
			if o, there := set.Original(r.Version); there {
				return &Error{File: m.Up.File, Msg: fmt.Sprintf("is a squash, and files that it replaces still exist, such as %s; delete them first, once every database has recorded the squash", o.Up.File)}
			}
		}
		if len(m.Up.Replaces) > 0 && !s.opts.Recorded {
			return &Error{File: m.Up.File, Msg: "is a squash, and a squash of it would not be recognised by a database that has not recorded it yet; begin the range after it, or say that every database has"}
		}
		s.pieces = append(s.pieces, m)
	}
	if len(s.pieces) < 2 {
		return fmt.Errorf("there is nothing to squash from %d to %d: a squash needs at least two migrations", from, to)
	}
	newest := s.fileName(s.pieces[len(s.pieces)-1].Up)
	_, rest, err := cutVersion(newest)
	if err != nil {
		return err
	}
	s.version = strings.TrimSuffix(newest, rest)
	for _, direction := range []string{wordUp, wordDown} {
		if _, err := stat(s.folder.fsys, s.file(direction)); err == nil {
			return &Error{File: s.folder.path(s.file(direction)), Msg: "already exists; give the squash another name"}
		}
	}
	return nil
}

// file is the name of the squash's up or down file.
func (s *squasher) file(direction string) string {
	return s.version + "_" + s.name + "." + direction + ".sql"
}

// fileName is the name of a script's file within the folder.
func (s *squasher) fileName(script *migration.Script) string {
	if s.names == nil {
		s.names = make(map[string]string, len(s.folder.files))
		for _, f := range s.folder.files {
			s.names[f.path] = f.name
		}
	}
	return cmp.Or(s.names[script.File], script.File)
}

func (s *squasher) sources() []string {
	var names []string
	for _, m := range s.pieces {
		names = append(names, s.fileName(m.Up))
		if m.Down != nil {
			names = append(names, s.fileName(m.Down))
		}
	}
	return names
}

// fits checks the squash against the rest of the folder.
func (s *squasher) fits(up string) error {
	q := migration.Migration{Version: s.opts.To, Name: s.name, Up: migration.Text(s.folder.path(s.file(wordUp)), up)}
	for _, m := range s.pieces {
		q.Up.Replaces = append(q.Up.Replaces, migration.Replaced{Version: m.Version, Checksum: m.Up.Checksum})
	}
	c := s.contents
	c.Migrations = append(slices.Clone(c.Migrations), q)
	_, err := c.Set("")
	return err
}

// downs joins the down scripts, without the list of replaced migrations.
func (s *squasher) downs() (string, error) {
	for _, m := range s.pieces {
		if m.Down == nil {
			return "", &Error{File: m.Up.File, Msg: "has no down script"}
		}
	}
	j, err := s.collect(wordDown)
	if err != nil {
		return "", err
	}
	return j.text.String(), j.check("the down scripts", j.text.String())
}

// head returns the list of migrations that a script replaces.
func (s *squasher) head(direction string, j *joiner) string {
	var b strings.Builder
	oldest, newest := s.pieces[0], s.pieces[len(s.pieces)-1]
	switch {
	case direction == wordDown:
		fmt.Fprintf(&b, "-- Takes back the %d migrations from %s to %s.\n", len(s.pieces), newest, oldest)
	case s.opts.Rewrite != nil:
		fmt.Fprintf(&b, "-- The schema that the %d migrations from %s to %s lead to.\n", len(s.pieces), oldest, newest)
	default:
		fmt.Fprintf(&b, "-- The %d migrations from %s to %s in one.\n", len(s.pieces), oldest, newest)
	}
	if direction == wordUp {
		b.WriteString("-- A database that has applied them records this file without running it.\n")
		for _, m := range s.pieces {
			fmt.Fprintf(&b, "-- whimbrel: replaces %d %s\n", m.Version, m.Up.Checksum)
		}
		for _, v := range s.after() {
			fmt.Fprintf(&b, "-- whimbrel: after %d\n", v)
		}
	}
	for _, d := range j.directives(direction == wordUp || s.opts.Rewrite != nil) {
		b.WriteString("-- whimbrel: " + d + "\n")
	}
	return b.String()
}

// after returns the backfills before the range that a migration of the range waits for.
func (s *squasher) after() (all []int64) {
	for _, m := range s.pieces {
		for _, v := range m.Up.After {
			if v < s.opts.From && !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
	}
	slices.Sort(all)
	return all
}

func (s *squasher) isEmpty(script *migration.Script) bool {
	f := s.folder.fileOf(s.fileName(script))
	return f != nil && f.empty()
}

// readAll returns the whole text of a script.
func readAll(s *migration.Script) (string, error) {
	text, ok, err := s.Text(maxHeld)
	if err == nil && !ok {
		err = tooLong(s)
	}
	return text, err
}

func tooLong(s *migration.Script) error {
	return &Error{File: s.File, Msg: fmt.Sprintf("has %d bytes; the longest script that can be rewritten has %d", s.Size, maxHeld)}
}
