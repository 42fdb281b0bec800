package database

import (
	"crypto/sha256"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Journal records how far a run got, so that another process can resume it. A set has at most one.
// As JSON it has the names of the journal table's columns, which are the same in every database.
type Journal struct {
	// Version, Name and Direction are those of the entry that ends the run.
	Version   int64     `json:"version"`
	Name      string    `json:"name"`
	Direction Direction `json:"direction"`
	// Checksum is that of the script that is run, Of how many statements it has.
	Checksum migration.Checksum `json:"checksum"`
	Of       int                `json:"statements"`
	// Done is how many statements, from the first, are applied, and DoneSum the checksum of their
	// texts: see Add.
	Done    int                `json:"done"`
	DoneSum migration.Checksum `json:"done_checksum"`
	// Begun is the text of the next statement, if it can't be in a transaction and was begun.
	// Before is the value that Run.Announce set then. Otherwise both are "".
	Begun  string `json:"begun"`
	Before string `json:"before"`
	// Error is the error that stopped the run, if the process could still write it, or another
	// process recorded that it was lost. The history then has the failed attempt.
	Error string `json:"error"`
	// StartedAt is when the run began, UpdatedAt when the journal was written last, by the
	// database's clock if it has one. The rest identifies the writer, as in an Entry: PID is its
	// process on Host. Run.Journal, Run.Announce and Run.Exec fill them in, in the Journal that they
	// receive, but StartedAt only if it is zero.
	StartedAt time.Time `json:"started_at"`
	UpdatedAt time.Time `json:"updated_at"`
	DBUser    string    `json:"db_user"`
	OSUser    string    `json:"os_user"`
	Host      string    `json:"host"`
	App       string    `json:"app"`
	Actor     string    `json:"actor"`
	PID       int64     `json:"pid"`
	// Held reports that a process holds the set's lock now, if the database can tell. Only State
	// fills it in.
	Held bool `json:"-"`
}

// Started reports whether a statement of the run has been executed, or may have been.
func (j *Journal) Started() bool { return j != nil && (j.Done > 0 || j.Begun != "") }

// Add counts one more statement as done.
func (j *Journal) Add(st sqltext.Statement) {
	j.Done++
	j.DoneSum = NextSum(j.DoneSum, st.Text)
	j.Begun, j.Before, j.Error = "", "", ""
}

// NextSum extends the checksum of some statements by the text of one more.
func NextSum(sum migration.Checksum, text string) (next migration.Checksum) {
	h := sha256.New()
	h.Write(sum[:])
	h.Write([]byte(text))
	h.Sum(next[:0])
	return next
}

// EndedBy reports whether a history entry of the journal's set ends the run. These entries do: one
// that makes its version applied or not applied, one that says that its script ran or that the run
// was abandoned, and a reset.
func (j *Journal) EndedBy(e Entry) bool {
	switch e.Direction {
	case Reset:
		return true
	case Up, Down, Mark, Forget, Baseline, Load:
		return e.Version == j.Version && j.Version != NilVersion
	case Abandon:
		return e.Version == j.Version && (j.Version != NilVersion || e.Tried == j.Direction && e.Name == j.Name)
	case Repeat, Seed:
		return e.Direction == j.Direction && e.Name == j.Name
	}
	return false
}

// FailedBy reports whether an entry of the journal's set says that the run failed. Its Error is
// then the journal's.
func (j *Journal) FailedBy(e Entry) bool {
	return e.Direction == Failed && e.Tried == j.Direction && e.Version == j.Version && e.Name == j.Name
}

// ErrNoTransaction is wrapped by the error of Run.Exec if the database refuses to execute the
// statement in a transaction. The statement had no effect.
var ErrNoTransaction = errors.New("the statement can't be in a transaction")

// ErrFenced is wrapped by the error of a Run whose journal another Run of the set has
// taken over. Nothing that was to be committed together with the journal took effect.
var ErrFenced = errors.New("another process has taken the run over")

// Verdict is the outcome of a statement.
type Verdict string

// The verdicts.
const (
	// NotHappened: run it. That is also said of a statement that may run twice without harm.
	NotHappened Verdict = "not happened"
	// Happened: continue with the next statement.
	Happened Verdict = "happened"
	// Unclear: the database can't tell.
	Unclear Verdict = "unclear"
)

// Outcome describes whether a statement outside a transaction took effect, after the connection
// that sent it was lost.
type Outcome struct {
	Verdict Verdict
	// Why is the reason for the verdict, in a few words.
	Why string
	// First lists statements that must be executed before the verdict is true: they remove or
	// complete what the statement left behind. Each can be repeated.
	First []string
	// Remains reports that a statement that has not happened left something behind that First does
	// not remove, such as an index that became invalid while it was being dropped. Why says what. The
	// verdict is then NotHappened, and the statement can be executed.
	Remains bool
	// Repeatable reports that the statement has an effect that outlasts its session, and that the
	// driver did not check whether it took effect, because it may run twice without harm. The verdict
	// is then NotHappened.
	Repeatable bool
	// Changes are the differences between the target before the statement and now, if the driver
	// compared them.
	Changes []catalog.Change
}
