package whimbrel

import "time"

// farthest is how long a message takes at most to the farthest server and back.
const farthest = 300 * time.Millisecond

// pace is how many steps share a message. It is at most twice as many as the most before, and no
// more than take a limited time at the speed of the last ones. The shortest time of a message does
// not count: a server that is far away answers late, however little there is to do.
type pace struct {
	most  int           // steps
	least time.Duration // that a message took
	known bool          // one was sent
}

// sent notes that a message with a number of steps took a time.
func (p *pace) sent(steps int, took time.Duration, longest int, quick time.Duration) {
	if !p.known || took < p.least {
		p.least, p.known = took, true
	}
	if over := took - min(p.least, farthest); over > 0 {
		longest = int(min(int64(longest), int64(steps)*int64(quick)/int64(over)))
	}
	p.most = max(1, min(max(p.most, 2*steps), longest))
}
