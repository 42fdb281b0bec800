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

// isSQLite reports whether the first of the databases is SQLite, whose scratch databases are local files anyway.
func isSQLite(matters []string) bool {
	return len(matters) > 0 && strings.HasPrefix(matters[0], "sqlite")
}

// localScratch makes scratch databases on servers that are started for them, one for each, so that nothing of the one is there for the next: roles,
// for instance. The database has the name and the superuser that of the first database that matters, since scripts may name them.
func (a *app) localScratch(ctx context.Context, dialect sqltext.Dialect, matters []string) (inspect.Scratch, func(), error) {
	if dialect == 0 {
		dialect = sqltext.PostgreSQL
	}
	opts := localserver.Options{Database: "app"}
	if path, ok := a.LookupEnv("PATH"); ok {
		opts.Path = filepath.SplitList(path)
	}
	if len(matters) > 0 {
		scheme, _, _ := strings.Cut(matters[0], ":")
		if scheme == "mysql" || scheme == "mariadb" {
			dialect = sqltext.MySQL
		}
		if u, err := url.Parse(matters[0]); err == nil {
			opts.User = u.User.Username()
			if name := strings.TrimPrefix(u.Path, "/"); name != "" && !strings.Contains(name, "/") {
				opts.Database = name
			}
		}
		opts.Version = a.serverVersion(ctx, matters[0])
	}
	opts.Dialect = dialect.String()
	kit, err := localserver.Prepare(ctx, opts)
	if err != nil {
		var none *localserver.NoProgramError
		if errors.As(err, &none) {
			err = usage("Install the server's package, or name a server with --scratch URL.", "--scratch local: %v", err)
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

// onLocal starts a server, and opens its database.
func (a *app) onLocal(ctx context.Context, kit *localserver.Kit) (database.Database, func(context.Context) error, error) {
	server, err := kit.Start(ctx)
	if err != nil {
		return nil, nil, err
	}
	db, err := a.openAside(ctx, server.URL)
	if err != nil {
		return nil, nil, errors.Join(err, server.Close())
	}
	return db, func(context.Context) error { return errors.Join(db.Close(), server.Close()) }, nil
}

// serverVersion asks a server for its version; "" if it doesn't say.
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
