package adopt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"math"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// errFilled reports a script whose text in the set is not that of its file, so that the other
// tool's checksum of the file can't be computed.
var errFilled = errors.New("the values of its placeholders are filled in")

// fileText returns the text of a script's file, without a byte-order mark.
func fileText(s *migration.Script) (string, error) {
	text, ok, err := s.Text(math.MaxInt64)
	switch {
	case err != nil:
		return "", err
	case !ok || migration.Sum(text) != s.Checksum:
		return "", errFilled
	}
	return text, nil
}

// spellings returns the contents that a file with a text can have had: with either line end, with
// and without a byte-order mark. All of them have one checksum in Whimbrel.
func spellings(text string) []string {
	const mark = "\uFEFF"
	lf := strings.ReplaceAll(text, "\r\n", "\n")
	all := []string{text, lf, strings.ReplaceAll(lf, "\n", "\r\n")}
	for _, s := range all[:3] {
		all = append(all, mark+s)
	}
	return all
}

// hashed returns a function that compares a script with a checksum in hexadecimal digits, for
// record.edited.
func hashed(name string, newHash func() hash.Hash, sum string) func(migration.Migration) (string, error) {
	want, err := hex.DecodeString(strings.TrimPrefix(sum, `\x`))
	return func(m migration.Migration) (string, error) {
		if err != nil {
			return "the table has the checksum " + shown(sum) + ", which is none", nil
		}
		if m.Origin != nil && m.Origin.Sum != "" && strings.EqualFold(m.Origin.Sum, hex.EncodeToString(want)) {
			return "", nil // another text runs than that of the file
		}
		text, err := fileText(m.Up)
		if err != nil {
			return "", err
		}
		for _, s := range spellings(text) {
			h := newHash()
			h.Write([]byte(s))
			if bytes.Equal(h.Sum(nil), want) {
				return "", nil
			}
		}
		return "it has another " + name + " than the table", nil
	}
}

// flywaySum returns Flyway's checksum of a text: the CRC-32 of its lines without their ends.
func flywaySum(text string) int32 {
	h := crc32.NewIEEE()
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\uFEFF"), "\n") {
		h.Write([]byte(line))
	}
	return int32(h.Sum32()) // #nosec G115: Flyway stores the bits
}
