package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/whimbrel-db/whimbrel/database"
)

// Blockage is what a statement waited for.
type Blockage struct {
	SQL       string `json:"sql,omitempty"`
	Statement int    `json:"statement,omitempty"` // its number, from 1
	Waited    Millis `json:"waited_ms"`
	// Lock is the mode of the lock, and Object what it is on.
	Lock     string    `json:"lock,omitempty"`
	Object   string    `json:"object,omitempty"`
	Blockers []Blocker `json:"blockers"`
	Queued   int       `json:"queued"`
	// Hidden says why the server does not show everything, and which grant would.
	Hidden string `json:"hidden,omitempty"`

	of database.Blockage
}

// Blocker is a session, or a prepared transaction, that a statement waits for.
type Blocker struct {
	Kind string `json:"kind"`
	Holder
	State      string   `json:"state,omitempty"`
	StateSince *instant `json:"state_since,omitempty"`
	Prepared   string   `json:"prepared,omitempty"`
	Lock       string   `json:"lock,omitempty"`
	Object     string   `json:"object,omitempty"`
	BlockedBy  []int64  `json:"blocked_by,omitempty"`
	Exempt     string   `json:"exempt,omitempty"`
}

// NewBlockage converts a blockage. It returns nil if nothing is known.
func NewBlockage(b database.Blockage) *Blockage {
	if b.Lock == "" && b.Object == "" && b.Waited == 0 && len(b.Blockers) == 0 && b.Hidden == "" {
		return nil
	}
	d := &Blockage{
		SQL: b.SQL, Waited: Millis(b.Waited), Lock: b.Lock, Object: b.Object,
		Blockers: each(b.Blockers, newBlocker), Queued: b.Queued, Hidden: b.Hidden, of: b,
	}
	if b.SQL != "" {
		d.Statement = b.Index + 1
	}
	return d
}

func newBlocker(b database.Blocker) Blocker {
	return Blocker{
		Kind: string(b.Kind), Holder: *cmp.Or(NewHolder(b.Holder), &Holder{}), State: b.State, StateSince: NewInstant(b.StateSince), Prepared: b.Prepared,
		Lock: b.Lock, Object: b.Object, BlockedBy: b.BlockedBy, Exempt: b.Exempt,
	}
}

// span describes how long something has lasted, in at most two units. Because clocks differ, d may
// be negative.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < day:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d/day), int(d%day/time.Hour))
}

// lockOf describes the lock that a statement waits for, "" if it is not known.
func lockOf(b database.Blockage) string {
	if b.Lock != "" && b.Object != "" {
		return oneLine(b.Lock) + " on " + oneLine(b.Object)
	}
	return oneLine(b.Lock + b.Object)
}

// whoBlocks names a blocker and says what it does, without its query.
func whoBlocks(b database.Blocker, now time.Time) string {
	var is []string
	add := func(words string) {
		if words != "" {
			is = append(is, words)
		}
	}
	if b.Kind == database.BlockerPrepared {
		add(fmt.Sprintf("prepared transaction %q", b.Prepared))
		if b.User != "" {
			add("user " + oneLine(b.User))
		}
	} else {
		who := b.Holder
		who.Since, who.Task, who.Query = time.Time{}, "", ""
		add(cmp.Or(oneLine(who.String()), "an unknown session"))
	}
	since := b.StateSince
	switch b.Kind {
	case database.BlockerPrepared:
		since = time.Time{}
	case database.BlockerIdle:
		add(cmp.Or(oneLine(b.State), "idle in transaction") + lasting(since, now))
	case database.BlockerWraparound:
		add("autovacuum to prevent wraparound")
	case database.BlockerAutovacuum:
		add("autovacuum")
	case database.BlockerReplica:
		add("replication")
	case database.BlockerMigration:
		add("another migration")
	default:
		state := oneLine(b.State)
		if state == "active" || state == "" && !since.IsZero() {
			state = "running"
		}
		add(state + lasting(since, now))
	}
	if waits := waitsItself(b); waits != "" {
		is = append(is, waits)
	}
	if b.Exempt != "" {
		is = append(is, "not terminated: "+oneLine(b.Exempt))
	}
	if !b.Since.IsZero() && (since.IsZero() || since.Sub(b.Since) >= time.Second) {
		is = append(is, "transaction open"+lasting(b.Since, now))
	}
	return strings.Join(is, ", ")
}

// waitsItself says for whom a blocker waits, "" for nobody.
func waitsItself(b database.Blocker) string {
	var all []string
	for _, pid := range b.BlockedBy {
		if pid == 0 {
			all = append(all, "a prepared transaction")
			continue
		}
		all = append(all, fmt.Sprintf("pid %d", pid))
	}
	if len(all) == 0 {
		return ""
	}
	return "waits for " + listWords(all)
}

func lasting(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + span(now.Sub(since))
}

// doing describes the statement of a blocker, "" if it is not known.
func doing(b database.Blocker) string {
	query := oneLine(b.Query)
	switch {
	case b.Task != "" && query != "":
		return oneLine(b.Task) + ": " + query
	case b.Task != "":
		return oneLine(b.Task)
	case query != "" && b.Kind == database.BlockerIdle:
		return "last query: " + query
	}
	return query
}

// shownBlockers is the number of blockers that are shown.
const shownBlockers = 5

// blockers writes the tree of those who block a statement: under each session are those that it
// waits for itself.
func (pg *page) blockers(b database.Blockage, indent int, now time.Time) {
	shown := 0
	var write func(nodes []node, indent int)
	write = func(nodes []node, indent int) {
		for _, n := range nodes {
			if shown == shownBlockers {
				return
			}
			shown++
			pad := strings.Repeat(" ", indent)
			pg.hanging(pad+pg.warn(whoBlocks(n.Blocker, now)), indent+2)
			if text := doing(n.Blocker); text != "" {
				pg.raw(pg.faint(ansi.Truncate(pad+"  "+text, cmp.Or(max(pg.width, 0), maxStatement), "…")))
			}
			write(n.waitsFor, indent+4)
		}
	}
	write(treeOf(b.Blockers), indent)
	if more := len(b.Blockers) - shown; more > 0 {
		pg.line(strings.Repeat(" ", indent) + fmt.Sprintf("and %d more", more))
	}
}

// node is a blocker and those that it waits for.
type node struct {
	database.Blocker
	waitsFor []node
}

// treeOf arranges blockers: each is shown once. A prepared transaction, which has no PID, follows
// the session that waits for it.
func treeOf(all []database.Blocker) []node {
	parent := make([]int, len(all)) // -1: the statement itself
	for i, b := range all {
		parent[i] = -1
		for j, other := range all {
			waits := b.PID != 0 && slices.Contains(other.BlockedBy, b.PID) ||
				b.PID == 0 && j < i && slices.Contains(other.BlockedBy, 0)
			if waits && j < i { // those that block the statement directly come first
				parent[i] = j
				break
			}
		}
	}
	var children func(of int) []node
	children = func(of int) (nodes []node) {
		for i, p := range parent {
			if p == of {
				nodes = append(nodes, node{all[i], children(i)})
			}
		}
		return nodes
	}
	return children(-1)
}

// queued says how many sessions wait behind a statement, "" for none.
func queued(b database.Blockage) string {
	if b.Queued == 0 {
		return ""
	}
	return fmt.Sprintf("%s %s behind it", count(b.Queued, "other session"), plural(b.Queued, "waits", "wait"))
}

// blockedLine describes a blockage in one line.
func blockedLine(b database.Blockage, now time.Time) string {
	words := "waits for another transaction"
	if lock := lockOf(b); lock != "" {
		words += " (" + lock + ")"
	}
	var who []string
	for _, blocker := range b.Blockers[:min(len(b.Blockers), shownBlockers)] {
		text := whoBlocks(blocker, now)
		if did := doing(blocker); did != "" {
			text += ", " + ansi.Truncate(did, maxStatement, "…")
		}
		who = append(who, text)
	}
	if more := len(b.Blockers) - shownBlockers; more > 0 {
		who = append(who, fmt.Sprintf("and %d more", more))
	}
	if len(who) > 0 {
		words += ": " + strings.Join(who, "; ")
	}
	if behind := queued(b); behind != "" {
		words += "; " + behind
	}
	if b.Hidden != "" {
		words += "; " + oneLine(b.Hidden)
	}
	return words
}

// Terminates notes that the command terminates blockers, so that it says why it spares one.
func (p *Printer) Terminates() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress.terminates = true
}

// told returns a blockage as it is shown: without the reasons why blockers are not terminated, if
// nobody asked for that.
func (p *Printer) told(b database.Blockage) database.Blockage {
	if p.progress.terminates {
		return b
	}
	b.Blockers = slices.Clone(b.Blockers)
	for i := range b.Blockers {
		b.Blockers[i].Exempt = ""
	}
	return b
}

// sameBlockers identifies who blocks: what they do meanwhile does not matter.
func sameBlockers(b database.Blockage) string {
	key := b.Lock + " " + b.Object
	for _, blocker := range b.Blockers {
		key += fmt.Sprintf("\n%d %s %s", blocker.PID, blocker.Prepared, blocker.App)
	}
	return key
}
