// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's own target through `lunar --root`, beside Lunar's tree, and the way from one to the other: in a
//! guest whose kernel has LIO.
//!
//! What the guest does is in `kernel_target.sh`; what may differ between the trees is in the manual.

use anyhow::{Context, Result, ensure};
use initiator::{Guest as Initiator, LunAddress, Options, commands};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stories::guest::{Guest, Results};
use stories::programs::host_program;
use stories::scratch::Scratch;

const SCRIPT: &str = include_str!("kernel_target.sh");

const MODULES: &[&str] = &[
    "configfs",
    "target_core_mod",
    "target_core_iblock",
    "target_core_file",
    "vhost_scsi",
    "tcm_loop",
    "loop",
    "fuse",
];

/// Where the manual lists what differs.
const MANUAL: &str = include_str!("../../docs/manual/configfs.md");

/// The variable that tells this program that it runs in the guest, as a guest of Lunar's target.
const SOCKET: &str = "LUNAR_GUEST_SOCKET";

const LIMIT: Duration = Duration::from_secs(600);

#[test]
fn the_kernels_own_target_is_driven_compared_and_taken_over() -> Result<()> {
    let scratch = Scratch::new()?;
    let perl = host_program("perl")?.display().to_string();
    let plan = Guest::plan(SCRIPT).modules(MODULES).programs(&[&perl]).memory_mib(768).limit(LIMIT);
    let results = plan.lunar_and_this(&scratch, "guest_of_lunar")?.boot(&scratch)?.finish()?;

    the_page_is_answered_as_lunard_answers_it(&results)?;
    the_trees_are_equal_but_for_what_the_manual_lists(&results)?;
    what_the_kernel_refuses_is_one_line_and_leaves_nothing(&results)?;
    a_guest_that_is_connected_keeps_its_luns(&results)?;
    a_configuration_is_saved_cleared_and_restored(&results)?;
    a_file_is_made_so_whole_or_not_at_all(&results)?;
    groups_and_lists_are_made_and_taken_over(&results)?;
    other_fabrics_are_shown_and_left_alone(&results)?;
    lunar_takes_it_over_or_the_kernel_has_it_back(&results)?;
    ensure!(results.read("served")?.contains("1 passed"), "{}", results.read("served")?);
    Ok(())
}

/// Run once more in the guest, where Lunar serves what the kernel served before.
#[test]
fn the_disk_is_what_the_kernel_served() -> Result<()> {
    let Some(socket) = std::env::var_os(SOCKET) else {
        println!("only in the guest");
        return Ok(());
    };
    let mut guest = Initiator::boot(socket, Options::default().patience(Duration::from_secs(60)))?;
    let answer = guest.execute(&commands::read_10(LunAddress::unit(1, 0), 0, 1, 512))?;
    ensure!(answer.is_good(), "{answer:?}");
    ensure!(
        answer.data_in.starts_with(b"written before anybody served it\n"),
        "{:?}",
        answer.data_in.get(..64)
    );
    Ok(())
}

fn the_page_is_answered_as_lunard_answers_it(results: &Results) -> Result<()> {
    let (kernel, lunar) = (results.read("page.kernel")?, results.read("page.lunar")?);
    let device = "/dev/disk/by-id/dm-uuid-mpath-36005076306ffc7630000000000002000";
    let expected = format!(
        "Created block storage object disk0 using {device}.\nCreated target WWN.\nCreated TPG 1.\nCreated LUN 0.\n"
    );
    assert_eq!(masked(&kernel), expected);
    assert_eq!(masked(&lunar), expected);
    assert_eq!(
        results.read("info.kernel")?,
        format!(
            "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 2560\n        \
             iBlock device: loop0  UDEV PATH: {device}  readonly: 0\n        Major: 7 Minor: 0  CLAIMED: IBLOCK\n"
        )
    );
    assert_eq!(
        results.lines_with("ls.kernel", "lun0")?,
        [format!("          o- lun0 ............... [block/disk0 ({device}) (default_tg_pt_gp)]")]
    );
    Ok(())
}

fn the_trees_are_equal_but_for_what_the_manual_lists(results: &Results) -> Result<()> {
    let rows = rows();
    for of in ["modes", "links"] {
        let (kernel, lunar) = (results.read(&format!("kernel.{of}"))?, results.read(&format!("lunar.{of}"))?);
        ensure!(kernel.lines().count() > usize::from(of == "modes") * 150, "{kernel}");
        let mut lunar = sorted(&lunar);
        lunar.retain(|line| !rows.iter().any(|row| row.is_of_lunar_alone(line)));
        assert_eq!(sorted(&kernel), lunar, "{of}");
    }
    let masked_texts = |name: &str| Ok::<_, anyhow::Error>(texts(&masked(&results.read(name)?)));
    let (kernel, lunar) = (masked_texts("kernel.texts")?, masked_texts("lunar.texts")?);
    let mut used = BTreeSet::new();
    let mut unlisted = Vec::new();
    for file in kernel.keys().chain(lunar.keys()).collect::<BTreeSet<_>>() {
        let text =
            |tree: &BTreeMap<String, String>| tree.get(file).cloned().unwrap_or_else(|| NO_FILE.to_owned());
        let (kernel, lunar) = (text(&kernel), text(&lunar));
        if kernel == lunar {
            continue;
        }
        let fits =
            |row: &&Row| fits(&row.file, file) && fits(&row.kernel, &kernel) && fits(&row.lunar, &lunar);
        match rows.iter().find(fits) {
            Some(row) => drop(used.insert((&row.file, &row.kernel))),
            None => unlisted.push(format!("{file}\n  the kernel: {kernel:?}\n  Lunar: {lunar:?}")),
        }
    }
    let equal: Vec<&str> = rows
        .iter()
        .filter(|row| !used.contains(&(&row.file, &row.kernel)))
        .map(|row| row.file.as_str())
        .collect();
    assert!(equal.is_empty(), "docs/manual/configfs.md lists what does not differ any more: {equal:?}");
    assert!(unlisted.is_empty(), "docs/manual/configfs.md does not list\n{}", unlisted.join("\n"));
    Ok(())
}

fn what_the_kernel_refuses_is_one_line_and_leaves_nothing(results: &Results) -> Result<()> {
    let refused = results.read("refused")?;
    for line in [
        "cannot write '7' to /sys/kernel/config/target/core/iblock_0/disk0/attrib/pi_prot_type: Invalid argument",
        "cannot write '1\\n' to /sys/kernel/config/target/core/iblock_1/busy/enable: Device or resource busy",
        "storage object for /dev/disk/by-id/dm-uuid-mpath-36005076306ffc7630000000000002000 already exists: disk0",
    ] {
        ensure!(refused.lines().any(|said| said == line), "missing is\n{line}\nin\n{refused}");
    }
    assert_eq!(refused.matches("exit 1").count(), 6, "{refused}");
    assert_eq!(results.read("core.before")?, results.read("core.after")?);
    Ok(())
}

fn a_guest_that_is_connected_keeps_its_luns(results: &Results) -> Result<()> {
    assert_eq!(results.read("front-end")?, "connected\n");
    let said = results.read("connected")?;
    let line = "a guest is connected to /sys/kernel/config/target/vhost/WWN/tpgt_1\nhint: stop the guest first\nexit 1\n";
    assert_eq!(masked(&said).matches(line).count(), 3, "{said}");
    assert_eq!(results.read("luns")?, "lun_0\n");
    Ok(())
}

fn a_configuration_is_saved_cleared_and_restored(results: &Results) -> Result<()> {
    let more = results.read("more")?;
    for line in [
        "Created fileio f0 with size 16777216",
        "Parameter emulate_tpu is now '1'.",
        "Created LUN 5.",
        "Configuration saved to /mnt/save/saveconfig.json",
        "All configuration cleared",
        "Configuration restored from /mnt/save/saveconfig.json",
    ] {
        ensure!(more.lines().any(|said| said == line), "missing is\n{line}\nin\n{more}");
    }
    let restored = more.split_once("Configuration restored").map_or("", |(_, after)| after);
    ensure!(restored.contains("emulate_tpu=1") && restored.contains("emulate_caw=1"), "{more}");
    ensure!(!more.contains("exit "), "{more}");
    Ok(())
}

fn a_file_is_made_so_whole_or_not_at_all(results: &Results) -> Result<()> {
    let said = results.read("apply")?;
    let would = "+ /backstores/ramdisk/w0\n    size_bytes: 4194304 (4.0MiB)\n    is_nonrot: 1\n\
                 + /backstores/ramdisk/w0/alua/near\n    preferred: 1\n    tg_pt_gp_id: 7\n\
                 + /vhost/naa.5001405000000eee\n+ /vhost/naa.5001405000000eee/tpg1\n\
                 + /vhost/naa.5001405000000eee/tpg1/luns/lun4\n    alua_tg_pt_gp_name: near\n    backstore: ramdisk/w0\n\
                 5 to make\n";
    let so = "Everything is as /mnt/whole.toml says.\n";
    let typed = "$ kernel diff /mnt/whole.toml\napply -f /mnt/whole.toml\napply -f /mnt/whole.toml\n";
    let expected = format!("{typed}{would}{would}{so}{so}$ cat ");
    ensure!(said.starts_with(&expected), "wanted was\n{expected}\nand it said\n{said}");
    ensure!(said.contains("\n1\nvhost/naa.5001405000000eee/tpgt_1/lun_4\n"), "{said}");
    let half = results.read("half")?;
    let (refused, gone) = half.split_once(so).context("the whole is there still")?;
    ensure!(refused.contains("cannot write '7' to /sys/kernel/config/target/core/rd_mcp_"), "{half}");
    // The next line after the tree says that all is as before: nothing had to be made.
    let tree = refused.lines().next_back().unwrap_or_default();
    ensure!(tree.contains("o- lun4 ") && tree.contains("[ramdisk/w0"), "{half}");
    ensure!(gone.contains("- /backstores/ramdisk/w0\n"), "{half}");
    ensure!(gone.ends_with("Everything is as /mnt/nothing.toml says.\nexit 1\n"), "{half}");
    Ok(())
}

fn groups_and_lists_are_made_and_taken_over(results: &Results) -> Result<()> {
    let said = results.read("access")?;
    ensure!(
        said.contains("Configuration restored from /mnt/access.json\n") && !said.contains("exit "),
        "{said}"
    );
    // The kernel counts the zero byte at the end of its text, too.
    assert_eq!(results.read("members")?, "vhost/naa.5001405000000ccc/tpgt_1/lun_0\n\0");
    let read = |file: &str| Ok::<Value, anyhow::Error>(serde_json::from_str(&results.read(file)?)?);
    let (kernel, lunar) = (read("kernel.json")?, read("lunar.json")?);
    let object =
        |file: &Value| file["storage_objects"].as_array()?.iter().find(|it| it["name"] == "a0").cloned();
    let target = |file: &Value| {
        file["targets"].as_array()?.iter().find(|it| it["wwn"] == "naa.5001405000000ccc").cloned()
    };
    let groups = object(&kernel).context("a0 of the kernel")?["alua_tpgs"].clone();
    assert_eq!(groups[1]["name"], "far");
    assert_eq!((&groups[1]["alua_access_state"], &groups[1]["nonop_delay_msecs"]), (&1.into(), &20.into()));
    assert_eq!(groups, object(&lunar).context("a0 of Lunar")?["alua_tpgs"]);
    let group = target(&kernel).context("the kernel's")?["tpgs"][0].clone();
    let taken = target(&lunar).context("Lunar's")?["tpgs"][0].clone();
    assert_eq!(group["node_acls"][0]["mapped_luns"][0]["write_protect"], true);
    assert_eq!(group["node_acls"], taken["node_acls"]);
    assert_eq!(group["luns"], taken["luns"]);
    assert_eq!(group["luns"][0]["alua_tg_pt_gp_name"], "far");
    Ok(())
}

fn other_fabrics_are_shown_and_left_alone(results: &Results) -> Result<()> {
    let said = results.read("foreign")?;
    for part in [
        "  o- loopback ....",
        "[ramdisk/r0]\n",
        "Command not found delete\n",
        "storage object ramdisk/r0 is in use by LUN loopback/naa.5001405000000aaa/tpgt_1/lun_0\n",
        "saving would lose target loopback/naa.5001405000000aaa: /mnt/save/saveconfig.json does not tell of it\n",
    ] {
        ensure!(said.contains(part), "missing is\n{part}\nin\n{said}");
    }
    // After all is taken over it is there still, and nothing else is.
    assert_eq!(
        results.read("left")?,
        "/sys/kernel/config/target/core/alua\n/sys/kernel/config/target/core/alua/lu_gps\n\
         /sys/kernel/config/target/core/rd_mcp_2\n/sys/kernel/config/target/core/rd_mcp_2/r0\n\
         /sys/kernel/config/target/vhost/discovery_auth\n"
    );
    Ok(())
}

fn lunar_takes_it_over_or_the_kernel_has_it_back(results: &Results) -> Result<()> {
    let said = results.read("import")?;
    let wwn = results.read("wwn")?.trim().to_owned();
    for part in [
        "Nothing was changed.\n",
        "device /dev/disk/by-id/dm-uuid-mpath-36005076306ffc7630000000000002000 is already in use\n",
        &format!("Lunar did not take it over: target with wwn {wwn} exist, not restoring\n"),
        "hint: the kernel has it again, as before\n",
        "Left in the kernel: /backstores/ramdisk/r0 shown by loopback/naa.5001405000000aaa/tpgt_1/lun_0\n",
        "Taken over: 3 storage objects, 2 targets.\n",
    ] {
        ensure!(said.contains(part), "missing is\n{part}\nin\n{said}");
    }
    // What was put back is as it was, but for what the kernel counts.
    for of in ["modes", "links"] {
        assert_eq!(results.read(&format!("taken.{of}"))?, results.read(&format!("back.{of}"))?);
    }
    let (before, after) = (texts(&results.read("taken.texts")?), texts(&results.read("back.texts")?));
    let differ: Vec<&String> = before.keys().filter(|file| before.get(*file) != after.get(*file)).collect();
    let counted = |file: &&&String| {
        file.contains("/statistics/")
            || file.ends_with("/hba_info")
            || file.ends_with("/default_lu_gp/members")
    };
    let changed: Vec<&&String> = differ.iter().filter(|file| !counted(file)).collect();
    assert!(changed.is_empty(), "{changed:?}");
    // What Lunar has then is what the kernel had: names, nexus, serial numbers, links.
    let imported = texts(&results.read("imported.texts")?);
    let nexus = format!("./vhost/{wwn}/tpgt_1/nexus");
    ensure!(before.contains_key(&nexus) && before.get(&nexus) == imported.get(&nexus), "{imported:?}");
    for serial in before.keys().filter(|file| file.ends_with("vpd_unit_serial") && !file.contains("r0")) {
        let name = serial.split('/').nth(3).context("a name")?;
        let same = imported.keys().find(|file| file.ends_with("vpd_unit_serial") && file.contains(name));
        assert_eq!(before.get(serial), same.and_then(|file| imported.get(file)), "{serial}");
    }
    let shown = |links: &str| {
        let ours = links.lines().filter(|line| line.starts_with("./vhost/"));
        ours.filter_map(|line| Some(line.split_once(" -> ")?.0.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(shown(&results.read("taken.links")?), shown(&results.read("imported.links")?));
    Ok(())
}

/// What the manual's table says of a file that is not there.
const NO_FILE: &str = "–";

/// A row of the manual's table: a file and what it says, where `*` stands for anything.
struct Row {
    file: String,
    kernel: String,
    lunar: String,
}

impl Row {
    /// Whether this line of a listing is about a file that the kernel has not.
    fn is_of_lunar_alone(&self, line: &str) -> bool {
        self.kernel == NO_FILE && line.split_once(' ').is_some_and(|(file, _)| fits(&self.file, file))
    }
}

fn rows() -> Vec<Row> {
    let table = MANUAL.split("## Beside the kernel's").nth(1).unwrap_or_default();
    let cells = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>());
    cells
        .filter_map(|cells| match cells.as_slice() {
            [_, file, kernel, lunar, ..] => {
                Some(Row { file: format!("./{file}"), kernel: kernel.clone(), lunar: lunar.clone() })
            }
            _ => None,
        })
        .collect()
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            (0..=text.len()).any(|at| text.get(at..).is_some_and(|text| fits(rest, text)))
        }),
    }
}

/// The texts of a listing, by file.
fn texts(listing: &str) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for line in listing.lines() {
        if let Some((file, text)) = line.split_once(": ") {
            let so_far = texts.entry(file.to_owned()).or_default();
            if !so_far.is_empty() {
                so_far.push('\n');
            }
            so_far.push_str(text);
        }
    }
    texts
}

/// The same with names and numbers that are made up taken for one another.
fn masked(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words = line.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'));
        for word in words {
            let bare = word.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric()));
            let rest = &word[bare.len()..];
            out.push_str(match bare {
                _ if bare.starts_with("naa.5001405") && bare.len() == 20 => "WWN",
                _ if bare.len() == 36 && bare.matches('-').count() == 4 => "UUID",
                _ if bare.len() == 10
                    && out.ends_with('/')
                    && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
                {
                    "ALIAS"
                }
                _ => bare,
            });
            out.push_str(rest);
        }
        out.push('\n');
    }
    out
}

/// The lines of a listing, masked, in order: a name that is made up stands anywhere.
fn sorted(listing: &str) -> Vec<String> {
    let mut lines: Vec<String> = masked(listing).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn made_up_names_are_masked_and_the_rest_is_not() {
    assert_eq!(
        masked(
            "./vhost/naa.50014055955677c9/tpgt_1/lun/lun_0/45eb3ef240 -> ../core/x\nCreated target naa.50014055955677c9.\n"
        ),
        "./vhost/WWN/tpgt_1/lun/lun_0/ALIAS -> ../core/x\nCreated target WWN.\n"
    );
    assert_eq!(masked("T10: 3f9e2c5a-7d41-4f0e-9b7a-000000000001"), "T10: UUID\n");
    assert!(fits("a*c", "abbc") && fits("*", "") && !fits("a*c", "ab"));
}
