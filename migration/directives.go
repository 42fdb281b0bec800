package migration

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/whimbrel-db/whimbrel/internal/spelling"
)

// Directives say how a script must be run. In the native format they are comments at the beginning
// of the file: "-- whimbrel: no-transaction".
type Directives struct {
	// NoTransaction runs the statements one by one, outside any transaction.
	NoTransaction bool
	// Empty says that the script intentionally has no statement.
	Empty bool
	// Secret says that the script has secrets. The history keeps its checksum but not its text, and
	// no message shows its string literals.
	Secret bool
	// LockTimeout limits each wait for a lock in the script, and RetryFor how long the script is
	// tried again after a lock timeout or a deadlock. 0 keeps the default; below 0 means no limit of
	// the wait, and no other try.
	LockTimeout, RetryFor time.Duration
	// StatementTimeout limits each statement. 0 keeps the session's setting.
	StatementTimeout time.Duration
}

// directive is one kind of directive: its word, and how to read and write it.
type directive struct {
	word     string
	flag     func(*Directives) *bool
	duration func(*Directives) *time.Duration
	zero     bool // 0 is a valid duration, which is stored as -1
}

var directives = []directive{
	{word: "no-transaction", flag: func(d *Directives) *bool { return &d.NoTransaction }},
	{word: "empty", flag: func(d *Directives) *bool { return &d.Empty }},
	{word: "secret", flag: func(d *Directives) *bool { return &d.Secret }},
	{word: "lock-timeout", duration: func(d *Directives) *time.Duration { return &d.LockTimeout }, zero: true},
	{word: "retry-for", duration: func(d *Directives) *time.Duration { return &d.RetryFor }, zero: true},
	{word: "statement-timeout", duration: func(d *Directives) *time.Duration { return &d.StatementTimeout }},
}

// Parse parses one directive, the text after "-- whimbrel:", into d.
func (d *Directives) Parse(text string) error { return d.parse(text, false) }

// parse is Parse. The error names the directives of backfills only for a backfill.
func (d *Directives) parse(text string, backfill bool) error {
	word, arg := cutWord(text)
	for _, k := range directives {
		switch {
		case k.word != strings.ToLower(word):
		case k.flag != nil && arg == "":
			*k.flag(d) = true
			return nil
		case k.flag != nil:
			return fmt.Errorf("directive %q takes no argument (got %q)", k.word, arg)
		default:
			v, err := time.ParseDuration(arg)
			if k.zero && err == nil && v == 0 {
				v = -1
			} else if err != nil || v < time.Millisecond {
				return fmt.Errorf("directive %q needs a duration of at least 1ms, such as %q (got %q)", k.word, k.word+" 2s", arg)
			}
			*k.duration(d) = v
			return nil
		}
	}
	return fmt.Errorf("unknown directive %q; valid directives: %s%s", strings.TrimSpace(text), strings.Join(directiveWords(backfill), ", "), didYouMean(text))
}

// UnfinishedWord is the directive of a script that is not written yet. Package source sets the
// script's Problem for it.
const UnfinishedWord = "unfinished"

// didYouMean suggests a directive for a misspelt one, "" for none.
func didYouMean(text string) string {
	if meant := Respell(text); meant != "" {
		return fmt.Sprintf("; did you mean %q?", meant)
	}
	return ""
}

// Respell returns the directive that a text probably means, correctly spelt, and "" if it means
// none. It keeps a correct directive, apart from case and white space.
func Respell(text string) string {
	words := strings.Fields(strings.ToLower(strings.TrimRight(strings.TrimSpace(text), ";.,:!")))
	for n := min(len(words), maxWords); n > 0; n-- {
		word := nearestDirective(strings.Join(words[:n], "-"))
		if word == "" {
			continue
		}
		meant := strings.Join(append([]string{word}, words[n:]...), " ")
		if word == UnfinishedWord && n == len(words) || (&Script{Backfill: &Backfill{}}).Direct(meant) == nil {
			return meant
		}
	}
	return ""
}

// maxWords is the largest number of words into which people split a directive's word, as in "no
// transaction".
const maxWords = 2

// nearestDirective returns the directive that equals or resembles a word, "" for none.
func nearestDirective(word string) string {
	word = strings.NewReplacer("_", "-", "--", "-").Replace(word)
	best, nearest := "", 0
	for _, known := range directiveWords(true) {
		d := spelling.Distance(word, known)
		if d <= len(known)/4 && (best == "" || d < nearest) {
			best, nearest = known, d
		}
	}
	for _, other := range []string{"no-tx", "notransaction", "notx", "disable-tx", "disable-transaction", "transaction:false", "transaction=false", "no-transactions"} {
		if word == other {
			return directives[0].word
		}
	}
	return best
}

// directiveWords are the words of all directives, with those of backfills or without them.
func directiveWords(backfill bool) []string {
	var words []string
	for _, k := range directives {
		words = append(words, k.word)
	}
	words = append(words, replacesWord, SkipOnScratch, UnfinishedWord, afterWord)
	if backfill {
		words = append(words, fillWords()...)
	}
	return words
}

// cutWord splits off the first word of a text.
func cutWord(text string) (word, rest string) {
	word = strings.TrimSpace(text)
	if i := strings.IndexFunc(word, unicode.IsSpace); i >= 0 {
		word, rest = word[:i], strings.TrimSpace(word[i:])
	}
	return word, rest
}

// String returns the directives joined by ", ", as ParseDirectives reads them, and "" for none.
func (d Directives) String() string {
	var parts []string
	for _, k := range directives {
		switch {
		case k.flag != nil && *k.flag(&d):
			parts = append(parts, k.word)
		case k.duration != nil && *k.duration(&d) != 0:
			parts = append(parts, k.word+" "+max(0, *k.duration(&d)).String())
		}
	}
	return strings.Join(parts, ", ")
}

// ParseDirectives parses the result of String.
func ParseDirectives(s string) (d Directives, err error) {
	if s == "" {
		return d, nil
	}
	for part := range strings.SplitSeq(s, ", ") {
		if err := d.Parse(part); err != nil {
			return d, err
		}
	}
	return d, nil
}
