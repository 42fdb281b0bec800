package migration

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Directives are what a script asks of whoever runs it. In the native format they
// stand in comments in the head of the file: "-- whimbrel: no-transaction".
type Directives struct {
	// NoTransaction asks that the statements run one by one, outside of any
	// transaction.
	NoTransaction bool
	// Empty says that the script has no statement on purpose.
	Empty bool
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
	var words []string
	for _, k := range directives {
		words = append(words, k.word)
	}
	words = append(words, replacesWord, SkipOnScratch)
	return fmt.Errorf("unknown directive %q; there are: %s", strings.TrimSpace(text), strings.Join(words, ", "))
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
