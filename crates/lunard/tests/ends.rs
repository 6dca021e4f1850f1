// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The orderly end of a daemon under guests, and what its service manager hears from start to end.
//!
//! Above: nothing.  Below: the program, `initiator`, which is the guests, and a file on a FUSE file system that hangs.
//! Never here: what the drain of `vhost-scsi` claims.

use api::Client;
use api::v1::{BackstoreId, Change, CreateBackstore, Kind};
use initiator::deadline::Deadline;
use initiator::exchange::Token;
use initiator::{Guest, LunAddress, Options, commands};
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const WWN: &str = "naa.5001405000000001";
const PATIENCE: Duration = Duration::from_secs(30);
/// How often, and how far apart, a thread is seen asleep that waits for a file system that hangs.
const LOOKS: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);
/// In how many signs of life, of which none is heard in time, a daemon is told from a slow machine.
const SIGNS_MAX: u32 = 50;

struct Daemon {
    child: Child,
    notify: UnixDatagram,
    scratch: PathBuf,
}

impl Daemon {
    fn start(scratch: &Path, environment: &[(&str, &str)]) -> Self {
        let path = scratch.join("notify.sock");
        let _ = std::fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunard"));
        command.env_clear().arg("--state-dir").arg(scratch.join("state"));
        command.arg("--runtime-dir").arg(scratch.join("run"));
        command.env("NOTIFY_SOCKET", &path).envs(environment.iter().copied());
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let daemon = Self { child, notify, scratch: scratch.to_owned() };
        while !daemon.notified().contains("READY=1\n") {}
        daemon
    }

    fn notified(&self) -> String {
        let mut text = [0; 512];
        let bytes = self.notify.recv(&mut text).expect("the daemon notifies its service manager");
        String::from_utf8(text[..bytes].to_vec()).unwrap()
    }

    fn apply(&self, changes: Vec<Change>) {
        Client::connect(&self.scratch.join("run")).unwrap().apply(changes).unwrap();
    }

    /// Makes a file of 1 MiB, or takes it as it is, LUN `lun` of the one target.
    fn serve(&self, lun: u16, name: &str, path: &Path) {
        let file = CreateBackstore::Fileio {
            name: name.to_owned(),
            path: path.display().to_string(),
            size_bytes: Some(1 << 20),
            write_back: Some(false),
            sparse: None,
            unit_serial: None,
        };
        let backstore = BackstoreId { kind: Kind::Fileio, name: name.to_owned() };
        let map = Change::MapLun { wwn: WWN.into(), tag: 1, lun: Some(lun), backstore, write_protect: false };
        self.apply(vec![Change::CreateBackstore(file), map]);
    }

    fn create_target(&self) {
        self.apply(vec![Change::CreateTarget { wwn: Some(WWN.into()), tpgs: vec![1] }]);
    }

    fn boot(&self) -> Guest {
        let socket = self.scratch.join(format!("run/vhost/{WWN}.sock"));
        Guest::boot(socket, Options::default().patience(PATIENCE)).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Whether it runs still.
    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has done all it does itself.  The kernel closes its files then, and a file system that hangs
    /// may hold that up.
    fn has_left(&self) {
        let deadline = Deadline::after(PATIENCE);
        let stat = format!("/proc/{}/stat", self.child.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
            assert!(!deadline.passed(), "it runs on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end; how it ended, and its log.
    fn ended(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status, log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that QEMU's storage daemon serves by FUSE.  While that is stopped, the file hangs.
struct HangingFile {
    server: Child,
    path: PathBuf,
}

impl HangingFile {
    /// `None` where FUSE or the program is not to be had.
    fn make(scratch: &Path) -> Option<Self> {
        let (image, path) = (scratch.join("image"), scratch.join("hangs"));
        std::fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
        std::fs::File::create(&path).unwrap();
        let mut command = Command::new("qemu-storage-daemon");
        command.arg("--blockdev").arg(format!("driver=file,node-name=file,filename={}", image.display()));
        let export = format!("type=fuse,id=export,node-name=file,mountpoint={},writable=on", path.display());
        let server = command.arg("--export").arg(export).stderr(Stdio::null()).spawn().ok()?;
        let mut file = Self { server, path };
        let deadline = Deadline::after(PATIENCE);
        while std::fs::metadata(&file.path).is_ok_and(|found| found.len() == 0) {
            if file.server.try_wait().unwrap().is_some() || deadline.passed() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(file)
    }

    fn signal(&self, name: &str) {
        let pid = self.server.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    fn hang(&self) {
        self.signal("STOP");
    }

    /// The same, once the kernel has forgotten the attributes of the file: whoever asks for them hangs as well.
    fn hang_for_all(&self) {
        self.hang();
        let deadline = Deadline::after(PATIENCE);
        while !self.keeps_a_thread() {
            assert!(!deadline.passed(), "the kernel does not ask");
            std::thread::yield_now();
        }
    }

    /// Whether a thread that asks for the attributes waits for them: it sleeps whenever it is looked at.  What the kernel
    /// knows by itself it says without that, however late the thread has the processor.
    fn keeps_a_thread(&self) -> bool {
        let (path, (tell, told)) = (self.path.clone(), channel());
        std::thread::spawn(move || {
            let _ = tell.send(std::fs::read_link("/proc/thread-self").unwrap());
            let _ = std::fs::metadata(path);
        });
        let stat = Path::new("/proc").join(told.recv().unwrap()).join("stat");
        (0..LOOKS).all(|_| {
            std::thread::sleep(BETWEEN_LOOKS);
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            stat.contains(") S ") || stat.contains(") D ")
        })
    }

    fn go_on(&self) {
        self.signal("CONT");
    }
}

impl Drop for HangingFile {
    /// Must come before that of the daemon, whose end waits for it: it is made after it.
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        // A file system without its server stays mounted until somebody says so.
        let _ = Command::new("umount").arg("-l").arg(&self.path).stderr(Stdio::null()).status();
    }
}

macro_rules! hanging_file {
    ($scratch:expr) => {
        match HangingFile::make($scratch) {
            Some(file) => file,
            None => return println!("skipped: no file that hangs without FUSE and qemu-storage-daemon"),
        }
    };
}

fn write(guest: &mut Guest, lun: u16, block: u32) -> Token {
    let command = commands::write_10(LunAddress::unit(1, lun), block, 1, &[0x5a; 512]);
    guest.request_queue(0).unwrap().start(&command).unwrap()
}

/// Heads of the first request queue that the inflight region has as taken and not answered.
fn tracked(guest: &Guest) -> usize {
    let region = guest.inflight().unwrap();
    let entries = u64::from(region.entries);
    let part = (16 + 16 * entries).next_multiple_of(64);
    let flag = |head: u64| {
        let mut byte = [0];
        region.read(2 * part + 16 + 16 * head, &mut byte).unwrap();
        usize::from(byte[0])
    };
    (0..entries).map(flag).sum()
}

fn is_answered(guest: &mut Guest, token: Token, patience: Duration) -> bool {
    guest.request_queue(0).unwrap().exchange.wait_for(token, &Deadline::after(patience)).is_ok()
}

#[test]
fn a_service_manager_hears_ready_then_signs_of_life_then_stopping() {
    let scratch = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let mut daemon = Daemon::start(scratch.path(), &[("WATCHDOG_USEC", "200000")]);
    // One at once, and then one in half of the 200 ms, and no more: whoever hears them late hears them all at once.
    let (within, mut last, mut is_in_time) = (Duration::from_millis(200), None, false);
    for sign in 0..=SIGNS_MAX {
        assert_eq!(daemon.notified(), "WATCHDOG=1\n");
        assert!(started.elapsed() > sign * within / 2, "{sign}: {:?}", started.elapsed());
        // Nor less: of so many, a slow machine has one that is in time.
        let before = last.replace(Instant::now());
        is_in_time |= before.is_some_and(|before| before.elapsed() < within);
        if is_in_time && sign >= 3 {
            break;
        }
    }
    assert!(is_in_time, "the watchdog would have barked");
    daemon.create_target();
    let mut heard = daemon.notified();
    while heard == "WATCHDOG=1\n" {
        heard = daemon.notified();
    }
    assert_eq!(heard, "STATUS=Serving 1 target with 0 storage objects\n");
    daemon.signal("TERM");
    let mut heard = daemon.notified();
    while heard == "WATCHDOG=1\n" {
        heard = daemon.notified();
    }
    assert_eq!(heard, "STOPPING=1\nSTATUS=Finishing what guests have in flight\n");
    assert!(daemon.ended().0.success());
}

#[test]
fn nothing_is_in_flight_after_an_end_under_load_and_everything_is_answered_once() {
    let scratch = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(scratch.path(), &[]);
    daemon.create_target();
    daemon.serve(0, "disk0", &scratch.path().join("disk0"));
    let mut guest = daemon.boot();
    let (mut started, mut answered) = (0_u32, 0_u32);
    let mut told = false;
    while daemon.runs() {
        if started - answered < 32 {
            write(&mut guest, 0, started % 2000);
            started += 1;
        } else if !told && answered > 200 {
            // By counts, not by a clock: it ends while 32 commands wait, however slow the machine is.
            daemon.signal("TERM");
            told = true;
        }
        while guest.request_queue(0).unwrap().exchange.try_any().unwrap().is_some() {
            answered += 1;
        }
    }
    let (status, log) = daemon.ended();
    assert!(status.success(), "{log}");
    assert!(log.contains("stopped") && !log.contains("left for the next"), "{log}");
    assert!(answered > 200, "there was a load: {answered}");
    while guest.request_queue(0).unwrap().exchange.try_any().unwrap().is_some() {
        answered += 1;
    }
    if answered == started {
        // The driver had no turn between the last answer and the end.  What it offers now nobody has looked at either.
        write(&mut guest, 0, started % 2000);
        started += 1;
    }
    // What has no answer is in the ring as the driver put it there; the next one has nothing to resume.
    assert_eq!(tracked(&guest), 0);
    assert!(!scratch.path().join(format!("run/vhost/{WWN}.sock")).exists());

    let next = Daemon::start(scratch.path(), &[]);
    guest.reconnect().unwrap();
    while answered < started {
        guest.request_queue(0).unwrap().exchange.wait_any(&Deadline::after(PATIENCE)).unwrap();
        answered += 1;
    }
    assert_eq!(guest.request_queue(0).unwrap().exchange.in_flight(), 0);
    drop(next);
}

#[test]
fn a_disk_that_hangs_is_left_in_time_with_one_line_and_the_next_daemon_resumes_its_commands() {
    let scratch = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(scratch.path(), &[("WATCHDOG_USEC", "1000000")]);
    let file = hanging_file!(scratch.path());
    daemon.create_target();
    daemon.serve(0, "hangs", &file.path);
    daemon.serve(1, "fine", &scratch.path().join("fine"));
    let mut guest = daemon.boot();
    // The kernel asks a FUSE server once whether it knows poll, in the thread that submits; that is behind us then.
    let first = write(&mut guest, 0, 0);
    assert!(is_answered(&mut guest, first, PATIENCE));
    file.hang();
    let stuck: Vec<Token> = (0..3).map(|block| write(&mut guest, 0, block)).collect();
    let fine = write(&mut guest, 1, 9);
    assert!(is_answered(&mut guest, fine, PATIENCE));
    daemon.signal("TERM");
    // For seconds the other disk of the guest is served, the front end's connection stays, and the watchdog barks
    // at nobody: a disk that hangs is no daemon that hangs.
    while !daemon.notified().starts_with("STOPPING=1\n") {}
    let begun = Instant::now();
    let mut signs = 0;
    while signs < 5 {
        let fine = write(&mut guest, 1, 9);
        assert!(is_answered(&mut guest, fine, PATIENCE), "after {:?}", begun.elapsed());
        assert!(!guest.connection().unwrap().is_closed());
        signs += usize::from(daemon.notified() == "WATCHDOG=1\n");
    }
    // It leaves while the disk hangs.
    daemon.has_left();
    file.go_on();
    let (status, log) = daemon.ended();
    assert!(status.success(), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("left for the next lunard")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].ends_with("commands were left for the next lunard: 3 on fileio/hangs"), "{log}");
    assert_eq!(tracked(&guest), 3);

    let _next = Daemon::start(scratch.path(), &[]);
    guest.reconnect().unwrap();
    for token in stuck {
        assert!(is_answered(&mut guest, token, PATIENCE));
    }
    assert_eq!(tracked(&guest), 0);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let scratch = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(scratch.path(), &[]);
    let file = hanging_file!(scratch.path());
    daemon.create_target();
    daemon.serve(0, "hangs", &file.path);
    let mut guest = daemon.boot();
    let first = write(&mut guest, 0, 0);
    assert!(is_answered(&mut guest, first, PATIENCE));
    file.hang();
    let stuck = write(&mut guest, 0, 1);
    while tracked(&guest) == 0 {
        std::thread::yield_now();
    }
    daemon.signal("TERM");
    while !daemon.notified().starts_with("STOPPING=1\n") {}
    assert!(!is_answered(&mut guest, stuck, Duration::from_millis(500)));
    assert!(daemon.runs());
    daemon.signal("TERM");
    daemon.has_left();
    file.go_on();
    let (status, log) = daemon.ended();
    assert!(status.success(), "{log}");
    // Who waits until the time is over says what was left, and how much.
    assert!(!log.contains("commands were left"), "{log}");
    assert!(
        log.contains("told again to end: what guests have in flight is left for the next lunard"),
        "{log}"
    );
    assert_eq!(tracked(&guest), 1);
}

#[test]
fn a_disk_that_hangs_at_the_start_is_waited_for_by_its_own_guests_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(scratch.path(), &[]);
    let file = hanging_file!(scratch.path());
    daemon.create_target();
    daemon.serve(0, "hangs", &file.path);
    daemon.serve(1, "fine", &scratch.path().join("fine"));
    std::fs::remove_file(scratch.path().join("fine")).unwrap();
    let mut guest = daemon.boot();
    daemon.signal("TERM");
    assert!(daemon.ended().0.success());
    file.hang_for_all();
    // It is ready while the file hangs.
    let daemon = Daemon::start(scratch.path(), &[]);
    guest.reconnect().unwrap();
    let mut sense = |lun: u16| {
        let ready = commands::test_unit_ready(LunAddress::unit(1, lun));
        guest.execute(&ready).unwrap().check_condition()
    };
    // BECOMING READY: Linux waits for it.  And not: for what is not there.
    assert_eq!([sense(0), sense(1)], [Some([0x02, 0x04, 0x01]), Some([0x02, 0x04, 0x00])]);
    // What hangs keeps nobody from looking for what is missing.
    std::fs::File::create(scratch.path().join("fine")).unwrap().set_len(1 << 20).unwrap();
    let deadline = Deadline::after(PATIENCE);
    while sense(1).is_some() {
        assert!(!deadline.passed(), "it is not found");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(sense(0), Some([0x02, 0x04, 0x01]));
    file.go_on();
    let deadline = Deadline::after(PATIENCE);
    while sense(0).is_some() {
        assert!(!deadline.passed(), "it is not served");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(daemon);
}

#[test]
fn a_path_that_hangs_holds_up_nobody_but_who_asked_for_it() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(scratch.path(), &[]);
    let file = hanging_file!(scratch.path());
    daemon.create_target();
    let ramdisk = |name: &str| CreateBackstore::Ramdisk {
        name: name.to_owned(),
        size_bytes: 4096,
        nullio: false,
        unit_serial: None,
    };
    daemon.apply(vec![Change::CreateBackstore(ramdisk("old"))]);
    file.hang_for_all();
    let run = scratch.path().join("run");
    let hangs = Change::CreateBackstore(CreateBackstore::Fileio {
        name: "new".into(),
        path: file.path.display().to_string(),
        size_bytes: Some(1 << 20),
        write_back: None,
        sparse: None,
        unit_serial: None,
    });
    let delete = Change::DeleteBackstore { id: BackstoreId { kind: Kind::Ramdisk, name: "old".into() } };
    let asked = std::thread::spawn({
        let run = run.clone();
        move || Client::connect(&run).unwrap().apply(vec![delete, hangs]).is_ok()
    });
    let (answer, answers) = channel();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        let client = Client::connect(&run).unwrap();
        let made = client.apply(vec![Change::CreateBackstore(ramdisk("other"))]).is_ok();
        answer.send(made && client.config().is_ok()).unwrap();
    });
    let others = answers.recv_timeout(PATIENCE);
    file.go_on();
    assert_eq!(others, Ok(true), "a path that hangs holds up everybody");
    assert!(asked.join().unwrap());
}
