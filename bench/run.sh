#!/usr/bin/env bash
# What migrating costs: whimbrel and other tools side by side, as multiples of the database's own client.
#
#   bench/run.sh            all tasks; `make bench`
#   bench/run.sh --quick    a few minutes: less of everything, one round
#   bench/run.sh --disk     on the disk in $TMPDIR, and PostgreSQL waits for it (fsync), as it does by default
#   bench/run.sh --only RE  only the tasks that a regular expression finds in "PostgreSQL: one file of 20 MB"
#   bench/run.sh --locks    only the latency of an application while its table is migrated; draws docs/locks.svg
#   bench/run.sh --scale    only how whimbrel's cost grows with the migrations, the tables and the history
#   bench/run.sh --backfill only a change of ten million rows, and what an application notices of it; draws docs/backfill.svg
#   bench/run.sh --check    only the check of a starting application (go test -bench)
#
# The other tools are installed, at the versions below, into a folder of their own. Never as root's server:
# PostgreSQL runs as an ordinary user, on 127.0.0.1, in a temporary folder, and is gone afterwards.
set -euo pipefail
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/sbin # mariadbd is there

# Lines with module, version and tags; the tests use the same versions.
modules=$(<scripts/servers.d/tools/modules)
# dbmate's releases are an npm package: its module can't be had everywhere.
dbmate=2.36.0

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

compare=1
locks=
scale=
backfill=
while (($#)); do
	case $1 in
	--quick) export WHIMBREL_BENCH_QUICK=1 ;;
	--disk) export WHIMBREL_BENCH_DISK=1 ;;
	--only) export WHIMBREL_BENCH_ONLY=$2; shift ;;
	--check) compare= ;;
	--locks) locks=1 ;;
	--scale) scale=1 ;;
	--backfill) backfill=1 ;;
	*) die "unknown argument $1" ;;
	esac
	shift
done

# The server that is started: version 15, Debian's if it is there, else the one that the tests have.
debian=/usr/lib/postgresql/15/bin
bin=${WHIMBREL_BENCH_POSTGRES_BIN:-}
if [[ -z $bin && -x $debian/postgres ]]; then
	bin=$debian
elif [[ -z $bin && ,${WHIMBREL_TEST_POSTGRES_BIN:-} == *,15=* ]]; then
	bin=${WHIMBREL_TEST_POSTGRES_BIN##*15=} bin=${bin%%,*}
fi
[[ -n $bin ]] || die 'there are no programs of PostgreSQL 15: run `make bench`, or set WHIMBREL_BENCH_POSTGRES_BIN to their folder'

for command in psql mariadbd mariadb mariadb-dump mariadb-install-db sqlite3 /usr/bin/time gcc npm; do
	command -v "$command" >/dev/null || die "missing: $command"
done

cache=${WHIMBREL_BENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/whimbrel-bench}
mkdir -p "$cache"

# install MODULE VERSION TAGS: one folder for each version, and a copy of the program.
install() {
	local module=$1 version=$2 tags=${3:-} home
	home=$cache/$(basename "${module%/v[0-9]}")-$version${tags:+-${tags//,/-}}
	if [[ ! -d $home ]]; then
		say "installing $module $version"
		rm -rf "$home.part"
		GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=1 GOBIN=$home.part go install -tags "$tags" "$module@$version"
		mv "$home.part" "$home"
	fi
	cp "$home"/* "$programs/"
}

install_dbmate() {
	local home=$cache/dbmate-$dbmate
	if [[ ! -d $home ]]; then
		say "installing dbmate $dbmate"
		rm -rf "$home.part"
		npm install --prefix "$home.part" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error "@dbmate/linux-x64@$dbmate" >&2
		mv "$home.part" "$home"
	fi
	cp "$home/node_modules/@dbmate/linux-x64/bin/dbmate" "$programs/dbmate"
}

# Databases are in memory, for the disk costs everybody the same, and never twice the same.
place=${TMPDIR:-/tmp}
if [[ -z ${WHIMBREL_BENCH_DISK:-} && -w /dev/shm ]]; then place=/dev/shm; fi
work=$(mktemp -d "$place/whimbrel-bench.XXXXXX")
# All programs are copied to one place on the disk, where installed programs are. A program in memory,
# or one that the linker has written there, starts a millisecond later.
programs=$(mktemp -d "${TMPDIR:-/tmp}/whimbrel-programs.XXXXXX")
trap 'rm -rf "$work" "$programs"' EXIT
chmod 755 "$work" "$programs"
mkdir "$work/data" "$work/tmp" "$work/build"
chmod 1777 "$work/data" "$work/tmp"

# For internal/testdb: the servers, and where they may keep their data.
export WHIMBREL_TEST_REQUIRE=1 WHIMBREL_TEST_POSTGRES_MAIN=15 WHIMBREL_TEST_POSTGRES_BIN="15=$bin" WHIMBREL_TEST_DATA=$work/data
export TMPDIR=$work/tmp
if [[ $compare && ! $locks && ! $backfill ]]; then
	say "preparing MariaDB's data"
	as_user=()
	((EUID != 0)) || as_user=(setpriv --reuid="$(id -u nobody)" --regid="$(id -g nobody)" --clear-groups)
	"${as_user[@]}" env -C "$work/data" mariadb-install-db --no-defaults --datadir="$work/data/mariadb-new" --skip-test-db \
		--auth-root-authentication-method=normal --skip-name-resolve --innodb-log-file-size=8M >"$work/mariadb.log" 2>&1 ||
		die "mariadb-install-db failed: $(tail -n 20 "$work/mariadb.log")"
	export WHIMBREL_TEST_MARIADB_BIN=$(command -v mariadbd) WHIMBREL_TEST_MARIADB_NEW=$work/data/mariadb-new
fi

# compile PACKAGE NAME: one of this project's programs.
compile() {
	CGO_ENABLED=0 go build -trimpath -o "$work/build/$2" "$1"
	cp "$work/build/$2" "$programs/"
}

say "$(go version | cut -d ' ' -f 3-), $(nproc) cores, PostgreSQL from $bin"
CGO_ENABLED=0 go test -c -o "$work/bench.test" ./bench
cd bench

if [[ $locks ]]; then
	read -r module version tags <<<"$modules" # golang-migrate is the first
	install "$module" "$version" "$tags"
elif [[ $compare && ! $scale && ! $backfill ]]; then
	while read -r module version tags; do
		install "$module" "$version" "$tags"
	done <<<"$modules"
	install_dbmate
fi
if [[ $locks || $compare ]]; then
	compile ../cmd/whimbrel whimbrel
	export WHIMBREL_BENCH_PROGRAMS=$programs WHIMBREL_BENCH_WORK=$work WHIMBREL_BENCH_OUT=$work/tables.md
fi

if [[ $locks ]]; then
	WHIMBREL_BENCH_SVG=$PWD/../docs/locks.svg "$work/bench.test" -test.timeout 30m -test.run '^TestLocks$' >&2
	cat "$work/tables.md"
	exit
fi

if [[ $backfill ]]; then
	[[ ${WHIMBREL_BENCH_QUICK:-} ]] || export WHIMBREL_BENCH_SVG=$PWD/../docs/backfill.svg
	WHIMBREL_BENCH_BACKFILL=1 WHIMBREL_BENCH_POSTGRES=$bin "$work/bench.test" -test.timeout 60m -test.run '^TestBackfill$' >&2
	cat "$work/tables.md"
	exit
fi

if [[ $scale ]]; then
	WHIMBREL_BENCH_SCALE=1 "$work/bench.test" -test.timeout 60m -test.run '^TestScale$' >&2
	cat "$work/tables.md"
	exit
fi

if [[ $compare ]]; then
	compile ./floor floor
	[[ ${WHIMBREL_BENCH_QUICK:-}${WHIMBREL_BENCH_ONLY:-}${WHIMBREL_BENCH_DISK:-} ]] || export WHIMBREL_BENCH_SVG=$PWD/../docs/performance.svg
	"$work/bench.test" -test.timeout 90m -test.run '^TestCompare$' >&2
	cat "$work/tables.md"
fi

say 'the check of an application that starts'
"$work/bench.test" -test.run '^$' -test.bench . -test.benchmem -test.count 3
