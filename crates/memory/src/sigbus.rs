// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Survives a front end that cuts the file of its guest's memory short.
//!
//! Above: `mapping`, which registers every mapping; owners of guests, who watch [`broken_mappings`].
//! Below: the kernel's `SIGBUS`.
//! Never here: any decision what becomes of the guest.
//!
//! Touching a page past the end of its file raises `SIGBUS`, and one process serves many guests: without this
//! file, any front end could kill them all by truncating its memfd. The handler puts a page of zeroes in place of
//! the missing one and marks the mapping broken. A fault that is not ours goes to whoever was there before.
//!
//! The handler takes no lock and allocates nothing. It walks a list of chunks that only ever grows; a slot in it is
//! written by its owner only, `start` last at registering and first at releasing.

use std::ffi::c_int;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::mm::{MapFlags, ProtFlags};

/// Slots of a chunk: most hosts never need a second one.
const CHUNK_SLOTS: usize = 128;

/// How many mappings of this process have ever been found broken. A ring compares it once a batch: as long as it
/// stands still, no mapping needs a look.
#[inline]
pub fn broken_mappings() -> u64 {
    BROKEN_MAPPINGS.load(Ordering::Acquire)
}

/// The registration of one mapping.
#[derive(Debug)]
pub(crate) struct Guard(&'static Slot);

impl Guard {
    /// Guards `bytes` bytes at `base`, made of pages of `page` bytes (a power of two).
    pub(crate) fn new(base: NonNull<u8>, bytes: usize, page: usize) -> Self {
        install();
        let slot = Slot::take();
        slot.bytes.store(bytes, Ordering::Relaxed);
        slot.page.store(page, Ordering::Relaxed);
        slot.broken.store(false, Ordering::Relaxed);
        slot.start.store(base.as_ptr().expose_provenance(), Ordering::Release);
        Self(slot)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.0.broken.load(Ordering::Acquire)
    }

    /// Ends the guard. Must come before the range is unmapped.
    pub(crate) fn release(&self) {
        self.0.start.store(0, Ordering::Release);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.release();
        self.0.taken.store(false, Ordering::Release);
    }
}

#[derive(Debug)]
struct Slot {
    /// Somebody owns this slot. Unlike the other fields it is no business of the handler.
    taken: AtomicBool,
    /// First address of the mapping; 0 = nothing is guarded.
    start: AtomicUsize,
    bytes: AtomicUsize,
    page: AtomicUsize,
    broken: AtomicBool,
}

struct Chunk {
    slots: [Slot; CHUNK_SLOTS],
    /// Set once, never changed; a chunk is never freed.
    next: AtomicPtr<Chunk>,
}

static FIRST: Chunk = Chunk::new();
static BROKEN_MAPPINGS: AtomicU64 = AtomicU64::new(0);
/// What to do with faults that are not ours; set before our handler is.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

impl Chunk {
    const fn new() -> Self {
        Self { slots: [const { Slot::new() }; CHUNK_SLOTS], next: AtomicPtr::new(ptr::null_mut()) }
    }

    fn next(&self) -> Option<&'static Chunk> {
        // SAFETY: null, or leaked by `grow` after it was complete (Release there, Acquire here).
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// Returns the chunk after this last one, which it makes.
    fn grow(&self) -> &'static Chunk {
        let chunk: &'static mut Chunk = Box::leak(Box::new(Chunk::new()));
        let chunk = ptr::from_mut(chunk);
        self.next.store(chunk, Ordering::Release);
        // SAFETY: leaked just now, and the mutable reference is gone: only shared ones from here on.
        unsafe { &*chunk }
    }
}

impl Slot {
    const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            page: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        }
    }

    /// Finds a free slot, or makes room. Mapping is rare: a lock and a walk are cheap enough.
    fn take() -> &'static Slot {
        static TAKING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chunk: &'static Chunk = &FIRST;
        loop {
            if let Some(slot) = chunk.slots.iter().find(|slot| !slot.taken.load(Ordering::Acquire)) {
                slot.taken.store(true, Ordering::Relaxed);
                return slot;
            }
            chunk = chunk.next().unwrap_or_else(|| chunk.grow());
        }
    }

    /// The page that holds `address`, if this slot guards it: its start, and its bytes.
    fn page_of(&self, address: usize) -> Option<(usize, usize)> {
        let start = self.start.load(Ordering::Acquire);
        let offset = address.checked_sub(start).filter(|_| start != 0)?;
        let (bytes, page) = (self.bytes.load(Ordering::Relaxed), self.page.load(Ordering::Relaxed));
        // The mapping that was touched is alive, so its own slot stands still. Another slot may change hands
        // between the loads; then `start` has changed as well, and the mix of old and new must not count.
        let is_whole = self.start.load(Ordering::Acquire) == start;
        (is_whole && offset < bytes && page.is_power_of_two()).then(|| (address & !(page - 1), page))
    }
}

/// Installs the handler, once a process.
fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // SAFETY: all-zero bytes are a valid `sigaction`: default action, empty mask, no flags.
        let (mut previous, mut ours): (libc::sigaction, libc::sigaction) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        // SAFETY: both point to whole `sigaction`s; asking changes nothing.
        let asked = unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut previous) };
        assert_eq!(asked, 0, "SIGBUS is a signal that can be asked about");
        PREVIOUS.get_or_init(|| previous);

        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
        ours.sa_sigaction = handler as libc::sighandler_t;
        // On the alternate stack where a thread has one: the previous handler may be the one that reports a
        // stack overflow.
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `on_sigbus` has the signature that SA_SIGINFO asks for and does only what a handler may:
        // atomic loads and stores, and system calls that leave errno alone.
        let installed = unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, ptr::null_mut()) };
        assert_eq!(installed, 0, "SIGBUS is a signal that can be handled");
    });
}

extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a whole `siginfo_t`; for a SIGBUS it raised itself (a positive
    // code), it holds an address.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr()) };
    let is_sent = code <= 0;
    if is_sent || !repair(address.addr()) {
        pass_on(signal, info, context, is_sent);
    }
}

/// Puts zeroes where the page of `address` is missing. Returns whether the address is one that we guard.
fn repair(address: usize) -> bool {
    let mut chunk = Some(&FIRST);
    while let Some(here) = chunk {
        for slot in &here.slots {
            if let Some((page_start, page)) = slot.page_of(address) {
                if !slot.broken.swap(true, Ordering::AcqRel) {
                    BROKEN_MAPPINGS.fetch_add(1, Ordering::AcqRel);
                }
                return map_zeroes(page_start, page);
            }
        }
        chunk = here.next();
    }
    false
}

fn map_zeroes(page_start: usize, page: usize) -> bool {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    let at = ptr::with_exposed_provenance_mut(page_start);
    // SAFETY: the page lies inside a live, guarded mapping of ours (the thread that faulted is using it), so
    // nothing else is replaced; what it held is gone already. rustix calls the kernel directly: errno keeps.
    unsafe { rustix::mm::mmap_anonymous(at, page, protection, flags) }.is_ok()
}

/// Does what would have happened without us.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void, is_sent: bool) {
    let Some(previous) = PREVIOUS.get() else {
        return die_by(signal);
    };
    match previous.sa_sigaction {
        libc::SIG_DFL => return die_by(signal),
        // Only a signal that somebody sent can be ignored; a fault kills (signal(7), "SIG_IGN").
        libc::SIG_IGN if is_sent => return,
        libc::SIG_IGN => return die_by(signal),
        _ => {}
    }
    if previous.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: SA_SIGINFO says that the value is a function of this signature; it is not DFL or IGN.
        let handler = unsafe {
            mem::transmute::<libc::sighandler_t, extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void)>(
                previous.sa_sigaction,
            )
        };
        handler(signal, info, context);
    } else {
        // SAFETY: without SA_SIGINFO it is a function of the signal's number alone.
        let handler =
            unsafe { mem::transmute::<libc::sighandler_t, extern "C" fn(c_int)>(previous.sa_sigaction) };
        handler(signal);
    }
}

/// Restores the default action and raises the signal again; it is blocked here and strikes on return.
fn die_by(signal: c_int) {
    // SAFETY: zeroes are the default action; both calls may be made in a handler.
    unsafe {
        let default: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, &raw const default, ptr::null_mut());
        libc::raise(signal);
    }
}
