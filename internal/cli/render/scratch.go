package render

import (
	"cmp"
	"fmt"

	"github.com/whimbrel-db/whimbrel/inspect"
)

// ScratchBegun shows where scripts are about to run on a scratch database, and which statements are
// skipped.
func (p *Printer) ScratchBegun(b inspect.Begun) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent() {
		return
	}
	where := cmp.Or(oneLine(b.Where), "in a temporary place")
	p.put(p.opts.Err, p.page(p.opts.Err).wrap(fmt.Sprintf("Scratch database %s: running %s.", where, count(b.Scripts, "script")))+"\n")
	for _, s := range b.Skipped {
		why := cmp.Or(s.Reaches(), "because of its comment")
		p.note(fmt.Sprintf("Skipped on scratch: %s: %s (%s)", oneLine(s.Pos.String()), oneLine(s.SQL), oneLine(why)))
	}
}

// ScratchProgress shows which migration runs on a scratch database.
func (p *Printer) ScratchProgress(t inspect.Trying) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live.update(fmt.Sprintf("scratch database: migration %d of %d: %s %s", t.Index+1, t.Of, stepWord(t.Direction), p.digits.Name(t.Version, t.Name)))
}

// OtherVersion warns that the scratch databases' server has another major version than the
// target's.
func (p *Printer) OtherVersion(scratch, target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.silent() {
		p.note(fmt.Sprintf("Warning: the local server has version %s, the database's server %s; scripts may behave differently.", oneLine(scratch), oneLine(target)))
	}
}
