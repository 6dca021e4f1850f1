# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Drives rtslib as a program does: creates, saves, clears, restores, and says what is there.

The arguments are a file to make a backstore of, and a file to save to."""

import json
import sys

try:
    import rtslib_fb as rtslib
except ImportError:
    import rtslib

WWN = 'naa.500140568720f76f'


def say(*words):
    print(*words, flush=True)


def create(image):
    disk = rtslib.FileIOStorageObject('disk0', dev=image, size=16 << 20, write_back=False)
    ram = rtslib.RDMCPStorageObject('ram0', size=8 << 20)
    ram.set_attribute('emulate_tas', 0)
    target = rtslib.Target(rtslib.FabricModule('vhost'), WWN)
    tpg = rtslib.TPG(target, 1)
    rtslib.LUN(tpg, 0, disk)
    rtslib.LUN(tpg, 3, ram)
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
        say(item['plugin'], item['name'], item.get('size'), item['attributes']['emulate_tas'])
    for item in dump['targets']:
        for tpg in item['tpgs']:
            luns = [(lun['index'], lun['storage_object']) for lun in tpg['luns']]
            say(item['fabric'], item['wwn'], tpg['tag'], luns)
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
