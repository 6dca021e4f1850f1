// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which targets a guest gets, and where their adapters are plugged in.
//!
//! Above: `qemu`, `libvirt`, `options`.  Below: the API.
//! Never here: the form of an option or of XML.

use crate::options::DeviceOptions;
use clap::ValueEnum;
use shell::{Api, Failure, wwn};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// Who serves a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// lunard, over a socket of the target
    VhostUser,
    /// the kernel's vhost-scsi, in which lunard takes no part
    Vhost,
}

/// A target as a guest reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) wwn: String,
    /// The path of its socket.
    pub(crate) socket: String,
    /// The lowest tag of those that have a LUN 0, which is the one unit firmware boots from.
    pub(crate) boot_tpgt: Option<u16>,
    /// The options of its device, by name.
    pub(crate) options: BTreeMap<String, String>,
}

/// The names as typed, in the one form that everybody knows.
pub(crate) fn names(wanted: &DeviceOptions) -> Result<Vec<String>, Failure> {
    let names = wanted.wwns.iter().map(|name| wwn::normalize(name)).collect::<Result<Vec<String>, _>>()?;
    let mut before = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !before.insert(name.as_str())) {
        return Err(Failure::new(format!("target {twice} is named twice"))
            .hint("a target is one adapter of one guest; name each once"));
    }
    if names.len() > 1 && (wanted.pci.is_some() || wanted.ccw.is_some_and(|ccw| ccw.0.is_some())) {
        return Err(Failure::new("one address cannot be that of several adapters")
            .hint("ask for one target at a time"));
    }
    Ok(names)
}

/// The targets as lunard serves them.
pub(crate) fn served(wanted: &DeviceOptions, api: &dyn Api) -> Result<Vec<Served>, Failure> {
    if wanted.ccw.is_some() {
        return Err(Failure::new("QEMU has no vhost-user-scsi-ccw device")
            .hint("an IBM Z guest reaches only the kernel's targets: --transport vhost"));
    }
    let names = names(wanted)?;
    let targets = api.config()?.targets;
    let one = |name: String| {
        let Some(target) = targets.iter().find(|target| target.wwn == name) else {
            let known: Vec<&str> = targets.iter().map(|target| target.wwn.as_str()).collect();
            return Err(Failure::new(match known.as_slice() {
                [] => format!("no target {name}, nor any other; `lunar /vhost create` makes one"),
                known => format!("no target {name}; the targets are {}", known.join(" ")),
            }));
        };
        let has_lun_0 = |tpg: &&api::v1::Tpg| tpg.luns.iter().any(|lun| lun.lun == 0);
        Ok(Served {
            wwn: name,
            socket: target.socket.clone(),
            options: target.options.clone(),
            boot_tpgt: target.tpgs.iter().filter(has_lun_0).map(|tpg| tpg.tag).min(),
        })
    };
    names.into_iter().map(one).collect()
}

/// Where an adapter is on PCI, as QEMU says it: `bus=pci.0,addr=0x5`, or either alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PciAddress {
    pub(crate) bus: Option<String>,
    /// The slot, 0 to 31, and the function, 0 to 7, where one was typed.
    pub(crate) slot: Option<(u8, Option<u8>)>,
}

impl FromStr for PciAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text} is no PCI address; one is bus=pci.0,addr=0x5, with a slot from 0x0 to 0x1f");
        let mut address = Self::default();
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("bus", bus)) if address.bus.is_none() && is_id(bus) => {
                    address.bus = Some(bus.to_owned())
                }
                Some(("addr", slot)) if address.slot.is_none() => {
                    address.slot = Some(parse_slot(slot).ok_or_else(wrong)?);
                }
                _ => return Err(wrong()),
            }
        }
        Ok(address)
    }
}

impl PciAddress {
    /// `,bus=pci.0,addr=0x5`, of which each part is there if it was typed.
    pub(crate) fn of_qemu(&self) -> String {
        let bus = self.bus.as_ref().map(|bus| format!(",bus={bus}")).unwrap_or_default();
        let slot = match self.slot {
            None => String::new(),
            Some((slot, None)) => format!(",addr={slot:#x}"),
            Some((slot, Some(function))) => format!(",addr={slot:#x}.{function:#x}"),
        };
        format!("{bus}{slot}")
    }

    /// libvirt's number of the bus, and slot and function, which it wants all.
    pub(crate) fn of_libvirt(&self) -> Result<(u8, u8, u8), Failure> {
        let bus = self.bus.as_deref().unwrap_or("pci.0");
        let number = bus.strip_prefix("pci.").or_else(|| bus.strip_prefix("pcie."));
        let number = number.and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| {
            Failure::new(format!("libvirt knows no bus {bus}"))
                .hint("it numbers them: pci.0, pci.1 or pcie.0")
        })?;
        match self.slot {
            Some((slot, function)) => Ok((number, slot, function.unwrap_or(0))),
            None => Err(Failure::new("libvirt wants a slot with the bus").hint("such as bus=pci.0,addr=0x5")),
        }
    }
}

/// QEMU's identifiers: a letter, then letters, digits and `-._`.
fn is_id(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

/// `0x5`, `5` or `0x5.0x1`: QEMU reads both numbers as hexadecimal, with or without `0x`.
fn parse_slot(text: &str) -> Option<(u8, Option<u8>)> {
    let (slot, function) = match text.split_once('.') {
        Some((slot, function)) => (slot, Some(function)),
        None => (text, None),
    };
    let slot = hexadecimal(slot, 0x1f)?;
    match function {
        None => Some((slot, None)),
        Some(function) => Some((slot, Some(hexadecimal(function, 7)?))),
    }
}

fn hexadecimal<N: TryFrom<u32> + PartialOrd>(text: &str, largest: N) -> Option<N> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(digits, 16).ok().filter(|_| plain)?;
    N::try_from(number).ok().filter(|number| *number <= largest)
}

/// Where an adapter of an IBM Z guest is, as `devno=fe.0.1000`: channel subsystem image, subchannel set and
/// device number.  Nothing where only `--ccw` was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CcwAddress(pub(crate) Option<(u8, u8, u16)>);

impl FromStr for CcwAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let wrong = || format!("{text} is no device number; one is devno=fe.0.1000");
        let parts: Vec<&str> = text.strip_prefix("devno=").unwrap_or(text).split('.').collect();
        let [image, set, device] = parts.as_slice() else { return Err(wrong()) };
        let place =
            (|| Some((hexadecimal(image, 0xfe)?, hexadecimal(set, 3)?, hexadecimal(device, 0xffff)?)))();
        Ok(Self(Some(place.ok_or_else(wrong)?)))
    }
}

/// A version of QEMU, as far as it matters to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QemuVersion {
    pub(crate) major: u16,
    pub(crate) minor: u16,
}

impl FromStr for QemuVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no version of QEMU; one is 8.2");
        let mut parts = text.split('.').map(|part| part.parse::<u16>().map_err(|_| wrong()));
        let major = parts.next().unwrap_or_else(|| Err(wrong()))?;
        let minor = parts.next().unwrap_or(Ok(0))?;
        Ok(Self { major, minor })
    }
}

/// What the socket of QEMU does when lunard goes away and comes back.
///
/// An adapter can follow since 8.2.  The option has counted milliseconds since 9.2, where the one in
/// seconds is deprecated.  A restart takes a fraction of a second, and the guest waits for the rest of the interval.
pub(crate) fn reconnect(version: Option<QemuVersion>) -> &'static str {
    match version {
        Some(version) if version < (QemuVersion { major: 8, minor: 2 }) => "",
        Some(version) if version < (QemuVersion { major: 9, minor: 2 }) => ",reconnect=1",
        _ => ",reconnect-ms=100",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_are_written_as_qemu_reads_them() {
        for (text, written) in [
            ("bus=pci.0,addr=0x5", ",bus=pci.0,addr=0x5"),
            ("addr=0x1f.0x7,bus=pcie.0", ",bus=pcie.0,addr=0x1f.0x7"),
            ("addr=5", ",addr=0x5"),
            ("bus=root-port_1", ",bus=root-port_1"),
        ] {
            assert_eq!(text.parse::<PciAddress>().expect(text).of_qemu(), written);
        }
    }

    #[test]
    fn other_pci_addresses_are_refused_by_name() {
        for text in [
            "",
            "5",
            "addr=",
            "addr=0x20",
            "addr=0x5.8",
            "addr=-1",
            "addr=0x",
            "addr=+5",
            "bus=",
            "bus=0",
            "bus=a b",
            "bus=pci.0,bus=pci.1",
            "addr=1,addr=2",
            "bus=pci.0,",
            "bus=pci.0;addr=5",
            "slot=5",
            "bus=pci.0,addr=0x5,id=x",
        ] {
            let error = text.parse::<PciAddress>().expect_err(text);
            assert!(error.starts_with(&format!("{text} is no PCI address; ")), "{error}");
        }
    }

    #[test]
    fn device_numbers_have_three_parts() {
        assert_eq!("devno=fe.0.1000".parse(), Ok(CcwAddress(Some((0xfe, 0, 0x1000)))));
        assert_eq!("fe.3.ffff".parse(), Ok(CcwAddress(Some((0xfe, 3, 0xffff)))));
        for text in ["fe.0", "fe.4.0", "ff.0.0", "fe.0.10000", "fe.0.0.0", "devno=", "naa.500140568720f76f"] {
            assert!(text.parse::<CcwAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn reconnecting_is_spelled_as_each_qemu_knows_it() {
        let spelled = |text: &str| reconnect(Some(text.parse().expect(text)));
        assert_eq!(spelled("7.2"), "");
        assert_eq!(spelled("8"), "");
        assert_eq!(spelled("8.2.1"), ",reconnect=1");
        assert_eq!(spelled("9.1"), ",reconnect=1");
        assert_eq!(spelled("9.2"), ",reconnect-ms=100");
        assert_eq!(reconnect(None), ",reconnect-ms=100");
        assert!("eight".parse::<QemuVersion>().is_err());
    }
}
