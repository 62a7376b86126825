#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run.sh SUITE JOB: does what the file JOB says, as a shell script, on the kernel of a Debian release (bullseye has 5.10,
# bookworm 6.1, trixie 6.12): in a virtual machine that sees this tree of files without being able to change it.
# Its processors are imitated, so that this needs no /dev/kvm, and is slow; where that works, KQ_ACCEL=kvm is quicker.
# In the job, /run/out is build/machines/SUITE/out here.
set -eu
suite=$1
job=$(realpath "$2")
cd "$(dirname "$0")/../.."
here=$PWD
base=$here/build/machines/$suite
modules="virtio_pci 9pnet_virtio 9p overlay dummy veth"
mkdir -p "$base/apt/lists/partial" "$base/archives/partial"

# The kernel, from where this machine has its packages, whichever its own release is.
if ! [ -e "$base/vmlinuz" ]; then
	cd "$base"
	site=$(apt-get indextargets --format '$(SITE) $(COMPONENT)' | awk '$2 == "main" && $1 ~ /debian$/ { print $1; exit }')
	keys=/usr/share/keyrings/debian-archive-keyring.gpg
	echo "deb [signed-by=$keys] $site $suite main" >apt/sources.list
	set -- -q -o Dir::Etc::SourceList="$base/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
	    -o Dir::State::Lists="$base/apt/lists" -o Dir::Cache="$base" -o APT::Sandbox::User=root
	apt-get "$@" update
	package=$(apt-cache "$@" depends linux-image-amd64 | awk '/Depends:/ { print $2; exit }')
	apt-get "$@" download "$package"
	rm -rf tree
	dpkg -x "$package"_*.deb tree
	rm -f "$package"_*.deb
	cp tree/boot/vmlinuz-* vmlinuz
	cd "$here"
fi

# What it begins with: a shell, and the modules by which it finds the tree.
if ! [ -e "$base/initrd" ] || [ "$here/tests/machines/init" -nt "$base/initrd" ]; then
	rd=$base/rd
	rm -rf "$rd"
	mkdir -p "$rd/bin"
	cp "$(command -v busybox)" "$rd/bin/busybox"
	cp tests/machines/init "$rd/init"
	chmod 755 "$rd/init"
	echo "$modules" >"$rd/modules"
	tree=$(find "$base/tree/" -type d -path '*/lib/modules/*' -prune)
	version=$(basename "$tree")
	mkdir -p "$rd/lib/modules/$version"
	for part in drivers/virtio net/9p fs/9p fs/fscache fs/netfs fs/overlayfs drivers/net/dummy.ko drivers/net/veth.ko; do
		(cd "$tree/kernel" && find . -path "./$part*" -name '*.ko*' -exec cp --parents {} "$rd/lib/modules/$version" \;)
	done
	find "$rd/lib" -name '*.xz' -exec unxz {} +
	busybox depmod -b "$rd" "$version"
	(cd "$rd" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$base/initrd"
fi

rm -rf "$base/out"
mkdir -p "$base/out"
cp "$job" "$base/out/job"
echo "PROJECT='$here'" >"$base/out/env"
status=0
timeout "${KQ_MACHINE_SECONDS:-3600}" qemu-system-x86_64 -accel "${KQ_ACCEL:-tcg}" -cpu max -smp 2 -m 4096 -nographic \
    -no-reboot -nic none -kernel "$base/vmlinuz" -initrd "$base/initrd" \
    -append "console=ttyS0 quiet panic=-1 psi=1" \
    -virtfs local,path=/,security_model=none,readonly=on,mount_tag=root,multidevs=remap \
    -virtfs local,path="$base/out",security_model=none,mount_tag=out \
    -serial mon:stdio >"$base/console" 2>&1 </dev/null || status=$?
if ! [ -e "$base/out/rc" ]; then
	tail -n 30 "$base/console"
	echo "the machine did not come to its end ($status)"
	exit 1
fi
exit "$(cat "$base/out/rc")"
