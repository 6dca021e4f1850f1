// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunar qemu`: the options that give a guest the disks of a target.
//!
//! Above: `main`.  Below: `guest`.
//! Never here: which targets there are.

use crate::guest::{self, Served, Transport};
use crate::options::{DeviceOptions, QemuOptions};
use shell::{Api, Failure, size};

/// A guest's memory where nobody says how much.
const MEMORY_BYTES_DEFAULT: u64 = 1 << 30;

/// The options, one a line.  No word has white space, so that `$(lunar qemu ...)` splits them right.
pub(crate) fn options(wanted: &QemuOptions, api: &dyn Api) -> Result<String, Failure> {
    if wanted.device.transport == Transport::Vhost {
        if wanted.memory.is_some() {
            return Err(Failure::new(
                "--memory is for targets of lunard; the kernel's vhost maps any memory",
            ));
        }
        return Ok(lines(&of_the_kernel(&wanted.device)?));
    }
    let mut options = memory(wanted.memory.as_deref())?;
    for target in guest::served(&wanted.device, api)? {
        options.extend(of_lunard(&target, &wanted.device)?);
    }
    Ok(lines(&options))
}

/// The words of what [`options`] wrote, as a program passes them on.
pub(crate) fn words(options: &str) -> Vec<&str> {
    options.split_ascii_whitespace().collect()
}

fn lines(options: &[String]) -> String {
    options.iter().map(|option| format!("{option}\n")).collect()
}

/// Memory that another process can map: without `share=on` QEMU starts, says nothing, and no command ever
/// arrives.
fn memory(typed: Option<&str>) -> Result<Vec<String>, Failure> {
    let bytes = typed.map_or(Ok(MEMORY_BYTES_DEFAULT), size::parse)?;
    let whole = |shift: u32| (bytes != 0 && bytes.is_multiple_of(1 << shift)).then(|| bytes >> shift);
    let size = match (whole(30), whole(20)) {
        (Some(count), _) => format!("{count}G"),
        (None, Some(count)) => format!("{count}M"),
        (None, None) => {
            return Err(Failure::new(format!("a guest cannot have {bytes} bytes of memory"))
                .hint("write whole megabytes, such as 512M or 4G"));
        }
    };
    Ok(vec![
        format!("-object memory-backend-memfd,id=lunar-memory,size={size},share=on"),
        "-numa node,memdev=lunar-memory".to_owned(),
        format!("-m {size}"),
    ])
}

fn of_lunard(target: &Served, wanted: &DeviceOptions) -> Result<[String; 2], Failure> {
    if target.socket.contains(char::is_whitespace) {
        return Err(Failure::new(format!("the path of the socket has white space in it: {}", target.socket))
            .hint("start lunard with another --runtime-dir, since the options are split at white space"));
    }
    if let (Some(typed), Some(most)) = (wanted.queues, request_queues(target))
        && typed > most
    {
        return Err(Failure::new(format!("target {} has {most} request queues, not {typed}", target.wwn))
            .hint(format!("`lunar /vhost/{} set option num_queues={typed}` gives it more", target.wwn)));
    }
    let [chardev, device] = chardev_and_device(target, wanted);
    Ok([format!("-chardev {chardev}"), format!("-device {device}")])
}

/// The values of `-chardev` and `-device`.
pub(crate) fn chardev_and_device(target: &Served, wanted: &DeviceOptions) -> [String; 2] {
    let wwn = &target.wwn;
    // QEMU reads two commas as one that does not end a value.
    let path = target.socket.replace(',', ",,");
    let reconnect = guest::reconnect(wanted.qemu_version);
    let boot = target.boot_tpgt.map(|tag| format!(",boot_tpgt={tag}")).unwrap_or_default();
    let queues = match (wanted.queues, request_queues(target)) {
        (None, Some(count)) => format!(",num_queues={count}"),
        _ => queues(wanted),
    };
    let options = options_of(target);
    let pci = wanted.pci.as_ref().map(|pci| pci.of_qemu()).unwrap_or_default();
    [
        format!("socket,id=lunar-{wwn},path={path}{reconnect}"),
        format!("vhost-user-scsi-pci,id=scsi-{wwn},chardev=lunar-{wwn}{boot}{queues}{options}{pci}"),
    ]
}

/// The request queues of a target where their number is set.
fn request_queues(target: &Served) -> Option<u16> {
    target.options.get("num_queues")?.parse().ok().filter(|count| *count != 0)
}

/// The longest queue of a device of QEMU, in entries; it ends at once when asked for a longer one.
const QEMU_QUEUE_ENTRIES_MAX: u32 = 1024;

/// What a target's options are called in QEMU, and the value at which there is nothing to say.  `seg_max` is missing
/// because a vhost-user device of QEMU always tells its guest 126.
const PROPERTIES: &[(&str, u32)] = &[("virtqueue_size", 32768), ("max_sectors", 65535), ("cmd_per_lun", 128)];

fn options_of(target: &Served) -> String {
    let property = |&(name, unsaid): &(&str, u32)| {
        let set: u32 = target.options.get(name)?.parse().ok().filter(|set| *set != unsaid)?;
        let value = if name == "virtqueue_size" { set.min(QEMU_QUEUE_ENTRIES_MAX) } else { set };
        Some(format!(",{name}={value}"))
    };
    PROPERTIES.iter().filter_map(property).collect()
}

fn of_the_kernel(wanted: &DeviceOptions) -> Result<Vec<String>, Failure> {
    let queues = queues(wanted);
    let place = match &wanted.ccw {
        None => wanted.pci.as_ref().map(|pci| pci.of_qemu()).unwrap_or_default(),
        Some(ccw) => match ccw.0 {
            None => String::new(),
            Some((image, set, device)) => format!(",devno={image:x}.{set:x}.{device:04x}"),
        },
    };
    let device = if wanted.ccw.is_some() { "vhost-scsi-ccw" } else { "vhost-scsi-pci" };
    let option = |wwn: String| format!("-device {device},wwpn={wwn}{place}{queues}");
    Ok(guest::names(wanted)?.into_iter().map(option).collect())
}

fn queues(wanted: &DeviceOptions) -> String {
    wanted.queues.map(|count| format!(",num_queues={count}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Options, Tool};
    use clap::Parser;

    fn device(arguments: &[&str]) -> DeviceOptions {
        let line = ["lunar", "qemu", "naa.500140568720f76f"].iter().chain(arguments);
        match Options::try_parse_from(line).map(|options| options.tool) {
            Ok(Some(Tool::Qemu(wanted))) => wanted.device,
            other => panic!("{other:?}"),
        }
    }

    fn served(socket: &str, boot_tpgt: Option<u16>) -> Served {
        let options = [
            ("cmd_per_lun", "128"),
            ("max_sectors", "65535"),
            ("num_queues", "0"),
            ("seg_max", "126"),
            ("virtqueue_size", "32768"),
        ];
        Served {
            wwn: "naa.500140568720f76f".to_owned(),
            socket: socket.to_owned(),
            boot_tpgt,
            options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
    }

    fn set(target: &mut Served, name: &str, value: &str) {
        target.options.insert(name.to_owned(), value.to_owned());
    }

    #[test]
    fn options_of_the_target_are_properties_of_the_device() {
        let mut target = served("/s", None);
        let of = |target: &Served, typed: &[&str]| chardev_and_device(target, &device(typed))[1].clone();
        let plain = of(&target, &[]);
        for (name, value, added) in [
            ("num_queues", "4", ",num_queues=4"),
            ("virtqueue_size", "256", ",num_queues=4,virtqueue_size=256"),
            ("virtqueue_size", "4096", ",num_queues=4,virtqueue_size=1024"),
            ("cmd_per_lun", "64", ",num_queues=4,virtqueue_size=1024,cmd_per_lun=64"),
            ("max_sectors", "2048", ",num_queues=4,virtqueue_size=1024,max_sectors=2048,cmd_per_lun=64"),
            ("seg_max", "64", ",num_queues=4,virtqueue_size=1024,max_sectors=2048,cmd_per_lun=64"),
        ] {
            set(&mut target, name, value);
            assert_eq!(of(&target, &[]), format!("{plain}{added}"));
        }
    }

    #[test]
    fn more_queues_than_the_target_has_are_refused() {
        let mut target = served("/s", None);
        set(&mut target, "num_queues", "4");
        let typed = of_lunard(&target, &device(&["--queues", "2"])).expect("fewer are fine");
        assert!(typed[1].contains(",num_queues=2"), "{}", typed[1]);
        let failure = of_lunard(&target, &device(&["--queues", "8"])).expect_err("QEMU would not start");
        assert_eq!(failure.message, "target naa.500140568720f76f has 4 request queues, not 8");
        assert_eq!(
            failure.hint.as_deref(),
            Some("`lunar /vhost/naa.500140568720f76f set option num_queues=8` gives it more")
        );
    }

    #[test]
    fn a_comma_in_the_path_is_doubled() {
        let [chardev, _] = chardev_and_device(&served("/run/a,b.sock", None), &device(&[]));
        assert_eq!(chardev, "socket,id=lunar-naa.500140568720f76f,path=/run/a,,b.sock,reconnect-ms=100");
    }

    #[test]
    fn white_space_in_the_path_is_refused() {
        let failure = of_lunard(&served("/run/a b.sock", None), &device(&[])).expect_err("it would be split");
        assert_eq!(failure.message, "the path of the socket has white space in it: /run/a b.sock");
    }

    #[test]
    fn firmware_boots_where_there_is_a_lun_0() {
        let of = |boot| chardev_and_device(&served("/s", boot), &device(&["--pci", "addr=0x5"]))[1].clone();
        assert_eq!(
            of(Some(0)),
            "vhost-user-scsi-pci,id=scsi-naa.500140568720f76f,chardev=lunar-naa.500140568720f76f,boot_tpgt=0,addr=0x5"
        );
        assert_eq!(
            of(None),
            "vhost-user-scsi-pci,id=scsi-naa.500140568720f76f,chardev=lunar-naa.500140568720f76f,addr=0x5"
        );
    }

    #[test]
    fn memory_is_whole_megabytes() {
        for (typed, size) in
            [(None, "1G"), (Some("4G"), "4G"), (Some("1536M"), "1536M"), (Some("1T"), "1024G")]
        {
            assert_eq!(memory(typed).expect("a size")[2], format!("-m {size}"));
        }
        for typed in ["0", "512", "1000k", "x"] {
            assert!(memory(Some(typed)).is_err(), "{typed}");
        }
    }
}
