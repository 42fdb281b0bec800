package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
)

// Result is the answer of up, down, to, redo and seed.
type Result struct {
	Set        string   `json:"set"`
	Applied    []int64  `json:"applied"`
	RolledBack []int64  `json:"rolled_back"`
	Recorded   []int64  `json:"recorded"`
	Repeated   []string `json:"repeated"`
	Seeded     []string `json:"seeded"`
	Skipped    []int64  `json:"skipped"`
	// Started are the backfills that were started and are not done, Finished those that are done.
	Started  []int64 `json:"started"`
	Finished []int64 `json:"finished"`
	// SkippedScripts are scripts without a version.
	SkippedScripts []string `json:"skipped_scripts"`
	// Resumed lists the scripts that an earlier run had started.
	Resumed []Resumption `json:"resumed"`
	// Downs lists the down scripts that the plan records and that can't run.
	Downs []DownProblem `json:"down_problems,omitempty"`
	// SchemaFile is the schema file that was written or compared, if there is one.
	SchemaFile *SchemaFile `json:"schema_file,omitempty"`

	// Retried lists the steps that were tried again because of a lock, and Terminated the sessions
	// that were ended because they blocked a step.
	Retried    []Retried `json:"retried,omitempty"`
	Terminated []Ended   `json:"terminated,omitempty"`

	Duration Millis   `json:"duration_ms"`
	Error    *Failure `json:"error,omitempty"`

	// Idle says why there was nothing to do.
	Idle string `json:"-"`
}

// Resumption is a script that resumed where an earlier run was interrupted.
type Resumption struct {
	Version       int64  `json:"version"`
	Name          string `json:"name"`
	FromStatement int    `json:"from_statement"`
}

// NewResult converts a result.
func NewResult(r *whimbrel.Result) *Result {
	d := &Result{
		Set: r.Set, Applied: versions(r.Applied), RolledBack: versions(r.RolledBack),
		Recorded: versions(r.Recorded), Repeated: each(r.Repeated, name), Seeded: each(r.Seeded, name),
		Started: versions(r.Started), Finished: versions(r.Finished), Skipped: append([]int64{}, r.Skipped...), SkippedScripts: append([]string{}, r.SkippedScripts...), Duration: Millis(r.Duration),
		Resumed: each(r.Resumed, func(c whimbrel.ResumedStep) Resumption {
			return Resumption{Version: c.Version, Name: c.Name, FromStatement: c.FromStatement}
		}),
	}
	return d
}

func versions(done []whimbrel.StepResult) []int64 {
	return each(done, func(d whimbrel.StepResult) int64 { return d.Version })
}

func name(d whimbrel.StepResult) string { return d.Name }

// Finish prints a result and, if f is not nil, the failure.
func (p *Printer) Finish(r *Result, f *Failure) {
	if f == nil {
		p.Show(r)
		return
	}
	p.aimed(f)
	if p.opts.JSON {
		r.Error = f
		p.Show(r)
		return
	}
	p.Fail(f)
}

// FinishDone prints a result after which something else failed.
func (p *Printer) FinishDone(r *Result, f *Failure) {
	if !p.opts.JSON {
		p.Show(r)
	}
	p.Finish(r, f)
}

func (r *Result) write(pg *page) {
	r.writeSteps(pg)
	r.SchemaFile.write(pg)
}

func (r *Result) writeSteps(pg *page) {
	var did []string
	say := func(n int, verb, what string) {
		if n > 0 {
			did = append(did, verb+" "+count(n, what))
		}
	}
	say(len(r.RolledBack), "rolled back", "migration")
	say(len(r.Applied), "applied", "migration")
	if n := len(r.Recorded); n > 0 {
		did = append(did, "recorded "+count(n, "migration")+" without running")
	}
	say(len(r.Repeated), "ran", "repeatable script")
	say(len(r.Seeded), "ran", "seed")
	say(len(r.Finished), "finished", "backfill")
	switch {
	case len(did) == 0 && len(r.Skipped)+len(r.SkippedScripts) > 0:
		pg.line(pg.good("Nothing to do: another process did it."))
		return
	case len(did) == 0:
		pg.line(r.Idle)
		return
	}
	words := listWords(did)
	pg.line(pg.good(strings.ToUpper(words[:1]) + words[1:] + " in " + took(time.Duration(r.Duration)) + "."))
	if n := len(r.Started); n > 0 {
		pg.line(pg.wrap(pg.aim.at(fmt.Sprintf(`%s %s not done yet: %s. "whimbrel backfill" shows how far %s.`,
			plural(n, "A backfill", fmt.Sprintf("%d backfills", n)), plural(n, "is", "are"), pg.labels(r.Started), plural(n, "it is", "they are")))))
	}
}

// addWaits adds to a result what the events said about locks. p.mu is held.
func (p *Printer) addWaits(r *Result) {
	r.Retried, r.Terminated = p.progress.retried, p.progress.ended
}
