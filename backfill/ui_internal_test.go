package backfill

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// TestUI asks the pages for what a browser would: themselves, their data, a change.
func TestUI(t *testing.T) {
	t.Parallel()
	at := startUI(t, "127.0.0.1:0")
	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, c := range []struct {
		name, method, path string
		header             map[string]string
		host               string
		status             int
		contains           string
	}{
		{name: "the page", path: "/", status: http.StatusOK, contains: "<html"},
		{name: "its data", path: "/api/queues", status: http.StatusOK, contains: `{"data":`},
		{name: "by name", path: "/api/queues", host: "localhost", status: http.StatusOK, contains: `{"data":`},
		{name: "a foreign name for this address", path: "/api/queues", host: "evil.example", status: http.StatusForbidden},
		{
			name: "a form of another page", method: http.MethodPost, path: "/api/jobs/cancel", status: http.StatusForbidden,
			header: map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
		},
		{
			name: "the same of its own page", method: http.MethodPost, path: "/api/jobs/cancel", status: http.StatusNotFound, // of the job
			header: map[string]string{"Sec-Fetch-Site": "same-origin"},
		},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+at+c.path, strings.NewReader(`{"ids":["1"]}`))
		if err != nil {
			t.Fatal(err)
		}
		if c.host != "" {
			req.Host = c.host
		}
		for name, value := range c.header {
			req.Header.Set(name, value)
		}
		answer, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != c.status || !strings.Contains(string(body), c.contains) {
			t.Errorf("%s: %s %.200s; want %d with %q", c.name, answer.Status, body, c.status, c.contains)
		}
	}
}

func startUI(t *testing.T, address string) string {
	t.Helper()
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	pool.SetMaxOpenConns(1)
	m, err := rivermigrate.New(riversqlite.New(pool), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Migrate(t.Context(), rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	c, err := river.NewClient(riversqlite.New(pool), &river.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serveUI(ctx, c, l, quiet) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return l.Addr().String()
}
