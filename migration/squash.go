package migration

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// SquashError reports a squash that conflicts with the rest of the set.
type SquashError struct {
	File    string
	Version int64
	Msg     string // what is wrong and what to do
}

func (e *SquashError) Error() string { return e.File + ": " + e.Msg }

// replacesWord is the directive for one migration that a squash replaces.
const replacesWord = "replaces"

// Direct parses one directive, the text after "-- whimbrel:", into the script.
func (s *Script) Direct(text string) error { return s.direct(text, 0) }

func (s *Script) direct(text string, d sqltext.Dialect) error {
	word, rest := cutWord(text)
	if strings.EqualFold(text, SkipOnScratch) {
		return nil // it belongs to the statement after it; see SkippedOnScratch
	}
	if is, err := s.directFill(text, d); is {
		return err
	}
	switch strings.ToLower(word) {
	case afterWord:
		return s.directAfter(rest)
	case replacesWord:
	default:
		return s.Directives.parse(text, s.Backfill != nil)
	}
	version, sum := cutWord(rest)
	v, err := strconv.ParseInt(version, 10, 64)
	if err != nil || v < 0 {
		return fmt.Errorf("directive %q needs a version and the checksum of its up script (got %q)", replacesWord, rest)
	}
	c, err := ParseChecksum(sum)
	if err != nil {
		return fmt.Errorf("directive %q: %w", replacesWord, err)
	}
	i, twice := slices.BinarySearchFunc(s.Replaces, v, func(r Replaced, v int64) int { return cmp.Compare(r.Version, v) })
	if twice {
		return fmt.Errorf("directive %q names version %d twice", replacesWord, v)
	}
	s.Replaces = slices.Insert(s.Replaces, i, Replaced{Version: v, Checksum: c})
	return nil
}

// sort separates ordered migrations from those that others replace.
func (s *Set) sort(all []Migration) error {
	replaced := map[int64]Migration{} // the squash of each version
	for _, m := range all {
		for _, r := range m.Up.Replaces {
			if other, taken := replaced[r.Version]; taken && other.Version == m.Version {
				return &SquashError{m.Up.File, m.Version, fmt.Sprintf("version %d is also replaced by %s; remove one of them", r.Version, other.Up.File)}
			}
			replaced[r.Version] = m // the newest; addOriginal checks its own originals
		}
	}
	if len(replaced) == 0 {
		s.all = all
		return nil
	}
	for _, m := range all {
		q, ok := replaced[m.Version]
		if !ok || q.Up == m.Up {
			s.all = append(s.all, m)
		} else if err := s.addOriginal(m, q); err != nil {
			return err
		}
	}
	for _, q := range s.all {
		if err := s.addSquash(q); err != nil {
			return err
		}
	}
	return nil
}

// addOriginal adds a migration that the squash q replaces.
func (s *Set) addOriginal(m, q Migration) error {
	i := slices.IndexFunc(q.Up.Replaces, func(r Replaced) bool { return r.Version == m.Version })
	if want := q.Up.Replaces[i].Checksum; m.Up.Checksum != want {
		return &SquashError{m.Up.File, m.Version, fmt.Sprintf("differs from the migration that %s replaces (checksum %.12s…, expected %.12s…); restore the file, or give it a higher version if it is a new migration",
			q.Up.File, m.Up.Checksum, want)}
	}
	for _, r := range m.Up.Replaces {
		if _, there := s.Original(r.Version); there {
			return &SquashError{m.Up.File, m.Version, fmt.Sprintf("is a squash that %s replaces, so the files that it replaces itself are no longer needed; delete them", q.Up.File)}
		}
	}
	s.originals = append(s.originals, m)
	return nil
}

// addSquash checks a squash against the other migrations.
func (s *Set) addSquash(q Migration) error {
	if len(q.Up.Replaces) == 0 {
		return nil
	}
	oldest, newest := q.Up.Replaces[0].Version, q.Up.Replaces[len(q.Up.Replaces)-1].Version
	if newest != q.Version {
		return &SquashError{q.Up.File, q.Version, fmt.Sprintf("the newest version that it replaces is %d; give the squash that version", newest)}
	}
	for _, r := range q.Up.Replaces {
		if other, taken := s.squashes[r.Version]; taken {
			return &SquashError{q.Up.File, q.Version, fmt.Sprintf("version %d is also replaced by the squash %d; remove one of them", r.Version, other)}
		}
		s.squashes[r.Version] = q.Version
	}
	for _, m := range s.all {
		if m.Version >= oldest && m.Version < q.Version {
			return &SquashError{m.Up.File, m.Version, fmt.Sprintf("is between the versions %d and %d of the squash %s, which does not replace it; give it a higher version", oldest, newest, q.Up.File)}
		}
	}
	return nil
}
