package migration

import (
	"errors"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// checkBackfills refuses backfills that aren't up scripts of migrations, and migrations that wait
// for what is no earlier backfill.
func (s *Set) checkBackfills() error {
	var all []error
	add := func(err error) {
		if err != nil {
			all = append(all, err)
		}
	}
	for _, list := range [][]Migration{s.all, s.originals} {
		for i := range list {
			add(s.checkUp(&list[i]))
			add(checkOther("a down script", list[i].Down))
		}
	}
	for _, b := range s.baselines {
		add(checkOther("a baseline", b.Up))
	}
	for _, r := range s.repeatables {
		add(checkOther("a repeatable script", r.Script))
	}
	return errors.Join(all...)
}

// checkOther refuses a script with directives that only the up script of a migration can have.
func checkOther(what string, s *Script) error {
	switch {
	case s == nil:
	case s.Backfill != nil:
		return contentsError(s, "%s can't be a backfill; only the up script of a migration can", what)
	case len(s.After) > 0:
		return directiveError(s, fmt.Sprintf("%s %d", afterWord, s.After[0]), "%s can't wait for a backfill; only the up script of a migration can; remove the directive", what)
	}
	return nil
}

// checkUp checks an up script.
func (s *Set) checkUp(m *Migration) error {
	var all []error
	if b := m.Up.Backfill; b != nil && b.Table == "" {
		all = append(all, contentsError(m.Up, "the backfill has no table"))
	}
	for _, v := range m.Up.After {
		if msg := s.afterProblem(m, v); msg != "" {
			all = append(all, directiveError(m.Up, fmt.Sprintf("%s %d", afterWord, v), "%s", msg))
		}
	}
	return errors.Join(all...)
}

// afterProblem says why a migration can't wait for a version, "" if it can. A version whose file
// was deleted after a squash or a baseline replaced it is one that every database has behind it.
func (s *Set) afterProblem(m *Migration, v int64) string {
	before, there := s.Original(v)
	if !there {
		before, there = s.Get(v)
	}
	_, squashed := s.squashes[v]
	switch {
	case v == m.Version:
		return "a migration can't wait for itself; remove the directive, or name another version"
	case v > m.Version:
		return fmt.Sprintf("version %d comes later, so this migration can't wait for it; remove the directive, or give this migration a higher version", v)
	case there && before.Up.Backfill != nil, squashed && (!there || len(before.Up.Replaces) > 0), !there && s.startsAfter(v):
		return ""
	case there:
		return fmt.Sprintf("version %d is not a backfill, so it is done as soon as it is applied; remove the directive%s", v, s.meantAfter(m))
	}
	return fmt.Sprintf("the set has no version %d%s", v, s.meantAfter(m))
}

// startsAfter reports whether a baseline replaces a version.
func (s *Set) startsAfter(v int64) bool {
	return len(s.baselines) > 0 && v <= s.baselines[len(s.baselines)-1].Version
}

// meantAfter names the newest backfill before a migration, as the end of a message.
func (s *Set) meantAfter(m *Migration) string {
	for i := len(s.all) - 1; i >= 0; i-- {
		if b := s.all[i]; b.Version < m.Version && b.Up.Backfill != nil {
			return fmt.Sprintf("; did you mean %q?", fmt.Sprintf("%s %d", afterWord, b.Version))
		}
	}
	return ""
}

// placeOf returns the place of a directive of the script, with its argument; the zero position if
// it has none.
func (s *Script) placeOf(directive string) (at sqltext.Position) {
	head, err := s.head(0)
	if err != nil {
		return at
	}
	for _, c := range head {
		if text, is := directiveOf(c.Text); is && sameDirective(text, directive) {
			return c.Pos
		}
	}
	return at
}

// sameDirective compares directives whose argument is a number.
func sameDirective(a, b string) bool {
	wordA, a := cutWord(a)
	wordB, b := cutWord(b)
	return strings.EqualFold(wordA, wordB) && strings.TrimLeft(a, "0") == strings.TrimLeft(b, "0")
}
