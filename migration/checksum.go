package migration

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Checksum is the SHA-256 of a script's text with CRLF replaced by LF and without a leading
// byte-order mark. So a checkout on another system has the same checksum. Whimbrel executes the
// text as it is in the file, without the byte-order mark.
type Checksum [sha256.Size]byte

// Sum returns the checksum of a text.
func Sum(text string) Checksum {
	return sum([]byte(text))
}

// sum is Sum. It copies the text only if it has a CR.
func sum(text []byte) Checksum {
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	if bytes.IndexByte(text, '\r') >= 0 {
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	}
	return sha256.Sum256(text)
}

// ParseChecksum parses the result of String: 64 hexadecimal digits.
func ParseChecksum(s string) (Checksum, error) {
	var c Checksum
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(c) {
		return c, fmt.Errorf("%q is not a SHA-256 checksum, which has 64 hexadecimal digits", s)
	}
	copy(c[:], b)
	return c, nil
}

// String returns the checksum as 64 hexadecimal digits.
func (c Checksum) String() string { return hex.EncodeToString(c[:]) }

// IsZero reports whether c is the zero Checksum, which means none.
func (c Checksum) IsZero() bool { return c == Checksum{} }

// Digits returns the result of String, and "" for the zero Checksum.
func (c Checksum) Digits() string {
	if c.IsZero() {
		return ""
	}
	return c.String()
}

// MarshalText returns Digits.
func (c Checksum) MarshalText() ([]byte, error) { return []byte(c.Digits()), nil }

// UnmarshalText parses the result of MarshalText.
func (c *Checksum) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*c = Checksum{}
		return nil
	}
	var sum Checksum
	if len(b) == hex.EncodedLen(len(sum)) {
		if _, err := hex.Decode(sum[:], b); err == nil {
			*c = sum
			return nil
		}
	}
	_, err := ParseChecksum(string(b)) // which says what is wrong
	return err
}

const byteOrderMark = "\ufeff"

// hasher is an io.Writer that computes the Checksum of a text.
type hasher struct {
	h     hash.Hash
	head  []byte // the first bytes, until it is known whether they are a byte-order mark
	begun bool
	cr    bool // the last byte was a CR that has not been written yet
}

func newHasher() *hasher { return &hasher{h: sha256.New()} }

func (h *hasher) Write(p []byte) (int, error) {
	n := len(p)
	if !h.begun {
		if len(h.head) > 0 || n < len(byteOrderMark) {
			p = append(h.head, p...)
			h.head = p
		}
		if len(p) < len(byteOrderMark) {
			return n, nil
		}
		p = bytes.TrimPrefix(p, []byte(byteOrderMark))
		h.begun, h.head = true, nil
	}
	h.write(p)
	return n, nil
}

func (h *hasher) write(p []byte) {
	for len(p) > 0 {
		if h.cr {
			h.cr = false
			if p[0] != '\n' {
				h.h.Write([]byte{'\r'})
			}
		}
		i := bytes.IndexByte(p, '\r')
		if i < 0 {
			h.h.Write(p)
			return
		}
		h.h.Write(p[:i])
		h.cr = true
		p = p[i+1:]
	}
}

// sum returns the checksum of the text so far.
func (h *hasher) sum() (c Checksum) {
	if !h.begun {
		h.begun = true
		h.write(h.head)
	}
	if h.cr {
		h.cr = false
		h.h.Write([]byte{'\r'})
	}
	h.h.Sum(c[:0])
	return c
}
