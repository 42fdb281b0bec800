package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// served returns a connection to a server that is a function, which is called when the client has
// connected.
func served(t *testing.T, serve func(*pgproto3.Backend)) *conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := pgproto3.NewBackend(c, c)
		if _, err := b.ReceiveStartupMessage(); err != nil {
			return
		}
		b.Send(&pgproto3.AuthenticationOk{})
		b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte("1234")})
		answer(b)
		serve(b)
		// closing at once would discard what was sent if the client is sending
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}()
	c, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://u@%s/d?sslmode=disable", l.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return &conn{handle: single{full{c}}, closing: context.Background()}
}

// answer answers a message.
func answer(b *pgproto3.Backend, messages ...pgproto3.BackendMessage) {
	for _, m := range messages {
		b.Send(m)
	}
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'T'})
	b.Flush()
}

// nextQuery returns the text of the next message if it is a query, and "" otherwise.
func nextQuery(b *pgproto3.Backend) string {
	if m, err := b.Receive(); err == nil {
		if q, ok := m.(*pgproto3.Query); ok {
			return q.String
		}
	}
	return ""
}

var complete = &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}

func chunkOf(t *testing.T, text string) *chunk {
	t.Helper()
	all, err := sqltext.Split(text, sqltext.PostgreSQL, sqltext.Options{File: "f.sql"})
	if err != nil {
		t.Fatal(err)
	}
	k := newChunk(0)
	for _, st := range all {
		k.add(st)
	}
	return k
}

// TestStreamIsAhead: chunks are sent before those before them are answered, but not more than the
// limit, and arrive in their order. Their memory is used again.
func TestStreamIsAhead(t *testing.T) {
	const all = 3 * aheadChunks
	got := make(chan string, all)
	c := served(t, func(b *pgproto3.Backend) {
		for range aheadChunks {
			got <- nextQuery(b)
		}
		for len(got) < all {
			answer(b, complete)
			got <- nextQuery(b)
		}
		for range aheadChunks {
			answer(b, complete)
		}
	})
	s := c.stream(t.Context())
	memory := map[*chunk]bool{}
	for i := range all {
		k := s.spare()
		if k == nil {
			k = newChunk(0)
		}
		memory[k] = true
		k.reset()
		text := fmt.Sprintf("SELECT %d", i)
		k.add(sqltext.Statement{Raw: text, Text: text})
		if err := s.send(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		if s.chunks > aheadChunks {
			t.Fatalf("%d chunks are unanswered, want at most %d", s.chunks, aheadChunks)
		}
	}
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if text, want := <-got, fmt.Sprintf("SELECT %d", i); text != want {
			t.Errorf("chunk %d is %q, want %q", i, text, want)
		}
	}
	if len(memory) > aheadChunks+1 {
		t.Errorf("%d chunks take memory, want at most %d", len(memory), aheadChunks+1)
	}
}

// TestStreamLimitsBytes: of long chunks, two are unanswered.
func TestStreamLimitsBytes(t *testing.T) {
	c := served(t, func(b *pgproto3.Backend) {
		for nextQuery(b) != "" {
			answer(b, complete)
		}
	})
	s := c.stream(t.Context())
	long := "SELECT '" + strings.Repeat("x", chunkBytes) + "'"
	for range 5 {
		if err := s.send(t.Context(), chunkOf(t, long)); err != nil {
			t.Fatal(err)
		}
		if s.chunks > 2 || s.bytes > 2*len(long) {
			t.Fatalf("%d chunks with %d bytes are unanswered, want at most 2", s.chunks, s.bytes)
		}
	}
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
}

// TestStreamFails: the first error is that of its statement, whatever the server answers to the
// chunks after it. The connection can be used afterwards, unless it is broken.
func TestStreamFails(t *testing.T) {
	failed := &pgproto3.ErrorResponse{Severity: "ERROR", Code: "23505", Message: "duplicate"}
	aborted := &pgproto3.ErrorResponse{Severity: "ERROR", Code: "25P02", Message: "aborted"}
	ended := &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01", Message: "terminated"}
	for name, tt := range map[string]struct {
		second func(*pgproto3.Backend) // answers the second chunk
		want   string                  // of the error
		broken bool
	}{
		"a statement fails":       {func(b *pgproto3.Backend) { answer(b, complete, failed) }, "f.sql:2:1: duplicate (23505)", false},
		"the server ends":         {func(b *pgproto3.Backend) { b.Send(complete); b.Send(ended); b.Flush() }, "f.sql:2:1: terminated (57P01)", true},
		"the connection breaks":   {func(*pgproto3.Backend) {}, "EOF", true},
		"an empty query succeeds": {func(b *pgproto3.Backend) { answer(b, &pgproto3.EmptyQueryResponse{}, failed) }, "f.sql:2:1: duplicate (23505)", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := served(t, func(b *pgproto3.Backend) {
				nextQuery(b)
				answer(b, complete)
				nextQuery(b)
				if tt.second(b); tt.broken {
					return
				}
				for nextQuery(b) != "" {
					answer(b, aborted)
				}
			})
			s := c.stream(t.Context())
			var err error
			for i := 0; err == nil; i++ {
				err = s.send(t.Context(), chunkOf(t, "SELECT 1;\nSELECT 2"))
				if i == 1000 {
					t.Fatal("no error")
				}
			}
			if !errors.Is(err, errStream) {
				t.Errorf("send returns %v, want errStream", err)
			}
			if err := s.end(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
			if broken := c.broken(); broken != tt.broken {
				t.Errorf("the connection is broken: %v, want %v", broken, tt.broken)
			}
		})
	}
}

// TestStreamStops: once the context has ended, nothing more is sent.
func TestStreamStops(t *testing.T) {
	c := served(t, func(b *pgproto3.Backend) {
		for nextQuery(b) != "" {
			answer(b, complete)
		}
	})
	s := c.stream(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.send(ctx, chunkOf(t, "SELECT 1")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.send(ctx, chunkOf(t, "SELECT 2")); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want context.Canceled", err)
	}
	if err := s.end(); err != nil || s.chunks != 1 {
		t.Errorf("the error is %v after %d chunks, want none after 1", err, s.chunks)
	}
}
