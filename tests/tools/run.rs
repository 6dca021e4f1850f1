// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunar run` gives a command Lunar's tree and directories of its own, and nobody else notices.

use anyhow::{Context, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use stories::deadline::Deadline;
use stories::mounted::{self, Mounted};
use stories::process::{command, run};
use stories::programs::{built, find_in_path};
use stories::scratch::Scratch;
use stories::stage::Stage;

const LIMIT: Duration = Duration::from_secs(60);

/// A user that every host has a name for, which the helper asks for: nobody.
const USER: u32 = 65534;

fn skipped(why: Option<&str>) -> bool {
    if let Some(why) = why {
        println!("skipped: {why}");
    }
    why.is_some()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_exit_status_is_the_commands_and_its_own_failures_have_others() -> Result<()> {
    if skipped(mounted::missing()) {
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let ended = |words: &[&str]| -> Result<Option<i32>> {
        Ok(run(mounted.lunar_run()?.args(words), LIMIT)?.status.code())
    };
    assert_eq!(ended(&["true"])?, Some(0));
    assert_eq!(ended(&["sh", "-c", "exit 7"])?, Some(7));
    // A signal is the command's, and no status.
    assert_eq!(ended(&["sh", "-c", "kill -TERM $$"])?, None);
    assert_eq!(ended(&["/no/such/program"])?, Some(127));
    assert_eq!(ended(&["/etc/passwd"])?, Some(126));
    let words = mounted.script("printf '%s|' \"$@\" -x --help; cat")?;
    assert_eq!(text(&words.stdout), "-x|--help|");
    Ok(())
}

#[test]
fn nothing_is_run_where_the_tree_is_not_really_there() -> Result<()> {
    if skipped(mounted::missing()) {
        return Ok(());
    }
    let refused = |lunar: &mut std::process::Command| -> Result<(Option<i32>, String)> {
        let output = run(lunar, LIMIT)?;
        assert_eq!(text(&output.stdout), "", "nothing is run");
        Ok((output.status.code(), text(&output.stderr)))
    };
    let plain = Scratch::new()?;
    std::fs::create_dir_all(plain.join("target/core"))?;
    let at = |dir: &Path| -> Result<(Option<i32>, String)> {
        refused(command(built("lunar")?).args(["run", "--tree"]).arg(dir).args(["echo", "run"]))
    };
    let (status, said) = at(plain.path())?;
    assert_eq!(status, Some(125));
    assert_eq!(
        said,
        format!(
            "there is no tree of lunard at {}\nhint: a plain directory would be taken for one: start lunard with --configfs\n",
            plain.path().display()
        )
    );
    let (status, said) = at(Path::new("/no/such/directory"))?;
    assert_eq!(status, Some(125));
    assert!(said.starts_with("cannot use /no/such/directory: "), "{said}");

    // A daemon that shows none.
    let stage = Stage::set()?;
    let (status, said) = refused(stage.shell.command().args(["run", "--", "echo", "run"]))?;
    assert_eq!(status, Some(125));
    assert_eq!(said, "lunard shows no tree for LIO's tools\nhint: start it with --configfs DIR\n");

    // One that died.
    let mut mounted = Mounted::start()?;
    mounted.daemon.kill()?;
    let (status, said) = at(&mounted.tree)?;
    assert_eq!(status, Some(125));
    let first = format!("the tree at {} has no lunard any more\n", mounted.tree.display());
    assert!(said.starts_with(&first) && said.contains("hint: start lunard again"), "{said}");
    Ok(())
}

#[test]
fn what_the_tools_keep_is_kept_apart_from_the_hosts() -> Result<()> {
    if skipped(mounted::missing()) {
        return Ok(());
    }
    let before = std::fs::read_to_string("/proc/self/mountinfo")?;
    let had: Vec<bool> = ["/etc/target", "/sys/kernel/config"].map(|dir| Path::new(dir).exists()).into();
    let mounted = Mounted::start()?;
    let said = mounted.well(
        "echo mine > /etc/target/saveconfig.json\necho mine > /etc/rtslib-fb-target/saveconfig.json\n\
         ls /sys/kernel/config\necho $TARGETCLI_HOME\n\
         cat /etc/passwd >/dev/null\necho lock > /run/targetcli.lock",
    )?;
    let home = mounted.tools_dir().join("home");
    assert_eq!(said, format!("target\n{}\n", home.display()));
    for kept in ["etc/target/saveconfig.json", "etc/rtslib-fb-target/saveconfig.json"] {
        assert_eq!(std::fs::read_to_string(mounted.tools_dir().join(kept))?, "mine\n");
        assert_ne!(std::fs::read_to_string(Path::new("/").join(kept)).unwrap_or_default(), "mine\n");
    }
    assert_eq!(std::fs::metadata(mounted.tools_dir())?.permissions().mode() & 0o777, 0o700);
    // The next one finds what this one kept, and its lock.
    assert_eq!(mounted.well("cat /etc/target/saveconfig.json /run/targetcli.lock")?, "mine\nlock\n");
    let now: Vec<bool> = ["/etc/target", "/sys/kernel/config"].map(|dir| Path::new(dir).exists()).into();
    assert_eq!(had, now, "the host has what it had");
    let after = std::fs::read_to_string("/proc/self/mountinfo")?;
    let more: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
    assert!(more.iter().all(|line| !line.contains("lunar-run")), "{more:?}");
    Ok(())
}

#[test]
fn the_message_bus_ends_with_the_command_and_knows_nobody() -> Result<()> {
    if skipped(mounted::missing()) {
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let said = mounted.well("echo $DBUS_SYSTEM_BUS_ADDRESS; cat /proc/$$/task/*/children")?;
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("unix:path=/run/lunar-run.bus"));
    let bus = lines.next().and_then(|line| line.split(' ').next()).context("a child")?.to_owned();
    let ended = || {
        let stat = std::fs::read_to_string(format!("/proc/{bus}/stat")).unwrap_or_default();
        Ok((stat.is_empty() || stat.contains(") Z ")).then_some(()))
    };
    Deadline::seconds(60).until("the bus to end", ended)?;
    if find_in_path("dbus-send").is_some() {
        let asked = mounted.script(
            "dbus-send --system --print-reply --dest=org.kernel.TCMUService1 /org/kernel/TCMUService1 \
             org.freedesktop.DBus.ObjectManager.GetManagedObjects",
        )?;
        assert_eq!(
            text(&asked.stderr),
            "Error org.freedesktop.DBus.Error.ServiceUnknown: lunar run has no services\n"
        );
    }
    Ok(())
}

/// `/dev/fuse` as most hosts have it, and an ordinary user's directory.
const OF_AN_ORDINARY_USER: &str = r#"
set -e
cd "$1"
mknod fuse c 10 229
chmod 666 fuse
mount --bind fuse /dev/fuse
mkdir home
chown "$2:$2" . home
exec setpriv --reuid "$2" --regid "$2" --clear-groups env HOME="$PWD/home" sh as-user.sh
"#;

const AS_USER: &str = r#"
set -e
cd "$HOME"
export LUNAR_STATE_DIR=$HOME/state LUNAR_RUNTIME_DIR=$HOME/run
../lunard --configfs "$HOME/tree" 2>log &
lunard=$!
i=0
while ! ../lunar ls >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 300 ] || { cat log; exit 1; }; sleep 0.1; done
../lunar run -- sh -c 'id -u; targetcli /backstores/ramdisk create r0 8M; targetcli saveconfig'
../lunar /backstores/ramdisk/r0 info | grep ^size
kill -9 $lunard
wait $lunard || true
ls tree/target 2>&1 | sed 's/.*: //'
../lunard --configfs "$HOME/tree" 2>>log &
lunard=$!
i=0
while ! ../lunar ls >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 300 ] || { cat log; exit 1; }; sleep 0.1; done
ls tree
kill $lunard
wait $lunard
ls tree
"#;

/// Where a thread of the daemon may run: that which takes the kernel's requests.
fn where_requests_are_taken(daemon: u32) -> Result<String> {
    let threads = format!("/proc/{daemon}/task");
    for thread in std::fs::read_dir(&threads)? {
        // Others come and go.
        let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else { continue };
        if status.starts_with("Name:\tfuser-0\n") {
            return Ok(allowed(&status)?.to_owned());
        }
    }
    anyhow::bail!("no thread of that name in {threads}")
}

/// The processors that something may run on, as `/proc/PID/status` has them.
fn allowed(status: &str) -> Result<&str> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    Ok(list.context("a list of processors")?.trim())
}

#[test]
fn a_command_on_one_processor_is_answered_there_and_nobody_but_root_moves_the_daemon() -> Result<()> {
    if skipped(mounted::missing()) {
        return Ok(());
    }
    let mut mounted = Mounted::start()?;
    let daemon = mounted.daemon.process().id();
    // Once something was answered the thread is there.
    mounted.read("version")?;
    let home = where_requests_are_taken(daemon)?;
    if home.parse::<u32>().is_ok() {
        println!("skipped: there is one processor");
        return Ok(());
    }
    // Where the machine has a processor to spare, a command is kept on one; it is here in any case.
    let own = mounted.well("grep Cpus_allowed_list: /proc/self/status")?;
    assert!(allowed(&own)? == home || allowed(&own)?.parse::<u32>().is_ok(), "{own}");
    let one = home.split([',', '-']).next_back().context("a processor")?.to_owned();
    let look = "for again in $(seq 20); do cat /sys/kernel/config/target/version; done > /dev/null";
    mounted.well(&format!("taskset -c {one} sh -c '{look}'"))?;
    assert_eq!(where_requests_are_taken(daemon)?, one);
    // Whoever may run anywhere sends it home, and a command may have more.
    let version = mounted.top("version");
    let went_home = || -> Result<Option<()>> {
        std::fs::read(&version)?;
        Ok((where_requests_are_taken(daemon)? == home).then_some(()))
    };
    Deadline::seconds(60).until("the thread to go home", went_home)?;
    let wide = mounted.well(&format!("taskset -c {home} grep Cpus_allowed_list: /proc/self/status"))?;
    assert_eq!(allowed(&wide)?, home);
    // It follows root, and nobody else.
    let confined = |user: u32| -> Result<String> {
        std::fs::read(&version)?;
        let mut reader = command("setpriv");
        let look = "for again in $(seq 50); do cat version; done > /dev/null";
        reader.arg(format!("--reuid={user}")).args(["taskset", "-c", &one, "sh", "-c", look]);
        let ended = run(reader.current_dir(mounted.top("")), LIMIT)?;
        assert!(ended.status.success(), "{}", text(&ended.stderr));
        where_requests_are_taken(daemon)
    };
    Deadline::seconds(60).until("the thread to go home", went_home)?;
    assert_eq!(confined(USER)?, home);
    assert_eq!(confined(0)?, one);
    Ok(())
}

#[test]
fn an_ordinary_user_has_a_tree_and_tools_of_his_own() -> Result<()> {
    let helper = || find_in_path("fusermount3").is_none();
    let missing = mounted::missing_tool();
    if skipped(missing.or_else(|| helper().then_some("fusermount3 is not installed (Debian: fuse3)"))) {
        return Ok(());
    }
    let scratch = Scratch::new()?;
    for program in ["lunard", "lunar"] {
        std::fs::copy(built(program)?, scratch.join(program))?;
    }
    std::fs::write(scratch.join("as-root.sh"), OF_AN_ORDINARY_USER)?;
    std::fs::write(scratch.join("as-user.sh"), AS_USER)?;
    std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755))?;
    let mut unshare = command("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh"]).arg(scratch.join("as-root.sh"));
    let output = run(unshare.arg(scratch.path()).arg(USER.to_string()), LIMIT)?;
    let said = text(&output.stdout);
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("Warning: ")).collect();
    assert_eq!(
        lines,
        [
            "0",
            "Created ramdisk r0 with size 8M.",
            "Configuration saved to /etc/rtslib-fb-target/saveconfig.json",
            "size: 8388608",
            "Transport endpoint is not connected",
            "target",
        ],
        "{}",
        text(&output.stderr)
    );
    assert!(output.status.success());
    Ok(())
}

/// The kernel's own target, as far as its directories go, on a machine that has its modules loaded and was not booted by
/// systemd, which may have units of LIO's tools that are on.
const STAND_IN: &str = "
set -e
test ! -d /run/systemd || mount -t tmpfs none /run/systemd
mount -t tmpfs none /sys/kernel
mkdir -p /sys/kernel/config/target/core/alua/lu_gps/default_lu_gp /sys/kernel/config/usb_gadget
echo /var/target > /sys/kernel/config/target/dbroot
";

#[test]
fn a_whole_machine_is_given_the_tree_where_its_kernel_serves_nothing() -> Result<()> {
    if skipped(mounted::missing()) {
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let (lunar, tree) = (built("lunar")?, mounted.tree.clone());
    let on_a_machine = |script: &str| -> Result<(String, String)> {
        let script = format!("{STAND_IN}\nlunar() {{ {} \"$@\"; }}\n{script}", lunar.display());
        let mut unshare = command("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-c", &script]).env("TREE", &tree);
        let output = run(&mut unshare, LIMIT)?;
        Ok((text(&output.stdout), text(&output.stderr)))
    };
    let bound = on_a_machine(
        "lunar bind --tree $TREE; lunar bind --tree $TREE; ls /sys/kernel/config; cat /sys/kernel/config/target/version\n\
         lunar bind --undo; cat /sys/kernel/config/target/dbroot; lunar bind --undo",
    )?;
    let version = mounted.read("version")?;
    assert_eq!(bound, (format!("target\nusb_gadget\n{version}/var/target\n"), String::new()));

    let (_, said) = on_a_machine(
        "mkdir -p /sys/kernel/config/target/core/fileio_0/disk0\nif lunar bind --tree $TREE; then echo bound; fi",
    )?;
    assert_eq!(
        said,
        "the kernel's own target is in use: it has core/fileio_0\n\
         hint: leave it, and give LIO's tools Lunar with `lunar run`; or clear it first\n"
    );
    let (_, said) = on_a_machine("rm -r /sys/kernel/config/target\nlunar bind --tree $TREE || true")?;
    assert!(said.starts_with("/sys/kernel/config is used by others, and has no target/ "), "{said}");
    let (said, _) =
        on_a_machine("rm -r /sys/kernel/config/*\nlunar bind --tree $TREE\nls /sys/kernel/config")?;
    assert_eq!(said, "target\n");
    Ok(())
}
