package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

// Statements returns the statements that create the schema in an empty database, without
// semicolons.
func (s *Snapshot) Statements() []string {
	all := slices.Clone(s.Preamble)
	for i := range s.Objects {
		all = append(all, s.Objects[i].SQL...)
	}
	return append(all, s.late()...)
}

// Text returns the statements as a script. Its header lists what was omitted. For MySQL, DELIMITER
// surrounds bodies with semicolons, as the mysql client requires.
func (s *Snapshot) Text() string {
	var b strings.Builder
	if len(s.Omitted) > 0 {
		b.WriteString("-- Objects that this script does not recreate:\n")
		for _, what := range s.Omitted {
			b.WriteString("--   " + strings.Join(strings.Fields(what), " ") + "\n")
		}
		b.WriteByte('\n')
	}
	// separate objects with blank lines; keep the statements of one object together
	write := func(statements []string, part bool) {
		for i, sql := range statements {
			apart := i == 0 && !part || strings.Contains(sql, "\n")
			if apart && b.Len() > 0 && !strings.HasSuffix(b.String(), "\n\n") {
				b.WriteByte('\n')
			}
			b.WriteString(sql + ";\n")
		}
	}
	write(s.Preamble, false)
	for i := range s.Objects {
		o := &s.Objects[i]
		if s.Dialect == "mysql" && o.Kind.program() {
			writeDelimited(&b, o.SQL)
			continue
		}
		write(o.SQL, o.Part)
	}
	write(s.late(), false)
	return b.String()
}

// writeDelimited writes statements whose bodies the mysql client would split at their semicolons.
func writeDelimited(b *strings.Builder, statements []string) {
	all := strings.Join(statements, "\n")
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	if !strings.ContainsAny(all, ";#") && !strings.Contains(all, "--") {
		b.WriteString(strings.Join(statements, ";\n") + ";\n")
		return
	}
	mark := "//"
	for strings.Contains(all, mark) {
		mark += "/"
	}
	b.WriteString("DELIMITER " + mark + "\n")
	for _, sql := range statements {
		b.WriteString(sql + "\n" + mark + "\n") // on its own line: the body may end with a comment
	}
	b.WriteString("DELIMITER ;\n")
}

// late returns the statements that come last.
func (s *Snapshot) late() (all []string) {
	for i := range s.Objects {
		all = append(all, s.Objects[i].Late...)
	}
	return all
}

// Fingerprint returns a hexadecimal SHA-256 of what Compare compares: two snapshots have the same
// fingerprint exactly when Compare finds no difference.
func (s *Snapshot) Fingerprint() string {
	objects := make([]*Object, len(s.Objects))
	ids := make(map[*Object]string, len(s.Objects))
	for i := range s.Objects {
		objects[i] = &s.Objects[i]
		ids[objects[i]] = objects[i].ID()
	}
	places := columnPlaces(s.Objects)
	order.By(objects, func(a, b *Object) int { return strings.Compare(ids[a], ids[b]) })
	h := sha256.New()
	field := func(text string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(text)))
		h.Write(n[:])
		h.Write([]byte(text))
	}
	for _, o := range objects {
		field(ids[o])
		if o.Kind == Column {
			field(fmt.Sprint(places[ids[o]]))
		}
		field(fmt.Sprint(len(o.Attrs)))
		for _, a := range sortedAttrs(o) {
			field(a.Name)
			field(a.Value)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// columnPlaces numbers the columns of each table.
func columnPlaces(objects []Object) map[string]int {
	places, counts := map[string]int{}, map[string]int{}
	for i := range objects {
		if o := &objects[i]; o.Kind == Column {
			counts[o.owner()]++
			places[o.ID()] = counts[o.owner()]
		}
	}
	return places
}

func sortedAttrs(o *Object) []Attr {
	byName := func(a, b Attr) int { return strings.Compare(a.Name, b.Name) }
	if slices.IsSortedFunc(o.Attrs, byName) {
		return o.Attrs
	}
	attrs := slices.Clone(o.Attrs)
	order.By(attrs, byName)
	return attrs
}

// format is the version of the JSON form.
const format = 1

type encoded struct {
	Format      int    `json:"whimbrel_snapshot"`
	Fingerprint string `json:"fingerprint"`
	*Snapshot
}

// Encode returns the snapshot as a JSON document, which Decode reads.
func (s *Snapshot) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(encoded{format, s.Fingerprint(), s})
	return b.Bytes(), err
}

// Decode reads a document written by Encode. It returns a *DecodeError for any other document, one
// written by a newer Whimbrel, and one modified since.
func Decode(doc []byte) (*Snapshot, error) {
	e := encoded{Snapshot: &Snapshot{}}
	switch err := json.Unmarshal(doc, &e); {
	case err != nil:
		return nil, &DecodeError{"not a JSON document", err}
	case e.Format == 0:
		return nil, &DecodeError{Msg: "not a Whimbrel snapshot"}
	case e.Format > format:
		return nil, &DecodeError{Msg: fmt.Sprintf("it has format %d, but this build reads formats up to %d; use a newer Whimbrel", e.Format, format)}
	case e.Fingerprint != e.Snapshot.Fingerprint():
		return nil, &DecodeError{Msg: "its contents don't match its fingerprint; it was modified after Whimbrel wrote it"}
	}
	return e.Snapshot, nil
}

// DecodeError is a document that can't be read as a snapshot.
type DecodeError struct {
	Msg string
	Err error
}

func (e *DecodeError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("can't read the snapshot: %s: %v", e.Msg, e.Err)
	}
	return "can't read the snapshot: " + e.Msg
}

func (e *DecodeError) Unwrap() error { return e.Err }
