package database_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func TestErrorMessages(t *testing.T) {
	cause := errors.New("connection reset")
	holder := database.Holder{
		PID: 7, User: "ann", Host: "10.0.0.1", App: "billing",
		Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)), Query: "CREATE INDEX\n\ti ON t (x)",
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&database.LockedError{Set: "s"}, `can't acquire lock: another process is migrating set "s"`},
		{
			&database.LockedError{Set: "s", Waited: 1500 * time.Millisecond, Holder: holder},
			`can't acquire lock: another process is migrating set "s" (pid 7, user ann, application billing, from 10.0.0.1, since 2026-01-02 02:04:05 UTC, running CREATE INDEX i ON t (x)); waited 1.5s`,
		},
		{&database.LockLostError{Set: "s", Err: cause}, `lost the migration lock of set "s", and the statement was cancelled: connection reset`},
		{&database.StatementError{Pos: sqltext.Position{File: "a.sql", Line: 2, Column: 3}, Message: "no"}, "a.sql:2:3: no"},
		{&database.StatementError{Pos: sqltext.Position{Line: 2, Column: 3}, Message: "no", Code: "42P01", Detail: "d", Hint: "h"}, "2:3: no (42P01); d; hint: h"},
		{&database.URLError{URL: "x://u:xxxxx@h", Msg: "m"}, `database URL "x://…": m`},
		{&database.ConnectError{Target: "h:1/db", Err: cause}, "can't connect to h:1/db: connection reset"},
		{&database.ConnectError{Target: "h:1/db", Err: cause, Hint: "start it"}, "can't connect to h:1/db: connection reset; start it"},
		{&database.SettingError{Name: "n", Msg: "m"}, `setting "n": m`},
		{&database.TablesNewerError{Found: 3, Known: 2}, "Whimbrel's own tables have version 3, but this build supports only versions up to 2"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%T says\n\t%s\nwant\n\t%s", tt.err, got, tt.want)
		}
	}
}

func TestErrorsUnwrap(t *testing.T) {
	cause := errors.New("cause")
	for _, err := range []error{
		&database.LockLostError{Err: cause}, &database.StatementError{Err: cause},
		&database.ConnectError{Err: cause}, &database.CommitUnknownError{Err: cause},
	} {
		if !errors.Is(fmt.Errorf("wrapped: %w", err), cause) {
			t.Errorf("%T hides its cause", err)
		}
	}
	if !errors.Is(fmt.Errorf("wrapped: %w", &database.LockedError{}), database.ErrLocked) {
		t.Error("a *LockedError is not ErrLocked")
	}
	if errors.Is(&database.LockLostError{Err: cause}, database.ErrLocked) {
		t.Error("a *LockLostError is ErrLocked")
	}
}
