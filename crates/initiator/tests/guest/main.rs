// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest against a small device of the tests' own, built on the `vhost` crate's back end.
//!
//! Above: `cargo test`.  Below: `device`, which can also be made to misbehave.
//! Never here: our own back end; it is examined with this guest elsewhere.

// The device.
mod device;
mod disk;
mod walker;

// What the guest does with it.
mod accusations;
mod boot;
mod load;
mod malformed;
mod requests;

use device::{Device, Personality};
use initiator::{Guest, LunAddress, Options};
use std::time::Duration;

/// The only unit of the device.
const UNIT: LunAddress = LunAddress([1, 1, 0x40, 0, 0, 0, 0, 0]);

/// Short, for what is expected not to come.
const SHORT: Duration = Duration::from_millis(100);

fn boot(device: &Device, options: Options) -> Guest {
    Guest::boot(device.path(), options).expect("the device is well")
}

fn well() -> Device {
    Device::start(Personality::default())
}
