# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Restores a saveconfig.json with LIO's own library, and says what it made and what it skipped.

There is no LIO here.  What the library makes is made in a directory; this file puts into each new directory the
files that the kernel would, so that all of the library's own code runs.

Usage: rtslib_restore.py DIRECTORY FILE.  Writes a line for each error, file written and link made.
"""

import os
import re
import sys

import rtslib_fb.fabric
import rtslib_fb.node
import rtslib_fb.root
import rtslib_fb.tcm
import rtslib_fb.utils

ATTRIBUTES = """alua_support block_size emulate_3pc emulate_caw emulate_dpo emulate_fua_read emulate_fua_write
emulate_model_alias emulate_pr emulate_rest_reord emulate_tas emulate_tpu emulate_tpws emulate_ua_intlck_ctrl
emulate_write_cache enforce_pr_isids force_pr_aptpl is_nonrot max_unmap_block_desc_count max_unmap_lba_count
max_write_same_len optimal_sectors pgr_support pi_prot_format pi_prot_type pi_prot_verify queue_depth
unmap_granularity unmap_granularity_alignment unmap_zeroes_data""".split()

KERNEL = [
    (r"core/[^/]+_\d+", {"hba_info": "HBA Index: 1 plugin: x version: v5.0\n"}),
    (
        r"core/[^/]+_\d+/[^/]+",
        {
            **{"attrib/" + name: "0\n" for name in ATTRIBUTES},
            "control": "",
            "enable": "0\n",
            "info": "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 128\n",
            "udev_path": "",
            "wwn/vpd_unit_serial": "T10 VPD Unit Serial Number: \n",
            "alua/default_tg_pt_gp/alua_access_state": "0\n",
            "pr/res_aptpl_metadata": "",
        },
    ),
    (r"vhost", {"version": "x\n"}),
    (r"vhost/[^/]+/tpgt_\d+", {"attrib/fabric_prot_type": "0\n", "nexus": "", "lun/.": "", "acls/.": ""}),
    (r"vhost/[^/]+/tpgt_\d+/lun/lun_\d+", {"alua_tg_pt_gp": ""}),
]

tree, file = sys.argv[1:3]
plain_mkdir = os.mkdir
made = {}


def mkdir(path, *rest):
    plain_mkdir(path, *rest)
    below = os.path.relpath(path, tree)
    for pattern, files in KERNEL:
        if not re.fullmatch(pattern, below):
            continue
        for name, text in files.items():
            name = os.path.join(path, name)
            directory = os.path.dirname(name)
            parts = os.path.relpath(directory, path).split("/")
            for end in range(1, len(parts) + 1):
                part = os.path.join(path, *parts[:end])
                if not os.path.isdir(part):
                    plain_mkdir(part)
            if not name.endswith("/."):
                with open(name, "w") as out:
                    out.write(text)


plain_fwrite = rtslib_fb.utils.fwrite


def fwrite(path, text):
    plain_fwrite(path, text)
    made[os.path.relpath(path, tree)] = str(text)


os.mkdir = mkdir
for module in [rtslib_fb.fabric, rtslib_fb.node, rtslib_fb.root, rtslib_fb.tcm, rtslib_fb.target]:
    if hasattr(module, "fwrite"):
        module.fwrite = fwrite
    if hasattr(module, "modprobe"):
        module.modprobe = lambda name: None
rtslib_fb.root.mount_configfs = lambda: None
rtslib_fb.node.CFSNode.configfs_dir = tree
# The devices that files name are not on this machine.
rtslib_fb.tcm.get_blockdev_type = lambda path: 0 if path.startswith("/dev/") else None
rtslib_fb.tcm.is_dev_in_use = lambda path, *rest: False

plain_mkdir(tree)
plain_mkdir(os.path.join(tree, "core"))
with open(os.path.join(tree, "dbroot"), "w") as out:
    out.write("/etc/rtslib-fb-target\n")

errors = rtslib_fb.root.RTSRoot().restore_from_file(file, clear_existing=False)
for error in errors:
    print("error: " + error)
for path, text in sorted(made.items()):
    print(path + "=" + text.strip())
for directory, names, files in sorted(os.walk(tree)):
    for name in sorted(names + files):
        path = os.path.join(directory, name)
        if os.path.islink(path):
            print(os.path.relpath(path, tree) + " -> " + os.path.relpath(os.path.realpath(path), os.path.realpath(tree)))
