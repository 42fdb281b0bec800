package classictest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/adopt/classic"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// mutant is a driver that breaks the contract: what a field has replaces the method of that name.
type mutant struct {
	classic.Driver
	open     func(d classic.Driver, url string) (classic.Driver, error)
	close    func(classic.Driver) error
	lock     func(classic.Driver) error
	unlock   func(classic.Driver) error
	run      func(d classic.Driver, r io.Reader, fileType, name string) error
	reset    func(classic.Driver)
	insert   func(d classic.Driver, version int64) error
	remove   func(d classic.Driver, version int64) error
	version  func(classic.Driver) (int64, bool, error)
	empty    func(classic.Driver) error
	first    func(classic.Driver) (uint64, bool)
	last     func(classic.Driver) (uint64, bool)
	prev     func(d classic.Driver, version uint64) (uint64, bool)
	next     func(d classic.Driver, version uint64) (uint64, bool)
	read     func(d classic.Driver, version uint64) bool
	get      func(d classic.Driver, name string) (string, error)
	update   func(d classic.Driver, name, value string) error
	export   func(classic.Driver) (any, error)
	clear    func(classic.Driver) error
	reload   func(classic.Driver) error
	entries  func(classic.Driver) (bool, []classic.InconsistentMetadataInterface, error)
	drop     func(classic.Driver) error
	apply    func(d classic.Driver, data any) error
	requests func(d classic.Driver, data []any) error
}

func (m mutant) Open(url string, isCMD bool, logger *log.Logger) (classic.Driver, error) {
	if m.open != nil {
		return m.open(m.Driver, url)
	}
	return m.Driver.Open(url, isCMD, logger)
}

func or(f func(classic.Driver) error, d classic.Driver, otherwise func() error) error {
	if f != nil {
		return f(d)
	}
	return otherwise()
}

func (m mutant) Close() error  { return or(m.close, m.Driver, m.Driver.Close) }
func (m mutant) Lock() error   { return or(m.lock, m.Driver, m.Driver.Lock) }
func (m mutant) UnLock() error { return or(m.unlock, m.Driver, m.Driver.UnLock) }
func (m mutant) Reset() error  { return or(m.empty, m.Driver, m.Driver.Reset) }

func (m mutant) Run(r io.Reader, fileType, name string) error {
	if m.run != nil {
		return m.run(m.Driver, r, fileType, name)
	}
	return m.Driver.Run(r, fileType, name)
}

func (m mutant) ResetQuery() {
	if m.reset != nil {
		m.reset(m.Driver)
		return
	}
	m.Driver.ResetQuery()
}

func (m mutant) InsertVersion(version int64) error {
	if m.insert != nil {
		return m.insert(m.Driver, version)
	}
	return m.Driver.InsertVersion(version)
}

func (m mutant) RemoveVersion(version int64) error {
	if m.remove != nil {
		return m.remove(m.Driver, version)
	}
	return m.Driver.RemoveVersion(version)
}

func (m mutant) Version() (int64, bool, error) {
	if m.version != nil {
		return m.version(m.Driver)
	}
	return m.Driver.Version()
}

func (m mutant) First() (uint64, bool) {
	if m.first != nil {
		return m.first(m.Driver)
	}
	return m.Driver.First()
}

func (m mutant) Last() (uint64, bool) {
	if m.last != nil {
		return m.last(m.Driver)
	}
	return m.Driver.Last()
}

func (m mutant) Prev(version uint64) (uint64, bool) {
	if m.prev != nil {
		return m.prev(m.Driver, version)
	}
	return m.Driver.Prev(version)
}

func (m mutant) Next(version uint64) (uint64, bool) {
	if m.next != nil {
		return m.next(m.Driver, version)
	}
	return m.Driver.Next(version)
}

func (m mutant) Read(version uint64) bool {
	if m.read != nil {
		return m.read(m.Driver, version)
	}
	return m.Driver.Read(version)
}

func (m mutant) GetSetting(name string) (string, error) {
	if m.get != nil {
		return m.get(m.Driver, name)
	}
	return m.Driver.GetSetting(name)
}

func (m mutant) UpdateSetting(name, value string) error {
	if m.update != nil {
		return m.update(m.Driver, name, value)
	}
	return m.Driver.UpdateSetting(name, value)
}

func (m mutant) ExportMetadata() (any, error) {
	if m.export != nil {
		return m.export(m.Driver)
	}
	return m.Driver.ExportMetadata()
}

func (m mutant) ResetMetadata() error  { return or(m.clear, m.Driver, m.Driver.ResetMetadata) }
func (m mutant) ReloadMetadata() error { return or(m.reload, m.Driver, m.Driver.ReloadMetadata) }

func (m mutant) GetInconsistentMetadata() (bool, []classic.InconsistentMetadataInterface, error) {
	if m.entries != nil {
		return m.entries(m.Driver)
	}
	return m.Driver.GetInconsistentMetadata()
}

func (m mutant) DropInconsistentMetadata() error {
	return or(m.drop, m.Driver, m.Driver.DropInconsistentMetadata)
}

func (m mutant) ApplyMetadata(data any) error {
	if m.apply != nil {
		return m.apply(m.Driver, data)
	}
	return m.Driver.ApplyMetadata(data)
}

func (m mutant) Query(data []any) error {
	if m.requests != nil {
		return m.requests(m.Driver, data)
	}
	return m.Driver.Query(data)
}

var errMutant = errors.New("the mutant fails")

func fails(classic.Driver) error { return errMutant }

func nothing(classic.Driver) error { return nil }

func none(classic.Driver) (uint64, bool) { return 0, false }

// mutants are drivers that each break the row of the contract that is named first.
var mutants = map[string]mutant{
	"B1 0 for none": {version: func(d classic.Driver) (int64, bool, error) {
		v, dirty, err := d.Version()
		return max(v, 0), dirty, err
	}},
	"B1 dirty from the start": {version: func(d classic.Driver) (int64, bool, error) { v, _, err := d.Version(); return v, v < 0, err }},
	"B2 never locked":         {lock: func(d classic.Driver) error { _ = d.Lock(); return nil }},
	"B2 another error": {lock: func(d classic.Driver) error {
		if d.Lock() != nil {
			return errMutant
		}
		return nil
	}},
	"B2 a wrapped ErrLocked": {lock: func(d classic.Driver) error {
		if err := d.Lock(); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		return nil
	}},
	"B2 no lock for others":   {lock: nothing, unlock: nothing},
	"B2 locked for ever":      {unlock: nothing},
	"B4 any scheme":           {open: func(d classic.Driver, _ string) (classic.Driver, error) { return d, nil }},
	"B4 no URL":               {open: func(classic.Driver, string) (classic.Driver, error) { return nil, errMutant }},
	"B5 open for ever":        {close: nothing},
	"B5 Close fails":          {close: func(d classic.Driver) error { _ = d.Close(); return errMutant }},
	"B6 nothing is sent":      {unlock: func(d classic.Driver) error { d.ResetQuery(); return d.UnLock() }},
	"B6 sent at once":         {insert: func(d classic.Driver, v int64) error { return atOnce(d, d.InsertVersion(v)) }},
	"B6 UnLock needs a lock":  {unlock: func(d classic.Driver) error { return errors.Join(d.Lock(), d.UnLock()) }},
	"B6 the versions of Open": {read: func(_ classic.Driver, v uint64) bool { return v == 1 }},
	"B6 locked after an error": {unlock: func(d classic.Driver) error {
		err := d.UnLock()
		if err != nil {
			_ = d.Lock()
		}
		return err
	}},
	"B6 failures are hidden": {unlock: func(d classic.Driver) error { _ = d.UnLock(); return nil }},
	"B7 no file name": {run: func(d classic.Driver, r io.Reader, fileType, _ string) error {
		return d.Run(r, fileType, "a file")
	}},
	"B7 scripts don't run": {run: func(d classic.Driver, r io.Reader, fileType, name string) error {
		if fileType == "sql" {
			r = strings.NewReader("")
		}
		return d.Run(r, fileType, name)
	}},
	"B7 no empty scripts": {run: func(d classic.Driver, r io.Reader, fileType, name string) error {
		text, err := io.ReadAll(r)
		if err == nil && len(text) == 0 {
			err = errMutant
		}
		return errors.Join(err, d.Run(strings.NewReader(string(text)), fileType, name))
	}},
	"B7 no metadata": {run: func(d classic.Driver, r io.Reader, fileType, name string) error {
		if fileType == "meta" {
			return nil
		}
		return d.Run(r, fileType, name)
	}},
	"B8 nothing is discarded": {reset: func(classic.Driver) {}},
	"B8 the lock is lost":     {reset: func(d classic.Driver) { d.ResetQuery(); _ = d.UnLock() }},
	"B9 nothing is recorded":  {insert: func(classic.Driver, int64) error { return nil }},
	"B9 nothing is removed":   {remove: func(classic.Driver, int64) error { return nil }},
	"B9 what exists is ignored": {insert: func(d classic.Driver, v int64) error {
		if d.Read(uint64(v)) {
			return nil
		}
		return d.InsertVersion(v)
	}},
	"B9 any version": {insert: func(d classic.Driver, v int64) error { return d.InsertVersion(max(v, 0)) }},
	"B10 the last one recorded": {version: func(d classic.Driver) (int64, bool, error) {
		v, dirty, err := d.Version()
		if prev, ok := d.Prev(uint64(max(v, 0))); ok && v > 1000 {
			v = int64(prev)
		}
		return v, dirty, err
	}},
	"B10 never dirty":        {version: func(d classic.Driver) (int64, bool, error) { v, _, err := d.Version(); return v, false, err }},
	"B11 nothing is emptied": {empty: nothing},
	"B11 only the versions": {empty: func(d classic.Driver) error {
		v, _, err := d.Version()
		return errors.Join(err, d.Lock(), d.RemoveVersion(v), d.UnLock())
	}},
	"B11 the protection is overruled": {empty: func(d classic.Driver) error {
		return errors.Join(d.UpdateSetting(database.Protected, "false"), d.Reset())
	}},
	"B11 the lock is lost":    {empty: func(d classic.Driver) error { return errors.Join(d.UnLock(), d.Reset()) }},
	"B12 no first":            {first: none},
	"B12 no last":             {last: none},
	"B12 last is first":       {last: classic.Driver.First},
	"B12 no previous":         {prev: func(classic.Driver, uint64) (uint64, bool) { return 0, false }},
	"B12 no next":             {next: func(classic.Driver, uint64) (uint64, bool) { return 0, false }},
	"B12 next is itself":      {next: func(_ classic.Driver, v uint64) (uint64, bool) { return v, true }},
	"B12 previous is itself":  {prev: func(_ classic.Driver, v uint64) (uint64, bool) { return v, true }},
	"B12 everything is known": {read: func(classic.Driver, uint64) bool { return true }},
	"B12 nothing is known":    {read: func(classic.Driver, uint64) bool { return false }},
	"B14 no settings":         {get: func(classic.Driver, string) (string, error) { return "", nil }},
	"B14 only defaults": {get: func(_ classic.Driver, name string) (string, error) {
		for i := range classic.Settings {
			if s := &classic.Settings[i]; s.GetName() == name {
				return s.GetDefaultValue(), nil
			}
		}
		return "", errMutant
	}},
	"B14 settings can't change": {update: func(classic.Driver, string, string) error { return nil }},
	"B14 an error that explains nothing": {unlock: func(d classic.Driver) error {
		off, _ := d.GetSetting("migration_mode")
		if off != "false" {
			return d.UnLock()
		}
		d.ResetQuery()
		return errors.Join(d.UnLock(), errMutant)
	}},
	"B14 migration_mode has no effect": {lock: func(d classic.Driver) error {
		return errors.Join(d.UpdateSetting("migration_mode", "true"), d.Lock())
	}},
	"B15 nothing is exported": {export: func(classic.Driver) (any, error) { return map[string]any{}, nil }},
	"B15 export fails":        {export: func(classic.Driver) (any, error) { return nil, errMutant }},
	"B15 nothing is applied":  {apply: func(classic.Driver, any) error { return nil }},
	"B15 nothing is reset":    {clear: nothing},
	"B15 reload fails":        {reload: fails},
	"B15 all is consistent": {entries: func(classic.Driver) (bool, []classic.InconsistentMetadataInterface, error) {
		return true, nil, nil
	}},
	"B15 nothing is consistent": {entries: func(d classic.Driver) (bool, []classic.InconsistentMetadataInterface, error) {
		_, all, err := d.GetInconsistentMetadata()
		return false, all, err
	}},
	"B15 entries without a reason": {entries: func(d classic.Driver) (bool, []classic.InconsistentMetadataInterface, error) {
		ok, all, err := d.GetInconsistentMetadata()
		for i, e := range all {
			all[i] = unreasoned{e}
		}
		return ok, all, err
	}},
	"B15 nothing is dropped":    {drop: nothing},
	"B15 requests are ignored":  {requests: func(classic.Driver, []any) error { return nil }},
	"B15 requests are one each": {requests: oneByOne},
	"B17 removed once": {remove: func(d classic.Driver, v int64) error {
		if !d.Read(uint64(v)) {
			return errMutant
		}
		return d.RemoveVersion(v)
	}},
	"B18 any file type": {run: func(d classic.Driver, r io.Reader, fileType, name string) error {
		if fileType != "meta" {
			fileType = "sql"
		}
		return d.Run(r, fileType, name)
	}},
	"B18 any setting": {update: func(d classic.Driver, name, value string) error {
		if name == "no_such_setting" {
			return nil
		}
		return d.UpdateSetting(name, value)
	}},
	"B18 any value": {update: func(d classic.Driver, name, value string) error {
		if value == "maybe" {
			value = "true"
		}
		return d.UpdateSetting(name, value)
	}},
}

func atOnce(d classic.Driver, err error) error { return errors.Join(err, d.UnLock(), d.Lock()) }

func oneByOne(d classic.Driver, data []any) error {
	for _, r := range data {
		if err := d.Query([]any{r}); err != nil {
			return err
		}
	}
	return nil
}

// unreasoned is an entry without a reason.
type unreasoned struct {
	classic.InconsistentMetadataInterface
}

func (unreasoned) GetReason() string { return "" }

// Each mutant fails a case of the row that it breaks, and without a mutant no case fails.
func TestMutants(t *testing.T) {
	t.Parallel()
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row, _, _ := strings.Cut(name, " ")
			if !caught(t, m, row) {
				t.Errorf("no case of %s fails", row)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		for _, tc := range cases {
			if message := record(tc, mutant{}); message != "" {
				t.Errorf("%s %s fails: %s", tc.row, tc.name, message)
			}
		}
	})
}

// A mutant breaks each row.
func TestEveryRowHasAMutant(t *testing.T) {
	t.Parallel()
	for _, tc := range cases {
		found := false
		for name := range mutants {
			found = found || strings.HasPrefix(name, tc.row+" ")
		}
		if !found {
			t.Errorf("no mutant breaks %s", tc.row)
		}
	}
}

// caught reports whether a case of the row fails for the mutant.
func caught(t *testing.T, m mutant, row string) bool {
	t.Helper()
	for _, tc := range cases {
		if tc.row != row {
			continue
		}
		if message := record(tc, m); strings.HasPrefix(message, row+": ") {
			return true
		}
	}
	return false
}

// register lets Driver.Open open databases in memory.
var register = sync.OnceFunc(func() { database.Register("classictest", inMemory{}) })

var targets sync.Map // by URL

type inMemory struct{}

func (inMemory) Open(ctx context.Context, url string, opts database.Options) (database.Database, error) {
	m, _ := targets.Load(url)
	return m.(*memdb.Target).Open(ctx, opts)
}

// record returns the message of a failure of a case for a mutant; "" if it does not fail.
func record(tc testCase, m mutant) string {
	register()
	db := memdb.New()
	url := fmt.Sprintf("classictest://%p", db)
	targets.Store(url, db)
	defer targets.Delete(url)
	target := Target{
		Open: func() (classic.Driver, error) {
			opened, err := db.Open(context.Background(), database.Options{})
			if err != nil {
				return nil, err
			}
			d, err := classic.WithInstance(opened, classic.Config{LockTimeout: -time.Nanosecond})
			with := m
			with.Driver = d
			return with, err
		},
		RowCount: func(table string) (int, error) {
			rows, err := db.Rows(context.Background(), table)
			return len(rows), err
		},
		URL:      url,
		Document: map[string]any{"tables": map[string]any{"t": map[string]any{"owner": "me"}}},
		File:     "tables: {t: {owner: me}}",
		Request:  map[string]any{"type": "run_sql", "args": map[string]any{"sql": insertT}},
		Protect:  func(d classic.Driver) error { return d.UpdateSetting(database.Protected, "true") },
		Interrupt: func() error {
			opened, err := db.Open(context.Background(), database.Options{})
			if err != nil {
				return err
			}
			defer opened.Close()
			run, _, err := opened.Guard(context.Background(), "default", database.LockOptions{})
			if err != nil {
				return err
			}
			defer run.Close(context.Background())
			return run.Journal(context.Background(), &database.Journal{Version: 1, Name: "big", Direction: database.Up, Of: 2, Done: 1})
		},
	}
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.clean()
		tc.do(&check{reporter: r, target: target, row: tc.row})
	}()
	<-done
	return r.message
}

// recorder is a reporter that keeps the failure.
type recorder struct {
	message  string
	cleanups []func()
}

func (*recorder) Helper() {}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) clean() {
	for _, f := range r.cleanups {
		f()
	}
}
