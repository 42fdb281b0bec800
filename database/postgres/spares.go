package postgres

import (
	"context"
	"slices"

	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// A spare is a copy of a template that was made before anybody has asked for it. Like the template,
// it belongs to no process and stays on the server: a process that needs a copy takes a spare by
// renaming it, which only one can do. Nobody can connect to a spare, so it is as the template was.
// A template has at most drivers.Spares of them, because their names are fixed.

// takeSpare gives a spare of a template the name of a copy. It returns false if none is ready, if
// another process was faster, or if the template doesn't exist any more.
func takeSpare(ctx context.Context, c *conn, template, name string) bool {
	for _, spare := range existing(ctx, c, template) {
		err := c.pipeline(ctx,
			command("ALTER DATABASE "+quote(spare)+" RENAME TO "+quote(name)),
			command("ALTER DATABASE "+quote(name)+" ALLOW_CONNECTIONS true"))
		if err == nil {
			return true
		}
	}
	return false
}

// existing returns the names of the spares of a template; nil if the template doesn't exist, or
// after an error.
func existing(ctx context.Context, c *conn, template string) (spares []string) {
	all := drivers.SpareNames(template)
	found := false
	q := query{sql: "SELECT datname FROM pg_database WHERE datname IN ($1, $2, $3)", args: []arg{text(template)}, row: func(r *row) error {
		name := r.text()
		if name == template {
			found = true
		} else {
			spares = append(spares, name)
		}
		return r.err
	}}
	for _, spare := range all {
		q.args = append(q.args, text(spare))
	}
	if err := c.pipeline(ctx, q); err != nil || !found {
		return nil
	}
	return spares
}

// refill makes the missing spares of a template, while the caller continues. It does nothing if
// that is being done. Errors are not reported: the next Clone makes its copy itself, and reports
// them.
func (db *Database) refill(own *cloner, template string) {
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.refills[template]++; own.refills[template] > 1 {
		return
	}
	go func() {
		for seen := 1; seen > 0; seen = own.refilled(template, seen) {
			db.makeSpares(own, template)
		}
	}()
}

// refilled returns how often the template was cloned since it was cloned for the seen-th time; 0
// ends the work.
func (own *cloner) refilled(template string, seen int) int {
	own.mu.Lock()
	defer own.mu.Unlock()
	own.refills[template] -= seen
	return own.refills[template]
}

// makeSpares makes the missing spares of a template. Close of the Database ends it.
func (db *Database) makeSpares(own *cloner, template string) {
	ctx := db.life.Closing
	c, err := db.acquire(ctx)
	if err != nil {
		return
	}
	defer c.release()
	ready := existing(ctx, c, template)
	for _, spare := range drivers.SpareNames(template) {
		if !slices.Contains(ready, spare) {
			// Fails if another process makes it or the template was dropped.
			if err := c.pipeline(ctx, command(own.copyOf(template, spare)+" ALLOW_CONNECTIONS false")); err != nil {
				return
			}
		}
	}
}

// dropSpares drops the spares of a template.
func dropSpares(ctx context.Context, c *conn, template string) error {
	for _, spare := range drivers.SpareNames(template) {
		if err := c.pipeline(ctx, silent("DROP DATABASE IF EXISTS "+quote(spare))); err != nil {
			return err
		}
	}
	return nil
}
