package lanes

import (
	"sync"
	"time"
)

// The sizes of a batch that steering can choose, and the one that it begins with.
const (
	minBatch   = 1
	maxBatch   = 1_000_000
	firstBatch = 1000
)

// weight is that of the newest batch in the moving average of the time for a row.
const weight = 0.4

// Steer decides how many rows a batch has, so that it takes the target's time. The zero value
// begins with firstBatch rows. Several goroutines can use one.
type Steer struct {
	mu     sync.Mutex
	fixed  int
	target time.Duration
	size   int
	perRow float64 // the moving average, in nanoseconds; 0 for unknown
	slowed bool    // a batch has reached the target: from now on, sizes grow slowly
}

// Set sets the size that an operator has fixed (0 for none) and the target.
func (s *Steer) Set(fixed int, target time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fixed != s.fixed {
		s.size = 0
	}
	s.fixed, s.target = fixed, target
}

// Begin suggests the size of an earlier batch to begin with; 0 suggests nothing.
func (s *Steer) Begin(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size == 0 && s.fixed == 0 && size > 0 {
		s.size = min(size, maxBatch)
	}
}

// Size returns the number of rows of the next batch.
func (s *Steer) Size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

func (s *Steer) now() int {
	switch {
	case s.size > 0:
		return s.size
	case s.fixed > 0:
		return s.fixed
	}
	return firstBatch
}

// Done tells it how long a batch of asked rows took that had that many rows. A batch that had
// much fewer than asked, because its lane ended, says little about the next.
func (s *Steer) Done(asked int, rows int64, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rows < 1 || int64(asked) > 2*rows {
		return
	}
	each := float64(took) / float64(rows)
	if s.perRow == 0 {
		s.perRow = each
	} else {
		s.perRow += weight * (each - s.perRow)
	}
	s.slowed = s.slowed || took >= s.target
	s.size = s.next(asked)
}

// next returns the size that follows a batch of a size: down to the best one at once, and up to it
// in steps.
func (s *Steer) next(size int) int {
	best := s.fixed
	if s.fixed == 0 {
		best = maxBatch
		if s.perRow > 0 {
			best = int(min(float64(s.target)/s.perRow, maxBatch))
		}
	}
	step := 2.0
	if s.slowed || s.fixed > 0 {
		step = 1.2
	}
	return max(min(best, int(float64(size)*step)+1), minBatch)
}

// TooSlow tells it that a batch of asked rows was ended by its time limit.
func (s *Steer) TooSlow(asked int, limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowed = true
	s.perRow = max(s.perRow, float64(limit)/float64(max(asked, 1)))
	if half := max(asked/2, minBatch); half < s.now() {
		s.size = half
	}
}
