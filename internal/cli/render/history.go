package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// History is the answer of history: entries in the order in which they are shown.
type History struct {
	Entries []Entry
	// Filtered reports that not all entries were asked for.
	Filtered bool
	// AllSets reports that the entries are of all sets.
	AllSets bool
}

// Entry is a history entry.
type Entry struct {
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
	Reason    string  `json:"reason"`
	Remark    string  `json:"remark,omitempty"`
	// Tried is the direction of an attempt that failed or was abandoned, Error why it failed.
	Tried string `json:"tried,omitempty"`
	Error string `json:"error,omitempty"`
	// Retries is how often it was tried again because of a lock, and LockWait how long that took.
	Retries  int     `json:"retries,omitempty"`
	LockWait *Millis `json:"lock_wait_ms,omitempty"`
	OSUser   string  `json:"os_user"`
	Actor    string  `json:"actor"`
}

// NewEntry converts a history entry.
func NewEntry(e database.Entry) Entry {
	checksum := ""
	if !e.Checksum.IsZero() {
		checksum = e.Checksum.String()
	}
	entry := Entry{
		ID: e.ID, Set: e.Set, Version: e.Version, Name: e.Name, Direction: string(e.Direction), Checksum: checksum,
		At: instant(e.StartedAt), Duration: Millis(e.Duration), User: e.DBUser, Host: e.Host, App: e.App, Reason: e.Reason, Remark: e.Remark,
		Tried: string(e.Tried), Error: e.Error, OSUser: e.OSUser, Actor: e.Actor, Retries: e.Retries,
	}
	if e.LockWait > 0 {
		entry.LockWait = Pointer(Millis(e.LockWait))
	}
	return entry
}

// MarshalJSON writes the list of entries.
func (h *History) MarshalJSON() ([]byte, error) {
	if h.Entries == nil {
		return []byte("[]"), nil
	}
	return json.Marshal(h.Entries)
}

func (h *History) write(pg *page) {
	if len(h.Entries) == 0 && h.Filtered {
		pg.line("No entry of the history matches.")
		return
	}
	if len(h.Entries) == 0 {
		pg.line("The history is empty: nothing has been migrated yet.")
		if !h.AllSets {
			pg.line(pg.aim.at(`To include other sets, run "whimbrel history --all-sets".`))
		}
		return
	}
	t := h.table(pg)
	if pg.width > 0 && pg.tooWide(t.widths()) > 0 {
		t = h.narrow(pg)
	}
	pg.table(t)
}

// cells returns the cells of an entry, without its author and reason.
func (h *History) cells(pg *page, e Entry) []string {
	set, version := "", pg.digits.Label(e.Version)
	if h.AllSets {
		set = clean(e.Set)
	}
	if e.Version == database.NilVersion {
		version = ""
	}
	return []string{
		strconv.FormatInt(e.ID, 10), when(e.At), set, pg.what(e), version, clean(e.Name),
		took(time.Duration(e.Duration)),
	}
}

var historyHead = []string{"ID", "AT (UTC)", "SET", "WHAT", "VERSION", "NAME", "TOOK"}

func (h *History) table(pg *page) table {
	t := table{head: append(slices.Clone(historyHead), "BY", "REASON"), right: map[int]bool{0: true, 6: true}}
	for _, e := range h.Entries {
		t.add(append(h.cells(pg, e), strings.TrimPrefix(pg.by(e), " by "), oneLine(e.why()))...)
	}
	return t
}

// narrow returns a table with author and reason above the entries, once for successive entries with
// the same.
func (h *History) narrow(pg *page) table {
	t := table{head: historyHead, right: map[int]bool{0: true, 6: true}, give: []int{5, 2, 3}, drop: []int{6, 2}}
	last := ""
	for _, e := range h.Entries {
		above := strings.TrimSpace(pg.by(e))
		if why := oneLine(e.why()); why != "" {
			above = strings.TrimPrefix(above+": "+why, ": ")
		}
		if above != last {
			t.add(cmp.Or(above, "by an unknown user"))
		}
		last = above
		t.add(h.cells(pg, e)...)
	}
	return t
}

// why returns the error, the remark and the reason of an entry, as far as it has them.
func (e Entry) why() string {
	why := strings.Trim(e.Error+"; "+strings.Trim(e.Remark+": "+e.Reason, ": "), "; ")
	if e.Retries > 0 && e.LockWait != nil {
		why = strings.TrimSuffix(countRetries(e.Retries)+" in "+e.LockWait.took()+"; "+why, "; ")
	}
	return why
}

// by returns the author of an entry, with a leading " by ".
func (pg *page) by(e Entry) string {
	who := strings.Trim(e.User+"@"+e.Host, "@")
	var more []string
	for _, part := range []string{e.App, e.osUser(), e.Actor} {
		if part != "" {
			more = append(more, part)
		}
	}
	if len(more) > 0 {
		who = strings.TrimSpace(who + " (" + strings.Join(more, ", ") + ")")
	}
	if who == "" {
		return ""
	}
	return " by " + oneLine(who)
}

// Author returns the author and the time of an entry, and the reason in brackets, for a sentence:
// " by ann@web1 (whimbrel) at 2026-11-23 08:50:07 UTC (the sale)".
func (e *Entry) Author() string {
	words := (&page{}).by(*e) + " at " + e.At.String()
	if e.Reason != "" {
		words += " (" + oneLine(e.Reason) + ")"
	}
	return words
}

// osUser names the operating system's user, unless it has the database user's name.
func (e Entry) osUser() string {
	if e.OSUser == "" || e.OSUser == e.User {
		return ""
	}
	return "OS user " + e.OSUser
}

// what formats the direction of an entry.
func (pg *page) what(e Entry) string {
	if e.Tried != "" {
		return pg.bad(e.Direction) + " " + clean(e.Tried)
	}
	return pg.direction(e.Direction)
}

func (pg *page) direction(d string) string {
	switch database.Direction(d) {
	case database.Up, database.Start, database.Finish:
		return pg.good(d)
	case database.Down:
		return pg.warn(d)
	}
	return pg.place(d)
}

// HistoryEntry is the answer of history show: an entry with the SQL that the history keeps of it.
type HistoryEntry struct {
	Entry
	UpSQL   *string `json:"up_sql"` // null if it is not kept
	DownSQL *string `json:"down_sql"`
}

// NewHistoryEntry converts a history entry with its texts.
func NewHistoryEntry(e database.Entry) *HistoryEntry {
	d := &HistoryEntry{Entry: NewEntry(e)}
	if e.UpText != "" {
		d.UpSQL = &e.UpText
	}
	if e.HasDownText {
		d.DownSQL = &e.DownText
	}
	return d
}

// SQL is the script that the entry is about: for a rollback, the down script. It is "" if the
// history does not keep it.
func (d *HistoryEntry) SQL() string {
	sql := d.UpSQL
	if d.Direction == string(database.Down) || sql == nil {
		sql = d.DownSQL
	}
	if sql == nil {
		return ""
	}
	return *sql
}

// exact reports that the answer is SQL.
func (d *HistoryEntry) exact() bool { return true }

// write writes both scripts with a heading on a terminal, otherwise only the one that ran.
func (d *HistoryEntry) write(pg *page) {
	if pg.width == 0 {
		pg.WriteString(d.SQL())
		return
	}
	version := ""
	if d.Version != database.NilVersion {
		version = pg.digits.Label(d.Version)
	}
	about := strings.Join(strings.Fields(d.Direction+" "+d.Tried+" "+version+" "+clean(d.Name)), " ")
	pg.line(fmt.Sprintf("Entry %d of set %q: %s, %s%s.", d.ID, d.Set, pg.bold(about), d.At, pg.by(d.Entry)))
	if remark := d.why(); remark != "" {
		pg.line(pg.wrap(oneLine(remark)))
	}
	for _, part := range []struct {
		name string
		sql  *string
	}{{"Up:", d.UpSQL}, {"Down:", d.DownSQL}} {
		if d.Direction == string(database.Terminate) {
			part.name = "Its query:"
		}
		if part.sql != nil {
			pg.line()
			pg.line(pg.bold(part.name))
			pg.raw(strings.TrimSuffix(*part.sql, "\n"))
		}
	}
	if d.UpSQL == nil && d.DownSQL == nil {
		pg.line("The history keeps no SQL of this entry.")
	}
}
