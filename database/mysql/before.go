package mysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// before is what the journal stores of the objects that a statement is about, as they were before
// it. DDL on one object is atomic, so these later show whether it took effect.
type before struct {
	Objects []catalog.Object `json:"objects"` // with their definitions if those are compared
	There   uint64           `json:"there"`   // a bit for each object: it existed
}

// most is how many objects There can describe. The bits must be a positive number in SQL.
const most = 60

// unread returns a before for a statement: which of its objects exist is not known yet. It is nil
// if nothing is compared.
func (h *hold) unread(ctx context.Context, st sqltext.Statement) (b *before, deep bool, err error) {
	if repeatable(st) || !changesSchema(st) {
		return nil, false, nil
	}
	current := sql.NullString{String: h.database, Valid: true}
	if h.worker.unusable { // the script may have chosen another one
		if err := h.worker.row(ctx, "SELECT DATABASE()", nil, &current); err != nil {
			return nil, false, ownError("reading the session's database", err)
		}
	}
	about, known := subjectOf(st, current.String, h.fold())
	if !known || about.outside {
		return nil, false, nil
	}
	return &before{Objects: about.objects}, about.deep, nil
}

// read determines which of the objects exist, or reads their definitions. Its caller holds the
// guard.
func (b *before) read(ctx context.Context, c *conn, deep bool) error {
	if !deep {
		return b.look(ctx, c)
	}
	for i := range b.Objects {
		o := b.Objects[i]
		if o.Kind == catalog.Schema { // it has no definition of interest
			one := before{Objects: b.Objects[i : i+1]}
			if err := one.look(ctx, c); err != nil {
				return err
			}
			b.There |= one.There << i
			continue
		}
		if err := c.define(ctx, &o); err != nil {
			return err
		}
		if o.Kind != "" {
			b.Objects[i], b.There = o, b.There|1<<i
		}
	}
	return nil
}

// look determines which of the objects exist.
func (b *before) look(ctx context.Context, c *conn) error {
	if len(b.Objects) == 0 {
		return nil
	}
	return c.row(ctx, "SELECT "+b.bits(), nil, &b.There)
}

// bits is an SQL expression for There.
func (b *before) bits() string {
	var all []string
	for i, o := range b.Objects {
		all = append(all, fmt.Sprintf("(%s << %d)", exists(o), i))
	}
	return strings.Join(all, " | ")
}

// later is an SQL expression for the document, which determines which of the objects exist. The
// server reports the bits as the id that the statement inserted.
func (b *before) later() (expression string, err error) {
	doc, err := json.Marshal(b.Objects)
	if err != nil {
		return "", err
	}
	return "CONCAT('{\"objects\":', " + hexText(string(doc)) + ", ',\"there\":', LAST_INSERT_ID(" + b.bits() + "), '}')", nil
}

// doc returns the document; "" for nil.
func (b *before) doc() (string, error) {
	if b == nil {
		return "", nil
	}
	doc, err := json.Marshal(b)
	return string(doc), err
}

// readBefore reads a document.
func readBefore(doc string) (*before, error) {
	b := &before{}
	if doc == "" {
		return b, nil
	}
	if err := json.Unmarshal([]byte(doc), b); err != nil {
		return nil, fmt.Errorf("the journal's column before can't be read: %w", err)
	}
	return b, nil
}

// now returns what the objects of an earlier reading are now. Its caller holds the guard.
func (h *hold) now(ctx context.Context, st sqltext.Statement, was *before) (*before, error) {
	about, _ := subjectOf(st, "", false)
	is := &before{}
	for _, o := range was.Objects {
		o.Attrs = nil
		is.Objects = append(is.Objects, o)
	}
	return is, is.read(ctx, h.guard.c, about.deep)
}

// snapshot returns the objects that exist.
func (b *before) snapshot() *catalog.Snapshot {
	var objects []catalog.Object
	for i, o := range b.Objects {
		if b.There&(1<<i) != 0 {
			o.Of = "" // a comparison would look for it
			objects = append(objects, o)
		}
	}
	return catalog.New("MySQL", "", objects)
}
