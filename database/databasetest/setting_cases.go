package databasetest

import (
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

var settingCases = []testCase{
	{"updating a setting", settingDefault, updateSetting},
	{"updating a setting of an untouched target", settingUpdate, updateSettingUntouched},
	{"a setting's value is stored in one form", settingCheck, settingForm},
	{"an invalid setting", settingError, settingErrors},
	{"a setting that is unset", settingGone, settingUnset},
	{"a setting for a time", settingExpires, settingUntil},
	{"settings in a transaction and a run", txState, settingsUnderLock},
	{"a setting waits for running migrations", settingSettles, settingSettlesCase},
	{"a setting waits until the timeout", settingStays, settingInVain},
}

// freeze freezes the database.
var freeze = database.SettingUpdate{
	Name: database.Frozen, Value: "true", Reason: `it's "frozen"`, ToolVersion: "1.2.3", At: started,
}

func updateSetting(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "")
	c.isDefault(c.state(db, "s"))
	c.promised(settingUpdate)
	c.ok(database.UpdateSetting(c.ctx, db, freeze), "UpdateSetting")
	for _, set := range []string{"s", "another"} {
		v, err := c.state(c.db(), set).Settings.Get(database.Frozen)
		c.ok(err, "Settings.Get")
		c.that(v.Value == "true", "the setting is %q, want true", v.Value)
		c.that(!v.IsDefault, "the stored setting is a default")
		c.that(v.Reason == freeze.Reason, "Reason is %q, want %q", v.Reason, freeze.Reason)
		c.isUTC("ChangedAt", v.ChangedAt, started)
	}
	entries := c.entries(db, database.HistoryQuery{Set: migration.ReservedSet}, 1)
	c.isKept(entries[0], kept(migration.ReservedSet, freeze.Entry(), false))

	thaw := freeze
	thaw.Value, thaw.Reason = "false", ""
	c.ok(database.UpdateSetting(c.ctx, db, thaw), "UpdateSetting")
	st := c.state(c.db(), "s")
	c.that(!st.Settings.Bool(database.Frozen), "the database is still frozen")
	c.entries(db, database.HistoryQuery{Set: migration.ReservedSet}, 2)
	c.hasVersions(db, "s", 1)
}

// isUTC fails the case unless a time is in UTC and, to the microsecond, the one that was given.
func (c *check) isUTC(what string, got, given time.Time) {
	c.Helper()
	c.that(got.Equal(given.Truncate(time.Microsecond)), "%s is %v, want %v", what, got, given)
	c.that(got.Location() == time.UTC, "%s is %v, which is not in UTC", what, got)
}

func updateSettingUntouched(c *check) {
	db := c.db()
	c.ok(database.UpdateSetting(c.ctx, db, freeze), "UpdateSetting")
	st := c.state(c.db(), "s")
	c.that(st.Settings.Bool(database.Frozen), "the setting is not stored")
	c.that(st.Head > 0, "Head is %d", st.Head)
	c.apply(db, "s", 1, "")
	c.hasVersions(db, "s", 1)
	c.that(c.state(db, "s").Settings.Bool(database.Frozen), "the setting is no longer stored")
}

func settingForm(c *check) {
	db := c.db()
	for value, want := range map[string]string{"0": "false", "T": "true", "FALSE": "false", "1": "true"} {
		u := freeze
		u.Value = value
		c.ok(database.UpdateSetting(c.ctx, db, u), "UpdateSetting")
		v, err := c.state(db, "s").Settings.Get(database.Frozen)
		c.ok(err, "Settings.Get")
		c.that(v.Value == want, "%q is stored as %q, want %q", value, v.Value, want)
	}
}

func settingUnset(c *check) {
	db := c.db()
	c.ok(database.UpdateSetting(c.ctx, db, freeze), "UpdateSetting")
	before := c.state(db, "s")
	unset := database.SettingUpdate{Name: database.Frozen, Unset: true, Reason: "thawed", At: started}
	c.ok(database.UpdateSetting(c.ctx, db, unset), "UpdateSetting")
	after := c.state(c.db(), "s")
	c.isDefault(after)
	c.that(after.Head > before.Head, "Head was %d, and is %d after a setting was unset", before.Head, after.Head)
	entries := c.entries(db, database.HistoryQuery{Set: migration.ReservedSet}, 2)
	c.isKept(entries[1], kept(migration.ReservedSet, unset.Entry(), false))
	c.ok(database.UpdateSetting(c.ctx, db, unset), "UpdateSetting of what is not set")
}

func settingUntil(c *check) {
	db := c.db()
	for _, tt := range []struct {
		until  time.Time
		frozen bool
	}{{time.Now().Add(time.Hour), true}, {time.Now().Add(-time.Hour), false}} {
		u := freeze
		u.Until = tt.until.Truncate(time.Microsecond)
		c.ok(database.UpdateSetting(c.ctx, db, u), "UpdateSetting")
		st := c.state(c.db(), "s")
		c.that(st.Settings.Bool(database.Frozen) == tt.frozen, "until %v the setting is %v", tt.until, !tt.frozen)
		if v, err := st.Settings.Get(database.Frozen); tt.frozen {
			c.ok(err, "Settings.Get")
			c.isUTC("Until", v.Until, u.Until)
		}
	}
}

// settingSettlesCase takes the lock of a set that the history doesn't know yet: it must not be
// missed.
func settingSettlesCase(c *check) {
	c.ok(database.UpdateSetting(c.ctx, c.db(), freeze), "UpdateSetting")
	for _, hold := range c.lockers() {
		w := c.take(hold, c.db())
		operator := c.db()
		waiting, done := make(chan bool, 1000), make(chan error, 1)
		go func() {
			u := freeze
			u.Settle = &database.LockOptions{Timeout: patience, Waiting: func(database.Holder) { waiting <- true }}
			done <- database.UpdateSetting(c.ctx, operator, u)
		}()
		if !c.OneWriter || hold.name == "Guard" { // otherwise it waits for the lock
			select {
			case <-waiting:
			case err := <-done:
				c.fail(fmt.Sprintf("UpdateSetting didn't wait for the work of %s, and returned %v", hold.name, err))
			}
		}
		select {
		case err := <-done:
			c.fail(fmt.Sprintf("UpdateSetting returned %v while the work of %s was open", err, hold.name))
		default:
		}
		c.ok(w.end(c.ctx), "releasing the lock")
		c.ok(<-done, "UpdateSetting, after the work of "+hold.name)
	}
}

func settingInVain(c *check) {
	c.apply(c.db(), "s", 1, "")
	operator := c.db()
	for _, hold := range c.lockers() {
		if c.OneWriter && hold.name == "Begin" {
			continue
		}
		w := c.take(hold, c.open(database.Options{App: "the holder's app"}))
		for _, timeout := range []time.Duration{0, 20 * time.Millisecond} {
			u := freeze
			u.Settle = &database.LockOptions{Timeout: timeout}
			err := c.powered(database.UpdateSetting(c.ctx, operator, u))
			unsettled := as[*database.UnsettledError](c, err, "UpdateSetting during the work of "+hold.name)
			c.that(unsettled.Name == u.Name, "UnsettledError.Name is %q, want %q", unsettled.Name, u.Name)
			c.that(!c.Holders || unsettled.Holder.App == "the holder's app", "the holder is %+v, want the app %q", unsettled.Holder, "the holder's app")
			c.that(c.state(operator, "s").Settings.Bool(database.Frozen), "the change is not stored")
		}
		c.ok(w.end(c.ctx), "releasing the lock")
		u := database.SettingUpdate{Name: database.Frozen, Unset: true, At: started, Settle: &database.LockOptions{}}
		c.ok(database.UpdateSetting(c.ctx, operator, u), "UpdateSetting, when all locks are free")
	}
}

func settingErrors(c *check) {
	db := c.db()
	wrong := []database.SettingUpdate{
		{Name: "no_such_setting", Value: "true", At: started},
		{Name: "", Value: "true", At: started},
		{Name: database.Frozen, Value: "maybe", At: started},
		{Name: database.Frozen, Value: "", At: started},
	}
	for range 2 { // in an untouched target, and in one with tables
		for _, u := range wrong {
			before := c.state(db, "s")
			err := c.powered(database.UpdateSetting(c.ctx, db, u))
			c.that(isA[*database.SettingError](err), "UpdateSetting of %q to %q returned %v, want a *SettingError", u.Name, u.Value, err)
			after := c.state(db, "s")
			c.that(after.Head == before.Head, "it changed Head from %d to %d", before.Head, after.Head)
			c.isDefault(after)
		}
		c.apply(db, "s", 1, "")
	}
}

func settingsUnderLock(c *check) {
	db := c.db()
	c.ok(database.UpdateSetting(c.ctx, db, freeze), "UpdateSetting")
	for i, l := range c.lockers() {
		c.promised([]*promise{txState, runState}[i])
		w := c.take(l, db)
		st, err := w.State(c.ctx)
		c.ok(err, "State after "+l.name)
		c.that(st.Settings.Bool(database.Frozen), "State after %s has another setting", l.name)
		c.ok(w.end(c.ctx), "releasing the lock")
	}
}
