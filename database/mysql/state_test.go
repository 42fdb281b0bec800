package mysql_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
)

// A state is the same whether the connection can send several statements in a message or not.
func TestStateOnAnyConnection(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	own := open(t, url)
	callers, err := mysql.New(pool, database.Options{})
	must(t, err)
	compare := func(when string) {
		t.Helper()
		want, err := callers.State(background(t), "s")
		must(t, err)
		got, err := own.State(background(t), "s")
		must(t, err)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(database.AppliedSet{}, database.Settings{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: the states differ (-alone +together):\n%s", when, diff)
		}
	}
	compare("without tables")
	_, err = up(t, own, setOf(t, "s", "CREATE TABLE a (x int); INSERT INTO a VALUES (1)", "CREATE TABLE b (x int)"))
	must(t, err)
	must(t, database.UpdateSetting(background(t), own, database.SettingUpdate{Name: database.LockTimeout, Value: "3s", Reason: "'tis a test"}))
	compare("after two migrations")
	_, err = up(t, own, setOf(t, "s", "CREATE TABLE a (x int); INSERT INTO a VALUES (1)", "CREATE TABLE b (x int)", "CREATE TABLE c (x int); CREATE TABLE a (x int)"))
	if err == nil {
		t.Fatal("a table was created twice")
	}
	compare("with an interrupted run")
}

// All of a state is as of one moment.
func TestStateIsOfOneMoment(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)"))
	must(t, err)
	before, err := db.State(background(t), "s")
	must(t, err)
	const changes = 50
	changed := make(chan error, 1)
	go func() { // each change of the setting is an entry of the history
		other := open(t, url)
		for i := range changes {
			if err := database.UpdateSetting(background(t), other, database.SettingUpdate{Name: database.LockTimeout, Value: fmt.Sprintf("%ds", i+1)}); err != nil {
				changed <- err
				return
			}
		}
		changed <- nil
	}()
	settings := map[int64]string{} // by the head
	for done := false; !done; {
		select {
		case err := <-changed:
			must(t, err)
			done = true
		default:
		}
		st, err := db.State(background(t), "s")
		must(t, err)
		settings[st.Head-before.Head] = st.Settings.Duration(database.LockTimeout).String()
	}
	ids, err := column(background(t), pool, "SELECT id - (SELECT min(id) FROM whimbrel_history WHERE set_name = 'whimbrel') FROM whimbrel_history WHERE set_name = 'whimbrel' ORDER BY id")
	must(t, err)
	delete(settings, 0)
	for n, id := range ids {
		head, err := strconv.ParseInt(id, 10, 64)
		must(t, err)
		if got, ok := settings[head]; ok && got != (time.Duration(n)*time.Second).String() {
			t.Errorf("with the entry of the setting %d, the setting is %s", n, got)
		}
		delete(settings, head)
	}
	if len(settings) > 0 {
		t.Errorf("there are no entries for the heads of %v", settings)
	}
}

// What is read together with a state leaves no transaction open, and if the server can't read it,
// the state is read alone.
func TestStateAfterAnotherQuery(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	db := open(t, url) // whose pool has one connection
	after := func(query, value string) *database.State {
		t.Helper()
		st, got, read, err := mysql.StateAfter(background(t), db, "s", query)
		must(t, err)
		equal(t, "what is read with "+query, fmt.Sprint(got, " ", read), fmt.Sprint(value, " ", value != ""))
		return st
	}
	for range 2 {
		if st := after("SELECT CONCAT('open: ', @@in_transaction)", "open: 0"); !st.Bare {
			t.Error("the database is not bare")
		}
	}
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)"))
	must(t, err)
	for _, query := range []string{"SELECT CONCAT('open: ', @@in_transaction)", "SELECT @@no_such_variable", "SELECT CONCAT('open: ', @@in_transaction)"} {
		value := "open: 0"
		if query == "SELECT @@no_such_variable" {
			value = ""
		}
		equal(t, "what is applied", fmt.Sprint(after(query, value).Applied.Versions()), "[1]")
	}
}
