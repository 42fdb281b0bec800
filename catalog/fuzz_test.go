package catalog_test

import (
	"encoding/json"
	"testing"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// FuzzDecode decodes arbitrary documents and uses the snapshot as diff does.
func FuzzDecode(f *testing.F) {
	for _, doc := range []string{
		`{"dialect": "postgresql", "objects": [{"kind": "table", "schema": "public", "name": "a", "sql": ["CREATE TABLE a ()"], "needs": ["table public.b"]}, {"kind": "column", "of": "a", "name": "x", "part": true}, {"kind": "table", "name": "b", "needs": ["table public.a", "nothing"], "late": ["GRANT x"]}]}`,
		`{"format": 1, "fingerprint": "x", "dialect": "", "objects": [{}, {"kind": ""}]}`,
		`{"objects": null}`, `null`, `[]`, `{"format": 99}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if len(doc) > 4<<10 {
			t.Skip()
		}
		if s, err := catalog.Decode(doc); err == nil {
			use(s)
		} else if err.Error() == "" {
			t.Fatal("an error without words")
		}
		s := &catalog.Snapshot{} // the same, ignoring the fingerprint
		if json.Unmarshal(doc, s) != nil {
			return
		}
		use(s)
		encoded, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := catalog.Decode(encoded)
		if err != nil {
			t.Fatalf("what was written can't be read: %v\n%s", err, encoded)
		}
		if changes := catalog.Compare(s, again); len(changes) > 0 {
			t.Fatalf("it is another when it is read again: %v", changes)
		}
	})
}

func use(s *catalog.Snapshot) {
	_ = s.Text()
	_ = s.Fingerprint()
	_ = catalog.Compare(s, &catalog.Snapshot{})
	_ = catalog.Compare(&catalog.Snapshot{}, s)
}
