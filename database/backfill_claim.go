package database

// Claim is what a worker gets that asks for a lane.
type Claim struct {
	// Lane is the index of a lane in Backfill.Lanes that the worker takes over; -1 for none.
	Lane int
	// Cut asks for a new lane of so many rows from the head; 0 for none.
	Cut int
	// Why says why the worker gets nothing: ClaimAllDone, ClaimBusy, ClaimLater, ClaimStopped.
	Why string
}

// Why a worker gets no lane.
const (
	ClaimAllDone = "all lanes are done"
	ClaimBusy    = "as many lanes as allowed have a worker"
	ClaimLater   = "the lanes that are left are tried again later, or have failed"
	ClaimStopped = "the backfill is not running"
)

// batchesPerLane is how many batches a lane has at most, as far as one can tell when it is cut.
const batchesPerLane = 64

// firstBatch is the size with which steering begins.
const firstBatch = 1000

// Claim decides which lane the next worker gets. It is for drivers, and a pure function: a free
// lane with the lowest keys, or else a new one from the head. Of all lanes, at most Parallel have a
// worker whose lease has not ended.
func (b *Backfill) Claim() Claim {
	none := Claim{Lane: -1}
	if b.State != BackfillRunning {
		none.Why = ClaimStopped
		return none
	}
	leased, free, later := 0, -1, false
	for i, l := range b.Lanes {
		switch {
		case l.Worker != "" && l.LeasedUntil.After(b.Now):
			leased++
		case l.Failed || l.NotBefore.After(b.Now):
			later = true
		case free < 0:
			free = i
		}
	}
	switch {
	case leased >= b.Parallel:
		none.Why = ClaimBusy
	case free >= 0:
		return Claim{Lane: free}
	case !b.AllCut():
		return Claim{Lane: -1, Cut: b.laneRows()}
	case later:
		none.Why = ClaimLater
	case leased > 0:
		none.Why = ClaimBusy
	default:
		none.Why = ClaimAllDone
	}
	return none
}

// AllCut reports whether the head of the pass has reached its end.
func (b *Backfill) AllCut() bool {
	if b.Last == nil {
		return true
	}
	if len(b.Head) != len(b.Last) {
		return false
	}
	for i := range b.Head {
		if b.Head[i] != b.Last[i] {
			return false
		}
	}
	return true
}

// laneRows is the number of rows of a new lane: many batches, but not so many that workers would be
// without a lane near the end.
func (b *Backfill) laneRows() int {
	batch := b.Batch
	if batch == 0 {
		batch = firstBatch
	}
	rows := batch * batchesPerLane
	if share := int(b.RowsEstimated) / (4 * b.Parallel); b.RowsEstimated > 0 && share < rows {
		rows = max(share, batch)
	}
	return rows
}
