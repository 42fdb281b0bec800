package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// cloner makes copies of templates: each in a folder of its own beside the database. Its lock is a
// file that it keeps locked.
type cloner struct {
	*drivers.Owner
	dir      string
	lock     *side
	building chan struct{} // has a value while a template is built
}

const (
	ownerPrefix = "whimbrel_owner_"
	lockSuffix  = ".lock" // of the file that an owner, or who makes a template, keeps locked
	fileSuffix  = ".db"
	fileOfCopy  = "test.db" // in the folder of a copy
)

// Clone implements database.Cloner: a template is a file beside the database, and a copy is a copy
// of the file in a folder of its own. A database in memory, or of a caller's pool, can't be cloned.
func (d *db) Clone(ctx context.Context, t database.Template) (*database.Copy, error) {
	ctx, cancel := d.life.Until(ctx)
	defer cancel()
	switch {
	case ctx.Err() != nil:
		return nil, drivers.Reason(ctx)
	case !d.owned || d.path == "":
		return nil, &database.PowerError{Power: database.PowerClone, Driver: "sqlite"}
	}
	own, err := d.ownClones(ctx, t)
	if err != nil {
		return nil, err
	}
	template := d.templateFile(t.Key)
	folder := filepath.Join(own.dir, own.Next())
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(folder, fileOfCopy)
	for err = copyFile(template, file); errors.Is(err, fs.ErrNotExist); err = copyFile(template, file) {
		if err = d.buildTemplate(ctx, own, template, t.Fill); err != nil {
			break
		}
	}
	if err == nil {
		return d.copyAt(ctx, folder, file)
	}
	return nil, errors.Join(err, os.RemoveAll(folder))
}

// DropTemplate implements database.Cloner.
func (d *db) DropTemplate(_ context.Context, key string) error {
	if !d.owned || d.path == "" {
		return &database.PowerError{Power: database.PowerClone, Driver: "sqlite"}
	}
	return gone(os.Remove(d.templateFile(key)))
}

// templateFile returns the file of a template.
func (d *db) templateFile(key string) string {
	return filepath.Join(filepath.Dir(d.path), drivers.TemplateName(key, strconv.Itoa(tablesVersion))+fileSuffix)
}

// ownClones returns the cloner of the database. The first call begins it, and removes what is left
// of other owners.
func (d *db) ownClones(ctx context.Context, t database.Template) (*cloner, error) {
	d.cloning.Lock()
	defer d.cloning.Unlock()
	if d.clones != nil {
		return d.clones, nil
	}
	own := &cloner{dir: filepath.Dir(d.path), building: make(chan struct{}, 1)}
	for own.lock == nil {
		own.Owner = drivers.NewOwner()
		var err error
		if own.lock, err = lockBeside(ctx, own.lockOf(own.Key)); err != nil {
			return nil, err
		}
	}
	d.clones = own
	return own, own.sweep(t)
}

func (own *cloner) lockOf(key int64) string {
	return filepath.Join(own.dir, fmt.Sprintf("%s%016x%s", ownerPrefix, key, lockSuffix))
}

// lockBeside creates and locks a file. It returns nil if another process has locked it, or has
// removed it meanwhile.
//
// A file that was removed can still be locked, while another process has created and locked a new
// one at its path. So the lock counts only if the file was there before it was opened and is the
// same afterwards.
func lockBeside(ctx context.Context, path string) (*side, error) {
	for {
		before, err := os.Stat(path)
		if gone(err) != nil {
			return nil, err
		}
		s, err := lockFile(ctx, path, "rwc", "journal_mode(memory)", "BEGIN EXCLUSIVE")
		if s == nil || err != nil {
			return nil, err
		}
		after, err := os.Stat(path)
		if err == nil && before != nil && os.SameFile(before, after) {
			return s, nil
		}
		s.release()
		if err != nil {
			return nil, gone(err)
		}
	}
}

// unlock removes a locked file and releases the lock. Who locks a file that was removed notices.
func unlock(s *side, path string) {
	err := os.Remove(path)
	s.release()
	if err != nil { // Windows can't remove an open file, nor one that another process has locked since
		os.Remove(path)
	}
}

// end releases the owner's lock.
func (own *cloner) end() {
	unlock(own.lock, own.lockOf(own.Key))
}

// copyAt returns a copy that was created.
func (d *db) copyAt(ctx context.Context, folder, file string) (*database.Copy, error) {
	raw := d.from.urlOf(file)
	opened, err := driver{}.Open(ctx, raw, d.opts)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	out := &database.Copy{Database: opened, Name: file, URL: raw, DSN: fileURI(file, "rw", maps.Clone(d.from.params))}
	var once sync.Once
	out.Drop = func(context.Context) (err error) {
		once.Do(func() { err = errors.Join(opened.Close(), os.RemoveAll(folder)) })
		return err
	}
	return out, nil
}

// urlOf returns the URL of another file with the same parameters, without mode.
func (t target) urlOf(path string) string {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	params := maps.Clone(t.params)
	params.Del("mode")
	raw := "sqlite://" + (&url.URL{Path: p}).EscapedPath()
	if len(params) > 0 {
		raw += "?" + params.Encode()
	}
	return raw
}

// copyFile copies a template, and records once a day that it is in use.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if info, err := in.Stat(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
		now := time.Now()
		_ = os.Chtimes(from, now, now) // fails if it is being removed, and there is a copy already
	}
	return nil
}

// buildTemplate makes a template, or waits until another process has made it. It fills a copy,
// which becomes the template when it is complete.
func (d *db) buildTemplate(ctx context.Context, own *cloner, template string, fill func(context.Context, database.Database) error) error {
	select {
	case own.building <- struct{}{}:
		defer func() { <-own.building }()
	case <-ctx.Done():
		return drivers.Reason(ctx)
	}
	lock := strings.TrimSuffix(template, fileSuffix) + lockSuffix
	held, err := lockTemplate(ctx, lock, template)
	if err != nil || held == nil {
		return err
	}
	defer unlock(held, lock)
	folder := filepath.Join(own.dir, own.Next())
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	file := filepath.Join(folder, fileOfCopy)
	if err = d.fillFile(ctx, file, fill); err == nil {
		err = os.Rename(file, template)
	}
	return errors.Join(err, os.RemoveAll(folder))
}

// lockTemplate waits for the lock under which a template is made. It returns nil if the template
// exists.
func lockTemplate(ctx context.Context, lock, template string) (*side, error) {
	for {
		held, err := lockBeside(ctx, lock)
		if err != nil {
			return nil, drivers.Stopped(ctx, err)
		}
		_, err = os.Stat(template)
		switch {
		case err == nil && held != nil:
			unlock(held, lock)
			return nil, nil
		case err == nil || held != nil:
			return held, nil
		}
		select {
		case <-ctx.Done():
			return nil, drivers.Reason(ctx)
		case <-time.After(5*time.Millisecond + rand.N(10*time.Millisecond)):
		}
	}
}

// fillFile calls fill with a new database, and makes sure that its file has everything.
func (d *db) fillFile(ctx context.Context, file string, fill func(context.Context, database.Database) error) error {
	empty, err := driver{}.Open(ctx, d.from.urlOf(file), d.opts)
	if err != nil {
		return err
	}
	if err = empty.(*db).ensure(); err == nil {
		err = fill(ctx, empty)
	}
	if err = errors.Join(err, empty.Close()); err != nil {
		return err
	}
	for _, rest := range []string{"-wal", "-journal"} { // the last connection integrates and removes them
		if info, err := os.Stat(file + rest); err == nil && info.Size() > 0 {
			return fmt.Errorf("%s%s remains after closing the database: something still uses it", file, rest)
		}
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// sweep removes the copies whose owner is gone, the locks of such owners, and the templates that
// nobody uses. An owner takes its lock before it creates anything.
func (own *cloner) sweep(t database.Template) error {
	entries, err := os.ReadDir(own.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(own.dir, e.Name())
		key, isCopy := drivers.OwnerOf(e.Name())
		name, isFile := strings.CutSuffix(e.Name(), fileSuffix)
		switch info, ierr := e.Info(); {
		case ierr != nil: // another process has removed it
		case isCopy && e.IsDir():
			var alive bool
			if alive, ierr = sideTaken(own.lockOf(key)); ierr == nil && !alive {
				ierr = os.RemoveAll(path)
			}
			err = errors.Join(err, ierr)
		case isFile && drivers.IsTemplate(name) && time.Since(info.ModTime()) > drivers.UnusedLimit(t):
			err = errors.Join(err, gone(os.Remove(path)))
		}
	}
	return errors.Join(err, own.sweepLocks(entries))
}

// sweepLocks removes the locks that nobody holds.
func (own *cloner) sweepLocks(entries []fs.DirEntry) error {
	for _, e := range entries {
		name, isLock := strings.CutSuffix(e.Name(), lockSuffix)
		if !isLock || !strings.HasPrefix(name, ownerPrefix) && !drivers.IsTemplate(name) {
			continue
		}
		path := filepath.Join(own.dir, e.Name())
		s, err := openSide(path, "rw")
		if s != nil {
			unlock(s, path)
		}
		if err != nil && code(err)&0xff != lib.SQLITE_CANTOPEN { // it was removed
			return err
		}
	}
	return nil
}

// gone returns no error if a file does not exist.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
