package render

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// History answers history: events, oldest first.
type History struct {
	Events []Event
	// AllSets says that the events are of several sets.
	AllSets bool
}

// Event is one entry of the history.
type Event struct {
	ID        int64   `json:"id"`
	Set       string  `json:"set"`
	Version   int64   `json:"version"`
	Name      string  `json:"name"`
	Direction string  `json:"direction"`
	Checksum  string  `json:"checksum"`
	At        instant `json:"at"`
	Duration  Millis  `json:"duration_ms"`
	User      string  `json:"user"`
	Host      string  `json:"host"`
	App       string  `json:"app"`
	Note      string  `json:"note"`
}

// NewEvent makes an entry from the contract's.
func NewEvent(e database.Entry) Event {
	checksum := ""
	if !e.Checksum.IsZero() {
		checksum = e.Checksum.String()
	}
	return Event{
		ID: e.ID, Set: e.Set, Version: e.Version, Name: e.Name, Direction: string(e.Direction), Checksum: checksum,
		At: instant(e.StartedAt), Duration: Millis(e.Duration), User: e.DBUser, Host: e.Host, App: e.App, Note: e.Note,
	}
}

// MarshalJSON writes the list of events.
func (h *History) MarshalJSON() ([]byte, error) {
	if h.Events == nil {
		return []byte("[]"), nil
	}
	return json.Marshal(h.Events)
}

func (h *History) write(pg *page) {
	if len(h.Events) == 0 {
		pg.line("The history is empty: nothing has been migrated here yet.")
		if !h.AllSets {
			pg.line("What was done with other sets: whimbrel history --all-sets")
		}
		return
	}
	t := h.table(pg)
	if pg.width > 0 && pg.tooWide(t.widths()) > 0 {
		t = h.narrow(pg)
	}
	pg.table(t)
}

// cells are those of one event, without who did it and why.
func (h *History) cells(pg *page, e Event) []string {
	set, version := "", pg.digits.Label(e.Version)
	if h.AllSets {
		set = clean(e.Set)
	}
	if e.Version == database.NilVersion {
		version = ""
	}
	return []string{
		strconv.FormatInt(e.ID, 10), when(time.Time(e.At)), set, pg.direction(e.Direction), version, clean(e.Name),
		took(time.Duration(e.Duration)),
	}
}

var historyHead = []string{"ID", "AT (UTC)", "SET", "WHAT", "VERSION", "NAME", "TOOK"}

func (h *History) table(pg *page) table {
	t := table{head: append(slices.Clone(historyHead), "BY", "NOTE"), right: map[int]bool{0: true, 6: true}}
	for _, e := range h.Events {
		t.add(append(h.cells(pg, e), strings.TrimPrefix(pg.by(e), " by "), oneLine(e.Note))...)
	}
	return t
}

// narrow has who did it and why above the events, once for all that follow each other.
func (h *History) narrow(pg *page) table {
	t := table{head: historyHead, right: map[int]bool{0: true, 6: true}, give: []int{5, 2}}
	last := ""
	for _, e := range h.Events {
		above := strings.TrimSpace(pg.by(e))
		if note := oneLine(e.Note); note != "" {
			above = strings.TrimPrefix(above+": "+note, ": ")
		}
		if above != last {
			t.add(cmp.Or(above, "by somebody"))
		}
		last = above
		t.add(h.cells(pg, e)...)
	}
	return t
}

// by says who it was, with a leading " by ".
func (pg *page) by(e Event) string {
	who := strings.Trim(e.User+"@"+e.Host, "@")
	if e.App != "" {
		who = strings.TrimSpace(who + " (" + e.App + ")")
	}
	if who == "" {
		return ""
	}
	return " by " + oneLine(who)
}

func (pg *page) direction(d string) string {
	switch database.Direction(d) {
	case database.Up:
		return pg.good(d)
	case database.Down:
		return pg.warn(d)
	}
	return pg.place(d)
}
