package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var (
	errClosed  = errors.New("the database is closed")
	errOver    = errors.New("it is over: committed, rolled back or closed")
	errControl = errors.New("a Go function must not begin, commit or roll back the transaction of its migration")
)

// The server's numbers that mean something here.
const (
	erDBAccessDenied   = 1044
	erAccessDenied     = 1045
	erBadDB            = 1049
	erBadField         = 1054
	erDupEntry         = 1062
	erParse            = 1064
	erNoSuchThread     = 1094
	erNoSuchTable      = 1146
	erNoSuchIndex      = 1176
	erPacketTooLarge   = 1153
	erLockWait         = 1205
	erDeadlock         = 1213
	erInterrupted      = 1317
	erInTransaction    = 1568 // SET TRANSACTION
	erGlobalVariable   = 1229
	erReadOnlyVariable = 1238
)

// number returns the server's number of an error, 0 for errors that are not the server's.
func number(err error) int {
	var e *client.MySQLError
	if errors.As(err, &e) {
		return int(e.Number)
	}
	return 0
}

// missingTable reports that a table is not there.
func missingTable(err error) bool { return number(err) == erNoSuchTable }

// notOurs reports that a table is another than Whimbrel makes: one of its columns or indexes is missing. A view has no indexes.
func notOurs(err error) bool { return number(err) == erBadField || number(err) == erNoSuchIndex }

func (db *Database) notOurs(err error) error {
	return fmt.Errorf("one of the tables %q, %q, %q and %q is not Whimbrel's, or a view is in its place; look who has made it, or name another history table: %w",
		db.names.History, db.names.Settings, db.names.Journal, db.names.Metadata, err)
}

// oddError refuses to write to tables that others have a hand in.
func oddError(triggers string) error {
	if triggers == "" {
		return nil
	}
	return fmt.Errorf("on Whimbrel's own tables there is a trigger that Whimbrel has not made: %s; with it nobody knows what is recorded. Look who has made it, and drop it", triggers)
}

// broken reports that the connection has ended with an error.
func broken(err error) bool {
	var op *net.OpError
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, client.ErrInvalidConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, client.ErrPktSync) || errors.Is(err, client.ErrMalformPkt)
}

// codeOf is the SQLSTATE, or the server's own number where its SQLSTATE says nothing.
func codeOf(e *client.MySQLError) string {
	if state := string(e.SQLState[:]); state != "HY000" && e.SQLState != [5]byte{} {
		return state
	}
	return strconv.Itoa(int(e.Number))
}

// statementError makes the contract's error of the one that a statement of a script came to.
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
		e.Detail = fmt.Sprintf("error %d", my.Number)
		if my.Number == erParse {
			e.Pos = near(st, my.Message)
		}
	case errors.Is(err, client.ErrPktTooLarge):
		e.Hint = hints[erPacketTooLarge]
	case broken(err):
		e.Message = "the connection broke while the statement ran: " + plain(err)
		e.Hint = "look whether the statement has happened before you run it again"
	}
	return e
}

// plain is what an error of the connection says in words.
func plain(err error) string {
	if errors.Is(err, client.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return "the server has closed it, or the network has"
	}
	return err.Error()
}

var nearText = regexp.MustCompile(`(?s)near '(.*)' at line (\d+)$`)

// near finds the place that the server quotes the text behind of, in the line that it tells.
func near(st sqltext.Statement, message string) sqltext.Position {
	m := nearText.FindStringSubmatch(message)
	if m == nil {
		return st.Pos
	}
	line, _ := strconv.Atoi(m[2])
	begin := 0 // of that line
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
	return advance(st.Pos, st.Text[:at])
}

// advance returns the place behind a text that begins at p.
func advance(p sqltext.Position, s string) sqltext.Position {
	p.Offset += int64(len(s))
	if n := strings.Count(s, "\n"); n > 0 {
		p.Line += n
		p.Column = 1
		s = s[strings.LastIndexByte(s, '\n')+1:]
	}
	p.Column += utf8.RuneCountInString(s)
	return p
}

// refused is a statement that the driver does not send.
func refused(st sqltext.Statement, message, hint string) error {
	return &database.StatementError{Pos: st.Pos, Index: st.Index, Statement: st.Text, Message: message, Hint: hint}
}

// ownError is the error of a statement of Whimbrel's own, which has no place in a script.
func ownError(doing string, err error) error {
	var my *client.MySQLError
	if err == nil || !errors.As(err, &my) {
		return err
	}
	return &database.StatementError{
		Statement: doing, Code: codeOf(my), Message: doing + ": " + my.Message,
		Detail: fmt.Sprintf("error %d", my.Number), Hint: hints[int(my.Number)], Err: err,
	}
}

// hints say what to do about errors that have to do with how migrations are run.
var hints = map[int]string{
	1104:             "the session's max_join_size is too small for what Whimbrel reads: connect without that setting",
	1142:             "connect with a user that may do this, or grant it to this one",
	1227:             "connect with a user that may do this, or grant it to this one",
	1290:             "the server is read-only, or runs with an option that forbids this: connect to the primary",
	1836:             "the server is read-only: connect to the primary",
	1792:             "the session is read-only: connect without that setting",
	1418:             "the server keeps a binary log: say DETERMINISTIC, NO SQL or READS SQL DATA in the function, or set log_bin_trust_function_creators",
	1419:             "the server keeps a binary log: connect with a user that has SUPER, or set log_bin_trust_function_creators",
	1449:             "the DEFINER is a user that this server doesn't have: create it, or leave DEFINER out",
	1100:             "the script has locked tables, and not this one: lock it too, or UNLOCK TABLES first",
	erDBAccessDenied: "connect with a user that may use the database, or grant it to this one",
	erInTransaction:  "it must come first in a transaction, which is Whimbrel's: leave it out, or run the script in a transaction of its own (-- whimbrel: no-transaction, and START TRANSACTION … COMMIT)",
	erPacketTooLarge: "the statement is longer than the server's max_allowed_packet: raise that, or make several statements of it",
	erLockWait:       "another session holds a lock that this needs: try again, or wait longer (lock-timeout)",
	erDeadlock:       "another session and this one waited for each other: try again",
	3948:             "LOAD DATA LOCAL reads a file of the client: leave it to the client, or use LOAD DATA INFILE or INSERT",
}

// failedConnect says in few words what a library's error says in many.
type failedConnect struct {
	msg string
	err error
}

func (e *failedConnect) Error() string { return e.msg }
func (e *failedConnect) Unwrap() error { return e.err }

const checkAddress = "check host and port, and that the server is running"

// connectError explains why a connection could not be made; config is nil where it is not known.
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
	say := func(msg, hint string) { e.Err, e.Hint = &failedConnect{msg, err}, hint }
	switch {
	case errors.As(err, &my):
		e.Code = codeOf(my)
		say(my.Message, connectHints[int(my.Number)])
		switch {
		case my.Number != erAccessDenied || config == nil:
		case config.User == "":
			e.Hint = "the URL names no user: write mysql://user@host/database"
		case config.Passwd == "":
			e.Hint = "the URL has no password; if the user has one, write it there"
		}
	case errors.Is(err, context.Canceled):
	case errors.As(err, &dns):
		say("there is no host of this name: "+dns.Name, "check the host's name, and that this machine can look it up")
	case errors.Is(err, client.ErrNoTLS):
		say("the server does not speak TLS", "turn TLS on in the server, or do without (tls=false) where the network can be trusted")
	case errors.Is(err, client.ErrCleartextPassword):
		say("the server wants the password as plain text", "where the connection is safe, say cleartext-password=true")
	case isCertificate(err):
		say(err.Error(), "name the file of the authority that signed the server's certificate (tls-ca=…), and the host as the certificate does")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netw) && netw.Timeout():
		say("no answer in time", checkAddress+"; a firewall may be in between")
	case errors.As(err, &errno) && (errno == syscall.ENOENT || errno == syscall.EACCES):
		say(errno.Error(), "check the socket's path, and that the server is running")
	case errors.As(err, &errno) && errno != syscall.ECONNRESET && errno != syscall.EPIPE:
		say(errno.Error(), checkAddress)
	case broken(err):
		say("the connection was closed from the other side", "check that it is a MySQL or MariaDB server which listens there, and look into its log")
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
	1040:             "try again when other connections are closed, or raise max_connections",
	1203:             "try again when other connections are closed, or raise max_user_connections",
	erDBAccessDenied: "grant this user the use of the database, or check its name",
	erAccessDenied:   "check user and password, and from which hosts the user may connect",
	erBadDB:          "create the database first, or check its name",
	1129:             "the server has blocked this host: FLUSH HOSTS there",
	1130:             "let the server know the user from this host",
	1251:             "the server's way to check passwords is not known here",
}

// reason is why a context is done: its own error, as errors.Is sees it, with the cause it was
// given; or what ended the work from our side.
func reason(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	var lost *database.LockLostError
	switch {
	case errors.As(cause, &lost), errors.Is(cause, errClosed), errors.Is(cause, err):
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// stopped says of an error that the context was done when it came.
func stopped(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, reason(ctx)) {
		return err
	}
	return fmt.Errorf("%w (%w)", reason(ctx), err)
}
