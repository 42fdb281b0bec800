package postgres

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A script is blamed for the end of a later statement only if that ran into a timeout.
func TestOnlyTimeoutsAreTheScripts(t *testing.T) {
	t.Parallel()
	for message, blamed := range map[string]bool{
		"canceling statement due to statement timeout": true,
		"canceling statement due to user request":      false,
	} {
		var e *database.StatementError
		errors.As(afterError(&pgconn.PgError{Code: "57014", Message: message}, sqltext.Statement{}), &e)
		if (e.Hint != "") != blamed {
			t.Errorf("%s: the hint is %q", message, e.Hint)
		}
	}
}
