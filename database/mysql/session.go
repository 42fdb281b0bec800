package mysql

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// session is the visible state that a script can change in a session: the database, the system
// variables, and the names of user variables, which are unset before.
type session struct {
	database  string
	variables map[string]string
	user      []string // the user variables that scripts mention
}

// volatile variables change by themselves, or can't be set.
var volatile = map[string]bool{
	"timestamp": true, "last_insert_id": true, "insert_id": true, "identity": true, "rand_seed1": true, "rand_seed2": true, "pseudo_thread_id": true,
	"warning_count": true, "error_count": true, "in_transaction": true, "last_gtid": true, "gtid_next": true, "proxy_user": true, "external_user": true,
	"pseudo_slave_mode": true, "pseudo_replica_mode": true, "in_predicate_conversion_threshold": true, "skip_replication": true,
	"statement_id": true, "resultset_metadata": true, "rbr_exec_mode": true, "gtid_seq_no": true, "server_uuid": true,
}

func (c *conn) readSession(ctx context.Context) (*session, error) {
	s := &session{variables: map[string]string{}}
	var limit string
	if err := c.row(ctx, "SELECT DATABASE(), @@SESSION.sql_select_limit", nil, &s.database, &limit); err != nil {
		return nil, ownError("reading the session's database", err)
	}
	limited := limit != everyRow
	if limited { // it would truncate the list of variables
		if _, err := c.exec(ctx, "SET SESSION sql_select_limit = "+everyRow); err != nil {
			return nil, ownError("SET", err)
		}
	}
	if err := c.readVariables(ctx, s.variables); err != nil {
		return nil, err
	}
	s.variables["sql_select_limit"] = limit
	if limited {
		_, err := c.exec(ctx, "SET SESSION sql_select_limit = "+limit)
		return s, ownError("SET", err)
	}
	return s, nil
}

// everyRow is the sql_select_limit without a limit.
const everyRow = "18446744073709551615"

func (c *conn) readVariables(ctx context.Context, variables map[string]string) error {
	err := c.each(ctx, "SHOW SESSION VARIABLES", nil, func(scan func(...any) error) error {
		var name, value sql.RawBytes
		err := scan(&name, &value)
		variables[string(name)] = string(value)
		return err
	})
	return ownError("reading the session's variables", err)
}

// userVariable matches names of user variables. Other matches do no harm. It is a pattern, not a
// reading of tokens, because strings that a script executes have such names, too.
var userVariable = lazyregexp.New("@([\\pL\\pN_.$]+|`(?:[^`]|``)+`|'(?:[^'\\\\]|''|\\\\.)+'|\"(?:[^\"\\\\]|\"\"|\\\\.)+\")")

// see records the user variables of a statement before it runs.
func (s *session) see(text string) {
	for _, at := range userVariable.FindAllStringIndex(text, -1) {
		name := text[at[0]:at[1]]
		// @@ is a system variable
		if at[0] > 0 && text[at[0]-1] == '@' || slices.Contains(s.user, name) {
			continue
		}
		s.user = append(s.user, name)
	}
}

// dropShadows drops temporary tables named like Whimbrel's, which would hide these: a trigger or
// routine may have created some. It ends no transaction.
func (db *Database) dropShadows(ctx context.Context, c *conn) error {
	_, err := c.exec(ctx, db.sql.fill(dropShadows))
	return ownError(droppingShadows, err)
}

const (
	dropTemporary   = "DROP TEMPORARY TABLE IF EXISTS "
	dropShadows     = dropTemporary + "{history}, {settings}, {journal}, {metadata}, {backfills}, {lanes}, {lease}"
	droppingShadows = "dropping temporary tables named like Whimbrel's"
)

// putBack restores the session. First come settings that affect what is read, then the variables
// including the character sets, then the database and the user variables, whose names are read in
// these character sets.
func (c *conn) putBack(ctx context.Context, before *session) error {
	if _, err := c.exec(ctx, "SET SESSION sql_select_limit = "+everyRow+", timestamp = DEFAULT, insert_id = 0"); err != nil {
		return ownError("SET", err)
	}
	now := map[string]string{}
	if err := c.readVariables(ctx, now); err != nil {
		return err
	}
	var set []string
	for name, was := range before.variables {
		if is, there := now[name]; there && is != was && !volatile[name] {
			set = append(set, "SESSION "+name+" = "+variableValue(name, was))
		}
	}
	slices.Sort(set)
	if err := c.setAll(ctx, set); err != nil {
		return err
	}
	if _, err := c.exec(ctx, "USE "+quote(before.database)); err != nil {
		return ownError("USE", err)
	}
	for i, name := range before.user {
		before.user[i] = name + " = NULL"
	}
	user := before.user
	before.user = nil
	return c.setAll(ctx, user)
}

// setAll sets variables, all at once if possible. It skips those that a session can't set: global
// ones, which others may have changed meanwhile, and read-only ones.
func (c *conn) setAll(ctx context.Context, set []string) error {
	for some := range slices.Chunk(set, 100) {
		_, err := c.exec(ctx, "SET "+strings.Join(some, ", "))
		if n := number(err); n != erGlobalVariable && n != erReadOnlyVariable {
			if err != nil {
				return ownError("SET", err)
			}
			continue
		}
		for _, one := range some {
			if _, err := c.exec(ctx, "SET "+one); ignoring(err, erGlobalVariable, erReadOnlyVariable) != nil {
				return ownError("SET", err)
			}
		}
	}
	return nil
}

var plainNumber = lazyregexp.New(`^-?[0-9]+(\.[0-9]+)?$`)

// variableValue returns a variable's value in the form for SET.
func variableValue(name, value string) string {
	switch {
	case plainNumber.MatchString(value), value == "ON", value == "OFF":
		return value
	case value == "" && (strings.HasPrefix(name, "character_set_") || strings.HasPrefix(name, "debug")):
		return "NULL"
	}
	return literal(value)
}
