package migration

import (
	"testing"
	"time"
)

func TestDirectives(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Directives{
		"no-transaction":           {NoTransaction: true},
		"  NO-Transaction\t":       {NoTransaction: true},
		"empty":                    {Empty: true},
		"lock-timeout 2s":          {LockTimeout: 2 * time.Second},
		"lock-timeout\t  500ms ":   {LockTimeout: 500 * time.Millisecond},
		"lock-timeout\u00a01h30m":  {LockTimeout: 90 * time.Minute},
		"lock-timeout 0":           {LockTimeout: -1},
		"retry-for 0s":             {RetryFor: -1},
		"retry-for 1h":             {RetryFor: time.Hour},
		"statement-timeout 1.5s\r": {StatementTimeout: 1500 * time.Millisecond},
	} {
		var d Directives
		if err := d.Parse(text); err != nil {
			t.Errorf("%q: %v", text, err)
		} else if d != want {
			t.Errorf("%q: d = %v, want %v", text, d, want)
		}
		if back, err := ParseDirectives(d.String()); back != want {
			t.Errorf("%q: back = %v, want %v", text, back, want)
		} else if err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	all := Directives{NoTransaction: true, Empty: true, Secret: true, LockTimeout: time.Second, StatementTimeout: time.Minute}
	if got := all.String(); got != "no-transaction, empty, secret, lock-timeout 1s, statement-timeout 1m0s" {
		t.Errorf("got %q", got)
	}
	if back, err := ParseDirectives(all.String()); back != all {
		t.Errorf("back = %v, want %v", back, all)
	} else if err != nil {
		t.Error(err)
	}
	if d, err := ParseDirectives(""); d != (Directives{}) {
		t.Errorf("d = %v, want %v", d, (Directives{}))
	} else if err != nil {
		t.Error(err)
	}
}

func TestDirectivesRefuse(t *testing.T) {
	t.Parallel()
	const known = "; valid directives: no-transaction, empty, secret, lock-timeout, retry-for, statement-timeout, replaces, skip-on-scratch, unfinished, after"
	for text, want := range map[string]string{
		"":                      `unknown directive ""` + known,
		"no-transactions":       `unknown directive "no-transactions"` + known + `; did you mean "no-transaction"?`,
		"no transaction":        `unknown directive "no transaction"` + known + `; did you mean "no-transaction"?`,
		"no-transaction please": `directive "no-transaction" takes no argument (got "please")`,
		"lock-timeout":          `directive "lock-timeout" needs a duration of at least 1ms, such as "lock-timeout 2s" (got "")`,
		"lock-timeout 2":        `directive "lock-timeout" needs a duration of at least 1ms, such as "lock-timeout 2s" (got "2")`,
		"statement-timeout 0s":  `directive "statement-timeout" needs a duration of at least 1ms, such as "statement-timeout 2s" (got "0s")`,
		"retry-for":             `directive "retry-for" needs a duration of at least 1ms, such as "retry-for 2s" (got "")`,
		"statement-timeout -1s": `directive "statement-timeout" needs a duration of at least 1ms, such as "statement-timeout 2s" (got "-1s")`,
	} {
		var d Directives
		if err := d.Parse(text); err == nil {
			t.Errorf("%q: got no error", text)
		} else if err.Error() != want {
			t.Errorf("%q: err.Error() = %q, want %q", text, err.Error(), want)
		} else if d != (Directives{}) {
			t.Errorf("%q: d = %v, want %v", text, d, (Directives{}))
		}
	}
	if _, err := ParseDirectives("empty, x"); err == nil {
		t.Error("ParseDirectives took an unknown directive")
	}
}
