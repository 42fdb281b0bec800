// Package drivers has the pieces that the drivers of this repository share.
package drivers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Database is a Database with the powers that every driver of this repository has, and Tx is a Tx.
// A driver asserts them, so that a lost power does not compile.
type (
	Database interface {
		database.Database
		database.SettingUpdater
		database.MetadataReader
		database.Querier
		database.Snapshotter
		database.Scratcher
		database.ScratchCopier
	}
	Tx interface {
		database.Tx
		database.Resetter
		database.MetadataTx
		database.Querier
	}
)

// ErrClosed is the error of using a Database after Close.
var ErrClosed = errors.New("the database is closed")

// Reason returns why a context ended: its error, for errors.Is, with its cause; or only the cause
// if our side ended the work.
func Reason(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	var lost *database.LockLostError
	switch {
	case errors.As(cause, &lost), errors.Is(cause, ErrClosed), errors.Is(cause, err):
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// Stopped adds to an error that its context had ended.
func Stopped(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, Reason(ctx)) {
		return err
	}
	return fmt.Errorf("%w (%w)", Reason(ctx), err)
}

// Reworded is a library's error with another message.
type Reworded struct {
	Message string
	Err     error
}

func (e *Reworded) Error() string { return e.Message }
func (e *Reworded) Unwrap() error { return e.Err }

// Under returns a context that ends with ctx and, with its cause, with outer.
func Under(ctx, outer context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(outer, func() { cancel(context.Cause(outer)) })
	if outer.Err() != nil { // at once, not when that function gets to run
		cancel(context.Cause(outer))
	}
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// Every calls do after the first pause and then in intervals, until do returns false or stop is
// called. stop cancels the call that is running, and waits for it.
func Every(first, interval time.Duration, do func(ctx context.Context) bool) (stop func()) {
	return Repeat(context.Background(), first, func(ctx context.Context) time.Duration {
		if do(ctx) {
			return interval
		}
		return -1
	})
}

// Advance returns the position after a text that begins at p.
func Advance(p sqltext.Position, text string) sqltext.Position {
	p.Offset += int64(len(text))
	if n := strings.Count(text, "\n"); n > 0 {
		p.Line += n
		p.Column = 1
		text = text[strings.LastIndexByte(text, '\n')+1:]
	}
	p.Column += utf8.RuneCountInString(text)
	return p
}

// Process identifies this process in the history and the journal.
type Process struct{ OSUser, Host, App, Actor string }

// ThisProcess returns the Process of a Database with these options.
func ThisProcess(opts database.Options) Process {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return Process{OSUser: SystemUser(), Host: host, App: opts.App, Actor: opts.KeptActor()}
}

// SystemUser returns the operating system's name of the process's user; "" if it has none, as in
// many containers. It doesn't read the environment.
var SystemUser = sync.OnceValue(func() string {
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if runtime.GOOS == "windows" { // which has no such numbers
		u, err = user.Current()
	}
	if err != nil {
		return ""
	}
	return u.Username
})

// Stamp sets who writes a journal, and when.
func Stamp(j *database.Journal, now time.Time, dbUser string, p Process) {
	now = now.UTC().Truncate(time.Microsecond)
	if j.StartedAt.IsZero() {
		j.StartedAt = now
	}
	j.StartedAt, j.UpdatedAt = j.StartedAt.UTC().Truncate(time.Microsecond), now
	j.DBUser, j.OSUser, j.Host, j.App, j.Actor, j.PID = dbUser, p.OSUser, p.Host, p.App, p.Actor, int64(os.Getpid())
}

// MetadataLock is the set whose lock a Tx takes, beside its own, to change the metadata.
const MetadataLock = migration.ReservedSet + " metadata"

// MetadataTimeout limits how long a Tx waits for another one that changes the metadata.
const MetadataTimeout = 15 * time.Second

// ReadStored returns an entry of the metadata from the columns of its row.
func ReadStored(kind, name, facts string) (e metadata.Stored, err error) {
	if e.Name, err = metadata.ParseName(metadata.Kind(kind), name); err == nil {
		e.Facts, err = metadata.DecodeFacts(facts)
	}
	if err != nil {
		err = fmt.Errorf("the metadata of %s %s can't be read: %w", kind, name, err)
	}
	return e, err
}
