# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the script of each program, in this directory.  PREFIX has the library as it is installed.
#
#	unpack PACKAGE		its source as Debian has it, unchanged, in $WORK/PACKAGE; tells the version
#	skip REASON		there is nothing to try
#	serves NAME ...		below
# and of tools/check.sh check and finish.
# shellcheck shell=sh disable=SC2034 # used by those
. ../../tools/check.sh

PKG_CONFIG_PATH=$(dirname "$(find "$PREFIX" -name kq.pc)")
export PKG_CONFIG_PATH
# What a port of a BSD program is given, and where the library is when it runs.
KQ_CFLAGS=$(pkg-config --cflags kq)
KQ_LIBS="$(pkg-config --libs kq) -Wl,-rpath,$(realpath "$PKG_CONFIG_PATH/..")"
# Patches make a generated file older than what it was made from; it is good all the same.
NO_AUTOTOOLS="ACLOCAL=: AUTOMAKE=: AUTOCONF=: AUTOHEADER=:"

skip() {
	echo "skip - $(basename "$0" .sh): $*"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
}

# apt_sources COMMAND...: apt with the machine's own servers, asked for sources, in files of its own.
apt_sources() {
	tool=$1
	shift
	"$tool" -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$WORK/apt/parts" -o Dir::State::lists="$WORK/apt/lists" \
	    -o Dir::Cache="$WORK/apt/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}

# The machine's servers of packages serve their sources, too.  What they have is asked once a day.
list_sources() {
	[ -z "$(find "$WORK/apt/listed" -mmin -1440 2>/dev/null)" ] || return 0
	mkdir -p "$WORK/apt/parts" "$WORK/apt/lists/partial" "$WORK/apt/cache/archives/partial"
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
		case $file in
		*.sources) sed 's/^Types:.*/Types: deb-src/' "$file" >"$WORK/apt/parts/$(basename "$file")" ;;
		*.list)	[ ! -e "$file" ] || sed -n 's/^deb /deb-src /p' "$file" >"$WORK/apt/parts/$(basename "$file")" ;;
		esac
	done
	apt_sources apt-get update && touch "$WORK/apt/listed"
}

# download PACKAGE: the newest version that the servers still have.
download() {
	list_sources || return
	for version in $(apt_sources apt-cache showsrc --only-source "$1" | sed -n 's/^Version: //p' | sort -ruV); do
		apt_sources apt-get source --download-only --only-source "$1=$version" || continue
		dpkg-source --no-check -x "$1_${version#*:}.dsc" "$1" && echo "$version" >"$1.version" && return
	done
	return 1
}

# unpack PACKAGE
unpack() {
	if [ ! -e "$WORK/$1.version" ]; then
		rm -rf "${WORK:?}/$1"
		(cd "$WORK" && download "$1") >"$WORK/$1.download" 2>&1 || skip "its source cannot be had: $WORK/$1.download"
	fi
	echo "note - $1 $(cat "$WORK/$1.version")"
}

# serves NAME OPTION... -- COMMAND...: what http_check.py finds of a server whose configuration is NAME.conf
serves() {
	name=$1
	options=
	shift
	while [ "$1" != -- ]; do
		options="$options $1"
		shift
	done
	shift
	# shellcheck disable=SC2086 # words
	timeout 900 "${PYTHON:-/usr/bin/python3}" http_check.py $options "$name.conf" "$@" >"$WORK/$name.http" 2>&1
	cat "$WORK/$name.http"
	good=$(grep -c '^ok - ' "$WORK/$name.http")
	bad=$(grep -c '^not ok - ' "$WORK/$name.http")
	if ! tail -n 1 "$WORK/$name.http" | grep -q "^$good passed, $bad failed$"; then
		echo "not ok - $name: http_check.py did not come to its end"
		bad=$((bad + 1))
	fi
	checks_passed=$((checks_passed + good))
	checks_failed=$((checks_failed + bad))
}
