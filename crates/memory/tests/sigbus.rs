// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A front end that cuts its memory short, in a process of our own.
//!
//! Above: nothing.
//! Below: the real signal.
//! Never here: two faults at a time; `SIGBUS` is the process's, so each test that changes it has its own process.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use memory::{GuestAddress, GuestMemory, IoBuf, Mapping, RegionSpec, UserAddress, View, broken_mappings};

const PAGE: u64 = 4096;

fn memfd(bytes: u64) -> File {
    let file = File::from(rustix::fs::memfd_create("lunar-sigbus", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    file.set_len(bytes).unwrap();
    file
}

fn guest(file: &File, bytes: u64) -> Arc<GuestMemory> {
    let file = file.try_clone().unwrap().into();
    let spec = RegionSpec { guest: GuestAddress(0), user: UserAddress(0), bytes, file_offset: 0, file };
    Arc::new(GuestMemory::from_regions(vec![spec]).unwrap())
}

#[test]
fn memory_that_goes_away_reads_as_zeroes_and_breaks_its_own_map_only() {
    let (file, other_file) = (memfd(8 * PAGE), memfd(8 * PAGE));
    let (memory, other) = (guest(&file, 8 * PAGE), guest(&other_file, 8 * PAGE));
    let view = View::new(Arc::clone(&memory));
    let mut list = IoBuf::new();
    list.push(&view, GuestAddress(0), 8 * 4096).unwrap();
    list.fill(0, 0x5a, 8 * PAGE);
    let before = broken_mappings();

    file.set_len(2 * PAGE).unwrap();
    let mut bytes = vec![0xff; 3 * 4096];
    assert_eq!(list.copy_to(0, &mut bytes[..2 * 4096]), 2 * 4096);
    assert!(!memory.is_broken(), "what is still there is as good as ever");
    assert_eq!(list.copy_to(PAGE, &mut bytes), 3 * 4096);
    assert_eq!(bytes[..4096], [0x5a; 4096]);
    assert_eq!(bytes[4096..], [0; 2 * 4096]);
    assert!(memory.is_broken());
    assert!(!other.is_broken());
    assert!(broken_mappings() > before);

    // Writes go nowhere, and are no fault either.
    assert_eq!(list.copy_from(7 * PAGE, b"lost"), 4);
    // The list holds the old map: it ends well, and a new one begins clean.
    drop(view);
    drop(memory);
    list.clear();
    file.set_len(8 * PAGE).unwrap();
    assert!(!guest(&file, 8 * PAGE).is_broken());
}

#[test]
fn more_mappings_than_one_table_has_are_guarded() {
    let files: Vec<File> = (0..300).map(|_| memfd(PAGE)).collect();
    let memories: Vec<_> = files.iter().map(|file| guest(file, PAGE)).collect();
    for (file, memory) in files.iter().zip(&memories) {
        file.set_len(0).unwrap();
        let view = View::new(Arc::clone(memory));
        let mut list = IoBuf::new();
        list.push(&view, GuestAddress(0), 1).unwrap();
        assert_eq!(list.copy_to(0, &mut [1]), 1);
        assert!(memory.is_broken());
    }
}

/// Runs one test of this file in a process of its own.
fn run_alone(part: &str) -> std::process::ExitStatus {
    let this = std::env::current_exe().unwrap();
    Command::new(this).args(["--exact", part, "--nocapture"]).env("LUNAR_SIGBUS_PART", part).status().unwrap()
}

fn is_alone(part: &str) -> bool {
    std::env::var("LUNAR_SIGBUS_PART").is_ok_and(|asked| asked == part)
}

/// Reads a byte past the end of a file that is no guest's.
fn fault_elsewhere() -> u8 {
    let file = memfd(PAGE);
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let address = unsafe {
        let protection = rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE;
        rustix::mm::mmap(std::ptr::null_mut(), 4096, protection, rustix::mm::MapFlags::SHARED, &file, 0)
    };
    let address = address.unwrap().cast::<u8>();
    file.set_len(0).unwrap();
    // SAFETY: mapped above; the fault is what the test is about.
    unsafe { address.read_volatile() }
}

#[test]
fn a_foreign_fault_kills_as_if_we_were_not_there() {
    const PART: &str = "a_foreign_fault_kills_as_if_we_were_not_there";
    if is_alone(PART) {
        let file = memfd(PAGE);
        let _guarded = Mapping::map(file.as_fd(), 0, PAGE).unwrap();
        fault_elsewhere();
        return; // Not reached; if it were, the parent would see success.
    }
    assert_eq!(run_alone(PART).signal(), Some(7)); // SIGBUS
}

static FOREIGN_FAULTS: AtomicU32 = AtomicU32::new(0);

/// Somebody else's handler: maps a page of ones.
extern "C" fn foreign_handler(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    FOREIGN_FAULTS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel passes a whole siginfo_t with SA_SIGINFO; the page is the one that faulted.
    unsafe {
        let page = (*info).si_addr().map_addr(|address| address & !4095);
        let protection = rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE;
        let flags = rustix::mm::MapFlags::PRIVATE | rustix::mm::MapFlags::FIXED;
        let page = rustix::mm::mmap_anonymous(page, 4096, protection, flags).unwrap_or(page);
        page.cast::<u8>().write_volatile(1);
    }
}

#[test]
fn a_foreign_fault_reaches_the_handler_that_was_there() {
    const PART: &str = "a_foreign_fault_reaches_the_handler_that_was_there";
    if !is_alone(PART) {
        assert!(run_alone(PART).success());
        return;
    }
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = foreign_handler;
    // SAFETY: zeroes are a valid sigaction, and the handler has the signature that SA_SIGINFO asks for.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(installed, 0, "{}", io::Error::last_os_error());
    let file = memfd(PAGE);
    let mapping = Mapping::map(file.as_fd(), 0, PAGE).unwrap();
    assert_eq!(fault_elsewhere(), 1);
    assert_eq!(FOREIGN_FAULTS.load(Ordering::SeqCst), 1);
    file.set_len(0).unwrap();
    // SAFETY: one byte of a mapping held here.
    assert_eq!(unsafe { mapping.start().as_ptr().read_volatile() }, 0);
    assert!(mapping.is_broken());
    assert_eq!(FOREIGN_FAULTS.load(Ordering::SeqCst), 1, "ours never reaches the other handler");
}
