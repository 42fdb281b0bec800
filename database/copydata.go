package database

import (
	"io"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// CopyData returns the data that follows a COPY … FROM stdin in a script. next is the function that
// [iter.Pull2] returns for the script's statements. The caller must read the data to its end before
// it calls next again.
func CopyData(next func() (sqltext.Statement, error, bool)) io.Reader {
	return &copyData{next: next}
}

type copyData struct {
	next func() (sqltext.Statement, error, bool)
	rest string
	err  error
}

func (c *copyData) Read(p []byte) (int, error) {
	for c.rest == "" {
		if c.err != nil {
			return 0, c.err
		}
		st, err, ok := c.next()
		switch {
		case err != nil:
			c.err = err
		case !ok || st.Kind == sqltext.CopyEnd:
			c.err = io.EOF
		default:
			c.rest = st.Raw
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
