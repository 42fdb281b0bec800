package hostile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"
)

// scriptMark marks every statement that a test passes to Whimbrel: all others are Whimbrel's own.
const scriptMark = "/*theirs*/"

// listener records the statements that Whimbrel sends itself, and the reports of the hostile
// objects.
type listener struct {
	strip bool // remove the pins, to see whether hostile objects are executed then

	mu       sync.Mutex
	wires    map[int]*wire
	own      map[string]bool // Whimbrel's statements
	executed map[string]bool // hostile objects that were executed
	// own statements that look something up in an unpinned path, and scripts that see a pinned one
	unpinned map[string]bool
}

type wire struct {
	scratch  bool // the connection is to a scratch database, where Whimbrel runs scripts of its own
	pinned   bool
	prepared map[string]string
}

func newListener() *listener {
	return &listener{wires: map[int]*wire{}, own: map[string]bool{}, executed: map[string]bool{}, unpinned: map[string]bool{}}
}

func (e *listener) receive(id int, m any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.wires[id]
	if w == nil {
		w = &wire{prepared: map[string]string{}}
		e.wires[id] = w
	}
	switch m := m.(type) {
	case *pgproto3.StartupMessage:
		w.scratch = strings.HasPrefix(m.Parameters["database"], "whimbrel_scratch_")
	case *pgproto3.Parse:
		e.sent(w, m.Query)
		w.prepared[m.Name] = m.Query
		if e.strip {
			m.Query = strings.ReplaceAll(m.Query, "'pg_catalog, pg_temp'", "pg_catalog.current_setting('search_path')")
		}
	case *pgproto3.Bind:
		if m.PreparedStatement != "" {
			e.sent(w, w.prepared[m.PreparedStatement])
		}
	case *pgproto3.Query:
		e.sent(w, m.String)
	case *pgproto3.ReadyForQuery:
		w.pinned = w.pinned && m.TxStatus != 'I'
	case *pgproto3.NoticeResponse:
		e.notice(m.Message)
	case *pgproto3.ErrorResponse:
		e.notice(m.Message)
	}
}

func (e *listener) notice(message string) {
	if what, ok := strings.CutPrefix(message, "HOSTILE "); ok {
		e.executed[what] = true
	}
}

func (e *listener) sent(w *wire, sql string) {
	pins := strings.Contains(sql, "pg_catalog, pg_temp")
	switch {
	case strings.Contains(sql, scriptMark):
		if w.pinned {
			e.unpinned["a script sees the pinned path: "+sql] = true
		}
		return
	case w.scratch && !w.pinned && words("create alter comment drop grant refresh set")[strings.ToLower(strings.SplitN(sql, " ", 2)[0])]:
		return // a schema's text, which Whimbrel wrote and runs as a script
	case !w.pinned:
		if what := looksUp(sql); what != "" && !strings.HasPrefix(sql, "BEGIN; SET LOCAL") {
			e.unpinned[fmt.Sprintf("%s is looked up: %s", what, sql)] = true
		}
	}
	e.own[sql] = true
	switch {
	case pins:
		w.pinned = true
	case strings.Contains(sql, "'whimbrel.path'"), strings.HasPrefix(sql, "ROLLBACK"):
		w.pinned = false
	}
}

func (e *listener) list(set map[string]bool) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(set))
}
