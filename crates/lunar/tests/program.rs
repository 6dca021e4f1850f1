// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program as it is started: arguments, streams, exit status, and a terminal.
//!
//! Above: `cargo test`.  Below: the built `lunar`, and a daemon made for tests.
//! Never here: what the shell's commands do; `shell` has those tests.

mod man;
mod picker;
mod streams;
mod support;
mod tab;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;
use support::{Daemon, lunar};

#[test]
fn one_command_comes_from_the_arguments() {
    let daemon = Daemon::start();
    daemon.lunar(&["/vhost", "status"]).check(0, "Status for /vhost: Targets: 1\n", "");
    daemon.lunar(&["/vhost status"]).check(0, "Status for /vhost: Targets: 1\n", "");
    daemon.lunar(&["cd /vhost\nstatus"]).check(0, "Status for /vhost: Targets: 1\n", "");
    daemon.lunar(&["/vhost \\\n  status"]).check(0, "Status for /vhost: Targets: 1\n", "");
    daemon.lunar(&["/nosuch", "ls"]).check(1, "", "No such path /nosuch\nhint: / has backstores vhost\n");
    daemon.lunar(&["/no such", "ls"]).check(1, "", "No such path /no such\nhint: / has backstores vhost\n");
    daemon.lunar(&["pwd 'x"]).check(1, "", "a quote ' is not closed\n");
    daemon.lunar(&["pwd \\"]).check(1, "", "the last line ends with a backslash, and nothing follows\n");
}

#[test]
fn lines_come_from_standard_input() {
    let daemon = Daemon::start();
    let lines = "# a comment\n\npwd\ncd /vhost\n status \\\n\nstatus\\\n\nexit\nnever\n";
    daemon.lunar_reads(&[], lines).check(
        0,
        "/\nStatus for /vhost: Targets: 1\nStatus for /vhost: Targets: 1\n",
        "",
    );
    daemon.lunar_reads(&[], "pwd").check(0, "/\n", "");
    daemon.lunar_reads(&[], "").check(0, "", "");
    daemon.lunar_reads(&[], "pwd 'x\n").check(1, "", "a quote ' is not closed\n");
    daemon.lunar_reads(&[], "pwd\npwd \\\n").check(
        1,
        "/\n",
        "the last line ends with a backslash, and nothing follows\n",
    );
}

#[test]
fn a_failure_is_remembered_or_stops() {
    let daemon = Daemon::start();
    let (lines, err) =
        ("pwd\n/nosuch ls\n/vhost pwd\n", "No such path /nosuch\nhint: / has backstores vhost\n");
    daemon.lunar_reads(&[], lines).check(1, "/\n/vhost\n", err);
    daemon.lunar_reads(&["-e"], lines).check(1, "/\n", err);
}

#[test]
fn no_daemon_is_one_line_and_how_to_start_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().display();
    let err = format!(
        "no lunard is running at {at}/api.sock\nhint: start it with `lunard`; if it runs \
         elsewhere, name its --runtime-dir\n"
    );
    let at = at.to_string();
    lunar(&["--runtime-dir", &at, "ls"]).check(1, "", &err);
    lunar(&["--runtime-dir", &at, "qemu", "naa.500140568720f76f"]).check(1, "", &err);
    lunar(&["libvirt", "naa.500140568720f76f", "--runtime-dir", &at]).check(1, "", &err);
    lunar(&["--runtime-dir", &at, "pwd"]).check(0, "/\n", "");
}

#[test]
fn help_and_version_need_no_daemon() {
    let nowhere = ["--runtime-dir", "/nonexistent"];
    lunar(&["--version"]).check(0, &format!("lunar {}\n", env!("CARGO_PKG_VERSION")), "");
    for letter in ["-V", "-v"] {
        lunar(&[letter]).check(0, &format!("lunar {}\n", env!("CARGO_PKG_VERSION")), "");
    }
    let version = lunar(&[&nowhere[..], &["version"]].concat());
    assert_eq!(
        version.out.lines().next(),
        Some(format!("lunar version {}", env!("CARGO_PKG_VERSION")).as_str())
    );
    for words in [&["help"][..], &["--help"]] {
        let help = lunar(&[&nowhere[..], words].concat());
        assert_eq!((help.status, help.err.as_str()), (0, ""));
        assert!(help.out.contains("lunar [OPTIONS] qemu WWN..."), "{}", help.out);
    }
    assert!(lunar(&[&nowhere[..], &["help", "ls"]].concat()).out.contains("ls [path] [depth] "));
    assert_eq!(lunar(&["--nosuch"]).status, 1);
}

#[test]
fn targetclis_word_against_its_daemon_is_taken() {
    let daemon = Daemon::start();
    for word in ["disable-daemon", "--disable-daemon"] {
        daemon.lunar(&[word]).check(0, "Parameter auto_use_daemon is now 'false'.\n", "");
    }
}

#[test]
fn the_kernels_forms_are_those_of_the_page() {
    let qemu =
        |rest: &[&str]| lunar(&[&["qemu", "--transport", "vhost", "naa.500140568720f76f"], rest].concat());
    qemu(&[]).check(0, "-device vhost-scsi-pci,wwpn=naa.500140568720f76f\n", "");
    qemu(&["--pci", "bus=pci.0,addr=0x5"]).check(
        0,
        "-device vhost-scsi-pci,wwpn=naa.500140568720f76f,bus=pci.0,addr=0x5\n",
        "",
    );
    qemu(&["--ccw"]).check(0, "-device vhost-scsi-ccw,wwpn=naa.500140568720f76f\n", "");
    qemu(&["--ccw", "devno=fe.0.1000"]).check(
        0,
        "-device vhost-scsi-ccw,wwpn=naa.500140568720f76f,devno=fe.0.1000\n",
        "",
    );
    let libvirt =
        |rest: &[&str]| lunar(&[&["libvirt", "--transport", "vhost", "naa.500140568720f76f"], rest].concat());
    libvirt(&[]).check(
        0,
        "\
<hostdev mode='subsystem' type='scsi_host'>
  <source protocol='vhost' wwpn='naa.500140568720f76f'/>
</hostdev>
",
        "",
    );
    libvirt(&["--pci", "bus=pci.0,addr=0x5"]).check(
        0,
        "\
<hostdev mode='subsystem' type='scsi_host'>
  <source protocol='vhost' wwpn='naa.500140568720f76f'/>
  <address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/>
</hostdev>
",
        "",
    );
    libvirt(&["--ccw", "devno=fe.0.1000"]).check(
        0,
        "\
<hostdev mode='subsystem' type='scsi_host'>
  <source protocol='vhost' wwpn='naa.500140568720f76f'/>
  <address type='ccw' cssid='0xfe' ssid='0x0' devno='0x1000'/>
</hostdev>
",
        "",
    );
}

#[test]
fn what_no_guest_can_have_is_refused() {
    lunar(&["qemu", "naa.500140568720f76f", "--ccw", "devno=fe.0.1000"]).check(
        1,
        "",
        "QEMU has no vhost-user-scsi-ccw device\nhint: an IBM Z guest reaches only the kernel's targets: --transport \
         vhost\n",
    );
    lunar(&["qemu", "--transport", "vhost", "naa.123"]).check(
        1,
        "",
        "WWN not valid as: naa\nhint: naa.123 should be naa. and 16 hexadecimal digits, such as \
         naa.5001405000000001\n",
    );
    let two = ["naa.500140568720f76f", "naa.5001405000000001"];
    lunar(&["qemu", "--transport", "vhost", two[0], two[1], "--pci", "addr=0x5"]).check(
        1,
        "",
        "one address cannot be that of several adapters\nhint: ask for one target at a time\n",
    );
    let wrong = lunar(&["qemu", "--pci", "0x5", two[0]]);
    assert_eq!(wrong.status, 1);
    assert!(wrong.err.contains("0x5 is no PCI address; one is bus=pci.0,addr=0x5"), "{}", wrong.err);
}

#[test]
fn a_target_of_the_daemon_is_given_to_qemu() {
    let daemon = Daemon::start();
    daemon.lunar(&["qemu", "naa.500140568720f76f", "--pci", "bus=pci.0,addr=0x5", "--queues", "4"]).check(
        0,
        "\
-object memory-backend-memfd,id=lunar-memory,size=1G,share=on
-numa node,memdev=lunar-memory
-m 1G
-chardev socket,id=lunar-naa.500140568720f76f,path=/run/lunar/vhost/naa.500140568720f76f.sock,reconnect-ms=100
-device vhost-user-scsi-pci,id=scsi-naa.500140568720f76f,chardev=lunar-naa.500140568720f76f,boot_tpgt=3,num_queues=4,bus=pci.0,addr=0x5
",
        "",
    );
    let out = daemon.lunar(&["qemu", "0x500140568720F76F", "--memory", "1536M", "--qemu-version", "8.2"]).out;
    assert!(out.contains("size=1536M,share=on\n") && out.contains("-m 1536M\n"), "{out}");
    assert!(out.contains(".sock,reconnect=1\n"), "{out}");
    daemon.lunar(&["qemu", "naa.500140568720f76f", "--memory", "1000"]).check(
        1,
        "",
        "a guest cannot have 1000 bytes of memory\nhint: write whole megabytes, such as 512M or 4G\n",
    );
    daemon.lunar(&["qemu", "naa.5001405000000042"]).check(
        1,
        "",
        "no target naa.5001405000000042; the targets are naa.500140568720f76f\n",
    );
}

#[test]
fn a_target_of_the_daemon_is_given_to_libvirt() {
    let daemon = Daemon::start();
    let expected = "\
<!-- Into the domain: memory that lunard can map. Merge it with a memoryBacking that is there. -->
<memoryBacking>
  <source type='memfd'/>
  <access mode='shared'/>
</memoryBacking>
<!-- Into the domain, at its end: the adapters, which libvirt has no element for. -->
<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <qemu:arg value='-chardev'/>
  <qemu:arg value='socket,id=lunar-naa.500140568720f76f,path=/run/lunar/vhost/naa.500140568720f76f.sock,reconnect-ms=100'/>
  <qemu:arg value='-device'/>
  <qemu:arg value='vhost-user-scsi-pci,id=scsi-naa.500140568720f76f,chardev=lunar-naa.500140568720f76f,boot_tpgt=3'/>
</qemu:commandline>
";
    daemon.lunar(&["libvirt", "naa.500140568720f76f"]).check(0, expected, "");
}

/// `virt-xml-validate` of libvirt-clients knows libvirt's schema; where it is not installed, nothing is
/// validated.
#[test]
fn libvirts_schema_takes_every_form() {
    let daemon = Daemon::start();
    let directory = tempfile::tempdir().expect("a directory");
    let forms: [&[&str]; 5] = [
        &[],
        &["--pci", "bus=pci.0,addr=0x5"],
        &["--transport", "vhost"],
        &["--transport", "vhost", "--pci", "bus=pci.0,addr=0x5"],
        &["--transport", "vhost", "--ccw", "devno=fe.0.1000"],
    ];
    for (index, form) in forms.into_iter().enumerate() {
        let xml = daemon.lunar(&[&["libvirt", "naa.500140568720f76f"], form].concat()).out;
        let (devices, others) =
            if xml.starts_with("<hostdev") { (xml.as_str(), "") } else { ("", xml.as_str()) };
        let domain = format!(
            "<domain type='kvm'><name>guest</name><memory unit='MiB'>512</memory><os><type>hvm</type></os>\
             <devices>{devices}</devices>{others}</domain>"
        );
        let file = directory.path().join(format!("{index}.xml"));
        fs::write(&file, &domain).expect("written");
        let Ok(validated) = std::process::Command::new("virt-xml-validate").arg(&file).arg("domain").output()
        else {
            return;
        };
        assert!(validated.status.success(), "{domain}\n{}", String::from_utf8_lossy(&validated.stderr));
    }
}

#[test]
fn a_terminal_gets_banner_prompt_history_and_completion() {
    let daemon = Daemon::start();
    let mut terminal = daemon.terminal();
    terminal.expect("lunar shell version ");
    terminal.expect("For help on commands, type 'help'.\r\n\r\n");
    terminal.expect("/> ");
    // The Tab key writes the rest of a path, a backslash goes on below, and the level has its colour.
    terminal.write("/vho\t stat\t\\\r");
    terminal.write("\r");
    terminal.expect("\u{1b}[32mStatus for /vhost: Targets: 1\u{1b}[0m\r\n");
    terminal.expect("/> ");
    // Ctrl-C drops the line, the arrow brings back the one before.
    terminal.write("nonsense\u{3}");
    terminal.expect("/> ");
    terminal.write("\u{1b}[A\r");
    terminal.expect("Targets: 1");
    terminal.expect("/> ");
    // Ctrl-D says what it did.
    terminal.write("\u{4}");
    terminal.expect("exit\r\n");
    assert_eq!(terminal.end(), 0);
    assert_eq!(daemon.history(), "#V2\n/vhost/ status \\\\\\n\n");
}

#[test]
fn with_json_every_answer_is_one_line_of_it() {
    let daemon = Daemon::start();
    let pwd = r#"{"schema":1,"command":"pwd","path":"/","ok":true,"messages":[],"result":{"path":"/"},"error":null}"#;
    daemon.lunar(&["--json", "pwd"]).check(0, &format!("{pwd}\n"), "");
    daemon.lunar(&["pwd", "--json"]).check(0, &format!("{pwd}\n"), "");
    let no_path = r#"{"schema":1,"command":"ls","path":"/nosuch","ok":false,"messages":[],"result":null,"error":{"code":"no_such_path","message":"No such path /nosuch","hint":"/ has backstores vhost"}}"#;
    daemon.lunar_reads(&["--json"], "pwd\n/nosuch ls\n").check(1, &format!("{pwd}\n{no_path}\n"), "");
    let quote = r#"{"schema":1,"command":null,"path":null,"ok":false,"messages":[],"result":null,"error":{"code":"syntax","message":"a quote ' is not closed","hint":null}}"#;
    daemon.lunar_reads(&["--json"], "pwd 'x\n").check(1, &format!("{quote}\n"), "");
    let qemu = r#"{"schema":1,"command":"qemu","path":null,"ok":true,"messages":[],"result":{"arguments":["-object","memory-backend-memfd,id=lunar-memory,size=1G,share=on","-numa","node,memdev=lunar-memory","-m","1G","-chardev","socket,id=lunar-naa.500140568720f76f,path=/run/lunar/vhost/naa.500140568720f76f.sock,reconnect-ms=100","-device","vhost-user-scsi-pci,id=scsi-naa.500140568720f76f,chardev=lunar-naa.500140568720f76f,boot_tpgt=3"]},"error":null}"#;
    daemon.lunar(&["--json", "qemu", "naa.500140568720f76f"]).check(0, &format!("{qemu}\n"), "");
    let libvirt = daemon.lunar(&["libvirt", "--json", "naa.500140568720f76f"]);
    let told: serde_json::Value = serde_json::from_str(&libvirt.out).expect("JSON");
    assert!(told["result"]["xml"].as_str().expect("text").contains("<memoryBacking>"), "{told}");
}

#[test]
fn with_json_what_cannot_even_begin_is_told_alike() {
    let usage = r#"{"schema":1,"command":null,"path":null,"ok":false,"messages":[],"result":null,"error":{"code":"syntax","message":"unexpected argument '--nosuch' found","hint":"`lunar --help` shows how it is called"}}"#;
    lunar(&["--json", "--nosuch"]).check(1, &format!("{usage}\n"), "");
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().display().to_string();
    let unreached = format!(
        r#"{{"schema":1,"command":"ls","path":null,"ok":false,"messages":[],"result":null,"error":{{"code":"unreached","message":"no lunard is running at {at}/api.sock","hint":"start it with `lunard`; if it runs elsewhere, name its --runtime-dir"}}}}"#
    );
    lunar(&["--json", "--runtime-dir", &at, "ls"]).check(1, &format!("{unreached}\n"), "");
}

#[test]
fn a_tool_that_is_called_wrongly_is_one_line_that_names_what_is_wrong() {
    let message = "the following required arguments were not provided: <WWN>...";
    let hint = "`lunar qemu --help` shows how it is called";
    lunar(&["qemu"]).check(1, "", &format!("{message}\nhint: {hint}\n"));
    let json = format!(
        r#"{{"schema":1,"command":"qemu","path":null,"ok":false,"messages":[],"result":null,"error":{{"code":"syntax","message":"{message}","hint":"{hint}"}}}}"#
    );
    lunar(&["--json", "qemu"]).check(1, &format!("{json}\n"), "");
    lunar(&["--runtime-dir", "/x", "qemu", "--json"]).check(1, &format!("{json}\n"), "");
    lunar(&["import-lio", "--dry"]).check(
        1,
        "",
        "unexpected argument '--dry' found\nhint: a similar argument exists: '--dry-run'\n",
    );
    let twice = "target naa.500140568720f76f is named twice\nhint: a target is one adapter of one guest; name each once\n";
    let daemon = Daemon::start();
    for tool in ["qemu", "libvirt"] {
        daemon.lunar(&[tool, "naa.500140568720f76f", "naa.5001-4056-8720-f76f"]).check(1, "", twice);
    }
}

#[test]
fn help_is_json_for_a_program_too() {
    let plain = lunar(&["help"]).out;
    for words in [&["--json", "help"][..], &["help", "--json"], &["--json", "--help"], &["--help", "--json"]]
    {
        let run = lunar(words);
        assert_eq!((run.status, run.err.as_str(), run.out.lines().count()), (0, "", 1), "{words:?}");
        let told: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
        assert_eq!((&told["command"], &told["ok"]), (&"help".into(), &true.into()));
        assert_eq!(told["result"]["text"].as_str(), Some(plain.as_str()), "{words:?}");
    }
    let version: serde_json::Value = serde_json::from_str(&lunar(&["--json", "-V"]).out).expect("JSON");
    assert_eq!(version["result"]["text"], format!("lunar {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_describes_tools_too() {
    let help = lunar(&["help", "qemu"]);
    assert_eq!((help.status, help.err.as_str()), (0, ""));
    assert_eq!(help.out, lunar(&["qemu", "--help"]).out);
    assert!(help.out.contains("Usage: lunar qemu [OPTIONS] <WWN>..."), "{}", help.out);
    assert!(help.out.contains("as many as the target's option num_queues says"), "{}", help.out);
}

#[test]
fn what_was_typed_is_not_repeated_without_end() {
    let daemon = Daemon::start();
    let long = "x".repeat(300_000);
    let path = format!("/{long}");
    let size = format!("name=r0 size={long}");
    for words in [
        &[long.as_str()][..],
        &["ls", &long],
        &["ls", "/", "1", &long],
        &[&path, "ls"],
        &["get", &long],
        &["get", "global", &long],
        &["set", "global", &format!("prompt_length={long}")],
        &["set", "global", &format!("{long}=1")],
        &["bookmarks", "go", &long],
        &["help", &long],
        &["--json", &long],
        &["--json", &path, "ls"],
        &["--runtime-dir", &path, "ls"],
        &["qemu", &long],
        &["qemu", "naa.500140568720f76f", "--pci", &long],
        &[&format!("--{long}")],
        &["/backstores/ramdisk", "create", &size],
    ] {
        // One argument of a program is at most 128 KiB long.
        let line = words.iter().any(|word| word.len() > 100_000);
        let run = match words.first() {
            Some(&"--json") => daemon.lunar_reads(&["--json"], &words[1..].join(" ")),
            Some(&("--runtime-dir" | "qemu")) => {
                let short: Vec<String> =
                    words.iter().map(|word| word.chars().take(100_000).collect()).collect();
                daemon.lunar(&short.iter().map(String::as_str).collect::<Vec<_>>())
            }
            _ if line && !words[0].starts_with("--") => daemon.lunar_reads(&[], &words.join(" ")),
            _ => daemon.lunar(&[&words[0][..100_000]]),
        };
        assert_eq!(run.status, 1);
        let said = run.out.len() + run.err.len();
        assert!(said < 8 * 1024, "{:?} is told in {said} bytes", &words[0][..words[0].len().min(20)]);
    }
}

#[test]
fn on_a_terminal_it_is_asked_before_a_file_is_applied() {
    let daemon = Daemon::start();
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "scope = [\"*\"]\n").expect("written");
    let path = file.path().to_str().expect("text");
    let so = format!("Everything is as {path} says.");
    for (typed, said, status) in
        [("n\n", "Nothing was changed.", 1), ("\n", "Nothing was changed.", 1), ("y\n", &so, 0)]
    {
        let mut terminal = daemon.on_terminal(&["apply", "-f", path]);
        terminal.expect("- /backstores/fileio/disk0");
        terminal.expect("Apply this? [y/N] ");
        terminal.write(typed);
        terminal.expect(said);
        assert_eq!(terminal.end(), status, "{typed:?}");
    }
    let mut terminal = daemon.on_terminal(&["apply", "-f", path, "-y"]);
    terminal.expect(&so);
    assert_eq!(terminal.end(), 0);
    // In a script it is meant.
    let out = format!("- /backstores/fileio/disk0\n1 to remove\n{so}\n");
    daemon.lunar(&["apply", "-f", path]).check(0, &out, "");
    let mut shell = daemon.terminal();
    shell.expect("/> ");
    shell.write(&format!("apply {path}\n"));
    shell.expect("Apply this? [y/N] ");
    shell.write("yes\n");
    shell.expect(&so);
    shell.write("exit\n");
    assert_eq!(shell.end(), 0);
}

#[test]
fn the_kernels_target_is_asked_without_a_daemon() {
    let nowhere = tempfile::tempdir().expect("a directory");
    let root = nowhere.path().display().to_string();
    let err = format!(
        "there is no target of the kernel at {root}\nhint: load it: modprobe target_core_mod, with configfs mounted at \
         /sys/kernel/config\n"
    );
    for words in [&["ls"][..], &["/vhost", "create"], &["import-lio"], &["import-lio", "--take"]] {
        lunar(&[&["--root", &root, "--runtime-dir", "/nonexistent"], words].concat()).check(1, "", &err);
    }
    lunar(&["--root", &root, "pwd"]).check(0, "/\n", "");
    let both = lunar(&["import-lio", "--take", "--dry-run"]);
    assert!(both.status == 1 && both.err.contains("cannot be used with"), "{}", both.err);
}

#[test]
fn a_message_bus_whose_command_had_ended_before_it_began_ends_too() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("bus")).unwrap();
    // Of the first process, which did not start it.
    let mut bus = Command::new(env!("CARGO_BIN_EXE_lunar"));
    let mut bus = bus.args(["run-bus", "1"]).stdin(OwnedFd::from(listener)).spawn().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(bus.wait().unwrap().code()).unwrap());
    assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(Some(1)));
}
