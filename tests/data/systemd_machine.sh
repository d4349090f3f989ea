#!/bin/sh
# systemd_machine.sh FOLDER UNITS BIN [PATH...]: systemd as the first process of a machine of its own, with the units in
# UNITS and the programs in BIN, until it is killed.
#
# Its root is this machine's, but whatever is written anywhere goes to a tmpfs that goes with it; of /proc/sys, /sys and
# the devices nothing can be changed; and it runs no unit but those named here: not those that empty /tmp, set kernel
# parameters or load modules. FOLDER is empty, and stays so outside. PATHs are seen inside as here.
set -eu

machine() {
    root=$folder/root
    mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$root"
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    for place in dev run tmp var/lib/wherry var/log; do
        mkdir -p "$root/$place"
        mount -t tmpfs -o mode=755 tmpfs "$root/$place"
    done
    for path in "$@"; do
        mkdir -p "$root$path"
        mount --bind -o ro "$path" "$root$path"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    for node in null zero full random urandom tty; do
        touch "$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done

    own=$root/etc/systemd/own
    mkdir "$own" "$own/wherry.service.d"
    for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
        cp "/usr/lib/systemd/system/$unit" "$own"
    done
    for target in sysinit basic sockets multi-user network-online shutdown; do
        printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$target" > "$own/$target.target"
    done
    cp "$units"/wherry.* "$own"
    printf '[Service]\nExecStart=\nExecStart=%s/wherryd --host fd://\n' "$bin" > "$own/wherry.service.d/place.conf"
    printf '[Unit]\nRequires=systemd-journald.service wherry.socket\n' > "$own/machine.target"
    grep -q '^docker:' "$root/etc/group" || echo 'docker:x:995:' >> "$root/etc/group"
    ip link set lo up

    cd "$root"
    pivot_root . .
    umount -l .
    [ "$(stat -f -c %T /)$(stat -f -c %T /tmp)" = overlayfstmpfs ] # nothing of this machine's is in reach
    exec env -i container=test PATH="$PATH" SYSTEMD_UNIT_PATH=/etc/systemd/own SYSTEMD_GENERATOR_PATH=/none \
        SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/none \
        setpriv --bounding-set -sys_module,-sys_time,-sys_rawio,-sys_boot,-mknod \
        /usr/lib/systemd/systemd --system --unit=machine.target --log-target=console --show-status=no
}

if [ "$1" = inside ]; then
    folder=$2 units=$3 bin=$4
    shift 4
    machine "$@"
fi

# In a mount namespace of its own, so that all of it goes with this process.
folder=$1
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root" "$folder/cgroup"
mount -t cgroup2 cgroup2 "$folder/cgroup"
group=$folder/cgroup/wherry-systemd-$$
mkdir "$group"
sh -c 'echo $$ > "$1/cgroup.procs"; shift; exec setpriv --pdeathsig KILL \
    unshare --pid --mount --net --uts --ipc --cgroup --fork --kill-child "$@"' - "$group" "$0" inside "$@" || true
find "$group" -depth -type d -exec rmdir {} \;
