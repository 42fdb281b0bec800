package render

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// Backfills is the answer of backfill list.
type Backfills struct {
	List []Backfill
	Set  string
	// Unfinished leaves out those that are done.
	Unfinished bool
}

// Backfill is a backfill as its database stores it.
type Backfill struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Set     string `json:"set"`
	Table   string `json:"table"`
	// Key are the columns by which the rows are ordered.
	Key []string `json:"key"`
	// State is waiting for a running backfill that a limit holds back.
	State         string `json:"state"`
	Detached      bool   `json:"detached"`
	RowsDone      int64  `json:"rows_done"`
	RowsEstimated int64  `json:"rows_estimated"`
	Batches       int64  `json:"batches"`
	// Percent, RowsPerSecond and ETASeconds are null if they are not known.
	Percent       *float64 `json:"percent"`
	RowsPerSecond *float64 `json:"rows_per_second"`
	ETASeconds    *float64 `json:"eta_seconds"`
	// ThrottledBy is the last signal that held it back, and ThrottledAt when that was.
	ThrottledBy string  `json:"throttled_by"`
	ThrottledAt instant `json:"throttled_at"`
	Pass        int     `json:"pass"`
	Limits      Limits  `json:"limits"`
	StartedAt   instant `json:"started_at"`
	UpdatedAt   instant `json:"updated_at"`
	FinishedAt  instant `json:"finished_at"`
	Error       string  `json:"error"`
	Lanes       []Lane  `json:"lanes"`

	now time.Time // of the server
}

// Limits are what backfill set changes.
type Limits struct {
	Batch    int    `json:"batch"` // 0: steered by target
	Target   Millis `json:"target_ms"`
	Parallel int    `json:"parallel"`
	Pause    Millis `json:"pause_ms"`
	Timeout  Millis `json:"timeout_ms"`
	Attempts int    `json:"attempts"`
}

// Lane is a range of keys. A key is a list with a text for each column; it is empty for the
// beginning or the end of the table.
type Lane struct {
	ID       int64    `json:"id"`
	First    []string `json:"first"` // the key after which it begins
	Last     []string `json:"last"`
	At       []string `json:"at"` // the last key that is done
	Worker   string   `json:"worker"`
	Attempts int      `json:"attempts"`
	Error    string   `json:"error"`
	State    string   `json:"state"`
	Batch    int      `json:"batch"`
	Rows     int64    `json:"rows"`

	until time.Duration // before its lease ends, or the next attempt begins
}

// The states of a lane.
const (
	laneWorks  = "running"
	laneFree   = "free"
	laneLater  = "retried later"
	laneFailed = "failed"
)

// NewBackfill converts a backfill.
func NewBackfill(b whimbrel.BackfillStatus) Backfill {
	d := Backfill{
		Version: b.Version, Name: b.Name, Set: b.Set, Table: tableName(b.Table), Key: append([]string{}, b.Key...),
		State: string(b.State), Detached: b.Detached, RowsDone: b.RowsDone, RowsEstimated: b.RowsEstimated, Batches: b.Batches,
		ThrottledBy: b.ThrottledBy, ThrottledAt: instant(b.ThrottledAt), Pass: b.Pass, Error: b.Error,
		StartedAt: instant(b.StartedAt), UpdatedAt: instant(b.UpdatedAt), FinishedAt: instant(b.FinishedAt),
		Limits: newLimits(b.BackfillLimits), Lanes: []Lane{}, now: b.Now,
	}
	if b.Percent >= 0 {
		d.Percent = Pointer(float64(int(b.Percent*10)) / 10)
	}
	if b.RowsPerSecond > 0 {
		d.RowsPerSecond = Pointer(rounded(b.RowsPerSecond))
	}
	if b.Left > 0 {
		d.ETASeconds = Pointer(b.Left.Round(time.Second).Seconds())
	}
	for _, l := range b.Lanes {
		d.Lanes = append(d.Lanes, newLane(l, b.Now))
	}
	return d
}

// tableName returns a table's name as a database stores it, without the quotes of MySQL around a
// plain word: statements have them in case it is one of the language.
func tableName(sql string) string {
	word := strings.Trim(sql, "`")
	if strings.ContainsFunc(word, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		return sql
	}
	return word
}

func newLane(l database.Lane, now time.Time) Lane {
	d := Lane{
		ID: l.ID, First: append([]string{}, l.After...), Last: append([]string{}, l.Last...), At: append([]string{}, l.At...),
		Attempts: l.Attempts, Error: l.Error, Batch: l.Batch, Rows: l.Rows, State: laneFree,
	}
	switch {
	case l.Failed:
		d.State = laneFailed
	case l.Worker != "" && l.LeasedUntil.After(now):
		d.State, d.Worker, d.until = laneWorks, l.Worker, l.LeasedUntil.Sub(now)
	case l.NotBefore.After(now):
		d.State, d.until = laneLater, l.NotBefore.Sub(now)
	}
	return d
}

// rounded rounds a rate to what a reader can use.
func rounded(rate float64) float64 {
	if rate >= 10 {
		return float64(int64(rate + 0.5))
	}
	return float64(int64(rate*100+0.5)) / 100
}

// MarshalJSON writes the list.
func (d *Backfills) MarshalJSON() ([]byte, error) {
	if d.List == nil {
		return []byte("[]"), nil
	}
	return json.Marshal(d.List)
}

func (d *Backfills) write(pg *page) {
	if len(d.List) == 0 {
		done := ""
		if d.Unfinished {
			done = " that are not done"
		}
		pg.line(fmt.Sprintf("Set %q has no backfills%s.", clean(d.Set), done))
		return
	}
	t := table{
		head:  []string{"VERSION", "NAME", "TABLE", "STATE", "DONE", "ROWS/S", "LEFT", "HELD BACK BY"},
		right: map[int]bool{4: true, 5: true, 6: true}, give: []int{7, 1, 2}, drop: []int{5, 2},
	}
	for _, b := range d.List {
		t.add(pg.digits.Label(b.Version), clean(b.Name), clean(b.Table), pg.backfillState(b.shown()), b.done(), b.rate(), b.left(), oneLine(b.heldBack()))
	}
	pg.table(t)
	for _, b := range d.List {
		if b.Error != "" {
			pg.line()
			pg.line(pg.wrap(pg.bad(pg.digits.Name(b.Version, b.Name)+": ") + oneLine(b.Error)))
		}
		if next := b.next(pg); next != "" {
			pg.line(pg.wrap(pg.aim.at(next)))
		}
	}
}

// next says what to do with a backfill that needs an operator, "" for nothing.
func (b *Backfill) next(pg *page) string {
	label := pg.digits.Label(b.Version)
	switch database.BackfillState(b.State) {
	case database.BackfillFailed:
		return fmt.Sprintf(`When the cause is removed, run "whimbrel backfill retry %s" to continue where it failed.`, label)
	case database.BackfillPaused:
		return fmt.Sprintf(`To continue, run "whimbrel backfill resume %s".`, label)
	case database.BackfillCancelled:
		return fmt.Sprintf(`Its other rows are not changed. To take it up again, run "whimbrel backfill retry %s".`, label)
	case database.BackfillDone:
		return ""
	}
	if b.idle() {
		if b.Detached {
			return fmt.Sprintf(`No worker has %s. Start one with "whimbrel work", or execute it here with "whimbrel backfill run %s".`, label, label)
		}
		return fmt.Sprintf(`No process works on %s. Run "whimbrel up" to continue.`, label)
	}
	return ""
}

// idle reports whether no worker has a lane, and none has had one for a while.
func (b *Backfill) idle() bool {
	return b.State == string(database.BackfillRunning) && !b.worked() && b.now.Sub(time.Time(b.UpdatedAt)) > time.Second
}

// worked reports whether a worker has a lane, or will take one that has failed.
func (b *Backfill) worked() bool {
	return slices.ContainsFunc(b.Lanes, func(l Lane) bool { return l.State == laneWorks || l.State == laneLater })
}

// shown is the state for people: idle, if no process works on the backfill.
func (b *Backfill) shown() string {
	if b.idle() {
		return "idle"
	}
	return b.State
}

// remark describes an unfinished backfill for status: how far it is, and what to do.
func (b *Backfill) remark(pg *page) string {
	words := pg.warn("Backfill "+pg.digits.Name(b.Version, b.Name)) + " is " + pg.backfillState(b.shown()) + ": " + b.Progress()
	if speed := b.speedWords(); speed != "" && b.Error == "" {
		words += ", " + speed
	}
	switch {
	case b.Error != "":
		words += "; " + oneLine(b.Error)
	case b.ThrottledBy != "":
		words += "; held back " + ago(b.now.Sub(time.Time(b.ThrottledAt))) + ": " + oneLine(b.ThrottledBy)
	}
	words = strings.TrimSuffix(words, ".") + "."
	if next := b.next(pg); next != "" {
		words += " " + pg.aim.at(next)
	}
	return words
}

// short describes an unfinished backfill on a line.
func (b *Backfill) short(pg *page) string {
	parts := []string{pg.digits.Name(b.Version, b.Name) + " " + pg.backfillState(b.shown())}
	for _, part := range []string{b.done(), suffixed(b.rate(), " rows/s"), suffixed(b.left(), " left"), oneLine(b.heldBack()), oneLine(b.Error)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

// stuck reports whether the backfill continues only if an operator says so.
func (b Backfill) stuck() bool {
	s := database.BackfillState(b.State)
	return s.Ended() && s != database.BackfillDone || s == database.BackfillPaused
}

// waitsForUp reports whether the next up continues the backfill, because no process works on it.
func (b Backfill) waitsForUp() bool { return !b.Detached && b.idle() }

// Again says how to continue a backfill that a process has left.
func (b *Backfill) Again(d Digits) string {
	command := "whimbrel up"
	if b.Detached {
		command = "whimbrel backfill run " + d.Label(b.Version)
	}
	return fmt.Sprintf("Run %q to continue after the last batch that was committed.", command)
}

// heldBack is the signal that holds a backfill back now.
func (b *Backfill) heldBack() string {
	if b.State != string(database.BackfillWaiting) {
		return ""
	}
	return b.ThrottledBy
}

func (pg *page) backfillState(state string) string {
	switch database.BackfillState(state) {
	case database.BackfillDone:
		return pg.good(state)
	case database.BackfillFailed, database.BackfillCancelled:
		return pg.bad(state)
	case database.BackfillPaused, database.BackfillWaiting, "idle":
		return pg.warn(state)
	}
	return state
}

// done is the percentage that is done or, if that is unknown, the number of rows.
func (b *Backfill) done() string {
	if b.Percent == nil {
		return rowsOf(b.RowsDone)
	}
	return percent(*b.Percent)
}

// rowsOf formats a number of rows.
func rowsOf(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return thousands(n) + " rows"
}

// percent formats a percentage: with a digit below 10, so that a long backfill is seen to move.
func percent(p float64) string {
	if p < 10 && p > 0 {
		return strconv.FormatFloat(p, 'f', 1, 64) + "%"
	}
	return strconv.Itoa(int(p)) + "%"
}

func (b *Backfill) rate() string {
	if b.RowsPerSecond == nil || b.idle() {
		return ""
	}
	return perSecond(*b.RowsPerSecond)
}

func perSecond(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return thousands(int64(rate))
}

func (b *Backfill) left() string {
	if b.ETASeconds == nil || b.idle() {
		return ""
	}
	d := time.Duration(*b.ETASeconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(time.Second).String()
	}
	return span(d)
}

// thousands writes a number with commas: 12,345.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// backfillSet is what backfill set has done.
const backfillSet = "Changed"

// BackfillChanged is the answer of the commands that change a backfill.
type BackfillChanged struct {
	Backfill
	did string // "Paused"
}

// NewBackfillChanged converts a backfill; did says what the command did to it.
func NewBackfillChanged(b whimbrel.BackfillStatus, did string) *BackfillChanged {
	return &BackfillChanged{NewBackfill(b), did}
}

func (d *BackfillChanged) write(pg *page) {
	b, name := &d.Backfill, pg.digits.Name(d.Version, d.Name)
	next := b.next(pg)
	switch {
	case d.did == backfillSet:
		pg.line(pg.wrap(pg.good(d.did + " " + name + ": " + d.Limits.words() + ".")))
	default:
		pg.line(pg.wrap(pg.good(d.did + " " + name + " after " + d.Progress() + ".")))
		if b.State == string(database.BackfillRunning) && !b.worked() && !b.Detached {
			next = `Run "whimbrel up" to continue.`
		}
	}
	if next != "" {
		pg.line(pg.wrap(pg.aim.at(next)))
	}
}

// BackfillRun is the answer of backfill run.
type BackfillRun struct{ Backfill }

// NewBackfillRun converts a backfill as it is at the end of the run.
func NewBackfillRun(b whimbrel.BackfillStatus) *BackfillRun { return &BackfillRun{NewBackfill(b)} }

func (d *BackfillRun) write(pg *page) {
	name := pg.digits.Name(d.Version, d.Name)
	if database.BackfillState(d.State) == database.BackfillDone {
		pg.line(pg.wrap(pg.good("Backfill " + name + " is done: " + d.Progress() + ".")))
		return
	}
	pg.line(pg.wrap("Backfill " + name + " is not done yet: " + d.Progress() + "."))
	pg.line(pg.wrap(pg.aim.at(fmt.Sprintf(`Run "whimbrel backfill run %s" to continue.`, pg.digits.Label(d.Version)))))
}

// BackfillShown is the answer of backfill show.
type BackfillShown struct{ Backfill }

func (d *BackfillShown) write(pg *page) {
	b := &d.Backfill
	const label = len("Held back ")
	row := func(name, text string) {
		if text != "" {
			pg.hanging(fmt.Sprintf("%-*s%s", label, name, text), label)
		}
	}
	row("Backfill", pg.bold(pg.digits.Name(b.Version, b.Name))+fmt.Sprintf(", set %q", clean(b.Set)))
	row("Table", clean(b.Table)+", by "+clean(strings.Join(b.Key, ", ")))
	row("State", pg.backfillState(b.shown())+b.detached())
	row("Done", b.Progress())
	if speed := b.speedWords(); speed != "" {
		row("Speed", speed+", by the average since its start")
	}
	if b.ThrottledBy != "" {
		row("Held back", oneLine(b.ThrottledBy)+", "+ago(b.now.Sub(time.Time(b.ThrottledAt))))
	}
	row("Limits", b.Limits.words())
	row("Started", b.StartedAt.String())
	if !time.Time(b.FinishedAt).IsZero() {
		row("Finished", b.FinishedAt.String())
	}
	if b.Error != "" {
		row("Error", pg.bad(oneLine(b.Error)))
	}
	if len(b.Lanes) > 0 {
		pg.line()
		pg.lanes(b.Lanes)
	}
	if next := b.next(pg); next != "" {
		pg.line()
		pg.line(pg.wrap(pg.aim.at(next)))
	}
}

func (b *Backfill) detached() string {
	if b.Detached {
		return ", detached"
	}
	return ""
}

// Progress describes how far a backfill is: "43%, 860,000 of about 2,000,000 rows in 860 batches".
func (b *Backfill) Progress() string {
	rows := thousands(b.RowsDone)
	switch {
	case b.State == string(database.BackfillDone), b.RowsEstimated <= 0:
		rows = rowsOf(b.RowsDone)
	default:
		rows += " of about " + thousands(b.RowsEstimated) + " rows"
	}
	rows += " in " + thousands(b.Batches) + plural(int(min(b.Batches, 2)), " batch", " batches")
	if b.Percent != nil {
		rows = percent(*b.Percent) + ", " + rows
	}
	if b.Pass > 1 {
		rows += fmt.Sprintf(", pass %d", b.Pass)
	}
	return rows
}

func (b *Backfill) speedWords() string {
	if b.rate() == "" {
		return ""
	}
	words := b.rate() + " rows/s"
	if left := b.left(); left != "" {
		words += ", about " + left + " left"
	}
	return words
}

func (l Limits) words() string {
	batch := thousands(int64(l.Batch)) + " rows a batch"
	if l.Batch == 0 {
		batch = "batches of " + time.Duration(l.Target).String()
	}
	words := []string{batch, fmt.Sprintf("%d in parallel", l.Parallel)}
	if l.Pause > 0 {
		words = append(words, "pauses of "+time.Duration(l.Pause).String())
	}
	return strings.Join(append(words, "timeout "+time.Duration(l.Timeout).String(), count(l.Attempts, "attempt")), ", ")
}

// lanes writes a table of lanes.
func (pg *page) lanes(lanes []Lane) {
	t := table{
		head:  []string{"LANE", "AFTER", "AT", "LAST", "STATE", "WORKER", "ROWS", "BATCH", "ATTEMPTS", "ERROR"},
		right: map[int]bool{0: true, 6: true, 7: true, 8: true}, give: []int{9, 5, 1, 2, 3}, drop: []int{7, 6, 8, 1},
	}
	for _, l := range lanes {
		attempts, batch := "", ""
		if l.Attempts > 0 {
			attempts = strconv.Itoa(l.Attempts)
		}
		if l.Batch > 0 {
			batch = thousands(int64(l.Batch))
		}
		t.add(strconv.FormatInt(l.ID, 10), keyText(l.First), keyText(l.At), keyText(l.Last), pg.laneState(l), oneLine(l.Worker), thousands(l.Rows), batch, attempts, oneLine(l.Error))
	}
	pg.table(t)
}

func (pg *page) laneState(l Lane) string {
	switch l.State {
	case laneWorks:
		return pg.good(l.State)
	case laneFailed:
		return pg.bad(l.State)
	case laneLater:
		return pg.warn("retried in " + span(l.until))
	}
	return l.State
}

// keyText formats a key for people: (7, "a") without quotes.
func keyText(key []string) string {
	switch len(key) {
	case 0:
		return "–"
	case 1:
		return oneLine(key[0])
	}
	return "(" + oneLine(strings.Join(key, ", ")) + ")"
}
