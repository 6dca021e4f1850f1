// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the front ends of this world differ, as data: which features they pass on, which messages they send and when.
//!
//! Above: `guest`, tests that make up a dialect of their own.  Below: nothing.
//! Never here: sending.  `guest/steps.rs` carries the steps out.
//!
//! The tables of QEMU 7.2 and 10.0 are what was seen between those and a back end; that of 8.2 is 10.0's, which is where
//! reconnecting began; Cloud Hypervisor, crosvm and libkrun were read in their sources.

/// VIRTIO_SCSI_F_HOTPLUG.
pub const FEATURE_HOTPLUG: u64 = 1 << 1;
/// VIRTIO_SCSI_F_CHANGE.
pub const FEATURE_CHANGE: u64 = 1 << 2;
/// VIRTIO_F_NOTIFY_ON_EMPTY, of legacy devices.
pub const FEATURE_NOTIFY_ON_EMPTY: u64 = 1 << 24;
/// VHOST_F_LOG_ALL: between front end and back end only.
pub const FEATURE_LOG_ALL: u64 = 1 << 26;
/// VIRTIO_F_ANY_LAYOUT, of legacy devices.
pub const FEATURE_ANY_LAYOUT: u64 = 1 << 27;
/// VIRTIO_RING_F_INDIRECT_DESC.
pub const FEATURE_INDIRECT: u64 = 1 << 28;
/// VIRTIO_RING_F_EVENT_IDX.
pub const FEATURE_EVENT_IDX: u64 = 1 << 29;
/// VHOST_USER_F_PROTOCOL_FEATURES: between front end and back end only.
pub const FEATURE_PROTOCOL: u64 = 1 << 30;
/// VIRTIO_F_VERSION_1.
pub const FEATURE_VERSION_1: u64 = 1 << 32;

/// What the virtio_scsi driver of Linux takes where it is offered.
pub const LINUX_DRIVER: u64 =
    FEATURE_HOTPLUG | FEATURE_CHANGE | FEATURE_INDIRECT | FEATURE_EVENT_IDX | FEATURE_VERSION_1;
/// What firmware on a transitional device takes: nothing; it speaks legacy virtio and polls.
pub const LEGACY_FIRMWARE: u64 = 0;

/// Protocol feature bits.
pub mod protocol {
    /// More than one queue pair: GET_QUEUE_NUM.
    pub const MQ: u64 = 1 << 0;
    /// A dirty log in shared memory.
    pub const LOG_SHMFD: u64 = 1 << 1;
    /// Acknowledgements where asked for.
    pub const REPLY_ACK: u64 = 1 << 3;
    /// A channel from back end to front end.
    pub const BACKEND_REQ: u64 = 1 << 5;
    /// GET_CONFIG and SET_CONFIG.
    pub const CONFIG: u64 = 1 << 9;
    /// The region that tells which commands were in flight.
    pub const INFLIGHT_SHMFD: u64 = 1 << 12;
    /// RESET_DEVICE.
    pub const RESET_DEVICE: u64 = 1 << 13;
    /// Memory regions one by one.
    pub const CONFIGURE_MEM_SLOTS: u64 = 1 << 15;
    /// GET_STATUS and SET_STATUS.
    pub const STATUS: u64 = 1 << 16;
    /// State of the device for migration.
    pub const DEVICE_STATE: u64 = 1 << 19;
    /// Memory shared by the back end.
    pub const SHMEM: u64 = 1 << 22;
}

/// One thing a front end does.  What needs a protocol feature that was not negotiated is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// SET_OWNER.
    Owner,
    /// GET_FEATURES.
    ReadFeatures,
    /// GET_PROTOCOL_FEATURES and SET_PROTOCOL_FEATURES.
    ProtocolFeatures,
    /// GET_QUEUE_NUM.
    QueueCount,
    /// GET_MAX_MEM_SLOTS.
    MemorySlots,
    /// SET_BACKEND_REQ_FD.
    BackendChannel,
    /// GET_CONFIG of the whole configuration space.
    Config,
    /// SET_VRING_CALL with a descriptor that no guest listens to, and SET_VRING_ERR, for every queue.
    MaskedCalls,
    /// SET_FEATURES.
    AckFeatures,
    /// GET_STATUS, and SET_STATUS with these bits added.
    AddStatus(u8),
    /// SET_STATUS with this value.
    SetStatus(u8),
    /// GET_INFLIGHT_FD unless the guest has a region; SET_INFLIGHT_FD.
    Inflight,
    /// ADD_MEM_REG for each region the back end does not have, if it knows how, else SET_MEM_TABLE.
    MemorySlotsOrTable,
    /// SET_MEM_TABLE.
    MemoryTable,
    /// These, queue by queue.
    Rings(&'static [RingStep]),
    /// GET_INFLIGHT_FD, whatever region there was, and SET_INFLIGHT_FD.
    NewInflight,
    /// These, for queues that GET_QUEUE_NUM promised and the guest's driver never set up: no entries, and all parts at
    /// the guest's address 0.
    RingsNeverSetUp(&'static [RingStep]),
    /// SET_VRING_ENABLE 1 for every queue, with an address or not.
    EnableAll,
    /// SET_VRING_ENABLE 0 for every queue.
    DisableAll,
}

/// One thing a front end does for one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingStep {
    /// SET_VRING_NUM.
    Num,
    /// SET_VRING_BASE.
    Base,
    /// SET_VRING_ADDR.
    Address,
    /// SET_VRING_KICK.
    Kick,
    /// SET_VRING_CALL with the descriptor the guest listens to.
    Call,
    /// SET_VRING_ENABLE 1.
    Enable,
    /// SET_VRING_ENABLE 0.
    Disable,
    /// GET_VRING_BASE.
    TakeBase,
}

/// Which messages ask for an acknowledgement, where REPLY_ACK was negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// None.
    Never,
    /// Those about memory and the back end's channel.
    Memory,
    /// Those about memory, SET_VRING_ENABLE and the back end's channel.
    Some,
    /// All, even those that have a reply of their own.
    Always,
}

/// What SET_VRING_BASE says after the connection was lost with commands in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseAfterLoss {
    /// The used index.
    UsedIndex,
    /// The available index.
    AvailableIndex,
}

/// What libkrun says of each ring.
const EACH_RING_OF_LIBKRUN: &[RingStep] =
    &[RingStep::Num, RingStep::Base, RingStep::Address, RingStep::Kick, RingStep::Call, RingStep::Enable];

/// One front end's manners.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Its name, for messages.
    pub name: &'static str,
    /// Features that pass from back end to driver if offered.
    pub passes: u64,
    /// Features the driver is offered whatever the back end says, and that come back in SET_FEATURES.
    pub adds_blindly: u64,
    /// Protocol features it takes if offered.
    pub protocol_features: u64,
    /// From the connection until the guest's driver takes over.
    pub realize: &'static [Step],
    /// At DRIVER_OK.
    pub start: &'static [Step],
    /// At a reset or power-off by the guest.
    pub stop: &'static [Step],
    /// Which messages are acknowledged.
    pub acks: Acks,
    /// The base after a loss.
    pub base_after_loss: BaseAfterLoss,
}

impl Dialect {
    /// QEMU 10.0.2, `vhost-user-scsi-pci` with default properties.
    pub const QEMU: Self = Self {
        name: "qemu",
        passes: FEATURE_NOTIFY_ON_EMPTY | FEATURE_INDIRECT | FEATURE_EVENT_IDX | FEATURE_HOTPLUG,
        adds_blindly: FEATURE_CHANGE | FEATURE_ANY_LAYOUT | FEATURE_VERSION_1,
        protocol_features: protocol::MQ
            | protocol::LOG_SHMFD
            | protocol::REPLY_ACK
            | protocol::BACKEND_REQ
            | protocol::INFLIGHT_SHMFD
            | protocol::RESET_DEVICE
            | protocol::CONFIGURE_MEM_SLOTS
            | protocol::STATUS,
        realize: &[
            Step::ReadFeatures,
            Step::ProtocolFeatures,
            Step::QueueCount,
            Step::MemorySlots,
            Step::BackendChannel,
            Step::Owner,
            Step::ReadFeatures,
            Step::MaskedCalls,
        ],
        start: &[
            Step::AckFeatures,
            // FEATURES_OK.
            Step::AddStatus(8),
            Step::Inflight,
            Step::AckFeatures,
            Step::MemorySlotsOrTable,
            Step::Rings(&[RingStep::Num, RingStep::Base, RingStep::Address, RingStep::Kick]),
            Step::EnableAll,
            // ACKNOWLEDGE, DRIVER, DRIVER_OK.
            Step::AddStatus(1 | 2 | 4),
            // The guest's interrupts are unmasked after the rings run.
            Step::Rings(&[RingStep::Call]),
        ],
        stop: &[Step::DisableAll, Step::Rings(&[RingStep::TakeBase]), Step::SetStatus(0)],
        acks: Acks::Some,
        base_after_loss: BaseAfterLoss::UsedIndex,
    };

    /// QEMU 7.2: a new inflight region at each start, before the features, which are said once; no acknowledgement of
    /// SET_VRING_ENABLE; no way back after the connection was lost.
    pub const QEMU_7_2: Self = Self {
        name: "qemu-7.2",
        start: &[
            Step::NewInflight,
            Step::AckFeatures,
            // FEATURES_OK.
            Step::AddStatus(8),
            Step::MemorySlotsOrTable,
            Step::Rings(&[RingStep::Num, RingStep::Base, RingStep::Address, RingStep::Kick]),
            Step::EnableAll,
            Step::Rings(&[RingStep::Call]),
        ],
        stop: &[Step::DisableAll, Step::Rings(&[RingStep::TakeBase])],
        acks: Acks::Memory,
        ..Self::QEMU
    };

    /// QEMU 8.2, the first that reconnects: as 10.0.
    pub const QEMU_8_2: Self = Self { name: "qemu-8.2", ..Self::QEMU };

    /// QEMU with `param_change=off`: nothing is acknowledged that was not offered, VERSION_1 apart.
    pub const QEMU_PARAM_CHANGE_OFF: Self = Self { adds_blindly: FEATURE_VERSION_1, ..Self::QEMU };

    /// Cloud Hypervisor, `--generic-vhost-user device_type=scsi`.
    pub const CLOUD_HYPERVISOR: Self = Self {
        name: "cloud-hypervisor",
        passes: FEATURE_INDIRECT | FEATURE_EVENT_IDX | FEATURE_VERSION_1,
        adds_blindly: 0,
        protocol_features: protocol::CONFIG
            | protocol::MQ
            | protocol::CONFIGURE_MEM_SLOTS
            | protocol::REPLY_ACK
            | protocol::INFLIGHT_SHMFD
            | protocol::LOG_SHMFD
            | protocol::DEVICE_STATE
            | protocol::BACKEND_REQ,
        realize: &[Step::Owner, Step::ReadFeatures, Step::ProtocolFeatures, Step::QueueCount, Step::Config],
        start: &[
            Step::AckFeatures,
            Step::MemoryTable,
            Step::Rings(&[RingStep::Num]),
            Step::Inflight,
            Step::Rings(&[RingStep::Address, RingStep::Base, RingStep::Call, RingStep::Kick]),
            Step::EnableAll,
            Step::BackendChannel,
        ],
        stop: &[Step::DisableAll],
        acks: Acks::Always,
        base_after_loss: BaseAfterLoss::AvailableIndex,
    };

    /// crosvm, `--vhost-user scsi,socket=…`.
    pub const CROSVM: Self = Self {
        name: "crosvm",
        passes: FEATURE_HOTPLUG | FEATURE_CHANGE | FEATURE_INDIRECT | FEATURE_EVENT_IDX | FEATURE_VERSION_1,
        adds_blindly: 0,
        protocol_features: protocol::CONFIG
            | protocol::MQ
            | protocol::BACKEND_REQ
            | protocol::DEVICE_STATE
            | protocol::SHMEM
            | protocol::REPLY_ACK,
        realize: &[
            Step::Owner,
            Step::ReadFeatures,
            Step::ProtocolFeatures,
            Step::BackendChannel,
            Step::QueueCount,
            Step::Config,
        ],
        start: &[
            Step::AckFeatures,
            Step::MemoryTable,
            Step::Rings(&[
                RingStep::Num,
                RingStep::Address,
                RingStep::Base,
                RingStep::Call,
                RingStep::Kick,
                RingStep::Enable,
            ]),
        ],
        stop: &[Step::Rings(&[RingStep::Disable, RingStep::TakeBase])],
        acks: Acks::Never,
        base_after_loss: BaseAfterLoss::AvailableIndex,
    };

    /// libkrun, `krun_add_vhost_user_device` with as many queues as the back end says.  It never comes back after the
    /// connection was lost.
    pub const LIBKRUN: Self = Self {
        name: "libkrun",
        passes: !FEATURE_PROTOCOL,
        adds_blindly: FEATURE_VERSION_1,
        protocol_features: protocol::CONFIG | protocol::MQ,
        realize: &[Step::ReadFeatures, Step::ProtocolFeatures, Step::QueueCount, Step::Config],
        start: &[
            Step::Owner,
            Step::MemoryTable,
            Step::AckFeatures,
            Step::Rings(EACH_RING_OF_LIBKRUN),
            Step::RingsNeverSetUp(EACH_RING_OF_LIBKRUN),
        ],
        stop: &[Step::DisableAll, Step::RingsNeverSetUp(&[RingStep::Disable])],
        acks: Acks::Never,
        base_after_loss: BaseAfterLoss::AvailableIndex,
    };
}
