package whimbrel_test

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Every method of a Migrator whose database or set is nil returns an error, and none panics. The
// methods come from the type, so that a new one is called too.
func TestNewOfNothingIsAnErrorOfEveryMethod(t *testing.T) {
	db := open(t, memdb.New())
	set := newSet(t, plain(1)...)
	for _, tt := range []struct {
		name string
		m    *whimbrel.Migrator
		want string
	}{
		{"no set", whimbrel.New(db, nil, whimbrel.Options{}), "nil set"},
		{"no database", whimbrel.New(nil, set, whimbrel.Options{}), "nil database"},
		{"neither", whimbrel.New(nil, nil, whimbrel.Options{}), "nil database"},
		{"a nil Migrator", nil, "nil or empty"},
		{"a zero Migrator", &whimbrel.Migrator{}, "nil or empty"},
	} {
		v := reflect.ValueOf(tt.m)
		for i := range v.NumMethod() {
			method := v.Type().Method(i)
			if method.Name == "Database" { // which returns no error
				continue
			}
			err := callWithNothing(t, v.Method(i))
			switch method.Name {
			case "Apply", "Accept", "Freeze", "ChangeSetting": // whose other arguments are empty too
				if err == nil {
					t.Errorf("%s: %s returned no error", tt.name, method.Name)
				}
			default:
				if !strings.Contains(fmt.Sprint(err), tt.want) {
					t.Errorf("%s: %s returned %v, want an error that says %q", tt.name, method.Name, err, tt.want)
				}
			}
		}
	}
}

// callWithNothing calls a method with a context and otherwise zero values, and returns its error.
func callWithNothing(t *testing.T, method reflect.Value) error {
	t.Helper()
	var args []reflect.Value
	for i := range method.Type().NumIn() {
		in := method.Type().In(i)
		switch {
		case in == reflect.TypeFor[context.Context]():
			args = append(args, reflect.ValueOf(t.Context()))
		case method.Type().IsVariadic() && i == method.Type().NumIn()-1:
		default:
			args = append(args, reflect.Zero(in))
		}
	}
	out := method.Call(args)
	last := out[len(out)-1]
	if events, ok := last.Interface().(iter.Seq2[database.Entry, error]); ok {
		for _, err := range events {
			return err
		}
		return nil
	}
	err, _ := last.Interface().(error)
	return err
}

func TestNothingAsAnArgumentIsAnError(t *testing.T) {
	ctx := t.Context()
	target := memdb.New()
	m := whimbrel.New(open(t, target), newSet(t, plain(1)...), whimbrel.Options{ReadMetadata: func(string, string) (*metadata.Document, error) { return nil, nil }})
	for name, p := range map[string]*whimbrel.Plan{
		"a nil plan":             nil,
		"a plan of another make": {Set: "shop", Steps: []whimbrel.Step{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.Apply(ctx, p, whimbrel.ApplyOptions{})
			wantErrorText(t, err, "no plan")
		})
	}
	for _, seed := range []migration.Named{{Name: "ports"}, {Script: migration.Text("a.sql", "SELECT 1")}} {
		_, err := m.Seed(ctx, []migration.Named{seed}, whimbrel.SeedOptions{})
		wantErrorText(t, err, "a seed needs a name and a script")
	}
	for _, contents := range []migration.Contents{
		{Migrations: []migration.Migration{{Version: 1}}},
		{Baselines: []migration.Migration{{Version: 1}}},
		{Repeatables: []migration.Named{{Name: "x"}}},
	} {
		if _, err := contents.Set(""); err == nil {
			t.Errorf("%+v is a set", contents)
		}
	}
	if _, err := (&migration.Script{File: "x"}).Open(); err == nil {
		t.Error("a script without a text was opened")
	}
	wantTables(t, target)
}
