# What the machine of whole_machine.rs does: the tree of Lunar over that of the kernel, by the units, for all tools.
# What each said and what the trees were goes into /share.

CONFIG=/sys/kernel/config
WWN=naa.500140568720f76f

# Says what is typed and what comes of it.
typed() {
    file=$1; shift
    { echo "$ $*"; "$@" 2>&1 || echo "exit $?"; } >> /share/$file
}

states() {
    for unit in "$@"; do echo "$unit $(systemctl is-active $unit)"; done
}

# Whose tree is at a path: the file system's kind.
whose() { findmnt --noheadings --output FSTYPE --target $1 | tail -1; }

# Paths, kinds, modes, sizes, link counts and texts of what is there.
listing() {
    ( cd $1; find . -exec stat -c '%n %F %a %s %h' {} + | sort; find . -type f -readable | sort | xargs tail -n +1 2>&1 | tr -d '\0' )
}

# Until the tree is the kernel's again, or Lunar's.
until_kernels() { until_true "[ \"\$(whose $1)\" = configfs ]"; }
until_lunars() { until_true "[ \"\$(whose $1)\" = fuse.lunard ]"; }

# Each part ends with this: how long it took goes into the log of the story.
part() { echo "$(cut -d' ' -f1 /proc/uptime) $1"; }

until_true "systemctl --quiet is-active lunar-configfs" 120
part booted
{
    states lunard lunar-configfs sys-kernel-config.mount
    grep -c target_core_mod /proc/modules || true
    whose $CONFIG
    ls $CONFIG
} > /share/booted
systemctl show --property=ActiveEnterTimestampMonotonic --value lunard lunar-configfs | grep . > /share/order
id lunar > /share/user
stat -c '%n %a %U %G' /run/lunar /run/lunar/vhost /run/lunar/api.sock > /share/runtime

# LIO's own shell finds Lunar, and Lunar's what it made.
lunar /backstores/ramdisk create r0 8M > /dev/null
targetcli > /share/targetcli 2>&1 <<END
/backstores/ramdisk create r1 8M
/vhost create $WWN
/vhost/$WWN/tpg1/luns create /backstores/ramdisk/r0
/vhost/$WWN/tpg1/luns create /backstores/ramdisk/r1
ls
saveconfig
exit
END
part targetcli
lunar ls > /share/ls.lunar
grep -o '"name": "r[0-9]"' /etc/rtslib-fb-target/saveconfig.json > /share/saved
# By its daemon, which systemd starts when it is asked for.
targetcli set global auto_use_daemon=true > /dev/null
systemctl start targetclid.socket
targetcli /backstores/ramdisk create r3 8M > /share/targetclid 2>&1
states targetclid >> /share/targetclid
systemctl stop targetclid.socket targetclid
rm -r /root/.targetcli
part targetclid

# What lunard is and what it serves come back as they were.
systemctl restart lunard
until_lunars $CONFIG
{ states lunard lunar-configfs; ls $CONFIG/target/core; cat $CONFIG/target/core/rd_mcp_1/r1/enable; } > /share/restarted
part restarted
kill -KILL $(systemctl show --property=MainPID --value lunard)
until_true "[ \$(systemctl show --property=NRestarts --value lunard) = 1 ]"
until_true "systemctl --quiet is-active lunar-configfs && [ -d $CONFIG/target/core/rd_mcp_1/r1 ]"
{ states lunard lunar-configfs; grep -c fuse.lunard /proc/self/mounts; } > /share/killed
part killed

# Without lunard the kernel's own is there again.
systemctl stop lunard
until_kernels $CONFIG
{ states lunard lunar-configfs; ls $CONFIG; grep -c fuse.lunard /proc/self/mounts || true; } > /share/stopped

# A kernel whose target is loaded and has nothing: Lunar's is over it and leaves it as it was.
modprobe target_core_mod
modprobe vhost_scsi
mkdir -p $CONFIG/target/vhost
listing $CONFIG/target > /share/kernel.before
systemctl start lunard
until_lunars $CONFIG/target
{ states lunard lunar-configfs; whose $CONFIG; whose $CONFIG/target; ls $CONFIG/target/vhost; } > /share/beside
lunar bind --undo
listing $CONFIG/target > /share/kernel.uncovered
lunar bind
whose $CONFIG/target >> /share/beside
targetcli > /share/targetcli.beside 2>&1 <<END
/backstores/ramdisk create r2 8M
/vhost/$WWN/tpg1/luns create /backstores/ramdisk/r2
exit
END
lunar ls > /share/ls.beside
part beside
systemctl stop lunard
until_kernels $CONFIG/target
listing $CONFIG/target > /share/kernel.after

# A kernel that serves: its tree stays, the unit says why, and lunard serves its guests all the same.
mkdir -p $CONFIG/target/core/rd_mcp_7/k0
echo -n rd_pages=1024 > $CONFIG/target/core/rd_mcp_7/k0/control
echo 1 > $CONFIG/target/core/rd_mcp_7/k0/enable
listing $CONFIG/target > /share/busy.before
systemctl start lunard
until_true "[ \"\$(systemctl is-active lunar-configfs)\" = failed ]"
typed busy states lunard lunar-configfs
typed busy lunar bind
typed busy systemctl start lunar-configfs
typed busy whose $CONFIG/target
typed busy lunar run -- ls $CONFIG/target/core
journalctl --unit lunar-configfs --output cat --no-pager > /share/busy.journal
listing $CONFIG/target > /share/busy.after
rmdir $CONFIG/target/core/rd_mcp_7/k0 $CONFIG/target/core/rd_mcp_7
typed busy systemctl start lunar-configfs
typed busy whose $CONFIG/target
part busy

# What would restore a file of LIO's over it keeps the unit from starting, and the unit says so.
systemctl stop lunar-configfs
systemctl --quiet enable rtslib-fb-targetctl
typed other systemctl start lunar-configfs
typed other states lunard lunar-configfs
typed other whose $CONFIG/target
typed other lunar bind
systemctl --quiet disable rtslib-fb-targetctl
typed other systemctl start lunar-configfs
typed other whose $CONFIG/target

# Whoever stands in the tree while the machine goes down holds up nothing.
sh -c "cd $CONFIG/target/core && exec sleep 600" &
part done
