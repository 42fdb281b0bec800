package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// wantEqual expects a value. what names it in the message.
func wantEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: not as wanted (-want +got):\n%s", what, diff)
	}
}

// wantContains expects a text to contain another. what names it in the message.
func wantContains(t *testing.T, what, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("%s: got\n%s\nwant it to contain\n%s", what, text, want)
	}
}

// noError expects no error.
func noError(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// stuck is a database that does not answer, not even after a cancellation.
type stuck struct {
	database.Driver
	opened chan struct{}
	answer chan struct{}
}

func (s stuck) Open(context.Context, string, database.Options) (database.Database, error) {
	close(s.opened)
	<-s.answer
	return nil, errors.New("at last")
}

// syncBuffer may be written and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// The first signal waits for the database. The second quits at once and says so.
func TestSecondSignalQuitsAtOnce(t *testing.T) {
	t.Parallel()
	db := stuck{opened: make(chan struct{}), answer: make(chan struct{})}
	database.Register("stuck", db)
	signals, left := make(chan os.Signal), make(chan int)
	var stdout, stderr syncBuffer
	done := make(chan int)
	go func() {
		done <- Run(Process{
			Args:      []string{"history", "--database", "stuck:"},
			LookupEnv: func(string) (string, bool) { return "", false },
			Stdout:    render.Stream{Writer: &stdout}, Stderr: render.Stream{Writer: &stderr},
			Signals: signals,
			Exit:    func(code int) { left <- code },
		})
	}()
	<-db.opened
	signals <- syscall.SIGTERM
	select {
	case code := <-left:
		t.Fatalf("left with %d after one signal", code)
	case code := <-done:
		t.Fatalf("ended with %d without an answer", code)
	default:
	}
	signals <- os.Interrupt
	if code := <-left; code != 130 {
		t.Errorf("left with %d, want 130", code)
	}
	if want := "Quit without waiting for the server.\n"; stderr.String() != want {
		t.Errorf("said %q, want %q", stderr.String(), want)
	}
	close(db.answer)
	if code := <-done; code != 143 { // of the first signal
		t.Errorf("ended with %d, want 143", code)
	}
}

func TestKindsAndExitCodes(t *testing.T) {
	t.Parallel()
	pos := sqltext.Position{File: "a.sql", Line: 2, Column: 3}
	script := migration.Text("a.sql", "")
	for _, c := range []struct {
		err  error
		kind render.Kind
		code int
	}{
		{usage("", "x"), "usage", 2},
		{&database.URLError{URL: "x"}, "usage", 2},
		{&database.SettingError{}, "usage", 2},
		{&whimbrel.UnknownVersionError{}, "usage", 2},
		{&whimbrel.UnknownVersionError{Redo: true}, "usage", 2},
		{&whimbrel.TooFewAppliedError{}, "usage", 2},
		{&whimbrel.NotAppliedError{}, "usage", 2},
		{&whimbrel.AlreadyAppliedError{}, "usage", 2},
		{&openError{&database.ConnectError{Err: errors.New("refused")}}, "connection", 1},
		{&openError{errors.New("no such schema")}, "connection", 1},
		{&database.LockLostError{Err: errors.New("gone")}, "connection", 1},
		{&whimbrel.MigrationError{Err: &database.StatementError{Pos: pos, Message: "cancelled", Code: "57014", Err: &database.LockLostError{Err: errors.New("gone")}}}, "connection", 1},
		{&whimbrel.MigrationError{Err: &database.StatementError{Pos: pos, Message: "bad", Err: database.ErrFenced}}, "conflict", 1},
		{&database.CommitUnknownError{Err: errors.New("gone")}, "connection", 1},
		{&database.CommitUnknownError{Err: &database.LockedError{}}, "connection", 1},
		{&database.StandbyError{}, "connection", 1},
		{&database.OtherServerError{}, "connection", 1},
		{errors.New("unexpected end of file"), "connection", 1},
		{&folderError{dir: "d", err: &source.Error{File: "d/x", Msg: "bad"}}, "source", 1},
		{&folderError{dir: "d", err: &source.AmbiguousError{}}, "source", 1},
		{&outputError{"schema.sql", errors.New("no space left on device")}, "output", 1},
		{&sqltext.Error{Pos: pos, Msg: "bad"}, "source", 1},
		{&whimbrel.AtomicError{Step: whimbrel.Step{Script: script}}, "source", 1},
		{&whimbrel.MigrationError{Err: migration.ErrChanged}, "source", 1},
		{&whimbrel.MigrationError{Err: &database.StatementError{Pos: pos, Message: "bad"}}, "statement", 1},
		{&whimbrel.ConflictError{}, "conflict", 1},
		{&database.TablesNewerError{}, "conflict", 1},
		{&database.LockedError{}, "locked", 4},
		{&whimbrel.ChecksumMismatchError{}, "checksum_mismatch", 5},
		{&whimbrel.OutOfOrderError{Migrations: []migration.Migration{{Version: 1, Up: script}}}, "out_of_order", 5},
		{&whimbrel.IrreversibleError{}, "irreversible", 5},
		{&whimbrel.FrozenError{}, "frozen", 5},
		{&whimbrel.ProtectedError{}, "protected", 5},
		{&whimbrel.ProtectedError{What: "seed"}, "protected", 5},
		{&whimbrel.SquashedError{}, "squashed", 5},
		{&whimbrel.HistoryExistsError{}, "history", 5},
		{&scratchError{&inspect.DataError{Statements: []inspect.DataStatement{{Why: "writes rows"}}}}, "source", 1},
		{&scratchError{&inspect.NotSameError{}}, "source", 1},
		{&inspect.NoTextError{}, "source", 1},
		{&whimbrel.InterruptedError{Edited: true}, "unresolved", 5},
		{&whimbrel.InterruptedError{SQL: "VACUUM"}, "unresolved", 5},
		{&whimbrel.InterruptedError{Missing: true}, "unresolved", 5},
		{&whimbrel.InterruptedError{}, "unresolved", 5},
		{&whimbrel.NotInterruptedError{}, "usage", 2},
		{&whimbrel.MigrationError{Err: database.ErrFenced}, "conflict", 1},
	} {
		f, code := explain(t.Context(), c.err, 0)
		wantEqual(t, fmt.Sprintf("kind of %T", c.err), f.Kind, c.kind)
		wantEqual(t, fmt.Sprintf("exit code for %T", c.err), code, c.code)
		if f.Message == "" && c.err.Error() != "" {
			t.Errorf("%T has no message", c.err)
		}
	}
}

// A signal takes precedence over the error that it causes.
func TestErrorsOfWritingAFolder(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"can't open or create m/1_a.up.sql: permission denied":                     &fs.PathError{Op: "open", Path: "m/1_a.up.sql", Err: fs.ErrPermission},
		"can't create the folder m: permission denied":                             &fs.PathError{Op: "mkdir", Path: "m", Err: fs.ErrPermission},
		"can't use m: permission denied":                                           &fs.PathError{Op: "chmod", Path: "m", Err: fs.ErrPermission},
		"can't rename m/1_a.up.sql to m/2_a.up.sql: permission denied":             &os.LinkError{Op: "rename", Old: "m/1_a.up.sql", New: "m/2_a.up.sql", Err: fs.ErrPermission},
		"a replaced file can't be deleted: remove m/1_a.up.sql: permission denied": fmt.Errorf("a replaced file can't be deleted: %w", &fs.PathError{Op: "remove", Path: "m/1_a.up.sql", Err: fs.ErrPermission}),
	} {
		f, _ := explain(t.Context(), &folderError{dir: "m", err: err}, 0)
		wantEqual(t, "message", f.Message, want)
	}
}

func TestInterruptedIsTheCause(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{os.Interrupt})
	f, code := explain(ctx, &whimbrel.MigrationError{Version: 3, Name: "x", Executed: 2, Err: &database.StatementError{Message: "canceled", Code: "57014"}}, 0)
	wantEqual(t, "kind", f.Kind, kindInterrupted)
	wantEqual(t, "exit code", code, 130)
	wantEqual(t, "version", f.Version, render.Pointer(int64(3)))
	wantEqual(t, "executed statements", f.ExecutedStatements, 2)
	wantEqual(t, "SQLSTATE", f.SQLState, "")
}

func TestConflictNamesTheOtherProcess(t *testing.T) {
	t.Parallel()
	f, _ := explain(t.Context(), &whimbrel.ConflictError{
		Version: 3, Problem: "was taken back", Entry: database.Entry{ID: 7, Version: 3, Direction: database.Down, DBUser: "me"},
	}, 0)
	if f.Entry == nil {
		t.Fatal("the failure has no entry")
	}
	wantEqual(t, "user", f.Entry.User, "me")
	_, err := json.Marshal(f)
	noError(t, "JSON", err)
}

func TestAsksForJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want bool
	}{
		{[]string{"up", "--json"}, true},
		{[]string{"--json=true", "up"}, true},
		{[]string{"up", "--json=false"}, false},
		{[]string{"new", "--", "--json"}, false},
		{[]string{"up"}, false},
	} {
		if got := asksForJSON(c.args); got != c.want {
			t.Errorf("%q: %v", c.args, got)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	words := []string{"database", "dir", "format", "migration_lock_timeout", "get", "set"}
	for written, want := range map[string]string{
		"databse": "database", "DIR": "dir", "migration-lock-timeout": "migration_lock_timeout", "migrationlocktimeout": "migration_lock_timeout", "gte": "get", "foo": "", "tset": "set", "zzzzz": "", "": "",
	} {
		if got := nearest(written, words); got != want {
			t.Errorf("nearest to %q is %q, want %q", written, got, want)
		}
	}
}

func TestParseTimeout(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"0": 0, "0s": 0, "15s": 15 * time.Second, "1m30s": 90 * time.Second} {
		got, err := parseTimeout(text, "")
		noError(t, text, err)
		wantEqual(t, text, got, want)
	}
	for _, text := range []string{"", "5", "-1s", "soon", "1 m"} {
		if got, err := parseTimeout(text, ""); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0": 0, "3": 3, "0003": 3, "20260101120000": 20260101120000} {
		got, err := parseVersion(text)
		noError(t, text, err)
		wantEqual(t, text, got, want)
	}
	for _, text := range []string{"", "x", "-1", "1..5", "0x3", "99999999999999999999"} {
		if got, err := parseVersion(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// A failure that the statement did not cause is not fixed in the file.
func TestCircumstancesAreNotTheFile(t *testing.T) {
	t.Parallel()
	for sqlstate, circumstance := range map[string]bool{
		"53100": true, "57014": true, "55P03": true, "40P01": true, "SQLITE_FULL": true, "57P01": true, "57P02": true, "08006": true, "42501": true, "25006": true, "25P03": true, "25P04": true, "57P05": true, "XX000": true, "SQLITE_READONLY": true,
		"42601": false, "P0001": false, "22012": false, "SQLITE_MISMATCH": false, "SQLITE_BUSY_SNAPSHOT": true,
		"42703": false, "23505": false, "SQLITE_ERROR": false, "SQLITE_CONSTRAINT": false, "": false,
	} {
		f, _ := explain(t.Context(), &whimbrel.MigrationError{Err: &database.StatementError{Message: "m", Code: sqlstate}}, 0)
		if (f.Next != "") != circumstance {
			t.Errorf("%s: %q", sqlstate, f.Next)
		}
	}
}

// A statement that is too long is not what a closed connection is, though it has the same class.
func TestAdviceAboutLongStatements(t *testing.T) {
	t.Parallel()
	e := &database.StatementError{Message: "Got a packet bigger than 'max_allowed_packet' bytes", Code: "08S01", Detail: "error 1153", Own: true}
	if f, _ := explain(t.Context(), e, 0); !strings.HasPrefix(f.Next, "Raise the server's max_allowed_packet") {
		t.Errorf("%q", f.Next)
	}
}

// The database that is migrated is in use by the migration itself.
func TestAdviceAboutWhatIsInUse(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{"cannot drop the currently open database": "Take the statement out", `database "x" is being accessed by other users`: "End the sessions"} {
		if f, _ := explain(t.Context(), &database.StatementError{Message: message, Code: "55006"}, 0); !strings.HasPrefix(f.Next, want) {
			t.Errorf("%s: %q, want %q", message, f.Next, want)
		}
	}
}

// One error of MySQL's is for all options that forbid statements.
func TestAdviceAboutOptions(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"read-only": readOnly, "super-read-only": readOnly, "secure-file-priv": "Change the option, or the file"} {
		e := &database.StatementError{Message: "The MariaDB server is running with the --" + name + " option so it cannot execute this statement", Code: "HY000", Detail: "error 1290"}
		if f, _ := explain(t.Context(), e, 0); !strings.Contains(f.Next, want) {
			t.Errorf("%s: %q, want %q", name, f.Next, want)
		}
	}
}

// PgBouncer's errors have the code of a protocol violation.
func TestAdviceAboutPgBouncer(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"transaction blocks not allowed in statement pooling mode": "Set it to transaction or session, or connect to PostgreSQL directly, then run the command again.",
		"query_wait_timeout":  "raise its pool_size, then run the command again.",
		"server conn crashed": closedConnection + ", then run the command again.",
	} {
		f, _ := explain(t.Context(), &database.StatementError{Message: message, Code: "08P01", Own: true}, 0)
		if !strings.HasSuffix(f.Next, want) {
			t.Errorf("%s: %q", message, f.Next)
		}
	}
}

// The driver's hint for a code is left out if there is advice. The server's hint is printed, and so
// is a hint without advice.
func TestHintsDoNotRepeatTheAdvice(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code string
		own  bool
		want string
	}{
		{"42501", true, ""},
		{"42501", false, "the hint"},
		{"55P03", true, ""},
		{"25001", true, "the hint"},
		{"42601", false, "the hint"},
	} {
		e := &database.StatementError{Message: "m", Code: tt.code, Hint: "the hint", OwnHint: tt.own}
		f, _ := explain(t.Context(), &whimbrel.MigrationError{Err: e}, 0)
		wantEqual(t, "hint of "+tt.code, f.Hint, tt.want)
	}
}

// A connection that breaks between two statements has advice, too.
func TestAdviceAboutABrokenConnection(t *testing.T) {
	t.Parallel()
	f, _ := explain(t.Context(), fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), 0)
	wantEqual(t, "the message", f.Message, "lost the connection to the database: reading: unexpected EOF")
	wantEqual(t, "what to do", f.Next, brokeOff)
}

// Each way in which a run can't resume has advice.
func TestRunsThatCantResume(t *testing.T) {
	t.Parallel()
	up := database.Journal{Version: 12, Name: "add_index", Direction: database.Up, Done: 2, Of: 7}
	of := func(change func(*database.Journal)) database.Journal {
		j := up
		change(&j)
		return j
	}
	repeat := of(func(j *database.Journal) {
		j.Version, j.Name, j.Direction = whimbrel.NilVersion, "views", database.Repeat
	})
	seed := of(func(j *database.Journal) {
		j.Version, j.Name, j.Direction = whimbrel.NilVersion, "people", database.Seed
	})
	down := of(func(j *database.Journal) { j.Direction = database.Down })
	last := of(func(j *database.Journal) { j.Done = 6 })
	for name, c := range map[string]struct {
		err  whimbrel.InterruptedError
		want []string // in what is to do, and in the choices
	}{
		"edited":              {whimbrel.InterruptedError{Journal: up, Edited: true}, []string{"Restore the executed statements", "whimbrel resolve 12 --done", "edited 2 statements", "whimbrel resolve 12 --retry", "starts with statement 1"}},
		"unclear":             {whimbrel.InterruptedError{Journal: up, SQL: "x"}, []string{"whimbrel resolve 12 --done", "continues with statement 4", "whimbrel resolve 12 --retry", `"whimbrel up" executes it again`, "whimbrel abandon 12 --undone"}},
		"unclear, the last":   {whimbrel.InterruptedError{Journal: last, SQL: "x"}, []string{"adds the history entry"}},
		"unclear, down":       {whimbrel.InterruptedError{Journal: down, SQL: "x"}, []string{`"whimbrel down" executes it again`}},
		"a repeatable script": {whimbrel.InterruptedError{Journal: repeat, Edited: true}, []string{"whimbrel resolve views --done", "whimbrel resolve views --retry"}},
		"development data":    {whimbrel.InterruptedError{Journal: seed}, []string{`Run "whimbrel seed" to resume it`, "--seeds", "whimbrel abandon people"}},
		"edited data":         {whimbrel.InterruptedError{Journal: seed, Edited: true}, []string{`run "whimbrel seed" to resume`, "whimbrel resolve people --retry"}},
		"a missing file":      {whimbrel.InterruptedError{Journal: up, Missing: true}, []string{"Restore its file", "whimbrel abandon 12 --undone"}},
		"a down script":       {whimbrel.InterruptedError{Journal: down, Missing: true}, []string{"finish the rollback by hand", "whimbrel forget 12"}},
		"a repeatable gone":   {whimbrel.InterruptedError{Journal: repeat, Missing: true}, []string{"Restore its file", "whimbrel abandon views --undone"}},
		"another's, running":  {whimbrel.InterruptedError{Journal: of(func(j *database.Journal) { j.Held = true }), Missing: true}, []string{"Another process is still running it"}},
		"started by another":  {whimbrel.InterruptedError{Journal: up}, []string{`Run "whimbrel up" to resume it`}},
		"another's, down":     {whimbrel.InterruptedError{Journal: down}, []string{`Run "whimbrel down" to resume it`}},
	} {
		f, _ := explain(t.Context(), &c.err, 0)
		said := f.Next
		for _, choice := range f.Choices {
			said += "\n" + choice.Command + "\n" + choice.Effect
		}
		for _, want := range c.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: nothing of %q in\n%s", name, want, said)
			}
		}
		if name == "edited data" && strings.Contains(said, "--done") {
			t.Errorf("%s: can't be decided without the file:\n%s", name, said)
		}
	}
}

// A statement with an unknown outcome is shown with the changes of the schema and the two
// decisions.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	f, _ := explain(t.Context(), &whimbrel.InterruptedError{
		Set:     "default",
		Journal: database.Journal{Version: 12, Name: "add_index", Direction: database.Up, Done: 2, Of: 7, Begun: "CALL p()", Host: "h", PID: 5, Held: true},
		Problem: "what a procedure that commits has done can't be told",
		File:    "m/12_add_index.up.sql", Pos: sqltext.Position{File: "m/12_add_index.up.sql", Line: 4, Column: 1}, SQL: "CALL p(\n  1)",
		Changes: []catalog.Change{{Kind: catalog.Table, Name: "public.t", Change: catalog.Added}},
	}, 0)
	var stderr bytes.Buffer
	render.New(render.Options{Err: render.Stream{Writer: &stderr}}).Fail(f)
	const want = `m/12_add_index.up.sql:4:1: can't tell whether statement 3 of 7 of migration 12 add_index took effect: what a procedure that commits has done can't be told

    CALL p(
      1)

It was interrupted at statement 3 of 7, on host h, pid 5, connection lost.
The schema has changed since the statement started:
  + table public.t added
Check the database and record one of these decisions; that runs nothing:
  whimbrel resolve 12 --done
      if it took effect: "whimbrel up" continues with statement 4
  whimbrel resolve 12 --retry
      if it did not: "whimbrel up" executes it again
  whimbrel abandon 12 --undone
      if you have undone everything that the migration did: gives it up
`
	if stderr.String() != want {
		t.Errorf("got\n%s\nwant\n%s", stderr.String(), want)
	}
}

func TestTheKindOfLock(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"mysql://me@h/app":                     "mysql://me@h/app?lock=lease",
		"mariadb://me:p%3F@h/app?lock=a&tls=1": "mariadb://me:p%3F@h/app?lock=lease&tls=1",
	} {
		got, err := withLock(raw, "lease")
		noError(t, raw, err)
		wantEqual(t, raw, got, want)
	}
	for raw, kind := range map[string]string{"postgres://h/app": "lease", "sqlite:app.db": "advisory", "mysql://h/app": "none"} {
		_, err := withLock(raw, kind)
		u, ok := asType[*usageError](err)
		if !ok {
			t.Errorf("%s, %s: got %v, want a usage error", raw, kind, err)
			continue
		}
		if u.hint == "" {
			t.Errorf("%s, %s: the error has no hint", raw, kind)
		}
	}
}
