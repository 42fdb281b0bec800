package migration

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/whimbrel-db/whimbrel/internal/spelling"
)

// Directives are what a script asks of whoever runs it. In the native format they
// stand in comments in the head of the file: "-- whimbrel: no-transaction".
type Directives struct {
	// NoTransaction asks that the statements run one by one, outside of any
	// transaction.
	NoTransaction bool
	// Empty says that the script has no statement on purpose.
	Empty bool
	// Secret says that the script has secrets: the history keeps its checksum and not its text, and no
	// message shows its string literals.
	Secret bool
	// LockTimeout bounds each wait for a lock inside the script, and
	// StatementTimeout each statement; 0 leaves the session's own.
	LockTimeout, StatementTimeout time.Duration
}

// directive is one kind of directive: its word, and how it is read and written.
type directive struct {
	word     string
	flag     func(*Directives) *bool
	duration func(*Directives) *time.Duration
}

var directives = []directive{
	{word: "no-transaction", flag: func(d *Directives) *bool { return &d.NoTransaction }},
	{word: "empty", flag: func(d *Directives) *bool { return &d.Empty }},
	{word: "secret", flag: func(d *Directives) *bool { return &d.Secret }},
	{word: "lock-timeout", duration: func(d *Directives) *time.Duration { return &d.LockTimeout }},
	{word: "statement-timeout", duration: func(d *Directives) *time.Duration { return &d.StatementTimeout }},
}

// Parse reads one directive, as it stands behind "-- whimbrel:", into d.
func (d *Directives) Parse(text string) error {
	word, arg := cutWord(text)
	for _, k := range directives {
		switch {
		case k.word != strings.ToLower(word):
		case k.flag != nil && arg == "":
			*k.flag(d) = true
			return nil
		case k.flag != nil:
			return fmt.Errorf("directive %q takes no argument, here is %q", k.word, arg)
		default:
			v, err := time.ParseDuration(arg)
			if err != nil || v < time.Millisecond {
				return fmt.Errorf("directive %q wants a time of at least 1ms, such as %q, not %q", k.word, k.word+" 2s", arg)
			}
			*k.duration(d) = v
			return nil
		}
	}
	return fmt.Errorf("unknown directive %q%s; there are: %s", strings.TrimSpace(text), didYouMean(text), strings.Join(directiveWords(), ", "))
}

// UnfinishedWord is the directive of a script that nobody has written yet. Whoever reads the folder makes it the
// script's Problem.
const UnfinishedWord = "unfinished"

// didYouMean suggests what a misspelt directive was to be, "" for no idea.
func didYouMean(text string) string {
	if meant := Respell(text); meant != "" {
		return fmt.Sprintf("; %q was probably meant", meant)
	}
	return ""
}

// Respell returns the directive that a text was probably to be, as it is to be written, and "" for a text that is
// no directive. A directive that is written as it should be is returned as it is, but for case and white space.
func Respell(text string) string {
	words := strings.Fields(strings.ToLower(strings.TrimRight(strings.TrimSpace(text), ";.,:!")))
	for n := min(len(words), maxWords); n > 0; n-- {
		word := nearestDirective(strings.Join(words[:n], "-"))
		if word == "" {
			continue
		}
		meant := strings.Join(append([]string{word}, words[n:]...), " ")
		if word == UnfinishedWord && n == len(words) || new(Script).Direct(meant) == nil {
			return meant
		}
	}
	return ""
}

// maxWords is how many words a directive's word can have been cut into, as in "no transaction".
const maxWords = 2

// nearestDirective returns the directive word that a word is, or is nearly, "" for none.
func nearestDirective(word string) string {
	word = strings.NewReplacer("_", "-", "--", "-").Replace(word)
	best, nearest := "", 0
	for _, known := range directiveWords() {
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

// directiveWords are the words of all directives.
func directiveWords() []string {
	var words []string
	for _, k := range directives {
		words = append(words, k.word)
	}
	return append(words, replacesWord, SkipOnScratch, UnfinishedWord)
}

// cutWord takes the first word off a text.
func cutWord(text string) (word, rest string) {
	word = strings.TrimSpace(text)
	if i := strings.IndexFunc(word, unicode.IsSpace); i >= 0 {
		word, rest = word[:i], strings.TrimSpace(word[i:])
	}
	return word, rest
}

// String returns the directives in the form that ParseDirectives reads: joined by
// ", ", and "" for none.
func (d Directives) String() string {
	var parts []string
	for _, k := range directives {
		switch {
		case k.flag != nil && *k.flag(&d):
			parts = append(parts, k.word)
		case k.duration != nil && *k.duration(&d) != 0:
			parts = append(parts, k.word+" "+k.duration(&d).String())
		}
	}
	return strings.Join(parts, ", ")
}

// ParseDirectives reads what String wrote.
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
