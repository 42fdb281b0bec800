# Debian's MariaDB, and what the tests need to start private servers and Galera clusters.

mariadb_needs() {
	printf '%s\n' 'mariadbd mariadb-server' 'mariadb-install-db mariadb-server' 'wsrep_sst_rsync mariadb-server' \
		'mariadb mariadb-client' 'rsync rsync'
	# A library, not a command.
	[[ -f $mariadb_galera ]] || echo "$mariadb_galera galera-4"
}

mariadb_galera=/usr/lib/galera/libgalera_smm.so

# mariadb_new: prints the folder with the data of a new server. It is copied, since creating it takes
# seconds.
mariadb_new() { echo "$cache/mariadb-$({ mariadbd --version; declare -f mariadb_install; } | sha256sum | head -c 12)"; }

mariadb_install() {
	local new part
	new=$(mariadb_new)
	[[ ! -d $new ]] || return 0
	exec 8>"$cache/install.lock"
	flock 8
	if [[ ! -d $new ]]; then
		say "preparing MariaDB's data"
		part=$(mktemp -d "${TMPDIR:-/tmp}/whimbrel-mariadb.XXXXXX")
		((EUID != 0)) || chown nobody: "$part"
		# Small, since it is copied. root, without a password, is the only user.
		"${as_user[@]}" env -C "$part" mariadb-install-db --no-defaults --datadir="$part/data" --skip-test-db \
			--auth-root-authentication-method=normal --skip-name-resolve \
			--innodb-log-file-size=8M >"$part/log" 2>&1 || die "mariadb-install-db failed: $(tail -n 20 "$part/log")"
		rm -rf "$new.part"
		cp -rp "$part/data" "$new.part"
		mv "$new.part" "$new"
		rm -rf "$part"
	fi
	exec 8>&-
}

mariadb_start() {
	"${as_user[@]}" cp -r "$(mariadb_new)" "$dir/mariadb"
	"${as_user[@]}" mkdir "$dir/mariadb-tmp" # its own: a server deletes the files in its tmpdir when it starts
	mariadb_start_one
}

mariadb_start_one() {
	free_port mariadb
	# --gdb makes it stop on SIGINT, like the other servers. Tests need no protection from power loss.
	launch mariadb mariadbd --no-defaults --gdb --datadir="$dir/mariadb" --socket="$dir/mariadb.sock" --pid-file="$dir/mariadb.pid" --tmpdir="$dir/mariadb-tmp" \
		--port="${ports[mariadb]}" --bind-address=127.0.0.1 --skip-name-resolve --skip-log-bin \
		--character-set-server=utf8mb4 --max-connections=500 \
		--innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync --innodb-doublewrite=0 \
		--innodb-buffer-pool-size=64M --innodb-log-file-size=8M
}

mariadb_ready() { grep -q 'ready for connections' "$dir/mariadb.log"; }

mariadb_wait() { wait_for mariadb mariadb_start_one mariadb_ready; }

mariadb_env() {
	echo "WHIMBREL_TEST_MARIADB='mysql://root@127.0.0.1:${ports[mariadb]}/'"
	echo "WHIMBREL_TEST_MARIADB_BIN='$(command -v mariadbd)'"
	echo "WHIMBREL_TEST_MARIADB_NEW='$(mariadb_new)'"
	echo "WHIMBREL_TEST_GALERA='$mariadb_galera'"
}
