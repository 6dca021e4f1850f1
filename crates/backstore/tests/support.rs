// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A reactor with one channel, guest memory, and devices of the host.
//!
//! Above: the tests of this crate.  Below: `reactor`, `memory`, losetup.
//! Never here: a claim.

#![allow(dead_code, reason = "each test binary has a copy of this and uses some of it")]

use backstore::{Backstore, BackstoreError, BlockOptions, Channel, Completed, Io, IoKind, Submitted, Token};
use memory::{GuestAddress, GuestMemory, IoBuf, RegionSpec, UserAddress, View};
use reactor::{Event, Submitter, Work};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const GUEST_BYTES: u64 = 16 << 20;

/// Guest memory and a reactor with one channel.
pub(crate) struct Rig {
    guest: Arc<GuestMemory>,
    reactor: reactor::Handle<Runner>,
    results: mpsc::Receiver<Result<(), BackstoreError>>,
}

struct Request {
    kind: IoKind,
    offset: u64,
    ranges: Vec<(u64, u32)>,
}

struct Runner {
    channel: Box<dyn Channel>,
    view: View,
    results: mpsc::Sender<Result<(), BackstoreError>>,
}

impl Runner {
    fn done(&self, completed: Completed) {
        assert_eq!(completed.token.redeem(), 42);
        self.results.send(completed.result).unwrap();
    }
}

impl Work for Runner {
    type Mail = Request;
    fn mail(&mut self, submitter: &mut Submitter, request: Request) {
        let mut buffer = IoBuf::new();
        for (at, bytes) in request.ranges {
            buffer.push(&self.view, GuestAddress(at), bytes).unwrap();
        }
        let io = Io { kind: request.kind, offset: request.offset, buffer };
        if let Submitted::Done(completed) = self.channel.submit(submitter, io, Token::new(42)) {
            self.done(completed);
        }
    }
    fn poll(&mut self, _: &mut Submitter) -> bool {
        false
    }
    fn event(&mut self, submitter: &mut Submitter, event: Event) {
        let Event::Io(tag, result) = event else { panic!("{event:?}") };
        assert_eq!(tag.channel, 3);
        if let Some(completed) = self.channel.completed(submitter, tag.operation, result) {
            self.done(completed);
        }
    }
    fn publish(&mut self, _: &mut Submitter) {}
    fn arm(&mut self) -> bool {
        false
    }
    fn disarm(&mut self) {}
    fn deadline(&self) -> Option<Instant> {
        None
    }
    fn expired(&mut self, _: &mut Submitter, _: Instant) {}
}

impl Rig {
    pub(crate) fn new(store: impl Backstore + 'static) -> Self {
        let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, GUEST_BYTES).unwrap();
        let region = RegionSpec {
            guest: GuestAddress(0),
            user: UserAddress(0x7f00_0000_0000),
            bytes: GUEST_BYTES,
            file_offset: 0,
            file,
        };
        let guest = Arc::new(GuestMemory::from_regions(vec![region]).unwrap());
        let memory = Arc::clone(&guest);
        let (sender, results) = mpsc::channel();
        let reactor = reactor::spawn("rig".into(), move |_| Runner {
            channel: store.channel(3),
            view: View::new(memory),
            results: sender,
        })
        .unwrap();
        Self { guest, reactor, results }
    }

    pub(crate) fn run(&self, kind: IoKind, offset: u64, ranges: &[(u64, u32)]) -> Result<(), BackstoreError> {
        self.reactor.post().send(Request { kind, offset, ranges: ranges.to_vec() }).ok().unwrap();
        self.results.recv_timeout(PATIENCE).expect("the operation ended")
    }

    fn whole(&self, at: u64, bytes: u32) -> IoBuf {
        let mut list = IoBuf::new();
        list.push(&View::new(Arc::clone(&self.guest)), GuestAddress(at), bytes).unwrap();
        list
    }

    pub(crate) fn set(&self, at: u64, data: &[u8]) {
        self.whole(at, u32::try_from(data.len()).unwrap()).copy_from(0, data);
    }

    pub(crate) fn get(&self, at: u64, bytes: usize) -> Vec<u8> {
        let mut out = vec![0; bytes];
        self.whole(at, u32::try_from(bytes).unwrap()).copy_to(0, &mut out);
        out
    }
}

/// Loop devices and mounts take root.  Says what is left out where the tests run without.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("left out: this test needs root, for a loop device or a mount");
    }
    root
}

pub(crate) fn pattern(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes).map(|i| u8::try_from((i * 7 + i / 251) % 256).unwrap() ^ seed).collect()
}

/// A loop device over a sparse file.  Needs root, as the block backstore does.
pub(crate) struct Loop {
    pub(crate) device: PathBuf,
    pub(crate) file: tempfile::NamedTempFile,
}

impl Loop {
    pub(crate) fn new(bytes: u64, options: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes).unwrap();
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .args(options)
            .arg(file.path())
            .output()
            .expect("losetup runs");
        assert!(output.status.success(), "this test needs root: {}", String::from_utf8_lossy(&output.stderr));
        let device = String::from_utf8(output.stdout).unwrap().trim().into();
        Self { device, file }
    }

    pub(crate) fn options(&self) -> BlockOptions {
        BlockOptions { path: self.device.clone(), read_only: None }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).status();
    }
}
