package drivers

import (
	"context"
	"sync"
)

// Unit is a Tx or a Run, which ends with its Database.
type Unit interface {
	// Abandon rolls back and releases the lock, whatever the unit does at the moment.
	Abandon()
}

// Units are the open Txs and Runs of a Database, and whether it is closed. NewUnits returns them.
type Units struct {
	// Closing is done from Close on, with the cause ErrClosed.
	Closing context.Context
	close   context.CancelCauseFunc

	mu   sync.Mutex
	open map[Unit]bool
}

// NewUnits returns those of a Database that has just been opened.
func NewUnits() *Units {
	u := &Units{open: map[Unit]bool{}}
	u.Closing, u.close = context.WithCancelCause(context.Background())
	return u
}

// Add remembers a unit. It returns ErrClosed if the Database has been closed meanwhile.
func (u *Units) Add(unit Unit) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.Closing.Err() != nil {
		return ErrClosed
	}
	u.open[unit] = true
	return nil
}

// Remove forgets a unit that is over.
func (u *Units) Remove(unit Unit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.open, unit)
}

// Len returns how many units are open.
func (u *Units) Len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.open)
}

// Close abandons every open unit. It returns false if it was called before, and then does nothing.
func (u *Units) Close() (first bool) {
	u.mu.Lock()
	first = u.Closing.Err() == nil
	u.close(ErrClosed)
	var open []Unit
	for unit := range u.open {
		open = append(open, unit)
	}
	u.mu.Unlock()
	if first {
		for _, unit := range open {
			unit.Abandon()
		}
	}
	return first
}
