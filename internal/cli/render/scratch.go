package render

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel/inspect"
)

// ScratchBegun says where scripts are about to run on scratch, and what is left out of them. It is no part of the answer.
func (p *Printer) ScratchBegun(b inspect.Begun) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent() {
		return
	}
	where := oneLine(b.Where)
	if where == "" {
		where = "in a place of its own"
	}
	p.put(p.opts.Err, fmt.Sprintf("Scratch database %s: %s to run.\n", where, count(b.Scripts, "script")))
	for _, s := range b.Skipped {
		why := s.Reaches()
		if why == "" {
			why = "as its comment asks"
		}
		p.put(p.opts.Err, fmt.Sprintf("Left out on scratch: %s: %s (%s)\n", oneLine(s.Pos.String()), oneLine(s.SQL), oneLine(why)))
	}
}

// OtherVersion warns that scratch databases are on a server of another major version than the database's.
func (p *Printer) OtherVersion(scratch, target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.silent() {
		p.put(p.opts.Err, fmt.Sprintf("Warning: the local server has version %s, the database's server %s; what they make of a script may differ.\n", oneLine(scratch), oneLine(target)))
	}
}
