package mysql

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/database"
)

func TestIdentityOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		says map[string]string
		want database.Identity
	}{
		{"MySQL", map[string]string{"server_uuid": "a", "server_id": "1", "hostname": "h", "gtid_executed": "a:1-5,\nb:7"}, database.Identity{
			Names: []string{"server_uuid a"}, Feeds: []string{"server_uuid b"},
		}},
		{"MariaDB", map[string]string{"server_uid": "u", "server_id": "1", "gtid_slave_pos": "0-2-7", "gtid_binlog_state": "0-1-8,0-2-7"}, database.Identity{
			Names: []string{"server_uid u"}, Aliases: []string{"server_id 1"}, Feeds: []string{"server_id 2", "server_id 2"},
		}},
		{"an old MariaDB", map[string]string{"hostname": "h", "port": "3306", "datadir": "/d"}, database.Identity{Names: []string{"the server h 3306 /d  "}}},
		{"a cluster", map[string]string{"server_uid": "u", "server_id": "1", "wsrep_cluster_state_uuid": "c"}, database.Identity{
			Names: []string{"server_uid u", "wsrep_cluster_state_uuid c"}, Aliases: []string{"server_id 1"},
		}},
		{"no cluster", map[string]string{"server_uuid": "a", "wsrep_cluster_state_uuid": "00000000-0000-0000-0000-000000000000"}, database.Identity{Names: []string{"server_uuid a"}}},
		{"a group", map[string]string{"server_uuid": "a", "group_replication_group_name": "g"}, database.Identity{Names: []string{"server_uuid a", "group_replication_group_name g"}}},
		{"nothing", nil, database.Identity{}},
	} {
		if d := cmp.Diff(tt.want, identityOf(tt.says)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}
