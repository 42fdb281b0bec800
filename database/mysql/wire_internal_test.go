package mysql

import (
	"bytes"
	"net"
	"testing"
)

// sink is a connection that keeps what is written to it.
type sink struct {
	net.Conn
	bytes.Buffer
}

func (w *sink) Write(b []byte) (int, error) { return w.Buffer.Write(b) }
func (w *sink) Read(b []byte) (int, error)  { return w.Buffer.Read(b) }

// TestQuitIsAllThatIsSentAtTheEnd: the server has been told that a message may contain several
// statements. The next message tells it that it may no longer, but not if that is the last one.
func TestQuitIsAllThatIsSentAtTheEnd(t *testing.T) {
	t.Parallel()
	ping, quit := []byte{1, 0, 0, 0, 0x0e}, []byte{1, 0, 0, 0, 0x01}
	for _, tt := range []struct{ message, want []byte }{
		{ping, append(optionSeveral(false), ping...)},
		{quit, quit},
	} {
		to := &sink{}
		w := &wire{Conn: to, told: true}
		if n, err := w.Write(tt.message); n != len(tt.message) || err != nil {
			t.Errorf("Write(%x) = %d, %v", tt.message, n, err)
		}
		if got := to.Bytes(); !bytes.Equal(got, tt.want) {
			t.Errorf("Write(%x) sends %x, want %x", tt.message, got, tt.want)
		}
	}
}
