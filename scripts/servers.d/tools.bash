# Other migration tools: the tests have the real programs migrate databases, and take these over.
# tools/modules names programs in Go, tools/package.json those in npm. Sqitch is a Debian package.

tools_needs() {
	local driver
	printf '%s\n' 'sqitch sqitch' 'java default-jre-headless' 'npm npm' 'node nodejs'
	for driver in Pg SQLite mysql; do # Sqitch's drivers are modules, not commands
		perl -MDBD::$driver -e 1 2>/dev/null || echo "DBD::$driver libdbd-$(tr '[:upper:]' '[:lower:]' <<<"${driver/%SQLite/SQLite3}")-perl"
	done
}

# tools_home: prints the folder of the tools. Each list of versions has its own.
tools_home() {
	local sum
	sum=$(cat "$here/tools/modules" "$here/tools/package-lock.json" | sha256sum)
	echo "$cache/tools-${sum:0:12}"
}

tools_install() {
	local home part
	home=$(tools_home)
	[[ ! -d $home ]] || return 0
	exec 8>"$cache/install.lock"
	flock 8
	if [[ ! -d $home ]]; then
		say "fetching other migration tools"
		part=$home.part
		rm -rf "$part"
		mkdir -p "$part/bin"
		tools_go "$part" || die "could not build other migration tools"
		cp "$here/tools/package.json" "$here/tools/package-lock.json" "$part"
		(cd "$part" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) ||
			die "could not fetch other migration tools with npm"
		ln -s ../node_modules/@dbmate/linux-x64/bin/dbmate "$part/bin/dbmate"
		printf '#!/bin/sh\nexec sh "$(dirname "$0")/../node_modules/liquibase/dist/liquibase/liquibase" "$@"\n' >"$part/bin/liquibase"
		chmod 755 "$part/bin/liquibase"
		mv "$part" "$home"
	fi
	exec 8>&-
}

# tools_go FOLDER: builds the programs in Go. sql-migrate's SQLite needs cgo.
tools_go() {
	local module version tags
	while read -r module version tags; do
		GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=1 GOBIN=$1/bin go install -tags "$tags" "$module@$version" || return 1
	done <"$here/tools/modules"
}

tools_start() { :; }

tools_wait() { :; }

# The folder has bin, with the programs, and node_modules.
tools_env() { echo "WHIMBREL_TEST_TOOLS='$(tools_home)'"; }
