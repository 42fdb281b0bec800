package cli

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

// resolved holds the values that the flags, the environment and the configuration file give.
//
// The first of these sources that has a value wins: the flag; the file's section that --env names;
// for the database $WHIMBREL_DATABASE_URL, then $DATABASE_URL; the top of the file; the default. So
// a variable that happens to be set never overrides the database that --env selects.
type resolved struct {
	dir                   string
	format                source.Format
	set                   string
	schema, historyTable  string
	tablesOwner           string
	migrationLockTimeout  time.Duration // as whimbrel.Options has it
	lockTimeout, retryFor time.Duration // as whimbrel.Options has them
	terminateAfter        time.Duration // of whimbrel.Options.TerminateBlockersAfter
	actor                 string        // for the history
	atomic, outOfOrder    bool
	detach, wait          bool
	schemaFile            string // "" for none
	placeholders          map[string]string
	noPlaceholders        bool
}

const (
	defaultDir = "migrations"
	envURL     = "WHIMBREL_DATABASE_URL"
	envEnv     = "WHIMBREL_ENV"
	envDir     = "WHIMBREL_DIR"
	envSchema  = "WHIMBREL_SCHEMA"
	envURLToo  = "DATABASE_URL"
)

// resolve determines all values except the database URL.
func (a *app) resolve() (r resolved, err error) {
	c, env, err := a.sections()
	if err != nil {
		return r, err
	}
	r.actor = a.actor()
	res := resolver{config: c, sections: []*section{env}}
	if c != nil {
		res.sections = append(res.sections, &c.Top)
	}
	g := a.global
	g.dir, g.schema = cmp.Or(g.dir, a.variable(envDir)), cmp.Or(g.schema, a.variable(envSchema))
	folder := g.dir
	r.dir = g.dir
	if s := res.find(func(s *section) *scalar { return s.Dir }); r.dir == "" && s != nil {
		if s.text == "" {
			return r, c.fail(s, "dir is empty; for the folder of the configuration file write: dir: .")
		}
		r.dir, folder = c.beside(s.text), s.text
	}
	r.dir, r.set = cmp.Or(r.dir, defaultDir), migration.DefaultSet
	if isLikeURL(folder) {
		return r, isURL("dir")
	}
	if s := res.find(func(s *section) *scalar { return s.SchemaFile }); s != nil && s.text != "" {
		r.schemaFile = c.beside(s.text) // an empty value turns it off for an environment
	}
	for _, v := range []struct {
		flag, value string
		field       func(*section) *scalar
		read        func(string) error
	}{
		{"--set", g.set, func(s *section) *scalar { return s.Set }, parseName("set", &r.set)},
		{"--schema", g.schema, func(s *section) *scalar { return s.Schema }, parseName("schema", &r.schema)},
		{"--history-table", g.historyTable, func(s *section) *scalar { return s.HistoryTable }, parseName("history_table", &r.historyTable)},
		{"--tables-owner", g.tablesOwner, func(s *section) *scalar { return s.TablesOwner }, parseName("tables_owner", &r.tablesOwner)},
		{"--format", g.format, func(s *section) *scalar { return s.Format }, func(v string) (err error) {
			r.format, err = source.ParseFormat(v)
			return err
		}},
		{"--migration-lock-timeout", g.migrationLockTimeout, func(s *section) *scalar { return s.MigrationLockTimeout }, func(v string) (err error) {
			r.migrationLockTimeout, err = parseTimeout(v, "to try once")
			r.migrationLockTimeout = cmp.Or(r.migrationLockTimeout, whimbrel.TryOnce)
			return err
		}},
		{"--lock-timeout", a.waits.lockTimeout, func(s *section) *scalar { return s.LockTimeout }, func(v string) (err error) {
			r.lockTimeout, err = parseTimeout(v, noLockTimeout)
			r.lockTimeout = cmp.Or(r.lockTimeout, whimbrel.NoTimeout)
			return err
		}},
		{"--retry-for", a.waits.retryFor, func(s *section) *scalar { return s.RetryFor }, func(v string) (err error) {
			r.retryFor, err = parseTimeout(v, noRetry)
			r.retryFor = cmp.Or(r.retryFor, whimbrel.NoTimeout)
			return err
		}},
		{"--terminate-blockers-after", a.waits.terminateAfter, func(s *section) *scalar { return s.TerminateAfter }, func(v string) (err error) {
			r.terminateAfter, err = parseTimeout(v, noTerminate)
			return err
		}},
		{"", "", func(s *section) *scalar { return s.Atomic }, parseBool(&r.atomic)},
		{"", "", func(s *section) *scalar { return s.AllowOutOfOrder }, parseBool(&r.outOfOrder)},
		{"", "", func(s *section) *scalar { return s.Detach }, parseBool(&r.detach)},
		{"", "", func(s *section) *scalar { return s.Wait }, parseBool(&r.wait)},
		{"", "", func(s *section) *scalar { return s.NoPlaceholders }, parseBool(&r.noPlaceholders)},
	} {
		if err := res.parse(v.flag, v.value, v.field, v.read); err != nil {
			return r, err
		}
	}
	return r, a.resolvePlaceholders(&r, res)
}

// resolvePlaceholders determines the values of placeholders: each from a flag, else from the
// section of the environment, else from the top of the file.
func (a *app) resolvePlaceholders(r *resolved, res resolver) error {
	r.placeholders = map[string]string{}
	lookup := map[string]string{} // the spelling, by the name in lower case
	for _, text := range a.global.placeholders {
		name, value, ok := strings.Cut(text, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return usage("Write a name and a value, such as --placeholder owner=app.", "--placeholder: %q is not NAME=VALUE", text)
		}
		r.placeholders[name], lookup[strings.ToLower(name)] = value, name
	}
	for _, s := range res.sections {
		for _, name := range slices.Sorted(maps.Keys(s.Placeholders)) {
			if _, given := lookup[strings.ToLower(name)]; given {
				continue
			}
			text, err := "", error(nil)
			if v := s.Placeholders[name]; v != nil {
				text, err = res.config.expand(v, a.LookupEnv)
			}
			if err != nil {
				return err
			}
			r.placeholders[name], lookup[strings.ToLower(name)] = text, name
		}
	}
	if r.noPlaceholders = r.noPlaceholders || a.global.noPlaceholders; a.global.noPlaceholders && len(a.global.placeholders) > 0 {
		return usage("Pass only one of them.", "--placeholder and --no-placeholders can't be combined")
	}
	return nil
}

// parseName reads a name, which must not be a URL.
func parseName(key string, to *string) func(string) error {
	return func(v string) error {
		if isLikeURL(v) {
			return isURL(key)
		}
		*to = v
		return nil
	}
}

func isURL(key string) error {
	return usage("Put the database URL into \"database\".", "%s is a URL", key)
}

// databaseOptions returns the options for opening a database.
func (r resolved) databaseOptions() database.Options {
	return database.Options{App: "whimbrel", Actor: r.actor, Schema: r.schema, HistoryTable: r.historyTable, TablesOwner: r.tablesOwner, MigrationLockTimeout: r.migrationLockTimeout}
}

func parseBool(to *bool) func(string) error {
	return func(v string) (err error) {
		if *to, err = strconv.ParseBool(v); err != nil {
			return usage("", "%q is neither true nor false", v)
		}
		return nil
	}
}

// resolver looks up values in the sections of a file, in order.
type resolver struct {
	config   *config
	sections []*section
}

func (r resolver) find(field func(*section) *scalar) *scalar {
	for _, s := range r.sections {
		if v := field(s); v != nil {
			return v
		}
	}
	return nil
}

// parse calls read with the flag's value, else with the file's. It does nothing if neither has one.
func (r resolver) parse(flagName, flag string, field func(*section) *scalar, read func(string) error) error {
	if flag != "" {
		if err := read(flag); err != nil {
			return usage("", "%s: %v", flagName, err)
		}
		return nil
	}
	s := r.find(field)
	if s == nil {
		return nil
	}
	if err := read(s.text); err != nil {
		failed := r.config.fail(s, "%v", err)
		if u, ok := asType[*usageError](err); ok {
			failed.hint = u.hint
		}
		return failed
	}
	return nil
}

// sections reads the configuration file and returns it with the section that --env names. The
// config is nil if there is no file.
func (a *app) sections() (*config, *section, error) {
	c, err := readConfig(a.global.config)
	if err != nil {
		return nil, nil, err
	}
	if c != nil {
		a.secrets.add(strings.Split(string(c.text), "\n")...)
	}
	if a.global.env == "" {
		if env := a.chosenEnv(c); env != "" {
			if c == nil {
				return nil, nil, noConfig(envEnv+"="+env, env)
			}
			a.global.env = env
		}
	}
	env, err := c.environment(a.global.env)
	return c, env, err
}

// chosenEnv returns the environment that $WHIMBREL_ENV or the configuration's default_env selects.
// The default does not apply if a flag or a variable names a database.
func (a *app) chosenEnv(c *config) string {
	env := a.variable(envEnv)
	if env != "" || c == nil || c.DefaultEnv == nil || a.global.database != "" {
		return env
	}
	if cmp.Or(a.variable(envURL), a.variable(envURLToo)) != "" {
		return ""
	}
	return c.DefaultEnv.text
}

// variable returns the value of an environment variable, "" if it is not set.
func (a *app) variable(name string) string {
	value, ok := a.LookupEnv(name)
	if !ok {
		return ""
	}
	return value
}

// databaseURL returns the URL of the database. It fails with a *noDatabaseError if none is
// configured.
func (a *app) databaseURL() (string, error) {
	raw, err := a.databaseSource()
	return a.withDatabaseName(raw), err
}

// databaseSource returns the URL as it is configured.
func (a *app) databaseSource() (string, error) {
	a.inConfig = nil
	if a.global.database != "" {
		return a.global.database, nil
	}
	c, env, err := a.sections()
	if err != nil {
		return "", err
	}
	if env.Database != nil {
		return a.configured(c, env.Database)
	}
	for _, name := range []string{envURL, envURLToo} {
		if url := a.variable(name); url != "" {
			return url, nil
		}
	}
	if c != nil && c.Top.Database != nil {
		return a.configured(c, c.Top.Database)
	}
	if c != nil && len(c.Environments) > 0 && a.global.env == "" {
		return "", usage("Choose one with --env: "+shown(strings.Join(c.environments(), ", "))+".", "no environment is chosen, and %s names no other database", c.path)
	}
	return "", &noDatabaseError{usage(a.readDotEnv(a.configAbove(`Pass --database URL, set `+envURL+` or `+envURLToo+`, or write "database: URL" into `+configName+`.
A URL looks like postgres://user@host/name or sqlite:app.db.`), envURL, envURLToo), "no database is configured")}
}

// noDatabaseError reports that no flag, variable or configuration names a database.
type noDatabaseError struct{ error }

func (e *noDatabaseError) Unwrap() error { return e.error }

func (a *app) configured(c *config, s *scalar) (string, error) {
	a.inConfig = c.fail(s, "")
	url, err := c.expand(s, a.LookupEnv)
	a.secrets.add(url)
	if unset, ok := asType[*unsetError](err); ok {
		unset.hint = a.readDotEnv("Set it, or name a file that sets it with --env-file.", unset.name)
	}
	if err == nil {
		err = c.checkVariables(s)
	}
	if err == nil && url == "" {
		err = c.fail(s, "database is empty; it needs a URL such as postgres://user@host/name or sqlite:app.db")
	}
	return url, err
}
