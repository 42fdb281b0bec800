package migration

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

// Set is a named, ordered list of migrations with distinct versions. Several sets can share a
// database without knowing of each other. The name distinguishes them, so a library chooses a name
// that no other library uses. A Set does not change and is safe for concurrent use.
//
// A migration whose up script replaces others is a squash. It is one of the set's migrations. The
// migrations that it replaces are its originals. If their files still exist, databases that have
// applied only some of them use them.
type Set struct {
	name        string
	all         []Migration
	originals   []Migration     // ordered by version
	squashes    map[int64]int64 // the squash's version of each that is replaced, its own included
	baselines   []Migration     // ordered by version
	repeatables []Named         // ordered by name
	warnings    []Warning
	readDowns   func(files []string) ([]*Script, []Warning, error)
}

// Warning reports a probable mistake that prevents nothing from running.
type Warning struct {
	// File is the file or folder. Line and Column count from 1, and are 0 for the whole file.
	File         string
	Line, Column int
	Msg          string
}

func (w Warning) String() string {
	if w.Line == 0 {
		return w.File + ": " + w.Msg
	}
	return fmt.Sprintf("%s:%d:%d: %s", w.File, w.Line, max(w.Column, 1), w.Msg)
}

// DuplicateError reports that two migrations of a set have the same version.
type DuplicateError struct {
	Version       int64
	First, Second string // the files
}

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("version %d is used twice: %s and %s; change the version of one", e.Version, e.First, e.Second)
}

// ContentsError reports a script that conflicts with the rest of a set, or that can't have one of
// its directives.
type ContentsError struct {
	File string
	// Line and Column count from 1, and are 0 for the whole file.
	Line, Column int
	Msg          string
}

func (e *ContentsError) Error() string { return Warning{e.File, e.Line, e.Column, e.Msg}.String() }

// contentsError returns an error about a script.
func contentsError(s *Script, format string, args ...any) error {
	return &ContentsError{File: s.File, Msg: fmt.Sprintf(format, args...)}
}

// directiveError returns an error about a directive of a script, at its place.
func directiveError(s *Script, directive, format string, args ...any) error {
	pos := s.placeOf(directive)
	return &ContentsError{File: s.File, Line: pos.Line, Column: pos.Column, Msg: fmt.Sprintf(format, args...)}
}

// ReservedSet is the set of the migrations of Whimbrel's own tables.
const ReservedSet = "whimbrel"

// Contents are the parts of a Set, in any order.
type Contents struct {
	Migrations []Migration
	// Baselines have an up script that replaces all migrations up to its version. An empty database
	// starts from it.
	Baselines []Migration
	// Repeatables run after the migrations when their text has changed.
	Repeatables []Named
	// Warnings are the warnings about the contents.
	Warnings []Warning
	// ReadDowns reads the down scripts of migrations whose Down is [Unread], in the order of their
	// files. A nil script means that there is none in the file. Several goroutines may call it.
	ReadDowns func(files []string) ([]*Script, []Warning, error)
}

// NewSet returns a set of migrations, ordered by version. It is Contents.Set for migrations only.
func NewSet(name string, migrations ...Migration) (*Set, error) {
	return Contents{Migrations: migrations}.Set(name)
}

// Set returns the set of the contents. An empty name means [DefaultSet]. It refuses negative
// versions, duplicate versions (*[DuplicateError]), migrations without an up script, and squashes
// that conflict with the other migrations (*[SquashError]).
func (c Contents) Set(name string) (*Set, error) {
	if name == "" {
		name = DefaultSet
	}
	if name == ReservedSet {
		return nil, fmt.Errorf("the set name %q is Whimbrel's own; choose another", name)
	}
	s := &Set{name: name, squashes: map[int64]int64{}, warnings: slices.Clone(c.Warnings), readDowns: c.ReadDowns}
	all, err := ordered(c.Migrations)
	if err != nil {
		return nil, err
	}
	if err := s.sort(all); err != nil {
		return nil, err
	}
	err = errors.Join(once(s.all), once(s.originals), s.setBaselines(c.Baselines), s.setRepeatables(c.Repeatables))
	if err == nil {
		err = s.checkBackfills()
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// ordered returns migrations in the order of their versions.
func ordered(migrations []Migration) ([]Migration, error) {
	all := slices.Clone(migrations)
	order.StableBy(all, func(a, b Migration) int { return cmp.Compare(a.Version, b.Version) })
	for _, m := range all {
		switch {
		case m.Version < 0:
			return nil, fmt.Errorf("version %d of migration %q is below 0; versions count from 0", m.Version, m.Name)
		case m.Up == nil:
			return nil, fmt.Errorf("migration %s has no up script", m)
		case m.Down != nil && len(m.Down.Replaces) > 0:
			return nil, contentsError(m.Down, "only an up script replaces migrations; move the directive there")
		}
	}
	return all, nil
}

// once refuses two migrations with one version.
func once(list []Migration) error {
	var all []error
	for i := range list[min(len(list), 1):] {
		if first, second := list[i], list[i+1]; first.Version == second.Version {
			all = append(all, &DuplicateError{Version: first.Version, First: first.Up.File, Second: second.Up.File})
		}
	}
	return errors.Join(all...)
}

func (s *Set) setBaselines(baselines []Migration) (err error) {
	if s.baselines, err = ordered(baselines); err != nil {
		return err
	}
	var all []error
	for _, b := range s.baselines {
		q, inside := s.around(b.Version)
		wrong := func(format string, args ...any) {
			all = append(all, contentsError(b.Up, format, args...))
		}
		switch {
		case len(b.Up.Replaces) > 0:
			wrong("a baseline can't have the directive replaces, since it replaces all versions up to its own; remove the directive")
		case b.Up.NoTransaction:
			wrong("a baseline always runs in one transaction; move statements that can't be in one to a migration")
		case inside:
			wrong("version %d is one of those that %s replaces, so a database that starts from it would be inside the squash; give the baseline version %d", b.Version, q.Up.File, q.Version)
		}
	}
	return errors.Join(append(all, once(s.baselines))...)
}

// around returns the squash in whose range a version is, unless it is the last one of the range.
func (s *Set) around(version int64) (Migration, bool) {
	i := slices.IndexFunc(s.all, func(m Migration) bool {
		return len(m.Up.Replaces) > 0 && m.Up.Replaces[0].Version <= version && version < m.Version
	})
	if i < 0 {
		return Migration{}, false
	}
	return s.all[i], true
}

func (s *Set) setRepeatables(repeatables []Named) error {
	s.repeatables = slices.Clone(repeatables)
	order.StableBy(s.repeatables, func(a, b Named) int { return cmp.Compare(a.Name, b.Name) })
	var all []error
	for i, r := range s.repeatables {
		switch {
		case r.Name == "" || r.Script == nil:
			return fmt.Errorf("a repeatable script needs a name and a script (got name %q)", r.Name)
		case len(r.Script.Replaces) > 0:
			all = append(all, contentsError(r.Script, "a repeatable script can't replace migrations; remove the directive"))
		case i > 0 && s.repeatables[i-1].Name == r.Name:
			all = append(all, contentsError(r.Script, "the repeatable script %q is used twice: %s and %s", r.Name, s.repeatables[i-1].Script.File, r.Script.File))
		}
	}
	return errors.Join(all...)
}

// WithDowns returns the set with unread down scripts of its migrations read. It returns the set
// itself if none of the scripts is unread.
func (s *Set) WithDowns(scripts ...*Script) (*Set, error) {
	wanted := make(map[*Script]bool, len(scripts))
	for _, script := range scripts {
		if script.Unread() {
			wanted[script] = true
		}
	}
	if len(wanted) == 0 {
		return s, nil
	}
	return s.with(func(script *Script) bool { return wanted[script] })
}

// Complete returns the set with all down scripts read. It returns the set itself if none is unread,
// as in every set that was not read with source.Options.DeferDowns.
func (s *Set) Complete() (*Set, error) {
	return s.with(func(*Script) bool { return true })
}

// with returns the set with those of the unread down scripts read for which wanted returns true.
func (s *Set) with(wanted func(*Script) bool) (*Set, error) {
	if s.readDowns == nil {
		return s, nil
	}
	c := *s
	c.all, c.originals = slices.Clone(s.all), slices.Clone(s.originals)
	var migrations []*Migration
	var files []string
	for _, list := range [][]Migration{c.all, c.originals} {
		for i := range list {
			if m := &list[i]; m.Down.Unread() && wanted(m.Down) {
				migrations, files = append(migrations, m), append(files, m.Down.File)
			}
		}
	}
	if len(files) == 0 {
		return s, nil
	}
	scripts, warnings, err := s.readDowns(files)
	if err != nil {
		return nil, err
	}
	for i, m := range migrations {
		m.Down = scripts[i]
	}
	c.warnings = slices.Concat(s.warnings, warnings)
	return &c, nil
}

// Name returns the set's name.
func (s *Set) Name() string { return s.name }

// Warnings returns the warnings about the contents, such as files that another tool skips.
func (s *Set) Warnings() []Warning { return slices.Clone(s.warnings) }

// Len returns the number of migrations.
func (s *Set) Len() int { return len(s.all) }

// All returns the migrations in ascending order of their versions.
func (s *Set) All() []Migration { return slices.Clone(s.all) }

// Each iterates over All without copying it.
func (s *Set) Each() iter.Seq[Migration] { return slices.Values(s.all) }

// Last returns the newest version; false if the set has none.
func (s *Set) Last() (int64, bool) {
	if len(s.all) == 0 {
		return 0, false
	}
	return s.all[len(s.all)-1].Version, true
}

// Versions returns the versions in ascending order.
func (s *Set) Versions() []int64 {
	vs := make([]int64, len(s.all))
	for i, m := range s.all {
		vs[i] = m.Version
	}
	return vs
}

// Digits returns the number of digits to which the files pad their versions with zeros, such as 4
// for 0012_add_index.up.sql. It is 0 if they don't.
func (s *Set) Digits() int {
	for _, m := range s.all {
		name := m.Up.File[strings.LastIndexByte(m.Up.File, '/')+1:]
		if n := PaddedDigits(name); n > 0 {
			return n
		}
	}
	return 0
}

// PaddedDigits returns the number of digits of the version at the beginning of a file's name, if it
// has a leading zero, and else 0.
func PaddedDigits(name string) int {
	n := len(name) - len(strings.TrimLeft(name, "0123456789"))
	if n < 2 || name[0] != '0' {
		return 0
	}
	return n
}

// Get returns the migration with the given version.
func (s *Set) Get(version int64) (Migration, bool) { return find(s.all, version) }

// Squash returns the squash that replaces a version. Its own version is the newest one that it
// replaces.
func (s *Set) Squash(version int64) (Migration, bool) {
	v, ok := s.squashes[version]
	if !ok {
		return Migration{}, false
	}
	return s.Get(v)
}

// Original returns a migration that a squash replaces, if its file still exists.
func (s *Set) Original(version int64) (Migration, bool) { return find(s.originals, version) }

// Baselines returns the baselines in ascending order of their versions.
func (s *Set) Baselines() []Migration { return slices.Clone(s.baselines) }

// Baseline returns the baseline with the given version.
func (s *Set) Baseline(version int64) (Migration, bool) { return find(s.baselines, version) }

// Repeatables returns the repeatable scripts, ordered by name.
func (s *Set) Repeatables() []Named { return slices.Clone(s.repeatables) }

func find(list []Migration, version int64) (m Migration, ok bool) {
	if len(list) == 0 {
		return m, false
	}
	if i := version - list[0].Version; 0 <= i && i < int64(len(list)) && list[i].Version == version {
		return list[i], true // the common case: numbers without gaps
	}
	i, ok := slices.BinarySearchFunc(list, version, func(m Migration, v int64) int { return cmp.Compare(m.Version, v) })
	if ok {
		m = list[i]
	}
	return m, ok
}
