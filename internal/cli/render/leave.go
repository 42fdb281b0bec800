package render

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// Stopping says that the command was asked to end, and waits for the database. Where nothing is under way
// there is nothing to wait for, and nothing to say.
func (p *Printer) Stopping(by string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent() || len(p.progress.running) == 0 {
		return
	}
	words := by + ": cancelling " + p.running() + ", and waiting for the server to stop. Once more leaves without waiting."
	if p.live.on() {
		p.live.hide()
	}
	p.put(p.opts.Err, words+"\n")
}

// Leave says that the command ends without waiting for the database, and what may still be running there.
func (p *Printer) Leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	const left = "Left without waiting for the database's answer."
	may, next := "", ""
	if len(p.progress.running) > 0 {
		may = "It may still be at work on " + p.running() + "."
		next = `"whimbrel status" shows what came of it.`
	}
	if st := p.progress.statement; st.SQL != "" {
		may = strings.TrimSuffix(may, ".") + ": " + excerptOf(st.SQL)
		next = fmt.Sprintf(`"whimbrel status" shows where it stands; the next %q finds out what became of the statement, and goes on.`, nextCommand(st.Step.Direction))
	}
	if p.opts.JSON {
		if !p.answered {
			p.encode(struct {
				Error *Failure `json:"error"`
			}{&Failure{Kind: "interrupted", Message: strings.ToLower(left[:1]) + strings.TrimSuffix(left[1:], "."), Detail: may, Hint: next}})
		}
		return
	}
	p.put(p.opts.Err, strings.Join(sentences(left, may, next), "\n")+"\n")
}

func sentences(parts ...string) (all []string) {
	for _, s := range parts {
		if s != "" {
			all = append(all, s)
		}
	}
	return all
}

// running names what was handed to the database and is not done. mu is held.
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
func (p *Printer) which(s whimbrel.Step) string {
	if s.Version == whimbrel.NilVersion {
		return clean(s.Name)
	}
	return p.digits.Label(s.Version) + " " + clean(s.Name)
}

// nextCommand is the command that goes on with what was left open.
func nextCommand(d database.Direction) string {
	switch d {
	case database.Down:
		return "whimbrel down"
	case database.Reset:
		return "whimbrel reset"
	case database.Seed:
		return "whimbrel seed"
	}
	return "whimbrel up"
}
