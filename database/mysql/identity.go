package mysql

import (
	"context"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
)

// Identify returns the identifiers of the server, of its cluster, and of the servers that it
// replicates.
func (db *Database) Identify(ctx context.Context) (database.Identity, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return database.Identity{}, err
	}
	defer c.giveBack()
	says := map[string]string{}
	for _, query := range []string{
		"SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_uid', 'server_id', 'hostname', 'port', 'datadir', 'socket', 'pid_file'," +
			" 'gtid_executed', 'gtid_slave_pos', 'gtid_binlog_state', 'group_replication_group_name')",
		"SHOW GLOBAL STATUS LIKE 'wsrep_cluster_state_uuid'",
	} {
		err := c.each(ctx, query, nil, func(scan func(...any) error) error {
			var name, value string
			if err := scan(&name, &value); err != nil {
				return err
			}
			says[strings.ToLower(name)] = value
			return nil
		})
		if err != nil {
			return database.Identity{}, ownError("asking which server it is", err)
		}
	}
	return identityOf(says), nil
}

// identityOf builds an identity from the server's variables.
func identityOf(says map[string]string) (id database.Identity) {
	name := func(kind string) {
		if v := says[kind]; v != "" {
			id.Names = append(id.Names, kind+" "+v)
		}
	}
	name("server_uuid") // MySQL
	name("server_uid")  // MariaDB
	if len(id.Names) == 0 && says["hostname"] != "" {
		id.Names = append(id.Names, strings.Join([]string{"the server", says["hostname"], says["port"], says["datadir"], says["socket"], says["pid_file"]}, " "))
	}
	if v := says["wsrep_cluster_state_uuid"]; strings.Trim(v, "0-") != "" {
		name("wsrep_cluster_state_uuid")
	}
	name("group_replication_group_name")

	// MySQL's GTIDs begin with a server_uuid; MariaDB's contain a server_id in the middle.
	for _, gtid := range splitGTIDs(says["gtid_executed"]) {
		if uuid, _, ok := strings.Cut(gtid, ":"); ok && uuid != says["server_uuid"] {
			id.Feeds = append(id.Feeds, "server_uuid "+uuid)
		}
	}
	for _, gtid := range append(splitGTIDs(says["gtid_slave_pos"]), splitGTIDs(says["gtid_binlog_state"])...) {
		if parts := strings.Split(gtid, "-"); len(parts) == 3 && parts[1] != says["server_id"] {
			id.Feeds = append(id.Feeds, "server_id "+parts[1])
		}
	}
	if says["server_uid"] != "" {
		id.Aliases = append(id.Aliases, "server_id "+says["server_id"])
	}
	return id
}

func splitGTIDs(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '\n' || r == ' ' })
}

// Location returns the server and the database: "127.0.0.1:3306/app".
func (db *Database) Location() string {
	switch {
	case db.config == nil:
		return ""
	case db.config.Net == "unix":
		return db.config.Addr + ", database " + db.config.DBName
	}
	return db.config.Addr + "/" + db.config.DBName
}
