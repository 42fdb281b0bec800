package database

import "testing"

func TestApartBy(t *testing.T) {
	one := Identity{Names: []string{"server_uuid a", "cluster x"}, Aliases: []string{"server_id 1"}}
	for _, tt := range []struct {
		name  string
		other Identity
		apart bool
	}{
		{"itself", one, false},
		{"another", Identity{Names: []string{"server_uuid b"}}, true},
		{"another with the same alias", Identity{Names: []string{"server_uuid b"}, Aliases: []string{"server_id 1"}}, true},
		{"a node of its cluster", Identity{Names: []string{"server_uuid b", "cluster x"}}, false},
		{"its replica", Identity{Names: []string{"server_uuid b"}, Feeds: []string{"server_uuid a"}}, false},
		{"its replica, by an alias", Identity{Names: []string{"server_uuid b"}, Feeds: []string{"server_id 1"}}, false},
		{"a replica of another", Identity{Names: []string{"server_uuid b"}, Feeds: []string{"server_uuid c", "server_id 2"}}, true},
		{"one that says nothing", Identity{}, false},
	} {
		for _, pair := range [][2]Identity{{one, tt.other}, {tt.other, one}} {
			if apart, why := apartBy(pair[0], pair[1]); apart != tt.apart {
				t.Errorf("%s: apart = %v, want %v", tt.name, apart, tt.apart)
			} else if apart == (why != "") {
				t.Errorf("%s: apart is (why != \"\")", tt.name)
			}
		}
	}
}
