# What the guest of kernel_target.rs does: the page's commands with Lunar and with the kernel's own target, and the
# way from one to the other.  What each said and what the trees were goes into /share.

CONFIG=/sys/kernel/config/target
DEVICE=/dev/disk/by-id/dm-uuid-mpath-36005076306ffc7630000000000002000
export LUNAR_STATE_DIR=/mnt/state LUNAR_RUNTIME_DIR=/mnt/run

mount -t tmpfs none /mnt
mount -t configfs none /sys/kernel/config
mkdir -p /dev/disk/by-id /mnt/save /mnt/save2
truncate -s 64M /mnt/disk
echo 'written before anybody served it' | dd of=/mnt/disk conv=notrunc 2>/dev/null
losetup /dev/loop0 /mnt/disk
ln -s ../../loop0 $DEVICE

kernel() { lunar --root $CONFIG --save-dir /mnt/save "$@"; }

# Says what is typed and what comes of it.  A shell for several lines: to start one is most of what a line costs here.
typed() {
    file=$1; shift
    { echo "$ $*"; "$@" 2>&1 || echo "exit $?"; } >> /share/$file
}

# The page, from standard input as one types it.
page() {
    printf 'backstores/block create name=disk0 write_back=false \\\n   dev=%s\nvhost/ create\n' $DEVICE | "$@"
    wwn=$("$@" ls /vhost | sed -n 's/.*o- \(naa\.[0-9a-f]*\) .*/\1/p')
    printf 'vhost/%s/tpg1/luns create /backstores/block/disk0\nexit\n' $wwn | "$@"
}

# Paths, kinds, modes, sizes, link counts and owners; where links lead; texts.
listing() {
    (
        cd $1
        find . -exec stat -c '%n %F %a %s %h %u:%g' {} + | sort > /share/$2.modes
        find . -type l | sort | while read -r link; do echo "$link -> $(readlink $link)"; done > /share/$2.links
        find . -type f | sort | while read -r file; do
            cat $file 2>&1 | tr -d '\0' | while IFS= read -r line || [ -n "$line" ]; do echo "$file: $line"; done
        done > /share/$2.texts
    )
}

lunard --configfs /mnt/config > /share/lunard.log 2>&1 &
until_true "lunar ls > /dev/null 2>&1 && [ -d /mnt/config/target/core ]"
page lunar > /share/page.lunar 2>&1
listing /mnt/config/target lunar
lunar clearconfig confirm=True

page kernel > /share/page.kernel 2>&1
listing $CONFIG kernel
kernel ls > /share/ls.kernel
kernel / ls --json > /share/json.kernel
ls -l $CONFIG/vhost/$wwn/tpgt_1/lun/lun_0/ > /share/ls-l.kernel
cat $CONFIG/vhost/$wwn/tpgt_1/lun/lun_0/??????????/info > /share/info.kernel

# What the kernel refuses is one line, and leaves nothing.
ls $CONFIG/core > /share/core.before
typed refused kernel /backstores/block/disk0 set attribute pi_prot_type=7
typed refused kernel /backstores/block/disk0 set attribute block_size=4096
mkdir /mnt/mounted
dd if=/dev/zero of=/mnt/other bs=1M count=8 2>/dev/null
losetup /dev/loop1 /mnt/other
mke2fs /dev/loop1 > /dev/null 2>&1
mount -t ext4 /dev/loop1 /mnt/mounted
typed refused kernel /backstores/block create busy /dev/loop1
typed refused kernel /backstores/block create again $DEVICE
typed refused kernel /backstores/block delete disk0
typed refused kernel /vhost/$wwn set option num_queues=4
umount /mnt/mounted
ls $CONFIG/core > /share/core.after

# A front end of vhost as QEMU is one, as far as the target is concerned: owner, memory, endpoint.
perl -e '
    open(my $vhost, "+<", "/dev/vhost-scsi") or die "open: $!";
    ioctl($vhost, 0xAF01, 0) or die "VHOST_SET_OWNER: $!";
    my $memory = pack("LL", 0, 0);
    ioctl($vhost, 0x4008AF03, $memory) or die "VHOST_SET_MEM_TABLE: $!";
    my $endpoint = pack("l a224 S S", 1, $ARGV[0], 1, 0);
    ioctl($vhost, 0x40E8AF40, $endpoint) or die "VHOST_SCSI_SET_ENDPOINT: $!";
    $| = 1; print "connected\n"; sleep 600;
' $wwn > /share/front-end 2>&1 &
front_end=$!
until_true "grep -q . /share/front-end"
typed connected kernel /vhost delete $wwn
typed connected kernel clearconfig confirm=True
typed connected lunar import-lio --take
ls $CONFIG/vhost/$wwn/tpgt_1/lun > /share/luns
kill $front_end
# It is connected until it has gone.
wait $front_end || true

# Files, memory, and what another fabric has.
typed more kernel "/backstores/fileio create f0 /mnt/f0.img 16M
/backstores/ramdisk create r0 8M
/backstores/fileio/f0 set attribute emulate_tpu=1
/vhost/$wwn/tpg1/luns create /backstores/fileio/f0 5
/ saveconfig
/ clearconfig confirm=True
/ restoreconfig
/backstores/fileio/f0 get attribute emulate_tpu
/backstores/ramdisk/r0 get attribute emulate_caw"

# An ALUA group with a LUN in it, and a list of what an initiator sees.
cat > /mnt/access.json <<'END'
{ "storage_objects": [{
    "name": "a0", "plugin": "ramdisk", "size": 4194304, "wwn": "5a1e0f6c-0000-4000-8000-000000000001",
    "alua_tpgs": [{ "name": "far", "tg_pt_gp_id": 16, "alua_access_state": 1, "alua_access_status": 2,
                    "alua_access_type": 3, "nonop_delay_msecs": 20, "preferred": 1 }] }],
  "targets": [{ "fabric": "vhost", "wwn": "naa.5001405000000ccc", "tpgs": [{ "tag": 1,
    "luns": [{ "alias": "0123456789", "alua_tg_pt_gp_name": "far", "index": 0,
               "storage_object": "/backstores/ramdisk/a0" }],
    "node_acls": [{ "node_wwn": "naa.5001405000000ddd",
                    "mapped_luns": [{ "alias": "abcdef0123", "index": 3, "tpg_lun": 0, "write_protect": true }] }]
  }] }] }
END
typed access kernel "restoreconfig /mnt/access.json
saveconfig /share/kernel.json"
cat $CONFIG/core/rd_mcp_*/a0/alua/far/members > /share/members

# Files of what is to be: one is shown, made so, and no work the second time; one the kernel refuses in the middle; one
# says that nothing of it is to be.
wanted() {
    printf 'scope = ["ramdisk/w*", "naa.5001405000000eee"]\n%s\n' "$2" > /mnt/$1.toml
}
wanted whole '[ramdisk.w0]
size = "4M"
attributes = { is_nonrot = 1 }
[ramdisk.w0.alua.near]
tg_pt_gp_id = 7
preferred = 1
[vhost."naa.5001405000000eee".tpg1]
lun4 = { backstore = "ramdisk/w0", alua_tg_pt_gp_name = "near" }'
wanted half '[ramdisk.w1]
size = "4M"
attributes = { emulate_nothing = 7 }
[vhost."naa.5001405000000eee".tpg1]
lun4 = "ramdisk/w1"'
wanted nothing ''
typed apply kernel "diff /mnt/whole.toml
apply -f /mnt/whole.toml
apply -f /mnt/whole.toml"
typed apply cat $CONFIG/core/rd_mcp_*/w0/attrib/is_nonrot $CONFIG/core/rd_mcp_*/w0/alua/near/members
typed half kernel "apply -f /mnt/half.toml
ls /vhost/naa.5001405000000eee
apply -f /mnt/whole.toml
apply -f /mnt/nothing.toml"

mkdir -p $CONFIG/loopback/naa.5001405000000aaa/tpgt_1
echo -n naa.5001405000000bbb > $CONFIG/loopback/naa.5001405000000aaa/tpgt_1/nexus
mkdir $CONFIG/loopback/naa.5001405000000aaa/tpgt_1/lun/lun_0
ln -s $CONFIG/core/rd_mcp_*/r0 $CONFIG/loopback/naa.5001405000000aaa/tpgt_1/lun/lun_0/r0
typed foreign kernel "ls
/loopback/naa.5001405000000aaa delete
/backstores/ramdisk delete r0
/ saveconfig"

# Lunar takes it over; first it cannot, and the kernel has it back.
listing $CONFIG taken
kernel_import() { lunar --save-dir /mnt/save2 import-lio "$@"; }
typed import kernel_import --dry-run
typed import kernel_import
typed import lunar /vhost create $wwn
typed import kernel_import --take
listing $CONFIG back
typed import lunar /vhost delete $wwn
typed import kernel_import --take
typed import lunar ls
typed import lunar /backstores/fileio/f0 get attribute emulate_tpu
typed import kernel ls
typed import lunar saveconfig /share/lunar.json
blockdev --flushbufs /dev/loop0 2>/dev/null || true
LUNAR_GUEST_SOCKET=/mnt/run/vhost/$wwn.sock guest_of_lunar the_disk_is_what_the_kernel_served --nocapture > /share/served 2>&1
find $CONFIG/vhost $CONFIG/core -maxdepth 2 -mindepth 1 -type d | sort > /share/left
listing /mnt/config/target imported
echo $wwn > /share/wwn
