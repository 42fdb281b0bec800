package cli

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// cause is a class of errors that the file of a migration did not cause, with what to do first.
// After that the user runs the command again.
type cause struct {
	// codes are the beginnings of SQLSTATEs, of SQLite's codes, and of MySQL's error numbers.
	codes []string
	do    func(e *database.StatementError) string
}

// causes lists the classes; the first that applies counts. Any other error is one of the file: its
// syntax, an object that does not exist, a constraint that its rows violate.
var causes = []cause{
	{[]string{"42501", "mysql 1044", "mysql 1142", "mysql 1143", "mysql 1227", "mysql 1370"}, grant},
	{
		[]string{"25P03", "25P04", "57P05"},
		say("A timeout of the server ended the session. Raise it for this role: idle_in_transaction_session_timeout, transaction_timeout or idle_session_timeout"),
	},
	{[]string{"08P01"}, pooler},
	{[]string{"mysql 1153"}, say("Raise the server's max_allowed_packet: a statement must fit in it, and so must the history entry with the texts of the scripts")},
	{
		[]string{"57P01", "57P02", "57P03", "08", "mysql 1053", "mysql 1152", "mysql 1184", "mysql 1927", "mysql 2006", "mysql 2013"},
		say(closedConnection),
	},
	{[]string{"mysql 1290"}, option},
	{[]string{"25006", "mysql 1792", "mysql 1836"}, say(readOnly)},
	{[]string{"SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN"}, say("Allow this user to write the file of the database and its folder")},
	{[]string{"53100", "SQLITE_FULL", "mysql 1021", "mysql 1114", "mysql 1030"}, say("Free space on the disk of the database")},
	{[]string{"53200", "SQLITE_NOMEM", "mysql 1037", "mysql 1038", "mysql 1041"}, say("Free memory on the server, or lower its limits for a session, such as work_mem")},
	{[]string{"53300", "mysql 1040", "mysql 1203", "mysql 1226"}, say("Close other connections, or raise the server's limit")},
	{[]string{"53"}, say("Free the resource that the server lacks, or raise its limit")},
	{[]string{"57014", "SQLITE_INTERRUPT", "mysql 1317", "mysql 1969", "mysql 3024"}, cancelled},
	{[]string{"55P03", "mysql 1205", "SQLITE_BUSY", "SQLITE_LOCKED"}, say("Another session holds a conflicting lock. End it, or raise lock-timeout in the file")},
	{[]string{"40", "mysql 1213"}, say("Another session was in conflict with this one")},
	{[]string{"55006"}, inUse},
	{[]string{"57"}, say("An operator of the server intervened. Wait until it accepts connections")},
	{[]string{"58", "XX", "SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB"}, say("The server failed, not the statement. Read its log and check its disk")},
	{[]string{"28"}, say("The server refused the role. Check its rights to log in")},
}

const readOnly = "The server, the role or the session is read-only. Name the primary in the URL, with a role that can write"

// option tells the options of MySQL that forbid statements from each other: --read-only forbids all
// that write, --secure-file-priv only those that use files.
func option(e *database.StatementError) string {
	if strings.Contains(e.Message, "read-only") || strings.Contains(e.Message, "read_only") {
		return readOnly
	}
	return "The server runs with an option that forbids this statement. Change the option, or the file"
}

// inUse tells the session of the migration itself from other sessions that use an object.
func inUse(e *database.StatementError) string {
	if strings.Contains(e.Message, "currently open database") {
		return "Take the statement out of the file: a migration can't drop or rename the database that it is in"
	}
	return "End the sessions that use the object"
}

const closedConnection = "The server closed the connection. Wait until it accepts connections"

// pooler tells the errors of PgBouncer that have one code from each other.
func pooler(e *database.StatementError) string {
	switch {
	case strings.Contains(e.Message, "statement pooling"):
		return "PgBouncer allows no transactions with pool_mode = statement. Set it to transaction or session, or connect to PostgreSQL directly"
	case strings.Contains(e.Message, "query_wait_timeout"):
		return "PgBouncer had no server connection to spare. Each process may need two at once: raise its pool_size"
	}
	return closedConnection
}

func say(what string) func(*database.StatementError) string {
	return func(*database.StatementError) string { return what }
}

// adviceFor returns what to do about a statement's error, "" if the file must be fixed.
func adviceFor(e *database.StatementError) string {
	if e.Elsewhere {
		return "The file is not the cause. Do what the hint says, then " + runAgain + "."
	}
	codes := codesOf(e)
	for _, c := range causes {
		if !slices.ContainsFunc(c.codes, func(begin string) bool { return startsAny(codes, begin) }) {
			continue
		}
		do := c.do(e)
		if text, statement, ok := strings.Cut(do, "\n"); ok {
			return text + ", then " + runAgain + ":\n" + statement
		}
		return do + ", then " + runAgain + "."
	}
	switch {
	case e.Code == "" && brokenOff(e):
		return brokeOff
	case e.Own && !slices.Contains([]string{"42P01", "3F000", "42703"}, e.Code): // the script dropped a table of Whimbrel's
		return "The file is not the cause. Remove what keeps Whimbrel from writing its own tables, then run the command again."
	}
	return ""
}

var mysqlNumber = lazyregexp.New(`^error (\d+)$`)

// codesOf returns the code of an error and, for MySQL, its number.
func codesOf(e *database.StatementError) []string {
	codes := []string{e.Code}
	if m := mysqlNumber.FindStringSubmatch(e.Detail); m != nil {
		codes = append(codes, "mysql "+m[1])
	}
	return codes
}

func startsAny(codes []string, begin string) bool {
	return slices.ContainsFunc(codes, func(code string) bool {
		if strings.HasPrefix(begin, "mysql ") {
			return code == begin
		}
		return strings.HasPrefix(code, begin)
	})
}

// cancelled tells a timeout from a cancellation.
func cancelled(e *database.StatementError) string {
	switch {
	case strings.Contains(e.Message, "timeout"), slices.Contains(codesOf(e), "mysql 1969"), slices.Contains(codesOf(e), "mysql 3024"):
		return "The statement ran into a timeout. Raise it (statement-timeout in the file, or the server's setting), or wait until the server is less busy"
	}
	return "Someone cancelled the statement on the server. Find out why"
}

// thisRole is the role in a GRANT, until the command fills in the one that it connected as.
const thisRole = "THIS_ROLE"

var (
	deniedObject = lazyregexp.New(`^permission denied for (large object|foreign-data wrapper|foreign server|materialized view|[a-z]+) (.+)$`)
	mustOwn      = lazyregexp.New(`^must be owner of ([a-z-]+(?: [a-z-]+)*) (\S+)$`)
	deniedMySQL  = lazyregexp.New(`(?s)(?:^|: )([A-Za-z, ]+) command denied to user ('[^']*'@'[^']*') for (table|column|routine) (.+)$`)
	deniedSchema = lazyregexp.New(`(?s)^Access denied for user ('[^']*'@'[^']*') to database '(.+)'$`)
	needMySQL    = lazyregexp.New(`you need \(at least one of\) the (.+?) privilege`)
	attribute    = lazyregexp.New(`\bthe (SUPERUSER|CREATEROLE|CREATEDB|REPLICATION|BYPASSRLS)\b`)
)

// grant returns the GRANT that is missing, with the names that the server reports.
func grant(e *database.StatementError) string {
	msg := e.Message
	if _, after, ok := strings.Cut(msg, " own: "); ok && e.Own { // what the driver put before it
		msg = after
	}
	if m := deniedMySQL.FindStringSubmatch(msg); m != nil {
		privileges, object := m[1], m[4]
		switch database, _, _ := strings.Cut(object, "."); {
		case !e.Own, privileges == "SELECT":
		case privileges == "CREATE": // Whimbrel's tables, which don't exist yet
			privileges, object = "CREATE, SELECT, INSERT, UPDATE, DELETE", database+".*"
		case strings.HasSuffix(strings.Trim(object, "`"), "_history"): // it is append-only
			privileges = "SELECT, INSERT"
		default:
			privileges = "SELECT, INSERT, UPDATE, DELETE"
		}
		return grantStatement(privileges, "", object, cmp.Or(e.Role, m[2]))
	}
	if m := deniedSchema.FindStringSubmatch(msg); m != nil {
		return grantStatement("ALL PRIVILEGES", "", "`"+m[2]+"`.*", cmp.Or(e.Role, m[1]))
	}
	if m := needMySQL.FindStringSubmatch(msg); m != nil {
		first, _, _ := strings.Cut(m[1], ",")
		return grantStatement(first, "", "*.*", "CURRENT_USER()")
	}
	if m := mustOwn.FindStringSubmatch(msg); m != nil {
		return "Connect as the owner of " + m[1] + " " + m[2] + ", or let a superuser change the owner\n" +
			"ALTER " + grantKind(m[1]) + " " + qualified(e, m[2]) + " OWNER TO " + thisRole + ";"
	}
	if m := deniedObject.FindStringSubmatch(msg); m != nil && !strings.HasPrefix(msg, "permission denied for column") {
		return grantStatement(privilege(e, m[1], m[2]), onKind(m[1]), qualified(e, m[2]), thisRole)
	}
	if m := attribute.FindStringSubmatch(e.Detail + " " + e.Hint); m != nil && m[1] != "SUPERUSER" {
		return "Let a superuser grant the missing attribute\nALTER ROLE " + thisRole + " " + m[1] + ";"
	}
	return "Connect as a role that has the permission, or let its owner or a superuser grant it"
}

func grantStatement(privileges, kind, object, to string) string {
	return "Let its owner or an administrator grant the missing permission\nGRANT " + privileges + " ON " + kind + object + " TO " + to + ";"
}

// grantKind returns the kind of an object as ALTER names it.
func grantKind(kind string) string {
	if kind == "relation" {
		return "TABLE"
	}
	return strings.ToUpper(kind)
}

// onKind returns the kind of an object as GRANT names it, with a space.
func onKind(kind string) string {
	switch kind {
	case "view", "materialized view", "relation": // GRANT calls these tables
		return "TABLE "
	case "foreign-data wrapper":
		return "FOREIGN DATA WRAPPER "
	}
	return strings.ToUpper(kind) + " "
}

var (
	writesTo   = lazyregexp.New(`(?is)^\s*(insert\s+into|update(?:\s+only)?|delete\s+from(?:\s+only)?|truncate(?:\s+table)?(?:\s+only)?|copy)\s+([^\s(;*]+)`)
	references = lazyregexp.New(`(?i)\breferences\b`)
	creates    = lazyregexp.New(`(?i)^\s*(create|alter)\b`)
)

// privilege returns the privilege that a statement needs on an object, which PostgreSQL doesn't
// report.
func privilege(e *database.StatementError, kind, object string) string {
	switch kind {
	case "schema":
		if e.Own || creates.MatchString(e.Statement) {
			return "USAGE, CREATE"
		}
		return "USAGE"
	case "database", "tablespace":
		return "CREATE"
	case "function", "procedure", "routine", "aggregate":
		return "EXECUTE"
	case "sequence", "type", "domain", "language", "foreign server", "foreign-data wrapper":
		return "USAGE"
	}
	words := strings.Fields(strings.ToUpper(e.Statement))
	m := writesTo.FindStringSubmatch(e.Statement)
	switch {
	case e.Own && strings.HasSuffix(object, "_history"): // it is append-only
		return "SELECT, INSERT"
	case e.Own:
		return "SELECT, INSERT, UPDATE, DELETE"
	case m != nil && named(m[2], object):
		switch words[0] {
		case "COPY":
			return "INSERT"
		case "UPDATE", "DELETE":
			return "SELECT, " + words[0]
		}
		return words[0]
	case creates.MatchString(e.Statement) && references.MatchString(e.Statement):
		return "REFERENCES"
	}
	return "SELECT"
}

// named reports whether the name of a statement, which may have a schema, is that of an object.
func named(written, object string) bool {
	written = written[strings.LastIndexByte(written, '.')+1:]
	return strings.EqualFold(strings.Trim(written, `"`), strings.Trim(object, `"`))
}

// qualified returns the name of an object as the statement has it: the server omits the schema.
func qualified(e *database.StatementError, object string) string {
	name := regexp.MustCompile(`(?i)(?:"[^"]+"|\w+)\."?` + regexp.QuoteMeta(strings.Trim(object, `"`)) + `\b"?`)
	if found := name.FindString(e.Statement); found != "" && !e.Own {
		return found
	}
	return object
}

// nameRole fills in the role of a GRANT.
func (a *app) nameRole(f *render.Failure) {
	if a.role == "" {
		return
	}
	role := a.role
	if !plainName.MatchString(role) {
		role = `"` + strings.ReplaceAll(role, `"`, `""`) + `"`
	}
	f.Next = strings.ReplaceAll(f.Next, thisRole, role)
}

var plainName = lazyregexp.New(`^[a-z_][a-z0-9_]*$`)

// runAgain is how advice ends; the command that resumes a run takes its place.
const runAgain = "run the command again"

// redone reports whether a migration failed that a redo had rolled back.
func redone(f *render.Failure, r *whimbrel.Result) bool {
	return f.Direction == string(database.Up) && f.Version != nil &&
		slices.ContainsFunc(r.RolledBack, func(s whimbrel.StepResult) bool { return s.Version == *f.Version })
}

// afterRedo describes what remains of a redo that failed after its rollback.
func afterRedo(f *render.Failure, r *whimbrel.Result) string {
	n := len(r.RolledBack)
	words := "The rollback of " + which(f) + " remains: it is not applied now."
	if n > 1 {
		words = fmt.Sprintf("The rollback of %d migrations remains, and %s not applied now.", n, which(f)+" is")
	}
	if again := len(r.Applied); again > 0 {
		words += fmt.Sprintf(" %s applied again.", plural(again, "One migration was", fmt.Sprintf("%d migrations were", again)))
	}
	return words
}
