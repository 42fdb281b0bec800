package postgres

import (
	"context"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgproto3"
)

// useFully calls f with a connection of pgx that shares the wire of c: one is idle while the other
// is in use.
func (c *ownConn) useFully(ctx context.Context, f func(*pgx.Conn) error) error {
	err := c.pc.SyncConn(ctx)
	switch {
	case err != nil:
	case c.full == nil:
		err = c.join(context.WithoutCancel(ctx))
	default:
		err = handOver(ctx, c.pc, c.full.PgConn())
	}
	if err != nil {
		closeNow(c.pc)
		return err
	}
	defer c.leave()
	return f(c.full)
}

// leave makes c take over the wire again.
func (c *ownConn) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), cancelGrace)
	defer cancel()
	full := c.full.PgConn()
	err := errBroken
	if !full.IsClosed() {
		err = full.SyncConn(ctx) // fails if a panic left it busy
	}
	if err == nil {
		err = handOver(ctx, full, c.pc)
	}
	if err != nil {
		closeNow(full)
		closeNow(c.pc)
	}
}

// handOver tells a connection what the server has reported to the other one on its wire.
func handOver(ctx context.Context, from, to *pgconn.PgConn) error {
	var news []byte
	for _, name := range reported {
		if value := from.ParameterStatus(name); value != to.ParameterStatus(name) {
			news = appendMessage(news, &pgproto3.ParameterStatus{Name: name, Value: value})
		}
	}
	if len(news) == 0 && from.TxStatus() == to.TxStatus() {
		return nil
	}
	to.Conn().(*wire).first = news
	return to.Ping(ctx) // reads the news, and the state of the transaction
}

// reported are the parameters that servers report to their clients.
var reported = []string{
	"server_version", "server_encoding", "client_encoding", "application_name", "default_transaction_read_only", "in_hot_standby",
	"is_superuser", "session_authorization", "DateStyle", "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings",
	"scram_iterations", "search_path",
}

// join makes a connection of pgx on the wire of c. pgx can only connect by itself, so it connects
// to a greeting like the one that the server has given to c.
func (c *ownConn) join(ctx context.Context) error {
	config, err := c.forGo().config()
	if err != nil {
		return err
	}
	config.Config = *c.made.Copy()
	config.Fallbacks, config.TLSConfig = nil, nil // the wire already is what they ask for
	config.SSLCertMode, config.ChannelBinding, config.RequireAuth = "", "", ""
	config.ValidateConnect, config.AfterConnect, config.AfterNetConnect = nil, nil, nil
	config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	dial, joined := config.DialFunc, &wire{Conn: c.pc.Conn().(*wire).Conn, first: c.greeting(), deaf: true}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if joined.deaf {
			return joined, nil
		}
		return dial(ctx, network, address)
	}
	config.BuildContextWatcherHandler = func(*pgconn.PgConn) ctxwatch.Handler { return &cancelOnServer{pc: c.pc} }
	c.full, err = pgx.ConnectConfig(ctx, config)
	joined.deaf = false
	return err
}

// greeting returns what a server says to a client that has connected.
func (c *ownConn) greeting() []byte {
	all := appendMessage(nil, &pgproto3.AuthenticationOk{})
	for _, name := range reported {
		if value := c.pc.ParameterStatus(name); value != "" {
			all = appendMessage(all, &pgproto3.ParameterStatus{Name: name, Value: value})
		}
	}
	all = appendMessage(all, &pgproto3.BackendKeyData{ProcessID: c.pc.PID(), SecretKey: c.pc.SecretKey()})
	return appendMessage(all, &pgproto3.ReadyForQuery{TxStatus: c.pc.TxStatus()})
}

func appendMessage(all []byte, m interface{ Encode([]byte) ([]byte, error) }) []byte {
	all, _ = m.Encode(all) // fails only for messages of a gigabyte
	return all
}
