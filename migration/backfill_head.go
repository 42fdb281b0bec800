package migration

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/spelling"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// directiveMark is how a comment begins that is a directive.
const directiveMark = "whimbrel:"

// ParseBackfill returns the script of a backfill for its text, as source.Read returns it for a file
// VERSION_name.backfill.sql. It is for texts that a history keeps. The error joins an
// [*sqltext.Error] for each directive that is wrong. It does not read the statements; see
// [Script.Body].
func ParseBackfill(file, text string, d sqltext.Dialect) (*Script, error) {
	s := Text(file, text)
	return s, s.ParseBackfill(d)
}

// ParseBackfill reads the directives at the beginning of the script's text, which is that of a
// backfill. An unknown dialect leaves the names of the key's columns as they are written.
func (s *Script) ParseBackfill(d sqltext.Dialect) error {
	head, err := s.head(d)
	if err != nil {
		return err
	}
	s.Backfill = &Backfill{}
	var wrong []error
	for _, c := range head {
		if text, is := directiveOf(c.Text); is && !strings.EqualFold(text, UnfinishedWord) {
			if err := s.direct(text, d); err != nil {
				wrong = append(wrong, &sqltext.Error{Pos: c.Pos, Msg: err.Error()})
			}
		}
	}
	if word, msg := s.conflict(); msg != "" && len(wrong) == 0 {
		wrong = append(wrong, &sqltext.Error{Pos: s.Place(word, d), Msg: msg})
	}
	return errors.Join(wrong...)
}

// conflict returns what is wrong with the directives together, and the word to which it belongs.
func (s *Script) conflict() (word, msg string) {
	b := s.Backfill
	switch {
	case b.Table == "":
		return backfillWord, `a backfill needs the table whose rows it changes; write "-- whimbrel: backfill TABLE" before its statements`
	case s.NoTransaction:
		return "no-transaction", "a backfill executes each batch in a transaction; remove the directive"
	case s.Empty:
		return "empty", "a backfill needs a statement; remove the directive"
	case s.RetryFor != 0:
		return "retry-for", `a backfill tries a lane again as often as "attempts" says; remove the directive`
	case len(s.Replaces) > 0:
		return replacesWord, "a backfill can't replace migrations; remove the directive"
	case b.Recheck && b.Check == "":
		return "recheck", `directive "recheck" needs a query that counts the rows still to change; write "-- whimbrel: check SELECT count(*) …"`
	}
	return "", ""
}

// head returns the comments at the beginning of the script's text.
func (s *Script) head(d sqltext.Dialect) ([]sqltext.Comment, error) {
	text, ok, err := s.Text(KeepInMemory)
	switch {
	case err != nil:
		return nil, err
	case !ok && s.fn == nil:
		return nil, &sqltext.Error{Pos: s.begin(), Msg: fmt.Sprintf("the script of a backfill can have at most %d KiB; it has %d", KeepInMemory>>10, s.Size>>10)}
	}
	return sqltext.Head(text, d, sqltext.Options{File: s.File, Line: s.Line}), nil
}

func (s *Script) begin() sqltext.Position {
	return sqltext.Position{File: s.File, Line: max(s.Line, 1), Column: 1}
}

// directiveOf returns the text of the directive that a comment is.
func directiveOf(comment string) (text string, is bool) {
	word, rest, found := strings.Cut(comment, ":")
	return strings.TrimSpace(rest), found && strings.EqualFold(strings.TrimSpace(word), strings.TrimSuffix(directiveMark, ":"))
}

// Place returns the place of the script's first directive with a word, such as "key". It returns
// the place of "backfill" if the script has no such directive, and else its beginning.
func (s *Script) Place(word string, d sqltext.Dialect) sqltext.Position {
	head, err := s.head(d)
	if err != nil {
		return s.begin()
	}
	for _, word := range []string{word, backfillWord} {
		for _, c := range head {
			text, is := directiveOf(c.Text)
			if first, _ := cutWord(text); is && strings.EqualFold(strings.TrimSuffix(first, ":"), word) {
				return c.Pos
			}
		}
	}
	return s.begin()
}

// backfillWord is the directive that names the table.
const backfillWord = "backfill"

// afterWord is the directive that names a backfill that must be done first.
const afterWord = "after"

// fill is a directive of a backfill: its word, an example of its argument, and how it is stored.
type fill struct {
	word, example string
	set           func(b *Backfill, arg string, d sqltext.Dialect) error
}

// errArgument is the error of an argument that does not fit. The message has the example.
var errArgument = errors.New("does not fit")

// fills returns all directives of backfills.
func fills() []fill {
	return []fill{
		{backfillWord, "public.users", setTable},
		{"key", "tenant_id, id", setKey},
		{"batch", "1000", number(func(b *Backfill) *int { return &b.Batch }, maxBatch)},
		{"target", "250ms", duration(func(b *Backfill) *time.Duration { return &b.Target })},
		{"parallel", "4", number(func(b *Backfill) *int { return &b.Parallel }, maxParallel)},
		{"pause", "50ms", duration(func(b *Backfill) *time.Duration { return &b.Pause })},
		{"timeout", "30s", duration(func(b *Backfill) *time.Duration { return &b.Timeout })},
		{"attempts", "5", number(func(b *Backfill) *int { return &b.Attempts }, maxAttempts)},
		{checkWord, "SELECT count(*) FROM users WHERE email_lower IS NULL", query(func(b *Backfill) *string { return &b.Check })},
		{"recheck", "", flag(func(b *Backfill) *bool { return &b.Recheck })},
		{syncWord, "", flag(func(b *Backfill) *bool { return &b.Sync })},
		{"detach", "", flag(func(b *Backfill) *bool { return &b.Detach })},
		{"max-lag", "10s", duration(func(b *Backfill) *time.Duration { return &b.Throttle.Lag })},
		{"max-slot-wal", "10GB", size(func(b *Backfill) *int64 { return &b.Throttle.SlotWAL })},
		{"max-wal-rate", "50MB", size(func(b *Backfill) *int64 { return &b.Throttle.WALRate })},
		{"wait-for-autovacuum", "", flag(func(b *Backfill) *bool { return &b.Throttle.Autovacuum })},
		{"max-flow-control", "0.1", setFlowControl},
		{throttleWord, "SELECT count(*) > 100 FROM queue", query(func(b *Backfill) *string { return &b.Throttle.Query })},
	}
}

// The words of directives that have places of their own in errors.
const (
	checkWord    = "check"
	throttleWord = "throttle"
	syncWord     = "sync"
)

// The largest numbers that make sense.
const (
	maxBatch    = 1_000_000
	maxParallel = 64
	maxAttempts = 1000
)

// fillOf returns the directive of a backfill with a word. A colon may follow the word.
func fillOf(word string) *fill {
	word = strings.ToLower(strings.TrimSuffix(word, ":"))
	for _, f := range fills() {
		if f.word == word {
			return &f
		}
	}
	return nil
}

// apply stores the argument of a directive.
func (f *fill) apply(b *Backfill, arg string, d sqltext.Dialect) error {
	err := f.set(b, arg, d)
	switch {
	case err == errArgument && f.example == "":
		return fmt.Errorf("directive %q takes no argument (got %q)", f.word, arg)
	case err == errArgument:
		return fmt.Errorf("directive %q needs an argument such as %q (got %q)", f.word, f.word+" "+f.example, arg)
	case err != nil:
		return fmt.Errorf("directive %q %w", f.word, err)
	}
	return nil
}

var errTwice = errors.New("is given twice; remove one")

func setTable(b *Backfill, arg string, d sqltext.Dialect) error {
	l := sqltext.List(arg, anyDialect(arg, d))
	switch {
	case b.Table != "":
		return errTwice
	case len(l) == 1 && l[0].Name() != "", len(l) == 3 && l[0].Name() != "" && l[1].Is(".") && l[2].Name() != "":
		b.Table = arg
		return nil
	}
	return errArgument
}

// anyDialect returns a dialect with which the quotes of a name are read, if none is known.
func anyDialect(text string, d sqltext.Dialect) sqltext.Dialect {
	if d == 0 && strings.ContainsAny(text, "`[") {
		return sqltext.SQLite
	}
	return d
}

func setKey(b *Backfill, arg string, d sqltext.Dialect) error {
	if b.Key != nil {
		return errTwice
	}
	var key []string
	for _, part := range sqltext.List(arg, anyDialect(arg, d)).Split() {
		if len(part) != 1 || part[0].Name() == "" {
			return errArgument
		}
		name := part[0].Name()
		if d == 0 && part[0].Kind == sqltext.TokenWord {
			name = part[0].Text // the database decides which case it has
		}
		if slices.Contains(key, name) {
			return fmt.Errorf("names the column %q twice; remove one", name)
		}
		key = append(key, name)
	}
	b.Key = key
	return nil
}

func number(field func(*Backfill) *int, most int) func(*Backfill, string, sqltext.Dialect) error {
	return func(b *Backfill, arg string, _ sqltext.Dialect) error {
		n, err := strconv.Atoi(strings.ReplaceAll(arg, "_", ""))
		switch p := field(b); {
		case err != nil:
			return errArgument
		case n < 1 || n > most:
			return fmt.Errorf("needs a number from 1 to %d (got %q)", most, arg)
		case *p != 0:
			return errTwice
		default:
			*p = n
			return nil
		}
	}
}

func duration(field func(*Backfill) *time.Duration) func(*Backfill, string, sqltext.Dialect) error {
	return func(b *Backfill, arg string, _ sqltext.Dialect) error {
		v, err := time.ParseDuration(arg)
		switch p := field(b); {
		case err != nil:
			return errArgument
		case v < time.Millisecond:
			return fmt.Errorf("needs a duration of at least 1ms (got %q)", arg)
		case *p != 0:
			return errTwice
		default:
			*p = v
			return nil
		}
	}
}

func flag(field func(*Backfill) *bool) func(*Backfill, string, sqltext.Dialect) error {
	return func(b *Backfill, arg string, _ sqltext.Dialect) error {
		if arg != "" {
			return errArgument
		}
		*field(b) = true
		return nil
	}
}

// query stores a query. Further directives with the same word continue it on another line.
func query(field func(*Backfill) *string) func(*Backfill, string, sqltext.Dialect) error {
	return func(b *Backfill, arg string, _ sqltext.Dialect) error {
		p := field(b)
		switch {
		case arg == "":
			return errArgument
		case *p != "":
			*p += "\n" + arg
		default:
			*p = arg
		}
		return nil
	}
}

// units are the units of sizes, as PostgreSQL's settings have them.
var units = []struct {
	word  string
	bytes int64
}{{"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"tb", 1 << 40}, {"b", 1}}

func size(field func(*Backfill) *int64) func(*Backfill, string, sqltext.Dialect) error {
	return func(b *Backfill, arg string, _ sqltext.Dialect) error {
		text := strings.TrimSuffix(strings.ToLower(arg), "/s")
		for _, u := range units {
			digits, ok := strings.CutSuffix(text, u.word)
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 32)
			if err != nil || n < 1 {
				return errArgument
			}
			if *field(b) != 0 {
				return errTwice
			}
			*field(b) = n * u.bytes
			return nil
		}
		return errArgument
	}
}

func setFlowControl(b *Backfill, arg string, _ sqltext.Dialect) error {
	v, err := strconv.ParseFloat(arg, 64)
	switch {
	case err != nil:
		return errArgument
	case !(v > 0 && v <= 1):
		return fmt.Errorf("needs a share of time above 0 and up to 1 (got %q)", arg)
	case b.Throttle.FlowControl != 0:
		return errTwice
	}
	b.Throttle.FlowControl = v
	return nil
}

// directFill parses a directive of a backfill, and reports whether the word is one.
func (s *Script) directFill(text string, d sqltext.Dialect) (is bool, err error) {
	word, arg := cutWord(text)
	f := fillOf(word)
	if f == nil {
		return false, nil
	}
	if s.Backfill == nil {
		return true, fmt.Errorf("directive %q belongs to a backfill, which is a file named VERSION_name.backfill.sql; rename the file, or remove the directive", f.word)
	}
	return true, f.apply(s.Backfill, arg, d)
}

// directAfter parses the version of a backfill that must be done first.
func (s *Script) directAfter(arg string) error {
	v, err := strconv.ParseInt(arg, 10, 64)
	switch {
	case err != nil || v < 0:
		return fmt.Errorf("directive %q needs the version of a backfill, such as %q (got %q)", afterWord, afterWord+" 12", arg)
	case slices.Contains(s.After, v):
		return fmt.Errorf("directive %q names version %d twice; remove one", afterWord, v)
	}
	s.After = append(s.After, v)
	slices.Sort(s.After)
	return nil
}

// fillWords are the words of all directives of backfills.
func fillWords() []string {
	var words []string
	for _, f := range fills() {
		words = append(words, f.word)
	}
	return words
}

// nearest returns the known name that a name probably means, "" for none.
func nearest(name string, known []string) string {
	best, found := max(len(name)/3, 1)+1, ""
	for _, k := range known {
		if d := spelling.Distance(strings.ToLower(name), k); d < best {
			best, found = d, k
		}
	}
	return found
}
