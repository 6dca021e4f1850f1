// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's requests.
//!
//! Above: the kernel, over /dev/fuse.  Below: `tree`, `store`, `make`, `inodes`.
//! Never here: what any of it means.
//!
//! Looking, listing and reading are answered at once, on the one thread that takes requests.  Whatever may
//! change the configuration has a thread of its own: a disk that hangs holds up its own caller only.

use crate::inodes::Inodes;
use crate::nearby::Nearby;
use crate::node::{Dir, Node, TpgPart};
use crate::tree::Tree;
use fuser::{
    FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags,
    KernelConfig, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use rustix::io::Errno;
use rustix::process::Pid;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, SystemTime};

/// How long the kernel may remember what it was told.  It is told when something goes; what comes it asks for,
/// since it is never told that a name is free where something may come.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What comes and goes without a change of the configuration is not remembered.
const NOT_REMEMBERED: Duration = Duration::ZERO;

/// What stands for no node, where the kernel may remember that there is none.
const NO_NODE: INodeNo = INodeNo(0);

/// The size that every file shows: a page, as in configfs, and the longest that is read.
const FILE_BYTES: u64 = 4096;

/// The longest text that one write stores, in bytes: a page without its terminator.
const STORE_BYTES_MAX: usize = 4095;

/// The most requests that may wait for the configuration at once.
const WAITING_MAX: usize = 128;

/// The tree, and what the kernel knows of it.
pub(crate) struct Shared {
    pub(crate) tree: Tree,
    inodes: Mutex<Inodes>,
    open: Mutex<HashMap<u64, Open>>,
    listings: Mutex<HashMap<u64, Listing>>,
    next: AtomicU64,
    waiting: AtomicUsize,
    nearby: Mutex<Nearby>,
    owner: (u32, u32),
    since: SystemTime,
}

/// An open file: what it said when it was first read.
struct Open {
    node: Node,
    text: Option<Arc<[u8]>>,
}

/// What is in a directory that is open: it is read in pieces, and looked at when the first is read.
type Listing = Arc<[(String, Node)]>;

/// What `fuser` calls.
pub(crate) struct Door(pub(crate) Arc<Shared>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fuse(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

impl Shared {
    pub(crate) fn new(tree: Tree) -> Self {
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self {
            tree,
            inodes: Mutex::default(),
            open: Mutex::default(),
            listings: Mutex::default(),
            next: AtomicU64::new(1),
            waiting: AtomicUsize::new(0),
            nearby: Mutex::default(),
            owner,
            since: SystemTime::now(),
        }
    }

    pub(crate) fn inodes(&self) -> MutexGuard<'_, Inodes> {
        lock(&self.inodes)
    }

    fn node(&self, number: INodeNo) -> Result<Node, Errno> {
        self.inodes().node(number.0).ok_or(Errno::STALE)
    }

    fn dir(&self, number: INodeNo) -> Result<Dir, Errno> {
        match self.node(number)? {
            Node::Dir(dir) => Ok(dir),
            Node::File(..) | Node::Link(..) => Err(Errno::NOTDIR),
        }
    }

    fn attributes(&self, node: &Node, number: u64) -> FileAttr {
        let (kind, perm, size, nlink) = match node {
            Node::Dir(dir) => {
                let within = self.tree.view(|view| view.directories(dir));
                let links = u32::try_from(within).unwrap_or(u32::MAX).saturating_add(2);
                (FileType::Directory, 0o755, 0, links)
            }
            Node::File(dir, name) => (FileType::RegularFile, dir.mode(name), FILE_BYTES, 1),
            Node::Link(..) => (FileType::Symlink, 0o777, 0, 1),
        };
        let since = self.since;
        FileAttr {
            ino: INodeNo(number),
            size,
            blocks: 0,
            atime: since,
            mtime: since,
            ctime: since,
            crtime: since,
            kind,
            perm,
            nlink,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// Comes nearer to whoever asks.  Only root, and whose daemon this is, have anything to do here that has to be
    /// fast: nobody else moves a thread of it.
    fn come(&self, request: &Request) {
        let uid = request.uid();
        let followed = uid == 0 || uid == self.owner.0;
        let asker = i32::try_from(request.pid()).ok().filter(|_| followed).and_then(Pid::from_raw);
        lock(&self.nearby).follow(asker);
    }

    /// Tells the kernel of a node.
    fn enter(&self, node: &Node, reply: ReplyEntry) {
        let number = self.inodes().tell(node);
        reply.entry(&remembered(node), &self.attributes(node, number), Generation(0));
    }

    /// Tells the kernel that there is no such name, and never will be.
    fn never(&self, reply: ReplyEntry) {
        // Of whatever asks for no look at the tree: without a number nobody heeds them.
        let attributes = self.attributes(&Node::Link(Dir::Root, String::new()), NO_NODE.0);
        reply.entry(&REMEMBERED, &attributes, Generation(0));
    }

    fn exists(&self, node: &Node) -> bool {
        self.tree.view(|view| match node {
            Node::Dir(dir) | Node::File(dir, _) => view.has(dir),
            Node::Link(dir, name) => view.link_name(dir).is_some_and(|link| link == name),
        })
    }

    /// Does on a thread of its own what may have to wait.
    fn aside<R: Send + 'static>(
        self: &Arc<Self>,
        reply: R,
        refuse: fn(R, fuser::Errno),
        work: impl FnOnce(&Self, R) + Send + 'static,
    ) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return refuse(reply, fuse(Errno::AGAIN));
        }
        let shared = Arc::clone(self);
        let run = move || {
            work(&shared, reply);
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
        };
        // Where no thread can be had the reply is dropped, which `fuser` answers with EIO.
        if Builder::new().name("configfs-store".to_owned()).spawn(run).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn read(&self, handle: FileHandle) -> Result<Arc<[u8]>, Errno> {
        let node = {
            let open = lock(&self.open);
            let open = open.get(&handle.0).ok_or(Errno::BADF)?;
            if let Some(text) = &open.text {
                return Ok(Arc::clone(text));
            }
            open.node.clone()
        };
        let Node::File(dir, name) = &node else { return Err(Errno::ISDIR) };
        let text: Arc<[u8]> = self.tree.view(|view| view.text(dir, name))?.into_bytes().into();
        if let Some(open) = lock(&self.open).get_mut(&handle.0) {
            open.text = Some(Arc::clone(&text));
        }
        Ok(text)
    }

    /// Stores what one write says, and returns how much of it.
    fn write(&self, number: INodeNo, handle: FileHandle, data: &[u8]) -> Result<u32, Errno> {
        let Node::File(dir, name) = self.node(number)? else { return Err(Errno::ISDIR) };
        let data = data.get(..STORE_BYTES_MAX).unwrap_or(data);
        let text = std::str::from_utf8(data).map_err(|_| Errno::INVAL)?;
        self.tree.store(&dir, name, text)?;
        if let Some(open) = lock(&self.open).get_mut(&handle.0) {
            open.text = None;
        }
        u32::try_from(data.len()).map_err(|_| Errno::INVAL)
    }

    /// What is in a directory, as it was when its first entry was asked for.
    fn listing(&self, number: INodeNo, handle: FileHandle, offset: u64) -> Result<Listing, Errno> {
        if offset > 0
            && let Some(listing) = lock(&self.listings).get(&handle.0)
        {
            return Ok(Arc::clone(listing));
        }
        let listing: Listing = self.list(number)?.into();
        lock(&self.listings).insert(handle.0, Arc::clone(&listing));
        Ok(listing)
    }

    fn list(&self, number: INodeNo) -> Result<Vec<(String, Node)>, Errno> {
        let dir = self.dir(number)?;
        if !self.tree.view(|view| view.has(&dir)) {
            return Err(Errno::NOENT);
        }
        let mut all = vec![(".".to_owned(), Node::Dir(dir.clone())), ("..".to_owned(), Node::Dir(Dir::Root))];
        all.extend(self.tree.view(|view| view.children(&dir)));
        Ok(all)
    }
}

fn remembered(node: &Node) -> Duration {
    match node {
        Node::Dir(Dir::Acl(..) | Dir::AclLun(..) | Dir::Tpg(_, _, TpgPart::Acls))
        | Node::Link(Dir::AclLun(..), _) => NOT_REMEMBERED,
        Node::Dir(_) | Node::File(..) | Node::Link(..) => REMEMBERED,
    }
}

fn text_of(name: &OsStr) -> Result<&str, Errno> {
    name.to_str().ok_or(Errno::INVAL)
}

impl Filesystem for Door {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
        ] {
            // A kernel that has it not does without it.
            let _ = config.add_capabilities(wanted);
        }
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.0.come(request);
        let found = self.0.dir(parent).and_then(|dir| {
            let name = name.to_str().ok_or(Errno::NOENT)?;
            self.0.tree.view(|view| match view.child(&dir, name) {
                Some(node) => Ok(Some(node)),
                // One that is gone may come back with all that it had.
                None if dir.is_fixed() && view.has(&dir) => Ok(None),
                None => Err(Errno::NOENT),
            })
        });
        match found {
            Ok(Some(node)) => self.0.enter(&node, reply),
            Ok(None) => self.0.never(reply),
            Err(errno) => reply.error(fuse(errno)),
        }
    }

    fn forget(&self, _: &Request, number: INodeNo, times: u64) {
        self.0.inodes().forget(number.0, times);
    }

    fn getattr(&self, request: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.0.come(request);
        match self.0.node(number) {
            Ok(node) if self.0.exists(&node) => {
                reply.attr(&remembered(&node), &self.0.attributes(&node, number.0));
            }
            Ok(_) => reply.error(fuse(Errno::NOENT)),
            Err(errno) => reply.error(fuse(errno)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        // Cutting a file to nothing and touching it are what redirections do: they mean nothing here.
        if mode.is_some() || uid.is_some() || gid.is_some() {
            return reply.error(fuse(Errno::PERM));
        }
        match self.0.node(number) {
            Ok(node) => reply.attr(&remembered(&node), &self.0.attributes(&node, number.0)),
            Err(errno) => reply.error(fuse(errno)),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        let link = self.0.node(number).and_then(|node| match node {
            Node::Link(dir, name) => self.0.tree.view(|view| view.link(&dir, &name)).ok_or(Errno::NOENT),
            Node::Dir(_) | Node::File(..) => Err(Errno::INVAL),
        });
        match link {
            Ok(link) => reply.data(link.as_bytes()),
            Err(errno) => reply.error(fuse(errno)),
        }
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(fuse(Errno::PERM));
    }

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(fuse(Errno::ACCESS));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let name = name.to_owned();
        self.0.aside(reply, ReplyEntry::error, move |shared, reply| {
            let made = shared.dir(parent).and_then(|dir| shared.tree.make_dir(&dir, text_of(&name)?));
            match made {
                Ok(node) => shared.enter(&node, reply),
                Err(errno) => reply.error(fuse(errno)),
            }
        });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.0.aside(reply, ReplyEmpty::error, move |shared, reply| {
            let gone = shared.dir(parent).and_then(|dir| shared.tree.remove_link(&dir, text_of(&name)?));
            answer(reply, gone);
        });
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.0.aside(reply, ReplyEmpty::error, move |shared, reply| {
            let gone = shared.dir(parent).and_then(|dir| {
                let name = text_of(&name)?;
                let node = shared.tree.view(|view| view.child(&dir, name)).ok_or(Errno::NOENT)?;
                shared.tree.remove_dir(&dir, name)?;
                shared.inodes().remove(&node);
                Ok(())
            });
            answer(reply, gone);
        });
    }

    fn symlink(&self, _: &Request, parent: INodeNo, name: &OsStr, to: &Path, reply: ReplyEntry) {
        let (name, to) = (name.to_owned(), to.to_owned());
        self.0.aside(reply, ReplyEntry::error, move |shared, reply| {
            let made = shared
                .dir(parent)
                .and_then(|dir| shared.tree.make_link(&dir, text_of(&name)?, text_of(to.as_os_str())?));
            match made {
                Ok(node) => shared.enter(&node, reply),
                Err(errno) => reply.error(fuse(errno)),
            }
        });
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(fuse(Errno::PERM));
    }

    fn open(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.0.come(request);
        let opened = self.0.node(number).and_then(|node| {
            let Node::File(dir, name) = &node else { return Err(Errno::ISDIR) };
            if !self.0.tree.view(|view| view.has(dir)) {
                return Err(Errno::NOENT);
            }
            let needed = match flags.acc_mode() {
                OpenAccMode::O_RDONLY => 0o400,
                OpenAccMode::O_WRONLY => 0o200,
                OpenAccMode::O_RDWR => 0o600,
            };
            // As configfs, also for root: there is nothing to read, or to write, behind it.
            if dir.mode(name) & needed == needed { Ok(node) } else { Err(Errno::ACCESS) }
        });
        match opened {
            Ok(node) => {
                let handle = self.0.next.fetch_add(1, Ordering::Relaxed);
                lock(&self.0.open).insert(handle, Open { node, text: None });
                reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NOFLUSH);
            }
            Err(errno) => reply.error(fuse(errno)),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        bytes: u32,
        _: OpenFlags,
        _: Option<fuser::LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(handle) {
            Ok(text) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
                let rest = text.get(from..).unwrap_or_default();
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(rest.len());
                reply.data(rest.get(..bytes).unwrap_or_default());
            }
            Err(errno) => reply.error(fuse(errno)),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        _: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<fuser::LockOwner>,
        reply: ReplyWrite,
    ) {
        let data = data.to_vec();
        self.0.aside(reply, ReplyWrite::error, move |shared, reply| {
            match shared.write(number, handle, &data) {
                Ok(bytes) => reply.written(bytes),
                Err(errno) => reply.error(fuse(errno)),
            }
        });
    }

    /// Python asks of each file that it opens whether it is a terminal.
    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(fuse(Errno::NOTTY));
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<fuser::LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.0.open).remove(&handle.0);
        reply.ok();
    }

    fn opendir(&self, request: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.0.come(request);
        let handle = self.0.next.fetch_add(1, Ordering::Relaxed);
        reply.opened(FileHandle(handle), FopenFlags::empty());
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        lock(&self.0.listings).remove(&handle.0);
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let all = match self.0.listing(number, handle, offset) {
            Ok(all) => all,
            Err(errno) => return reply.error(fuse(errno)),
        };
        let inodes = self.0.inodes();
        for (next, (name, node)) in (1..).zip(&*all).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            let kind = match node {
                Node::Dir(_) => FileType::Directory,
                Node::File(..) => FileType::RegularFile,
                Node::Link(..) => FileType::Symlink,
            };
            if reply.add(INodeNo(inodes.number(node)), next, kind, name) {
                break;
            }
        }
        drop(inodes);
        reply.ok();
    }

    fn readdirplus(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let all = match self.0.listing(number, handle, offset) {
            Ok(all) => all,
            Err(errno) => return reply.error(fuse(errno)),
        };
        for (next, (name, node)) in (1..).zip(&*all).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            // The kernel has been told already that it is gone, and would believe the opposite now.
            if !self.0.exists(node) {
                continue;
            }
            let known = self.0.inodes().number(node);
            let attributes = self.0.attributes(node, known);
            let full = reply.add(INodeNo(known), next, name, &remembered(node), &attributes, Generation(0));
            if full {
                break;
            }
            // The kernel looks up what it is given here, but for the two that every directory has.
            if name != "." && name != ".." {
                self.0.inodes().tell(node);
            }
        }
        reply.ok();
    }
}

fn answer(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(fuse(errno)),
    }
}
