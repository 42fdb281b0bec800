package source

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/internal/filekind"
	"github.com/whimbrel-db/whimbrel/migration"
)

// folder is a folder whose files have been read, once, whatever their format is.
type folder struct {
	fsys     fs.FS
	opts     Options
	format   Format               // as which it is read
	layout   layout               // of the format
	held     atomic.Int64         // the length of all texts that are kept in memory
	entries  []*listed            // of the root, in order, without the hidden ones
	subs     map[string][]*listed // of the sub-folders that may be migrations
	files    []*file              // that may be migrations
	unused   []file               // for the next files
	named    map[string]*file     // the same, once byName has been called
	others   migration.Contents   // baselines and repeatable scripts
	deferred bool                 // there are down scripts that are not read yet
	walked   []string             // see tree

	journal     *journal // Drizzle's, if it has been read
	journalText string
	sqitchIs    *sqitchProject // if it has been read
	sqitchPlan  plan
	sqitchText  string
	listings    map[string]map[string]bool // of folders below the root: whether a name is a file's
	problems
}

// file is one .sql file that may be a migration.
type file struct {
	name     string // within fsys
	path     string // as messages show it
	*skimmed        // nil if it has not been read
	deferred bool   // it has not been read yet, so what follows is empty
	whole    *migration.Script
	keep     int64 // up to which size its text stays in memory
	err      error
}

func newFolder(fsys fs.FS, opts Options) *folder {
	return &folder{fsys: fsys, opts: opts, subs: map[string][]*listed{}}
}

// load lists a folder and reads the files that the format, or any format, may need.
func load(fsys fs.FS, opts Options) (*folder, error) {
	var err error
	if opts.Format, err = ParseFormat(string(opts.Format)); err != nil {
		return nil, err
	}
	f := newFolder(fsys, opts)
	if err := f.list(); err != nil {
		return nil, err
	}
	wanted := make([]*file, 0, len(f.entries))
	f.files, f.unused = make([]*file, 0, len(f.entries)), make([]file, len(f.entries))
	for _, e := range f.entries {
		if e.IsDir() {
			for _, sub := range f.subs[e.Name()] {
				name := path.Join(e.Name(), sub.Name())
				wanted = f.want(wanted, name, f.path(name), sub, isFolderScript(sub.Name()))
			}
			continue
		}
		wanted = f.want(wanted, e.name, e.path, e, f.hasName(e.name))
	}
	f.readFiles(wanted)
	return f, nil
}

// isFolderScript reports whether folders that are migrations hold files of that name.
func isFolderScript(name string) bool {
	return isHasuraFile(name) || name == prismaFile
}

// hasFolders reports whether folders of the root can be migrations.
func (f *folder) hasFolders() bool {
	switch f.opts.Format {
	case Auto, Hasura, Diesel, Prisma, Drizzle:
		return true
	}
	return false
}

// readAlso reads scripts that only the folder's format has, by their names within fsys.
func (f *folder) readAlso(names []string) {
	wanted := make([]*file, 0, len(names))
	for _, name := range names {
		if f.fileOf(name) == nil {
			wanted = append(wanted, f.addFile(name, f.path(name)))
		}
	}
	f.readFiles(wanted)
}

// addFile adds a file that has not been read.
func (f *folder) addFile(name, path string) *file {
	if len(f.unused) == 0 {
		f.unused = make([]file, 1)
	}
	file := &f.unused[0]
	f.unused = f.unused[1:]
	file.name, file.path = name, path
	f.files = append(f.files, file)
	if f.named != nil {
		f.named[name] = file
	}
	return file
}

// fileOf returns the file with a name within fsys, nil for none.
func (f *folder) fileOf(name string) *file { return f.byName()[name] }

// byName returns the files by their names within fsys.
func (f *folder) byName() map[string]*file {
	if f.named == nil {
		f.named = make(map[string]*file, len(f.files))
		for _, file := range f.files {
			f.named[file.name] = file
		}
	}
	return f.named
}

// loadAs loads a folder and detects its format, unless the options have it.
func loadAs(fsys fs.FS, opts Options) (*folder, error) {
	f, err := load(fsys, opts)
	if err != nil {
		return nil, err
	}
	if f.format = f.opts.Format; f.format == Auto {
		f.format, err = f.detect()
	}
	return f, err
}

// want adds a file to those that will be read, if it is one.
func (f *folder) want(wanted []*file, name, path string, e *listed, ok bool) []*file {
	if !ok || e.IsDir() {
		return wanted
	}
	file := f.addFile(name, path)
	e.file = file
	if kind := e.kind &^ fs.ModeSymlink; kind != 0 {
		file.err = filekind.Regular(kind)
		return wanted
	}
	if f.opts.DeferDowns && f.isDown(name) {
		file.deferred = true
		f.deferred = true
		return wanted
	}
	return append(wanted, file)
}

// hasName reports whether the format reads files of that name in the root.
func (f *folder) hasName(name string) bool {
	native := f.opts.Format == Auto || f.opts.Format == Native
	if !startsWithDigit(name) {
		return native && (isBaseline(name) || isRepeatable(name))
	}
	if f.opts.Format == GolangMigrate {
		_, ok := golangMigrateName(name)
		return ok
	}
	return hasSQLSuffix(name)
}

// list lists the root, and those of its folders that may be migrations.
func (f *folder) list() error {
	if f.fsys == nil {
		return &Error{File: f.opts.Dir, Msg: "can't read a folder: the file system is nil", Err: fs.ErrInvalid}
	}
	all, err := readDir(f.fsys, ".", f.path(""))
	shown := cmp.Or(f.opts.Dir, pathOf(f.fsys))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{File: shown, Msg: "there is no such folder", Err: err}
	case err != nil:
		return &Error{File: shown, Msg: "can't be read as a folder: " + cause(err), Err: err}
	}
	f.entries = make([]*listed, 0, len(all))
	for _, e := range all {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if !utf8.ValidString(e.Name()) {
			if startsWithDigit(e.Name()) || hasSQLSuffix(e.Name()) {
				f.add(f.path(e.Name()), "the name is not UTF-8: %q; rename it", e.Name())
			}
			continue
		}
		if e, err = f.follow(e); err != nil {
			if hasSQLSuffix(e.Name()) {
				f.wrap(f.path(e.Name()), err)
			}
			continue
		}
		f.entries = append(f.entries, e)
		if e.IsDir() && startsWithDigit(e.Name()) && f.hasFolders() {
			if f.subs[e.Name()], err = readDir(f.fsys, e.Name(), ""); err != nil {
				f.wrap(f.path(e.Name()), err)
			}
		}
	}
	return nil
}

// readDir lists a folder. It reads the kind of an entry once, so that a
// faulty file system can't change it, and drops entries that repeat a name. before is what is
// before the names in the paths.
func readDir(fsys fs.FS, name, before string) ([]*listed, error) {
	if all, ok := listOnDisk(fsys, name, before); ok {
		return all, nil
	}
	if _, ok := fsys.(fs.ReadDirFS); !ok { // fs.ReadDir would close a nil file
		f, err := open(fsys, name)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	entries, err := fs.ReadDir(fsys, name)
	if err != nil {
		return nil, err
	}
	all := make([]*listed, 0, len(entries))
	shown := make([]listed, 0, len(entries)) // one allocation for all; it never grows
	sorted := true
	for _, e := range entries {
		if e == nil || e.Name() == "" || strings.Contains(e.Name(), "/") {
			continue
		}
		kind := e.Type().Type()
		if e.IsDir() {
			kind = fs.ModeDir
		}
		sorted = sorted && (len(shown) == 0 || shown[len(shown)-1].name < e.Name())
		shown = append(shown, listed{name: e.Name(), path: before + e.Name(), kind: kind})
		all = append(all, &shown[len(shown)-1])
	}
	if sorted { // so no name repeats
		return all, nil
	}
	seen := make(map[string]bool, len(all))
	return slices.DeleteFunc(all, func(e *listed) bool {
		repeats := seen[e.name]
		seen[e.name] = true
		return repeats
	}), nil
}

// follow returns the target of a symlink, and any other entry unchanged.
func (f *folder) follow(e *listed) (*listed, error) {
	if e.kind&fs.ModeSymlink == 0 {
		return e, nil
	}
	info, err := stat(f.fsys, e.name)
	if err != nil {
		return e, err
	}
	return &listed{name: e.name, path: e.path, kind: info.Mode().Type() &^ fs.ModeSymlink}, nil
}

// listed is an entry of a folder; a link has its own name and the kind of what it points at.
type listed struct {
	name string
	path string // of an entry of the root: as messages show it
	kind fs.FileMode
	file *file // nil if it can't be a migration
}

func (l *listed) Name() string { return l.name }
func (l *listed) IsDir() bool  { return l.kind.IsDir() }

// path returns a file's name as messages show it.
func (f *folder) path(name string) string {
	if f.opts.Dir == "" {
		return name
	}
	return strings.TrimSuffix(f.opts.Dir, "/") + "/" + name
}

// maxReaders is the maximum number of files that are read at a time. System calls take most of the
// time, so more would not help.
const maxReaders = 4

// readers returns how many files are read at a time. One of several processors remains free until
// Options.Idle is closed: while all are reading, nobody notices that a server has answered, and
// most callers are connecting to a database meanwhile.
func readers() int { return max(1, min(maxReaders, runtime.GOMAXPROCS(0)-1)) }

// reader has what one goroutine needs to read one file after another.
type reader struct {
	root root
	buf  []byte
	skim *skim
}

func (f *folder) readFiles(files []*file) {
	var next atomic.Int64
	var wg sync.WaitGroup
	root := openRoot(f.fsys)
	defer root.close()
	var read func(idle <-chan struct{})
	read = func(idle <-chan struct{}) {
		r := &reader{root: root, buf: make([]byte, shortText), skim: newSkim(f.heeds, f.opts.Dialect)}
		for i := int(next.Add(1)); i <= len(files); i = int(next.Add(1)) {
			select {
			case <-idle:
				wg.Go(func() { read(nil) })
				idle = nil
			default:
			}
			files[i-1].read(f, r)
		}
	}
	for range min(readers(), len(files)) - 1 {
		wg.Go(func() { read(nil) })
	}
	read(f.opts.Idle)
	wg.Wait()
}

// heeds reports whether the marker lines of a format mean anything here.
func (f *folder) heeds(format Format) bool {
	return f.opts.Format == Auto || f.opts.Format == format
}

// read reads the file once: for its checksum, for its encoding, and for its marks.
func (f *file) read(in *folder, r *reader) {
	r.skim.begin()
	f.skimmed = r.skim.skimmed
	f.keep = migration.KeepInMemory
	if in.held.Load() > maxKeptTexts {
		f.keep = 0
	}
	text, rest, err := f.begin(in.fsys, r.root, r.buf)
	switch {
	case err != nil:
		f.err = err
	case rest == nil && f.keep > 0:
		_, _ = r.skim.Write(text) // which never fails
		f.whole, f.err = migration.Bytes(f.path, text)
	default:
		f.whole, f.err = f.stream(in, r.skim, text, rest)
	}
	r.skim.finish()
	if f.err == nil && f.whole.Size <= f.keep {
		in.held.Add(f.whole.Size)
	}
}

// stream reads a file that is not kept in memory, or may be too long to be. Its beginning has been
// read; rest is nil if that is all of it.
func (f *file) stream(in *folder, s *skim, beginning []byte, rest io.ReadCloser) (*migration.Script, error) {
	first := true
	return migration.StreamKeeping(f.path, f.keep, func() (io.ReadCloser, error) {
		if !first {
			return openText(in.fsys, f.name)
		}
		first = false
		whole, c := io.Reader(bytes.NewReader(beginning)), io.NopCloser(nil)
		if rest != nil {
			whole, c = io.MultiReader(whole, rest), rest
		}
		return &skimmedText{io.TeeReader(whole, s), c, max(sizeOnDisk(rest), int64(len(beginning)))}, nil
	})
}

// skimmedText is a text that is read for the first time.
type skimmedText struct {
	io.Reader
	io.Closer
	size int64
}

// Len returns about how long the text is.
func (t *skimmedText) Len() int { return int(t.size) }

// reported reports whether the file could not be read, and why.
func (f *folder) reported(file *file) bool {
	switch {
	case file.err != nil:
		f.wrap(file.path, file.err)
		return true
	case file.tooMany > 0:
		f.at(file.path, file.tooMany, 1, "the file has more than %d markers", maxKept)
		return true
	}
	f.misspeltMarks(file)
	f.otherwiseNamed(file)
	return false
}

// script returns the whole file as a script, with Whimbrel's directives.
func (f *folder) script(file *file) *migration.Script {
	s := file.whole
	inHead := true
	for i := range file.parts {
		p := &file.parts[i]
		f.direct(file, p, s, inHead)
		inHead = inHead && p.empty()
	}
	return s
}

// section returns a part of a file as a script of its own. Its text ends with its last character
// that is not white space, so that adding a down section after it does not change its checksum.
func (f *folder) section(file *file, p *part) *migration.Script {
	s, err := file.cut(f.fsys, p)
	if err != nil {
		f.wrap(file.path, err)
		return nil
	}
	s.Line = p.line
	f.direct(file, p, s, true)
	return s
}

func (f *file) cut(fsys fs.FS, p *part) (*migration.Script, error) {
	if f.whole.Size <= f.keep {
		text, _, err := f.whole.Text(f.keep)
		if err != nil {
			return nil, err
		}
		return migration.Text(f.path, text[p.start:p.end]), nil
	}
	skip := p.start
	if f.bom {
		skip += int64(len(byteOrderMark))
	}
	return migration.StreamKeeping(f.path, f.keep, func() (io.ReadCloser, error) {
		r, err := openText(fsys, f.name)
		if err != nil {
			return nil, err
		}
		if err := skipTo(r, skip); err != nil {
			r.Close()
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(r, p.end-p.start), r}, nil
	})
}

func skipTo(r io.Reader, offset int64) error {
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(offset, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, r, offset)
	return err
}

// direct applies Whimbrel's directives of a part to its script.
func (f *folder) direct(file *file, p *part, s *migration.Script, inHead bool) {
	f.misspellings(file, p.misspelt)
	for _, d := range p.directives {
		if strings.EqualFold(d.text, migration.SkipOnScratch) {
			continue // it belongs to the next statement
		}
		if strings.EqualFold(d.text, migration.UnfinishedWord) && inHead { // also behind what someone has begun to write
			s.Problem = isUnfinished(file, d)
			continue
		}
		if d.body || !inHead {
			f.at(file.path, d.line, d.column, "directives must come before the first statement; move %q up", "-- whimbrel: "+d.text)
			continue
		}
		if err := s.Direct(d.text); err != nil {
			f.at(file.path, d.line, d.column, "%v", err)
		}
	}
}

// isUnfinished is the problem of a script that is not written yet.
func isUnfinished(file *file, d directive) error {
	return &Error{File: file.path, Line: d.line, Column: d.column, Msg: `the script says "-- whimbrel: unfinished"; write it, and remove that line`}
}

// needStatement reports an up script without a statement, or one with statements that says "empty".
func (f *folder) needStatement(file *file, s *migration.Script, empty bool) {
	if s != nil && empty && (s.Problem != nil || f.takesEmpty(file)) {
		return
	}
	f.needStatementIn("the up script", file, s, empty)
}

// needStatementIn marks an empty script as one that can't run yet.
func (f *folder) needStatementIn(what string, file *file, s *migration.Script, empty bool) {
	switch {
	case s == nil:
	case empty && !s.Empty:
		e := &Error{File: file.path, Msg: what + ` has no statement; write one, or mark it as intentionally empty with "-- whimbrel: empty"`}
		h, pair := golangMigrateName(file.name)
		text, _, _ := s.Text(migration.KeepInMemory)
		if pair && strings.TrimSpace(text) != strings.TrimSpace(upText(h.name)) && f.format == Native && f.opts.Format == Auto {
			e.ReadsAs = GolangMigrate // where it does nothing
		}
		s.Problem = e
	case !empty && s.Empty:
		f.add(file.path, `the script says "-- whimbrel: empty" but has statements; remove the line or the statements`)
	}
}

// takesEmpty reports whether an up script without a statement does nothing in the folder's tool.
// Diesel refuses a file without a comment.
func (f *folder) takesEmpty(file *file) bool {
	return f.layout.takesEmpty && !(f.format == Diesel && file.whole.Size == 0)
}

// empty reports whether no part of the file has a statement.
func (f *file) empty() bool {
	for i := range f.parts {
		if !f.parts[i].empty() {
			return false
		}
	}
	return true
}

// read returns the folder's migrations.
func (f *folder) read(format Format) []migration.Migration {
	f.format, f.layout = format, layoutOf(format)
	if f.layout.scripts != nil {
		f.readAlso(f.layout.scripts(f))
	}
	f.checkDates()
	all := f.layout.read(f)
	if format != Native {
		f.refuseBackfills()
		f.carry(all, f.numberedMetadata())
	}
	for i := range all {
		if d := all[i].Down; d != nil && d.Problem != nil { // the history must not keep it as the down script
			all[i].Down = nil
		}
	}
	if len(all)+len(f.others.Baselines)+len(f.others.Repeatables) == 0 {
		f.elsewhere()
	}
	return all
}

// elsewhere reports a folder without migrations whose sub-folders contain scripts.
func (f *folder) elsewhere() {
	if len(f.problems.all) > 0 {
		return
	}
	var names []string
	for _, e := range f.entries {
		if !e.IsDir() {
			continue
		}
		f.below(e.Name(), func(dir string, sub *listed) bool {
			if startsWithDigit(path.Base(dir)) && isFolderScript(sub.Name()) {
				dir = path.Dir(dir)
			}
			if shown := f.path(dir); hasSQLSuffix(sub.Name()) && dir != "." && !slices.Contains(names, shown) {
				names = append(names, shown)
			}
			return true
		})
	}
	if len(names) > 0 {
		f.add(f.opts.Dir, "there is no migration in the folder itself; name one of its folders: %s (in Go, fs.Sub)", shownNames(names))
	}
}

// How far sub-folders are searched for migrations.
const (
	searchedDepth   = 3
	searchedFolders = 100
)

// below calls visit for the entries of a sub-folder of the root and of those below it, as far as
// they are searched, until visit returns false. It skips entries that begin with "." or "_", and
// folders that can't be read.
func (f *folder) below(dir string, visit func(dir string, e *listed) bool) {
	next, depth := []string{dir}, 0
	for searched := 0; len(next) > 0 && depth < searchedDepth; depth++ {
		level := next
		next = nil
		for _, dir := range level {
			if searched++; searched > searchedFolders {
				return
			}
			entries, _ := readDir(f.fsys, dir, "")
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") {
					continue
				}
				if !visit(dir, e) {
					return
				}
				if e.IsDir() {
					next = append(next, path.Join(dir, e.Name()))
				}
			}
		}
	}
}
