package render

import (
	"time"

	"github.com/whimbrel-db/whimbrel"
)

// Result answers up, down, to and redo.
type Result struct {
	Set        string   `json:"set"`
	Applied    []int64  `json:"applied"`
	RolledBack []int64  `json:"rolled_back"`
	Skipped    []int64  `json:"skipped"`
	Duration   Millis   `json:"duration_ms"`
	Error      *Failure `json:"error,omitempty"`

	// Idle says why there was nothing to do.
	Idle string `json:"-"`
}

// NewResult makes the answer from the engine's.
func NewResult(r *whimbrel.Result) *Result {
	return &Result{
		Set: r.Set, Applied: versions(r.Applied), RolledBack: versions(r.RolledBack),
		Skipped: append([]int64{}, r.Skipped...), Duration: Millis(r.Duration),
	}
}

func versions(done []whimbrel.Done) []int64 {
	vs := []int64{}
	for _, d := range done {
		vs = append(vs, d.Version)
	}
	return vs
}

// Finish shows what was done, and, where f is not nil, what failed then.
func (p *Printer) Finish(r *Result, f *Failure) {
	if f == nil {
		p.Show(r)
		return
	}
	if f.Hint == "" {
		f.Hint = f.Next
	}
	if p.opts.JSON {
		r.Error = f
		p.Show(r)
		return
	}
	p.Fail(f)
}

func (r *Result) write(pg *page) {
	var words string
	switch up, down := len(r.Applied), len(r.RolledBack); {
	case up+down == 0 && len(r.Skipped) > 0:
		words = "Nothing left to do: another process did it."
	case up+down == 0:
		pg.line(r.Idle)
		return
	case down == 0:
		words = "Applied " + count(up, "migration")
	case up == 0:
		words = "Rolled back " + count(down, "migration")
	default:
		words = "Rolled back " + count(down, "migration") + " and applied " + count(up, "migration")
	}
	if len(r.Applied)+len(r.RolledBack) > 0 {
		words += " in " + took(time.Duration(r.Duration)) + "."
	}
	pg.line(pg.good(words))
}
