# PgBouncer in transaction mode, for all databases and users of the main PostgreSQL server.

pgbouncer_needs() { echo 'pgbouncer pgbouncer'; }

pgbouncer_install() { :; }

pgbouncer_start() {
	free_port pgbouncer
	echo '"postgres" ""' >"$dir/pgbouncer.users"
	# Several server connections, used in turn, so that a client that depends on its session fails.
	cat >"$dir/pgbouncer.ini" <<-INI
		[databases]
		* = host=127.0.0.1 port=${ports[postgres-$postgres_main]} auth_user=postgres
		[pgbouncer]
		listen_addr = 127.0.0.1
		listen_port = ${ports[pgbouncer]}
		unix_socket_dir =
		auth_type = trust
		auth_file = $dir/pgbouncer.users
		pool_mode = transaction
		default_pool_size = 20
		min_pool_size = 3
		server_round_robin = 1
		max_client_conn = 500
	INI
	launch pgbouncer pgbouncer "$dir/pgbouncer.ini"
}

pgbouncer_ready() { answers "${ports[pgbouncer]}"; }

pgbouncer_wait() { wait_for pgbouncer pgbouncer_start pgbouncer_ready; }

pgbouncer_env() {
	echo "WHIMBREL_TEST_PGBOUNCER='postgres://postgres@127.0.0.1:${ports[pgbouncer]}/postgres?sslmode=disable'"
}
