// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunar libvirt`: the XML that gives a guest the disks of a target.
//!
//! Above: `main`.  Below: `guest`; `qemu`, since libvirt has no vhost-user-scsi of its own and passes
//! options on; `quick-xml`.
//! Never here: which targets there are.

use crate::guest::{self, Transport};
use crate::options::{DeviceOptions, LibvirtOptions};
use crate::qemu::chardev_and_device;
use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::{BytesEnd, BytesStart, Event};
use shell::{Api, Failure};
use std::io;

/// Elements for a `<domain>`.
pub(crate) fn xml(wanted: &LibvirtOptions, api: &dyn Api) -> Result<String, Failure> {
    let wanted = &wanted.device;
    let element = match wanted.transport {
        Transport::Vhost => of_the_kernel(wanted)?,
        Transport::VhostUser => of_lunard(wanted, api)?,
    };
    let mut text = Vec::new();
    // Writing to memory does not fail.
    element
        .iter()
        .try_for_each(|element| element.write(&mut text))
        .map_err(|error| Failure::new(error.to_string()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// An element, with the comment that goes before it.
struct Element {
    comment: Option<&'static str>,
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Element>,
}

fn element(name: &'static str, attributes: &[(&'static str, &str)], children: Vec<Element>) -> Element {
    let attributes = attributes.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Element { comment: None, name, attributes, children }
}

impl Element {
    /// Writes the element indented by two, with apostrophes around values as libvirt does.
    fn write(&self, text: &mut Vec<u8>) -> io::Result<()> {
        if let Some(comment) = self.comment {
            text.extend_from_slice(format!("<!-- {comment} -->\n").as_bytes());
        }
        self.write_into(&mut Writer::new_with_indent(&mut *text, b' ', 2))?;
        text.push(b'\n');
        Ok(())
    }

    fn write_into(&self, writer: &mut Writer<&mut Vec<u8>>) -> io::Result<()> {
        let attributes =
            self.attributes.iter().map(|(name, value)| format!(" {name}='{}'", escape(value.as_str())));
        let content = format!("{}{}", self.name, attributes.collect::<String>());
        let start = BytesStart::from_content(content, self.name.len());
        if self.children.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        self.children.iter().try_for_each(|child| child.write_into(writer))?;
        writer.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

fn of_lunard(wanted: &DeviceOptions, api: &dyn Api) -> Result<Vec<Element>, Failure> {
    let targets = guest::served(wanted, api)?;
    let source = element("source", &[("type", "memfd")], Vec::new());
    let access = element("access", &[("mode", "shared")], Vec::new());
    let mut memory = element("memoryBacking", &[], vec![source, access]);
    memory.comment =
        Some("Into the domain: memory that lunard can map. Merge it with a memoryBacking that is there.");
    let arguments = targets.iter().flat_map(|target| {
        let [chardev, device] = chardev_and_device(target, wanted);
        ["-chardev".to_owned(), chardev, "-device".to_owned(), device]
    });
    let arguments = arguments.map(|argument| element("qemu:arg", &[("value", &argument)], Vec::new()));
    let namespace = ("xmlns:qemu", "http://libvirt.org/schemas/domain/qemu/1.0");
    let mut command_line = element("qemu:commandline", &[namespace], arguments.collect());
    command_line.comment =
        Some("Into the domain, at its end: the adapters, which libvirt has no element for.");
    Ok(vec![memory, command_line])
}

fn of_the_kernel(wanted: &DeviceOptions) -> Result<Vec<Element>, Failure> {
    if wanted.queues.is_some() {
        return Err(Failure::new("libvirt cannot set the number of queues of the kernel's vhost-scsi"));
    }
    let mut hostdevs = Vec::new();
    for wwn in guest::names(wanted)? {
        let source = element("source", &[("protocol", "vhost"), ("wwpn", &wwn)], Vec::new());
        let children = std::iter::once(source).chain(address(wanted)?).collect();
        hostdevs.push(element("hostdev", &[("mode", "subsystem"), ("type", "scsi_host")], children));
    }
    Ok(hostdevs)
}

fn address(wanted: &DeviceOptions) -> Result<Option<Element>, Failure> {
    if let Some(pci) = &wanted.pci {
        let (bus, slot, function) = pci.of_libvirt()?;
        return Ok(Some(element(
            "address",
            &[
                ("type", "pci"),
                ("domain", "0x0000"),
                ("bus", &format!("{bus:#04x}")),
                ("slot", &format!("{slot:#04x}")),
                ("function", &format!("{function:#x}")),
            ],
            Vec::new(),
        )));
    }
    let Some((image, set, device)) = wanted.ccw.and_then(|ccw| ccw.0) else { return Ok(None) };
    Ok(Some(element(
        "address",
        &[
            ("type", "ccw"),
            ("cssid", &format!("{image:#x}")),
            ("ssid", &format!("{set:#x}")),
            ("devno", &format!("{device:#06x}")),
        ],
        Vec::new(),
    )))
}
