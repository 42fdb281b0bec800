package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// stuck is a database that does not answer, not even when it is cancelled.
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

// The first signal waits for the database, the second leaves at once and says so.
func TestSecondSignalLeavesAtOnce(t *testing.T) {
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
	if want := "Left without waiting for the database's answer.\n"; stderr.String() != want {
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
		{&whimbrel.StepsError{}, "usage", 2},
		{&whimbrel.NotAppliedError{}, "usage", 2},
		{&whimbrel.AlreadyAppliedError{}, "usage", 2},
		{&openError{&database.ConnectError{Err: errors.New("refused")}}, "connection", 1},
		{&openError{errors.New("no such schema")}, "connection", 1},
		{&database.LockLostError{Err: errors.New("gone")}, "connection", 1},
		{&database.CommitUnknownError{Err: errors.New("gone")}, "connection", 1},
		{errors.New("unexpected end of file"), "connection", 1},
		{&folderError{dir: "d", err: &source.Error{File: "d/x", Msg: "bad"}}, "source", 1},
		{&folderError{dir: "d", err: &source.AmbiguousError{}}, "source", 1},
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
		{&whimbrel.MigrationModeError{}, "migration_mode", 5},
		{&whimbrel.ProtectedError{}, "protected", 5},
		{&whimbrel.ProtectedError{What: "seed"}, "protected", 5},
		{&whimbrel.SquashedError{}, "squashed", 5},
		{&whimbrel.HistoryError{}, "history", 5},
		{&scratchError{&inspect.DataError{Statements: []inspect.DataStatement{{Why: "writes rows"}}}}, "source", 1},
		{&scratchError{&inspect.NotSameError{}}, "source", 1},
		{&inspect.NoTextError{}, "source", 1},
	} {
		f, code := explain(t.Context(), c.err)
		if f.Kind != c.kind || code != c.code {
			t.Errorf("%T is %s, exit %d; want %s, exit %d", c.err, f.Kind, code, c.kind, c.code)
		}
		if f.Message == "" && c.err.Error() != "" {
			t.Errorf("%T has no message", c.err)
		}
	}
}

// A signal is the cause, whatever error came of it.
func TestInterruptedIsTheCause(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{os.Interrupt})
	f, code := explain(ctx, &whimbrel.MigrationError{Version: 3, Name: "x", Standing: 2, Err: &database.StatementError{Message: "canceled", Code: "57014"}})
	if f.Kind != kindInterrupted || code != 130 || *f.Version != 3 || f.StandingStatements != 2 || f.SQLState != "" {
		t.Errorf("got %+v, exit %d", f, code)
	}
}

func TestConflictSaysWhoItWas(t *testing.T) {
	t.Parallel()
	f, _ := explain(t.Context(), &whimbrel.ConflictError{
		Version: 3, Problem: "was taken back", Event: database.Event{ID: 7, Version: 3, Direction: database.Down, DBUser: "me"},
	})
	b, err := json.Marshal(f)
	if err != nil || f.Event == nil || f.Event.User != "me" {
		t.Errorf("got %s, %v", b, err)
	}
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
	words := []string{"database", "dir", "format", "lock_timeout", "get", "set"}
	for written, want := range map[string]string{
		"databse": "database", "DIR": "dir", "lock-timeout": "lock_timeout", "locktimeout": "lock_timeout", "gte": "get", "zzzzz": "", "": "",
	} {
		if got := nearest(written, words); got != want {
			t.Errorf("nearest to %q is %q, want %q", written, got, want)
		}
	}
}

func TestParseTimeout(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"0": 0, "0s": 0, "15s": 15 * time.Second, "1m30s": 90 * time.Second} {
		if got, err := parseTimeout(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "-1s", "soon", "1 m"} {
		if got, err := parseTimeout(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0": 0, "3": 3, "0003": 3, "20260101120000": 20260101120000} {
		if got, err := parseVersion(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5", "0x3", "99999999999999999999"} {
		if got, err := parseVersion(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// What the server had no room or time for is not mended in the file.
func TestCircumstancesAreNotTheFile(t *testing.T) {
	t.Parallel()
	for sqlstate, circumstance := range map[string]bool{
		"53100": true, "57014": true, "55P03": true, "40P01": true, "SQLITE_FULL": true, "SQLITE_BUSY_SNAPSHOT": true,
		"42703": false, "23505": false, "SQLITE_ERROR": false, "SQLITE_CONSTRAINT": false, "": false,
	} {
		f, _ := explain(t.Context(), &whimbrel.MigrationError{Err: &database.StatementError{Message: "m", Code: sqlstate}})
		if (f.Next != "") != circumstance {
			t.Errorf("%s: %q", sqlstate, f.Next)
		}
	}
}
