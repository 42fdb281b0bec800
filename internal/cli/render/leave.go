package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// CtrlC is the name of the signal that a terminal sends.
const CtrlC = "Ctrl-C"

// Stopping says that the command is cancelling its work and waits for the database. It prints
// nothing if no work is in progress.
func (p *Printer) Stopping(by string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fills := p.progress.filling != nil
	if p.silent() || len(p.progress.running) == 0 && !fills {
		return
	}
	again := "A second signal quits without waiting."
	if by == CtrlC {
		again = "Press Ctrl-C again to quit without waiting."
	}
	p.progress.stopping, p.progress.wait = true, nil
	if p.live.on() {
		p.live.hide()
	}
	does := "cancelling " + p.running() + " and waiting for the server."
	if f := p.progress.filling; fills && f.waits {
		return // nothing of this process is running
	} else if name := p.fills(); name != "" {
		does = "ending the backfill " + name + " after the batches that are running."
	}
	p.put(p.opts.Err, p.page(p.opts.Err).wrap(by+": "+does+" "+again)+"\n")
}

// Leave says that the command ends without waiting for the database, and what may still be running
// there.
func (p *Printer) Leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	const left = "Quit without waiting for the server."
	may, next := "", ""
	if len(p.progress.running) > 0 {
		may = "The server may still be running " + p.running() + "."
		next = `"whimbrel status" shows the outcome.`
	}
	if st := p.progress.statement; st.SQL != "" {
		may = strings.TrimSuffix(may, ".") + ": " + excerptOf(st.SQL)
		next = fmt.Sprintf(`Run %q to check the outcome of the statement and continue.`, nextCommand(st.Step.Direction))
		if st.Leftover != "" {
			may += fmt.Sprintf("\nIf the server does not complete it, %s remains. The next command removes it.", st.Leftover)
		}
		next += "\nTo give it up instead, run: whimbrel abandon " + p.digits.Arg(st.Step.Version, st.Step.Name)
	}
	if name := p.fills(); name != "" {
		may = "Batches of the backfill " + name + " that are not committed are rolled back."
		next = cmp.Or(p.progress.filling, &filling{}).Again(p.digits)
	}
	next = p.aim.at(next)
	if p.opts.JSON {
		if !p.answered {
			p.encode(map[string]*Failure{"error": {Kind: "interrupted", Message: strings.ToLower(left[:1]) + strings.TrimSuffix(left[1:], "."), Detail: may, Hint: next}})
		}
		return
	}
	lines := slices.DeleteFunc([]string{left, may, next}, func(s string) bool { return s == "" })
	pg := p.page(p.opts.Err)
	pg.line(strings.Join(lines, "\n"))
	p.put(p.opts.Err, pg.String())
}

// fills names the backfill whose batches this process executes, "" for none. p.mu is held.
func (p *Printer) fills() string {
	if f := p.progress.filling; f != nil {
		return p.digits.Name(f.Version, f.Name)
	}
	if running := p.progress.running; len(running) == 1 && isFilling(running[0].Direction) {
		return p.which(running[0])
	}
	return ""
}

// running names the statement or the steps in progress. p.mu is held.
func (p *Printer) running() string {
	if st := p.progress.statement; st.SQL != "" {
		words := fmt.Sprintf("statement %d of %d of %s", st.Index+1, st.Of, p.which(st.Step))
		if st.Backend != 0 {
			words += fmt.Sprintf(" (the server's process %d)", st.Backend)
		}
		return words
	}
	var all []string
	for _, s := range p.progress.running {
		all = append(all, p.which(s))
	}
	return strings.Join(all, ", ")
}

// which names a step.
func (p *Printer) which(s whimbrel.Step) string { return p.digits.Name(s.Version, s.Name) }

// nextCommand returns the command that resumes an interrupted run.
func nextCommand(d database.Direction) string {
	switch d {
	case database.Down:
		return "whimbrel down"
	case database.Reset:
		return "whimbrel reset"
	case database.Seed:
		return "whimbrel seed"
	case database.Load:
		return "whimbrel load"
	}
	return "whimbrel up"
}
