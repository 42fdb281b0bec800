package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/localserver"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// isSQLite reports whether the first URL is SQLite's, whose scratch databases are always local
// files.
func isSQLite(protect []string) bool {
	return len(protect) > 0 && strings.HasPrefix(protect[0], "sqlite")
}

// localScratch creates each scratch database on its own new server, so that roles and the like
// don't carry over. The database and its superuser have the names of those in the first URL,
// because scripts may mention them.
func (a *app) localScratch(ctx context.Context, dialect sqltext.Dialect, protect []string) (inspect.Scratch, func(), error) {
	if dialect == 0 {
		dialect = sqltext.PostgreSQL
	}
	opts := localserver.Options{Database: "app"}
	if path, ok := a.LookupEnv("PATH"); ok {
		opts.Path = filepath.SplitList(path)
	}
	if len(protect) > 0 {
		scheme, _, _ := strings.Cut(protect[0], ":")
		if scheme == "mysql" || scheme == "mariadb" {
			dialect = sqltext.MySQL
		}
		if u, err := url.Parse(protect[0]); err == nil {
			opts.User = u.User.Username()
			if name := strings.TrimPrefix(u.Path, "/"); name != "" && !strings.Contains(name, "/") {
				opts.Database = name
			}
		}
		opts.Version = a.serverVersion(ctx, protect[0])
	}
	opts.Dialect = dialect.String()
	a.print().Working("starting a local server")
	kit, err := localserver.Prepare(ctx, opts)
	if err != nil {
		var none *localserver.NoProgramError
		if errors.As(err, &none) {
			err = usage("Install the server's package, or use a server with --scratch URL.", "--scratch local: %v", err)
		}
		return inspect.Scratch{}, nil, err
	}
	if opts.Version != "" && !localserver.SameMajor(opts.Dialect, opts.Version, kit.Version) {
		a.print().OtherVersion(kit.Version, opts.Version)
	}
	s := inspect.Scratch{
		Dialect: dialect, Name: opts.Database,
		Make: func(ctx context.Context) (database.Database, func(context.Context) error, error) {
			return a.onLocal(ctx, kit)
		},
		Apart: func(context.Context) (bool, string) { return true, "" },
	}
	return s, func() { _ = kit.Close() }, nil
}

// onLocal starts a server and opens its database.
func (a *app) onLocal(ctx context.Context, kit *localserver.Kit) (database.Database, func(context.Context) error, error) {
	r, err := a.resolve()
	if err != nil {
		return nil, nil, err
	}
	server, err := kit.Start(ctx)
	if err != nil {
		return nil, nil, err
	}
	db, err := a.openAsIs(ctx, server.URL, r.databaseOptions())
	if err != nil {
		return nil, nil, errors.Join(err, server.Close())
	}
	return db, func(context.Context) error { return errors.Join(db.Close(), server.Close()) }, nil
}

// serverVersion returns the version of a server, "" if unknown.
func (a *app) serverVersion(ctx context.Context, url string) string {
	db, err := a.openAside(ctx, url)
	if err != nil {
		return ""
	}
	defer db.Close()
	question := "SHOW server_version"
	if db.Dialect() == sqltext.MySQL {
		question = "SELECT VERSION()"
	}
	rows, err := database.ReadQuery(ctx, db, question)
	if err != nil || len(rows.Rows) != 1 || len(rows.Rows[0]) != 1 {
		return ""
	}
	return fmt.Sprint(rows.Rows[0][0])
}
