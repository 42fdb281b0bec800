package backfill

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/riverqueue/river"
	"riverqueue.com/riverui"
)

// serveUI serves River's pages until the context ends.
func serveUI[T any](ctx context.Context, c *river.Client[T], l net.Listener, logger *slog.Logger) error {
	pages, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(c, nil), Logger: logger, Prefix: "/",
	})
	if err != nil {
		return err
	}
	if err := pages.Start(ctx); err != nil {
		return err
	}
	server := &http.Server{
		Handler:           guardUI(pages, l.Addr()),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// guardUI protects the pages, which ask for no password, from other pages in the same browser: a
// form of another origin changes nothing, and a foreign name that resolves to a loopback address
// shows nothing.
func guardUI(pages http.Handler, at net.Addr) http.Handler {
	pages = http.NewCrossOriginProtection().Handler(pages)
	if tcp, ok := at.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return pages
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		host := req.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "these pages are served to localhost only", http.StatusForbidden)
			return
		}
		pages.ServeHTTP(w, req)
	})
}
