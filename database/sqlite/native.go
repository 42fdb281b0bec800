package sqlite

import (
	"fmt"
	"reflect"
	"sync"

	"modernc.org/libc"
	client "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// native is a connection of the client as SQLite itself knows it. The zero native is that of
// another client.
//
// The client has no method that interrupts a statement: it starts a goroutine for each statement
// whose context can end, which costs more than a short statement. And it calls SQLite three times
// as often as a statement without parameters needs.
type native struct {
	db  uintptr   // SQLite's handle
	tls *libc.TLS // of the client's calls, with which those of the connection's user take turns
}

// nativeOf returns the native of a client's connection.
func nativeOf(conn any) native {
	v := reflect.ValueOf(conn)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem().PkgPath() != reflect.TypeFor[client.Error]().PkgPath() || !fillsErrors() {
		return native{}
	}
	if v = v.Elem(); v.Kind() != reflect.Struct {
		return native{}
	}
	db, tls := v.FieldByName("db"), v.FieldByName("tls")
	if db.Kind() != reflect.Uintptr || !tls.IsValid() || tls.Type() != reflect.TypeFor[*libc.TLS]() {
		return native{}
	}
	return native{db: uintptr(db.Uint()), tls: (*libc.TLS)(tls.UnsafePointer())}
}

// exec executes a text that is one statement without parameters. done is false if SQLite has
// executed nothing, because the text is something else or has an error that prevents it: the client
// then does the same, and returns the error.
func (n native) exec(text string) (done bool, err error) {
	statement := n.prepare(text)
	if statement == 0 {
		return false, nil
	}
	defer lib.Xsqlite3_finalize(n.tls, statement)
	if lib.Xsqlite3_bind_parameter_count(n.tls, statement) != 0 {
		return false, nil
	}
	for {
		switch rc := lib.Xsqlite3_step(n.tls, statement); rc {
		case lib.SQLITE_ROW:
		case lib.SQLITE_DONE:
			return true, nil
		case lib.SQLITE_LOCKED_SHAREDCACHE: // for which the client waits
			return false, nil
		default:
			return true, n.error(rc)
		}
	}
}

// prepare prepares a text that is one statement. It returns 0 if the text is something else or has
// an error.
func (n native) prepare(text string) (statement uintptr) {
	const size = 8 // of a pointer, at most
	results := n.tls.Alloc(2 * size)
	defer n.tls.Free(2 * size)
	sql, err := libc.CString(text)
	if err != nil {
		return 0
	}
	defer libc.Xfree(n.tls, sql)
	if lib.Xsqlite3_prepare_v2(n.tls, n.db, sql, -1, results, results+size) != lib.SQLITE_OK {
		return 0
	}
	statement, tail := libc.AtomicLoadNUintptr(results, 0), libc.AtomicLoadNUintptr(results+size, 0)
	if libc.GoString(tail) != "" {
		lib.Xsqlite3_finalize(n.tls, statement)
		return 0
	}
	return statement
}

// keepRowid returns a function after which last_insert_rowid() returns what it returns now.
func (c *conn) keepRowid() (restore func()) {
	n := c.native
	if n.db == 0 {
		return func() {}
	}
	id := lib.Xsqlite3_last_insert_rowid(n.tls, n.db)
	return func() {
		if c.native == n {
			lib.Xsqlite3_set_last_insert_rowid(n.tls, n.db, id)
		}
	}
}

// error returns the client's error for a result code.
func (n native) error(rc int32) error {
	text := libc.GoString(lib.Xsqlite3_errstr(n.tls, rc))
	if message := libc.GoString(lib.Xsqlite3_errmsg(n.tls, n.db)); message != text {
		text += ": " + message
	}
	text += fmt.Sprintf(" (%d)", rc)
	if rc == lib.SQLITE_BUSY {
		text += " (SQLITE_BUSY)"
	}
	err := &client.Error{}
	message, code := errorFields(err)
	message.SetString(text)
	code.SetInt(int64(rc))
	return err
}

// fillsErrors reports whether the client's errors have the fields that they are known to have.
var fillsErrors = sync.OnceValue(func() bool {
	message, code := errorFields(&client.Error{})
	return message.Kind() == reflect.String && code.Kind() == reflect.Int
})

// errorFields returns the fields of a client's error.
func errorFields(err *client.Error) (message, code reflect.Value) {
	field := func(name string) reflect.Value {
		f := reflect.ValueOf(err).Elem().FieldByName(name)
		if !f.IsValid() {
			return f
		}
		return reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem()
	}
	return field("msg"), field("code")
}
