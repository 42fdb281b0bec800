package postgres

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// poolConfig is the configuration of a pool of the driver's own. Its parameters in a URL have the
// names and the defaults of pgxpool.
type poolConfig struct {
	*pgconn.Config
	maxConns                                int32
	lifetime, jitter, idleTime, pingTimeout time.Duration
	forGo                                   goSettings
}

// goSettings are what pgx's connections for Go functions have beside the settings of pgconn's.
type goSettings struct {
	params map[string]string // of the URL
	like   *pgx.ConnConfig   // of a caller's connection; nil: see params
}

func newPoolConfig(c *pgconn.Config) *poolConfig {
	// Behind a pooler a prepared statement outlives its client, and Go functions may run there.
	return &poolConfig{Config: c, maxConns: 4, lifetime: time.Hour, idleTime: 30 * time.Minute, forGo: goSettings{params: map[string]string{execMode: "exec"}}}
}

const execMode = "default_query_exec_mode"

// take moves the parameters of the pool, and those of pgx, from what is sent to the server. It
// returns the name of one that is wrong.
func (p *poolConfig) take() (name string, err error) {
	for name, value := range p.RuntimeParams {
		known, err := p.set(name, value)
		if err != nil {
			return name, err
		}
		if known {
			delete(p.RuntimeParams, name)
		}
	}
	return "", nil
}

func (p *poolConfig) set(name, value string) (known bool, err error) {
	number := func() (n int64) {
		n, err = strconv.ParseInt(value, 10, 32)
		return n
	}
	duration := func() (d time.Duration) {
		d, err = time.ParseDuration(value)
		return d
	}
	switch name {
	case "pool_max_conns":
		if p.maxConns = int32(number()); err == nil && p.maxConns < 1 {
			err = errors.New("it must be at least 1")
		}
	case "pool_max_conn_lifetime":
		p.lifetime = duration()
	case "pool_max_conn_lifetime_jitter":
		p.jitter = duration()
	case "pool_max_conn_idle_time":
		p.idleTime = duration()
	case "pool_ping_timeout":
		p.pingTimeout = duration()
	case "pool_health_check_period": // of an application's pool; this one opens connections when it needs them
		duration()
	case "pool_min_conns", "pool_min_idle_conns":
		number()
	case "statement_cache_capacity", "description_cache_capacity":
		number()
		p.forGo.params[name] = value
	case execMode:
		if !slices.Contains([]string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"}, value) {
			err = errors.New("unknown mode")
		}
		p.forGo.params[name] = value
	default:
		return false, nil
	}
	return true, err
}

// config returns a configuration of pgx with the settings.
func (s goSettings) config() (*pgx.ConnConfig, error) {
	if s.like != nil {
		return s.like.Copy(), nil
	}
	url := "postgres://localhost/postgres?"
	for _, name := range slices.Sorted(maps.Keys(s.params)) {
		url += name + "=" + s.params[name] + "&"
	}
	alone, _ := standAlone(url)
	return pgx.ParseConfig(alone)
}
