// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Front ends as they are: each manner of QEMU, Cloud Hypervisor, crosvm and libkrun that has broken a back end, over
//! a real socket and on real rings.
//!
//! Above: nothing.  Below: `initiator`, which has each front end's messages in a table; `vhost-scsi`.
//! Never here: a front end itself; `tests/` has guests of QEMU.  Single messages are in `vhost-user/tests/wire`.
//!
//! | who | manner | test |
//! |---|---|---|
//! | all | queues from 3 to 32768 entries, no power of two | `queues_of_any_length_are_served` |
//! | all | the configuration space at odd places and lengths, and written by Linux | `the_configuration_is_read_…`, `what_linux_writes_…` |
//! | all | unknown messages, with and without need_reply; in-band notifications | `an_unknown_message_…`, `notifications_in_band_…` |
//! | all | GET_VRING_BASE of rings that never started | `rings_that_never_started_…` |
//! | all | every message asks for an acknowledgement, or none does | `a_front_end_whose_every_message_…`, `crosvm_…` |
//! | all | the channel of the back end | `the_channel_of_the_back_end_…` |
//! | all | no kick or no call descriptor | `a_ring_without_kick_and_call_…` |
//! | QEMU | num_queues is only checked against GET_QUEUE_NUM; 254 queues | `the_number_of_queues_that_is_set_…`, `a_front_end_may_have_254_…` |
//! | QEMU | features that were never offered: CHANGE (in each start here), INOUT, T10_PI | `features_that_were_never_offered_…`, `a_guest_that_was_told_of_t10_pi_…` |
//! | QEMU | packed=on, iommu_platform=on, in_order=on | `what_cannot_be_ignored_…` |
//! | QEMU | SET_FEATURES twice a start, and while rings run; without bit 30 | `features_that_are_said_again_…`, `features_without_bit_30_…` |
//! | QEMU | no CONFIG, one channel, memory slots one by one, up to 509 | `there_is_room_for_509_regions_…`, `regions_come_and_go_…`, `the_number_of_regions_…` |
//! | QEMU | RESET_DEVICE several times a boot, GET_STATUS and SET_STATUS | `a_guest_that_resets_its_device_…`, `status_is_kept_…` |
//! | QEMU | the guest's call descriptor comes when rings run | `a_completion_told_to_the_masked_call_…`, `every_call_descriptor_…` |
//! | QEMU | kicks lost between descriptors, and between kick and enable | `a_ring_is_looked_at_…`, `a_kick_that_was_lost_…` |
//! | QEMU | SET_VRING_ENABLE for rings without addresses | `rings_may_be_enabled_before_…`, `firmware_sets_up_ring_2_…` |
//! | QEMU 7.2 | a new inflight region at each start, a pause included; or a table of memory | `a_pause_of_qemu_7_2_…`, `a_qemu_without_memory_slots_…` |
//! | QEMU | start, pause, reboot in the order of 7.2, 8.2 and 10.0 | `each_qemu_starts_…` |
//! | QEMU from 8.2 | comes back with the old inflight region and the used index | `a_front_end_that_comes_back_…` |
//! | QEMU | a migration's destination connects early; the log flag of a running ring | `the_destination_of_a_migration_…`, `a_second_front_end_…`, `the_addresses_of_a_running_ring_…` |
//! | QEMU | no memory at all, or private copies of it | `memory_that_was_never_given_…`, `memory_that_is_a_private_copy_…` |
//! | SeaBIOS, OVMF | 256 targets, one after the other; legacy rings; both forms of LUN 0 | `firmware_that_looks_for_256_targets_…`, `firmware_sets_up_ring_2_…` |
//! | Cloud Hypervisor | its list of queues must hold num_queues of the configuration | `cloud_hypervisor_is_told_…` |
//! | Cloud Hypervisor | pause by SET_VRING_ENABLE 0, reset by no more than that | `cloud_hypervisor_pauses_…`, `cloud_hypervisor_resets_…` |
//! | Cloud Hypervisor | an inflight region longer than a queue, and again after a reset; its own idea of the base | `cloud_hypervisor_gives_…`, `a_front_end_that_comes_back_…` |
//! | crosvm | as many queues as GET_QUEUE_NUM, 32768 entries, no inflight region, no log | `crosvm_has_as_many_…`, `a_queue_longer_than_…` |
//! | crosvm | SET_FEATURES for each half that the driver writes; sleep and wake | `crosvm_says_its_features_…`, `crosvm_sleeps_…` |
//! | libkrun | CONFIG and MQ only; starts queues that the guest never set up; disables rings and describes them again | `libkrun_starts_queues_…` |
//! | CH, crosvm, libkrun | SET_MEM_TABLE, again while rings run | `a_whole_table_is_replaced_…` |
//!
//! Elsewhere: protocol features are mandatory for QEMU (`vhost-user/tests/wire/negotiation.rs`), control requests are always
//! answered (`tasks.rs`), LUN forms (`commands.rs`), `share=on` with a real QEMU (`tests/share_off.rs`), a real QEMU 7.2
//! (`tests/guest/older_qemu.rs`), kill and reconnect of a real QEMU 10.0 (`tests/faults/kill.rs`).

mod configuration; // what a front end is told of the device
mod log; // what was logged
mod memory; // regions that come, go, or are not shared
mod negotiation; // features, status, unknown messages
mod notifications; // kicks and calls
mod others; // Cloud Hypervisor, crosvm, libkrun
mod qemu; // 7.2, 8.2 and 10.0
#[path = "../support.rs"]
mod support;

use initiator::deadline::Deadline;
use initiator::dialect::Step;
use initiator::load::{self as loads, Access, Load};
pub(crate) use initiator::lun_0;
use initiator::{Guest, Options, commands};
use std::time::Duration;
use support::{Rig, Unit};
use vhost_scsi::DeviceOffer;

const MIB: u64 = 1 << 20;

/// A target with one disk.
pub(crate) fn rig() -> Rig {
    offering(DeviceOffer::default())
}

/// A target with one disk, whose device is this to a front end.
pub(crate) fn offering(device: DeviceOffer) -> Rig {
    // Before anything is logged: a place in the code that was passed without a subscriber may keep silent.
    log::keep();
    Rig::offering(&[Unit::ramdisk(16 * MIB)], device)
}

/// A guest that has connected and got so far.
pub(crate) fn connect_and(rig: &Rig, options: Options, steps: &[Step]) -> Guest {
    let mut guest = Guest::connect(rig.path(), options).unwrap();
    guest.run(steps).unwrap();
    guest
}

pub(crate) fn ack(guest: &mut Guest, protocol_features: u64) {
    guest.connection().unwrap().set_protocol_features(protocol_features).unwrap();
}

/// Time enough for what must come.
pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

/// The guest is served.
#[track_caller]
pub(crate) fn good(guest: &mut Guest) {
    assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}

/// Checked reads and writes for so many milliseconds, on every queue.
#[track_caller]
pub(crate) fn load(guest: &mut Guest, milliseconds: u64) {
    let wanted = Load {
        address: lun_0(),
        queue_depth: 16,
        duration: Duration::from_millis(milliseconds),
        access: Access::Random,
        read_percent: 50,
        verify: true,
        ..Load::default()
    };
    let report = loads::run(guest, &wanted).unwrap();
    assert_eq!((report.errors, report.blocks_corrupt), (0, 0), "{report:?}");
    assert!(report.reads > 0 && report.writes > 0, "{report:?}");
}

/// The same for as long as something else takes.
#[track_caller]
pub(crate) fn run_checked(guest: &mut Guest) {
    load(guest, 300);
}
