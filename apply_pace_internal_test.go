package whimbrel

import (
	"testing"
	"time"
)

// The number of steps follows their speed on the server, not the distance to it.
func TestPace(t *testing.T) {
	const longest, quick = 32, 50 * time.Millisecond
	for name, tc := range map[string]struct {
		away time.Duration // what a message takes besides its steps
		each time.Duration // what a step takes
		want []int         // steps of each message
	}{
		"quick steps":               {time.Millisecond, time.Millisecond, []int{1, 2, 4, 8, 16, 32, 32}},
		"quick steps, far away":     {290 * time.Millisecond, time.Millisecond, []int{1, 2, 4, 8, 16, 32, 32}},
		"steps of a while":          {time.Millisecond, 10 * time.Millisecond, []int{1, 2, 4, 6, 6}},
		"steps of a while, far":     {290 * time.Millisecond, 10 * time.Millisecond, []int{1, 2, 4, 6, 6}},
		"slow steps":                {time.Millisecond, time.Second, []int{1, 1, 1}},
		"steps or a server far":     {0, 200 * time.Millisecond, []int{1, 2, 1, 2, 1}},
		"steps that take no time":   {0, 0, []int{1, 2, 4, 8, 16, 32, 32}},
		"steps that are just quick": {0, quick, []int{1, 2, 2, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			p := pace{most: 1}
			for i, want := range tc.want {
				if p.most != want {
					t.Fatalf("message %d has %d steps, want %d", i, p.most, want)
				}
				p.sent(p.most, tc.away+time.Duration(p.most)*tc.each, longest, quick)
			}
		})
	}
}
