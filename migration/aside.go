package migration

import "io"

// textHasher is an io.Writer that computes the Checksum of a text.
type textHasher interface {
	io.Writer
	sum() Checksum
}

// hasherFor returns the hasher for a text of about a size.
func hasherFor(size int64) textHasher {
	if size > KeepInMemory {
		return &asideHasher{hasher: newHasher(), part: make([]byte, 0, asideMost), spare: make([]byte, 0, asideMost)}
	}
	return newHasher()
}

// asideHasher is a hasher for a long text. It hashes a part of the text while its caller reads the
// next, which takes about as long.
type asideHasher struct {
	*hasher
	part  []byte        // that is not complete
	spare []byte        // is hashed, or has been
	done  chan struct{} // closed when it has; nil before the first part
}

const (
	asidePart = 128 << 10
	asideMost = asidePart + 64<<10 // with what Write adds to one that is nearly complete
)

func (h *asideHasher) Write(p []byte) (int, error) {
	if h.part = append(h.part, p...); len(h.part) >= asidePart {
		h.wait()
		part, done := h.part, make(chan struct{})
		h.part, h.spare, h.done = h.spare[:0], part, done
		go func() {
			defer close(done)
			h.hasher.Write(part)
		}()
	}
	return len(p), nil
}

func (h *asideHasher) wait() {
	if h.done != nil {
		<-h.done
	}
}

// sum returns the checksum of the text so far.
func (h *asideHasher) sum() Checksum {
	h.wait()
	h.hasher.Write(h.part)
	h.part = h.part[:0]
	return h.hasher.sum()
}
