# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Drives rtslib as a program does: creates, with ALUA groups and ACLs, saves, clears, restores, and says what is there.

The arguments are a file to make a backstore of, and a file to save to."""

import json
import sys

try:
    import rtslib_fb as rtslib
    from rtslib_fb.alua import ALUATargetPortGroup
except ImportError:
    import rtslib
    from rtslib.alua import ALUATargetPortGroup

WWN = 'naa.500140568720f76f'
GUEST = 'naa.5001405aaaaaaaaa'


def say(*words):
    print(*words, flush=True)


def create(image):
    disk = rtslib.FileIOStorageObject('disk0', dev=image, size=16 << 20, write_back=False)
    ram = rtslib.RDMCPStorageObject('ram0', size=8 << 20)
    ram.set_attribute('emulate_tas', 0)
    target = rtslib.Target(rtslib.FabricModule('vhost'), WWN)
    tpg = rtslib.TPG(target, 1)
    first = rtslib.LUN(tpg, 0, disk)
    second = rtslib.LUN(tpg, 3, ram)
    group = ALUATargetPortGroup(disk, 'standby', 16)
    group.alua_access_type = 1
    group.alua_access_state = 2
    first.alua_tg_pt_gp_name = 'standby'
    say('alua', group.tg_pt_gp_id, group.alua_access_state, first.alua_tg_pt_gp_name, second.alua_tg_pt_gp_name)
    acl = rtslib.NodeACL(tpg, GUEST)
    rtslib.MappedLUN(acl, 0, first, True)
    rtslib.MappedLUN(acl, 5, second)
    say('acl', [(lun.mapped_lun, lun.tpg_lun.lun, lun.write_protect) for lun in acl.mapped_luns])
    say('created', disk.status, ram.status, tpg.nexus.startswith('naa.5001405'), tpg.enable)
    try:
        rtslib.RDMCPStorageObject('ram0', size=8 << 20)
    except rtslib.RTSLibError as error:
        say('refused:', error)
    try:
        disk.set_attribute('block_size', 4096)
    except rtslib.RTSLibError as error:
        say('refused:', error)


def what_is_there(root):
    dump = root.dump()
    for item in dump['storage_objects']:
        groups = [(group['name'], group['alua_access_state']) for group in item['alua_tpgs']]
        say(item['plugin'], item['name'], item.get('size'), item['attributes']['emulate_tas'], sorted(groups))
    for item in dump['targets']:
        for tpg in item['tpgs']:
            luns = [(lun['index'], lun['storage_object'], lun['alua_tg_pt_gp_name']) for lun in tpg['luns']]
            acls = [(acl['node_wwn'], [(lun['index'], lun['tpg_lun'], lun['write_protect'])
                                       for lun in acl['mapped_luns']]) for acl in tpg['node_acls']]
            say(item['fabric'], item['wwn'], tpg['tag'], luns, acls)
    return dump


def main(image, saved):
    root = rtslib.RTSRoot()
    create(image)
    before = what_is_there(root)
    root.save_to_file(saved)
    with open(saved) as file:
        say('saved', json.load(file) == json.loads(json.dumps(before)))
    root.clear_existing(confirm=True)
    say('cleared', list(root.storage_objects), list(root.targets))
    errors = root.restore_from_file(saved)
    say('errors', errors)
    say('restored', what_is_there(root) == before)


main(*sys.argv[1:])
