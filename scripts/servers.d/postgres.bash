# PostgreSQL, one server for each major version. The servers come from npm, at the versions that package.json
# and its lock file name: postgres and initdb and their libraries, without the client programs.

postgres_majors=(13 14 15 16 17 18)
postgres_main=17 # the one that most tests use

postgres_needs() {
	# They are only fetched with npm: once that is done, neither is needed.
	[[ -d $(postgres_home) ]] || printf '%s\n' 'node nodejs' 'npm npm'
}

# postgres_home: where the servers are; another lock file means another folder.
postgres_home() {
	local sum
	sum=$(sha256sum <"$here/package-lock.json")
	echo "$cache/postgres-${sum:0:12}"
}

# postgres_bin MAJOR: the folder of its programs.
postgres_bin() { echo "$(postgres_home)/node_modules/postgres-$1/native/bin"; }

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
			# The only install script of these packages, which npm no longer runs unasked: it makes the
			# links between the libraries' names.
			for major in "${postgres_majors[@]}"; do
				cd "$part/node_modules/postgres-$major" && node scripts/hydrate-symlinks.js
			done
		) || die "could not fetch PostgreSQL with npm"
		mv "$part" "$home"
	fi
	exec 8>&-
}

postgres_start() {
	local major
	for major in "${postgres_majors[@]}"; do
		launch "initdb-$major" "$(postgres_bin "$major")/initdb" -D "$dir/postgres-$major" \
			-U postgres -A trust -E UTF8 --no-locale --no-sync
	done
	for major in "${postgres_majors[@]}"; do
		wait "${pids[initdb-$major]}" || die "initdb of PostgreSQL $major failed: $(tail -n 5 "$dir/initdb-$major.log")"
		forget "initdb-$major"
		postgres_start_one "postgres-$major"
	done
}

postgres_start_one() { # NAME
	free_port "$1"
	launch "$1" "$(postgres_bin "${1#postgres-}")/postgres" -D "$dir/$1" -p "${ports[$1]}" \
		-c listen_addresses=127.0.0.1 -c unix_socket_directories="$dir" \
		-c fsync=off -c full_page_writes=off -c max_connections=300 -c max_prepared_transactions=16
}

postgres_ready() { # NAME
	[[ $(sed -n 8p "$dir/$1/postmaster.pid" 2>/dev/null) == ready* ]]
}

postgres_wait() {
	local major
	for major in "${postgres_majors[@]}"; do
		wait_for "postgres-$major" "postgres_start_one postgres-$major" postgres_ready "postgres-$major"
	done
}

postgres_url() { echo "postgres://postgres@127.0.0.1:${ports[$1]}/postgres?sslmode=disable"; } # NAME

postgres_env() {
	local major urls=() bins=()
	for major in "${postgres_majors[@]}"; do
		urls+=("$major=$(postgres_url "postgres-$major")")
		bins+=("$major=$(postgres_bin "$major")")
	done
	echo "WHIMBREL_TEST_POSTGRES='$(IFS=,; echo "${urls[*]}")'"
	echo "WHIMBREL_TEST_POSTGRES_MAIN='$postgres_main'"
	echo "WHIMBREL_TEST_POSTGRES_BIN='$(IFS=,; echo "${bins[*]}")'"
}
