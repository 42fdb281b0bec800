package sqltext

import "io"

const (
	windowSize = 64 << 10 // first buffer, and the most COPY data in one piece
	blockSize  = 8 << 10  // the string that short pieces share
	emptyReads = 100      // reads without data or error before fill gives up
)

// window is the part of the text that has been read, from the beginning of the current piece on.
type window struct {
	r         io.Reader
	buf       []byte
	base, end int
	err       error  // why there is no more; io.EOF at the end
	block     string // the text from base on, as far as it is a string already
}

// newWindow allocates no more memory than the text needs if the reader has a Len method.
func newWindow(r io.Reader) window {
	size := windowSize
	if m, ok := r.(interface{ Len() int }); ok {
		size = min(size, max(m.Len()+1, 64))
	}
	return window{r: r, buf: make([]byte, size)}
}

// windowOf returns a window that has read a whole text.
func windowOf(text string) window {
	return window{buf: []byte(text), end: len(text), err: io.EOF, block: text}
}

func (w *window) bytes() []byte { return w.buf[w.base:w.end] }

// take returns the next n bytes and moves the beginning of the window past them. Short pieces share
// one string, so they take no allocation each.
func (w *window) take(n int) string {
	if n > len(w.block) {
		b := w.bytes()
		w.block = string(b[:max(n, min(len(b), blockSize))])
	}
	text := w.block[:n]
	w.base, w.block = w.base+n, w.block[n:]
	return text
}

// fill reads more text and reports whether there was any. Offsets into bytes() remain valid.
func (w *window) fill() bool {
	if w.err != nil {
		return false
	}
	if w.end == len(w.buf) {
		w.makeRoom()
	}
	for range emptyReads {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		w.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	w.err = io.ErrNoProgress
	return false
}

// makeRoom moves the piece to the front of the buffer, or to a buffer twice as large if it fills
// most of this one. On average each byte is moved a bounded number of times.
func (w *window) makeRoom() {
	held := w.end - w.base
	to := w.buf
	if held > len(w.buf)*3/4 {
		to = make([]byte, 2*len(w.buf))
	}
	copy(to, w.buf[w.base:w.end])
	w.buf, w.base, w.end = to, 0, held
}
