package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var errControl = errors.New("a Go function must not begin, commit or roll back the transaction of its migration")

// The server's error numbers used here.
const (
	erDBCreateExists    = 1007
	erDBDropExists      = 1008
	erDBAccessDenied    = 1044
	erAccessDenied      = 1045
	erBadDB             = 1049
	erBadField          = 1054
	erDupEntry          = 1062
	erParse             = 1064
	erNoSuchThread      = 1094
	erTableDenied       = 1142
	erNoSuchTable       = 1146
	erNoSuchIndex       = 1176
	erPacketTooLarge    = 1153
	erUnknownVariable   = 1193
	erNotRolledBack     = 1196
	erLockWait          = 1205
	erDeadlock          = 1213
	erNeedsPrivilege    = 1227
	erCannotUser        = 1396
	erInterrupted       = 1317
	erInTransaction     = 1568 // SET TRANSACTION
	erDefinitionChanged = 1412 // of a table, since the transaction began
	erGlobalVariable    = 1229
	erReadOnlyVariable  = 1238
	erNoWait            = 3572
	erCommitConflict    = 3101 // in a group of MySQL servers
)

// number returns the server's error number, or 0 for other errors.
func number(err error) int {
	if e, ok := drivers.AsType[*client.MySQLError](err); ok {
		return int(e.Number)
	}
	return 0
}

// missingTable reports whether a table does not exist.
func missingTable(err error) bool { return number(err) == erNoSuchTable }

// foreignTable reports whether a table is not Whimbrel's: one of its columns or indexes is missing.
// A view has no indexes.
func foreignTable(err error) bool { return number(err) == erBadField || number(err) == erNoSuchIndex }

func (db *Database) foreignTable(err error) error {
	return fmt.Errorf("one of the tables %q, %q, %q and %q is not Whimbrel's, or was replaced by a view; find out who created it, or name another history table: %w",
		db.names.History, db.names.Settings, db.names.Journal, db.names.Metadata, err)
}

// triggersError returns an error if Whimbrel's tables have triggers.
func triggersError(triggers string) error {
	if triggers == "" {
		return nil
	}
	return fmt.Errorf("a trigger that Whimbrel did not create is on its tables and could change what is recorded: %s; find out who created it, and drop it", triggers)
}

// broken reports whether the error ended the connection.
func broken(err error) bool {
	var op *net.OpError
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, client.ErrInvalidConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, client.ErrPktSync) || errors.Is(err, client.ErrMalformPkt)
}

// codeOf returns the SQLSTATE, or the server's error number if the SQLSTATE is unspecific.
func codeOf(e *client.MySQLError) string {
	if state := string(e.SQLState[:]); state != "HY000" && e.SQLState != [5]byte{} {
		return state
	}
	return strconv.Itoa(int(e.Number))
}

// detailOf returns the server's error number, unless codeOf returns it.
func detailOf(e *client.MySQLError) string {
	if number := strconv.Itoa(int(e.Number)); codeOf(e) != number {
		return "error " + number
	}
	return ""
}

// statementError converts an error of a script's statement.
func statementError(st sqltext.Statement, err error) error {
	var known *database.StatementError
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &database.StatementError{Pos: st.Pos, Index: st.Index, Statement: st.Text, Message: err.Error(), Err: err}
	var my *client.MySQLError
	switch {
	case errors.As(err, &my):
		e.Code, e.Message, e.Hint = codeOf(my), my.Message, hints[int(my.Number)]
		e.OwnHint, e.Role = e.Hint != "", accountOf(err)
		e.Detail, e.Lock = detailOf(my), lockError(int(my.Number))
		if my.Number == erParse {
			e.Pos = near(st, my.Message)
		}
	case errors.Is(err, client.ErrPktTooLarge):
		e.Hint = hints[erPacketTooLarge]
	case broken(err):
		e.Err = lost(err)
		e.Message = "the connection broke while the statement ran: " + e.Err.Error()
	}
	return e
}

// lost returns an error that ended a connection in a form that people and callers understand.
func lost(err error) error {
	if _, ok := drivers.AsType[*lostError](err); ok {
		return err
	}
	return &lostError{err}
}

// lostError is also net.ErrClosed.
type lostError struct{ error }

func (e *lostError) Error() string {
	if errors.Is(e.error, client.ErrInvalidConn) || errors.Is(e.error, driver.ErrBadConn) || errors.Is(e.error, sql.ErrConnDone) {
		return "the server or the network closed it"
	}
	return e.error.Error()
}

func (e *lostError) Unwrap() []error { return []error{e.error, net.ErrClosed} }

var nearText = lazyregexp.New(`(?s)near '(.*)' at line (\d+)$`)

// lacksPrivilege reports whether the server refused a statement for lack of a privilege.
func lacksPrivilege(err error) bool {
	return slices.Contains([]int{1044, 1142, 1143, 1370}, number(err))
}

// deniedError is the error of a statement for which the account lacks a privilege.
type deniedError struct {
	error
	account string // as GRANT writes it
}

func (e *deniedError) Unwrap() error { return e.error }

// withAccount adds the session's account to an error. The server's message has the host of the
// client, with which GRANT finds no account 'app'@'%'.
func (c *conn) withAccount(ctx context.Context, err error) error {
	var account string
	if c.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&account) != nil {
		return err
	}
	at := strings.LastIndexByte(account, '@')
	if at < 0 {
		return err
	}
	return &deniedError{err, quoteText(account[:at]) + "@" + quoteText(account[at+1:])}
}

// accountOf returns the account that lacks a privilege, "" if it is unknown.
func accountOf(err error) string {
	if e, ok := drivers.AsType[*deniedError](err); ok {
		return e.account
	}
	return ""
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// near returns the position of the text that the server quotes, in the line that it reports.
func near(st sqltext.Statement, message string) sqltext.Position {
	m := nearText.FindStringSubmatch(message)
	if m == nil {
		return st.Pos
	}
	line, _ := strconv.Atoi(m[2])
	begin := 0 // the start of that line
	for n := 1; n < line; n++ {
		i := strings.IndexByte(st.Text[begin:], '\n')
		if i < 0 {
			return st.Pos
		}
		begin += i + 1
	}
	at := strings.LastIndex(st.Text, m[1])
	if m[1] == "" {
		at = len(st.Text)
	} else if i := strings.Index(st.Text[begin:], m[1]); i >= 0 {
		at = begin + i
	}
	if at < 0 {
		at = begin
	}
	return drivers.Advance(st.Pos, st.Text[:at])
}

// refused is the error of a statement that the driver doesn't send.
func refused(st sqltext.Statement, message, hint string) error {
	return &database.StatementError{Pos: st.Pos, Index: st.Index, Statement: st.Text, Message: message, Hint: hint}
}

// ownError returns the error of one of Whimbrel's own statements, which has no place in a script.
func ownError(doing string, err error) error {
	var my *client.MySQLError
	if err == nil || !errors.As(err, &my) {
		return err
	}
	return &database.StatementError{
		Own: true, Statement: doing, Code: codeOf(my), Message: doing + ": " + my.Message,
		Detail: detailOf(my), Hint: hints[int(my.Number)], OwnHint: hints[int(my.Number)] != "",
		Role: accountOf(err), Err: err,
	}
}

// hints say what to do about errors that are typical for migrations.
var hints = map[int]string{
	1104:             "the session's max_join_size is too small for Whimbrel's queries: connect without that setting",
	1142:             "connect as a user with this privilege, or grant it to this user",
	1227:             "connect as a user with this privilege, or grant it to this user",
	1290:             "the server is read-only, or runs with an option that forbids this: connect to the primary",
	1836:             "the server is read-only: connect to the primary",
	1792:             "the session is read-only: connect without that setting",
	1418:             "the server writes a binary log: declare the function DETERMINISTIC, NO SQL or READS SQL DATA, or set log_bin_trust_function_creators",
	1419:             "the server writes a binary log: connect as a user with SUPER, or set log_bin_trust_function_creators",
	1449:             "the DEFINER does not exist on this server: create the user, or remove DEFINER",
	1100:             "the script locked other tables: lock this one too, or UNLOCK TABLES first",
	erDBAccessDenied: "connect as a user with access to the database, or grant it to this user",
	erInTransaction:  "it must come first in the transaction, which Whimbrel began: remove it, or let the script control its transaction (-- whimbrel: no-transaction, and START TRANSACTION … COMMIT)",
	erPacketTooLarge: "the statement is longer than the server's max_allowed_packet: raise the limit, or split the statement",
	erLockWait:       "another session holds a conflicting lock: try again, or wait longer (lock-timeout)",
	erNoWait:         "another session holds a conflicting lock: try again, or wait for it (without NOWAIT)",
	erDeadlock:       "this session and another one waited for each other: try again",
	3948:             "LOAD DATA LOCAL reads a file on the client: run it with a client, or use LOAD DATA INFILE or INSERT",
}

const checkAddress = "check host and port, and that the server is running"

// connectError explains why connecting failed; config is nil if unknown.
func connectError(config *client.Config, err error) error {
	var known *database.ConnectError
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &database.ConnectError{Target: "MySQL", Err: err}
	if config != nil {
		e.Target = place(config)
	}
	var (
		my    *client.MySQLError
		dns   *net.DNSError
		netw  net.Error
		errno syscall.Errno
	)
	say := func(msg, hint string) { e.Err, e.Hint = &drivers.Reworded{Message: msg, Err: err}, hint }
	switch {
	case errors.As(err, &my):
		e.Code, e.NoDatabase = codeOf(my), my.Number == erBadDB
		say(my.Message, connectHints[int(my.Number)])
		switch {
		case my.Number != erAccessDenied || config == nil:
		case config.User == "":
			e.Hint = "the URL names no user: use mysql://user@host/database"
		case config.Passwd == "":
			e.Hint = "the URL has no password; if the user has one, add it"
		}
	case errors.Is(err, context.Canceled):
	case errors.As(err, &dns):
		say("no host has this name: "+dns.Name, "check the host name, and that this machine can resolve it")
	case errors.Is(err, client.ErrNoTLS):
		say("the server does not support TLS", "enable TLS on the server, or disable it here (tls=false) if the network can be trusted")
	case errors.Is(err, client.ErrCleartextPassword):
		say("the server requires the password in clear text", "if the connection is safe, add cleartext-password=true")
	case isCertificate(err):
		say(err.Error(), "name the certificate file of the authority that signed the server's certificate (tls-ca=…), and use the host name in the certificate")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netw) && netw.Timeout():
		say("no answer in time", checkAddress+"; a firewall may block the connection")
	case errors.As(err, &errno) && (errno == syscall.ENOENT || errno == syscall.EACCES):
		say(errno.Error(), "check the socket's path, and that the server is running")
	case errors.As(err, &errno) && errno != syscall.ECONNRESET && errno != syscall.EPIPE:
		say(errno.Error(), checkAddress)
	case broken(err):
		say("the other side closed the connection", "check that a MySQL or MariaDB server listens there, and read its log")
	default:
		e.Hint = checkAddress
	}
	return e
}

func isCertificate(err error) bool {
	text := err.Error()
	return strings.Contains(text, "x509:") || strings.Contains(text, "certificate")
}

var connectHints = map[int]string{
	1040:             "try again when other connections have closed, or raise max_connections",
	1203:             "try again when other connections have closed, or raise max_user_connections",
	erDBAccessDenied: "grant this user access to the database, or check its name",
	erAccessDenied:   "check user and password, and the hosts from which the user may connect",
	erBadDB:          "create the database first, or check its name",
	1129:             "the server blocked this host: run FLUSH HOSTS on it",
	1130:             "allow the user to connect from this host",
	1251:             "the driver does not support the server's authentication method",
}
