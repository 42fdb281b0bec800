package postgres

import (
	"context"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// wire is the network connection of a connection that the driver opened.
type wire struct {
	net.Conn
	first []byte // read before anything that the server sends
	deaf  bool   // what is written is dropped
}

func (w *wire) Read(b []byte) (int, error) {
	if len(w.first) == 0 {
		return w.Conn.Read(b)
	}
	n := copy(b, w.first)
	w.first = w.first[n:]
	return n, nil
}

func (w *wire) Write(b []byte) (int, error) {
	if w.deaf {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

// connectByWire connects like pgconn.ConnectConfig, with a wire.
func connectByWire(ctx context.Context, config *pgconn.Config) (*pgconn.PgConn, error) {
	config = config.Copy()
	before := config.AfterNetConnect
	config.AfterNetConnect = func(ctx context.Context, config *pgconn.Config, conn net.Conn) (net.Conn, error) {
		if before != nil {
			var err error
			if conn, err = before(ctx, config, conn); err != nil {
				return conn, err
			}
		}
		return &wire{Conn: conn}, nil
	}
	return pgconn.ConnectConfig(ctx, config)
}
