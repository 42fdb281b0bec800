//go:build unix

package whimbreltest_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/whimbreltest"
)

// spares returns the spares that exist, with their OIDs.
func (k *kind) spares(t *testing.T) map[string]string {
	t.Helper()
	pool, err := sql.Open(k.client, k.url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	rows, err := pool.QueryContext(t.Context(), "SELECT datname, oid::text FROM pg_database WHERE datname LIKE 'whimbrel\\_spare\\_%'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var name, oid string
		if err := rows.Scan(&name, &oid); err != nil {
			t.Fatal(err)
		}
		all[name] = oid
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// newSpares waits until do has made two spares, and returns their OIDs.
func (k *kind) newSpares(t *testing.T, before map[string]string) map[string]bool {
	t.Helper()
	for t.Context().Err() == nil {
		oids := map[string]bool{}
		for name, oid := range k.spares(t) {
			if before[name] == "" {
				oids[oid] = true
			}
		}
		if len(oids) == 2 {
			return oids
		}
		if len(oids) > 2 {
			t.Fatalf("the template has %d spares, want 2", len(oids))
		}
	}
	t.Fatal("no spares were made")
	return nil
}

// While a test uses its copy, spares are made: another process takes one of them, with everything
// that the template has. There are never more than two, and they go with the template.
func TestSpares(t *testing.T) { // not parallel: it counts spares
	k := servers[0]
	k.need(t)
	before := k.spares(t)
	w := task{Set: t.Name(), Databases: 1}
	first := k.child(t, w)
	first.database()
	ready := k.newSpares(t, before)
	first.end()
	for name := range k.spares(t) {
		if before[name] == "" && canConnect(k, name) {
			t.Errorf("a client can connect to the spare %s", name)
		}
	}
	t.Run("taken", func(t *testing.T) {
		pool := open(t, k, k.get(t, whimbreltest.Options{}, set(w.Set)))
		var oid string
		if err := pool.QueryRowContext(t.Context(), "SELECT oid::text FROM pg_database WHERE datname = current_database()").Scan(&oid); err != nil {
			t.Fatal(err)
		}
		if !ready[oid] {
			t.Error("the copy was made when it was asked for, although spares were ready")
		}
		if n := count(t, pool, "SELECT count(*) FROM users"); n != 1 {
			t.Errorf("the table has %d rows, want 1", n)
		}
	})
	again := k.child(t, task{Set: w.Set, Databases: 10})
	for range 10 {
		again.database()
	}
	k.newSpares(t, before)
	again.end()
}

// canConnect reports whether a client can connect to a database.
func canConnect(k *kind, name string) bool {
	pool, err := sql.Open(k.client, strings.Replace(k.url, "/home?", "/"+name+"?", 1))
	if err != nil {
		return false
	}
	defer pool.Close()
	return pool.Ping() == nil
}

// The spares of a template that was used neither today nor yesterday are dropped. The template
// stays.
func TestSparesOfATemplateThatRests(t *testing.T) { // not parallel: it counts spares
	k := servers[0]
	k.need(t)
	before, others := k.spares(t), k.databases(t)
	w := task{Set: t.Name(), Databases: 1}
	c := k.child(t, w)
	c.database()
	k.newSpares(t, before)
	template := k.newTemplate(t, others)
	c.end()
	for days, want := range []int{2, 2, 0} {
		k.age(t, template, days)
		other := k.child(t, task{Set: "other", Databases: 1})
		other.database()
		other.end()
		n := 0
		for name := range k.spares(t) {
			if strings.Contains(name, strings.Split(template, "_")[2]) {
				n++
			}
		}
		if n != want {
			t.Errorf("after %d days without use, the template has %d spares, want %d", days, n, want)
		}
	}
	if !k.exists(t, template) {
		t.Error("the template was dropped")
	}
}
