// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Pacemaker's own fence agents, unmodified, on two nodes that share a disk: fence_scsi on a disk with one way to it, and
//! fence_mpath with multipathd on a disk that each node reaches in two ways.

use anyhow::Result;
use std::time::Duration;
use stories::fence_agents::Agents;
use stories::guest::{Guest, Plan};
use stories::multipath;
use stories::node::{self, Node};
use stories::shell::device_options;
use stories::stage::Stage;

const LIMIT: Duration = Duration::from_secs(400);

/// What every node can do with its `$disk`.  What an agent says goes beside what it ends with.
const COMMON: &str = r"
on() { $agent -o on -k $1 -d $disk; }
off() { $agent -o off -k $1 -d $disk; }
status() { $agent -o status -k $1 -d $disk; }
write() { dd if=/dev/zero of=$disk bs=4k count=1 oflag=direct 2>/dev/null; }
look() { dd if=$disk of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; }
keys() { sg_persist -n -i -k $path | grep -o '0x[0-9a-f]*$' | sort | tr '\n' ' '; }
held() { sg_persist -n -i -r $path | grep -o 'Key=.*\|type:.*' | tr '\n' ' '; }
conflicts() { dmesg | grep -q 'reservation conflict'; }
";

/// Two nodes with so many targets each, all of which show one disk.  Nothing where the agents are not there.
fn nodes(stage: &Stage, ways: usize, plan: impl Fn(&str, &str) -> Plan) -> Result<Option<Vec<Node>>> {
    let agents = match Agents::find() {
        Ok(agents) => agents,
        Err(why) => {
            println!("skipped: {why:#}");
            return Ok(None);
        }
    };
    let script = node::script(&format!("{}{COMMON}", agents.beginning));
    stage.create_fileio("shared", 16 << 20)?;
    let mut nodes = Vec::new();
    for (name, key) in [("alice", "0xa"), ("bob", "0xb")] {
        let mut options = Vec::new();
        for way in 0..ways {
            let wwn = stage.serve("fileio/shared")?;
            let said = stage.shell.qemu(&wwn, &["--memory", "384M"])?;
            options.extend(if way == 0 { said } else { device_options(&said) });
        }
        let plan = agents.add_to(plan(key, &script)).name(name).options(&options).limit(LIMIT);
        nodes.push(Node::new(plan.programs(&["sg_persist", "sg_turs"]).boot(&stage.scratch)?));
    }
    Ok(Some(nodes))
}

/// What a cluster does with two nodes: both come up, one is fenced and can write no more, and it comes back.
fn a_fenced_node_comes_back(nodes: &mut [Node]) -> Result<()> {
    let [alice, bob] = nodes else { unreachable!("two were booted") };
    alice.does("on a")?;
    bob.does("on b")?;
    bob.does("keys")?;
    alice.does("held")?;
    alice.does("write")?;
    bob.does("write")?;
    alice.does("off b")?;
    alice.does("status b")?;
    alice.does("keys")?;
    alice.does("write")?;
    bob.does("conflicts")?;
    bob.does("write")?;
    bob.does("conflicts")?;
    bob.does("look")?;
    bob.does("status a")?;
    bob.does("on b")?;
    bob.does("write")?;
    bob.does("keys")
}

#[test]
fn fence_scsi_fences_a_node_that_comes_back() -> Result<()> {
    let stage = Stage::set()?;
    let plan = |_: &str, script: &str| {
        Guest::plan(&format!("settle 1\ndisk=/dev/sda; path=/dev/sda; agent=fence_scsi\n{script}"))
    };
    let Some(mut nodes) = nodes(&stage, 1, plan)? else { return Ok(()) };
    a_fenced_node_comes_back(&mut nodes)?;
    let said = Node::end(nodes)?;
    println!("{}\n{}", said[0], said[1]);
    check(&said, "0xa ", "0xa 0xb ");
    Ok(())
}

#[test]
fn fence_mpath_fences_a_node_on_all_its_ways() -> Result<()> {
    let stage = Stage::set()?;
    let plan = |key: &str, script: &str| {
        let disk = "disk=/dev/mapper/mpatha; path=/dev/sda; agent=fence_mpath\n\
                    ln -s /usr/bin/mpathpersist /usr/sbin/mpathpersist";
        let key = format!("reservation_key {key}");
        let defaults = ["path_grouping_policy multibus", &key, "no_path_retry fail"];
        multipath::plan(&defaults, &format!("{disk}\n{script}")).programs(&["mpathpersist"])
    };
    let Some(mut nodes) = nodes(&stage, 2, plan)? else { return Ok(()) };
    a_fenced_node_comes_back(&mut nodes)?;
    let said = Node::end(nodes)?;
    println!("{}\n{}", said[0], said[1]);
    // Each key is registered for both ways.
    check(&said, "0xa 0xa ", "0xa 0xa 0xb 0xb ");
    Ok(())
}

fn check(said: &[String], keys_of_one: &str, keys_of_both: &str) {
    assert_eq!(
        said[0],
        format!(
            "on a: 0 Success: Powered ON\nheld: 0 Key=0xa type: Write Exclusive, registrants only \nwrite: 0 \n\
             off b: 0 Success: Powered OFF\nstatus b: 2 Status: OFF\nkeys: 0 {keys_of_one}\nwrite: 0 \n"
        )
    );
    assert_eq!(
        said[1],
        format!(
            "on b: 0 Success: Powered ON\nkeys: 0 {keys_of_both}\nwrite: 0 \nconflicts: 1 \nwrite: 1 \nconflicts: 0 \n\
             look: 0 \nstatus a: 0 Status: ON\non b: 0 Success: Powered ON\nwrite: 0 \nkeys: 0 {keys_of_both}\n"
        )
    );
}
