package lazyregexp

import (
	"sync"
	"testing"
)

var words = New(`\w+`)

// Goroutines can use a regular expression for the first time at once.
func TestFirstUse(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := words.FindString(" one two"); got != "one" {
				t.Errorf("FindString = %q, want one", got)
			}
		})
	}
	wg.Wait()
	if got := words.ReplaceAllString("one two", "x"); got != "x x" {
		t.Errorf("ReplaceAllString = %q, want x x", got)
	}
}
