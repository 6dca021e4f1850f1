// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two nodes of a cluster share a disk, as fence_scsi and fence_mpath use it: each registers a key, the reservation is for
//! registrants, and a node that is fenced can write no more until it comes back by itself.

use anyhow::{Result, ensure};
use stories::deadline::Deadline;
use stories::guest::Guest;
use stories::node::{self, Node};
use stories::slow_disk;
use stories::stage::Stage;

/// What every node can do.
const SCRIPT: &str = "settle 1
    register() { sg_persist -n -o -I -S $1 /dev/sda; }
    reserve() { sg_persist -n -o -R -T 5 -K $1 /dev/sda; }
    release() { sg_persist -n -o -L -T 5 -K $1 /dev/sda; }
    clear() { sg_persist -n -o -C -K $1 /dev/sda; }
    preempt() { sg_persist -n -o -P -T 5 -K $1 -S $2 /dev/sda; }
    fence() { sg_persist -n -o -A -T 5 -K $1 -S $2 /dev/sda; }
    keys() { sg_persist -n -i -k /dev/sda | grep -o '0x[0-9a-f]*$' | sort | tr '\\n' ' '; }
    held() { sg_persist -n -i -r /dev/sda | grep -o 'Key=.*\\|type:.*' | tr '\\n' ' '; }
    reset() { sg_reset --device /dev/sda; }
    own() { tr '\\0' $1 < /dev/zero | head -c 4096 > /share/own
        dd if=/share/own of=/dev/sda bs=4k seek=4 count=1 oflag=direct 2>/dev/null; }
    write() { dd if=/dev/zero of=/dev/sda bs=4k count=1 oflag=direct 2>/dev/null; }
    look() { dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; }
    looks() { for number in $(seq 20); do look || return 1; done; }
    taken() { until_true '[ \"$(keys)\" = \"0xb \" ]'; }";

/// Two nodes with a target each, which show one disk.
fn nodes(stage: &Stage) -> Result<Vec<Node>> {
    stage.create_fileio("shared", 16 << 20)?;
    nodes_of(stage)
}

/// The same, of the disk that is there.
fn nodes_of(stage: &Stage) -> Result<Vec<Node>> {
    let node = |name| {
        let wwn = stage.serve("fileio/shared")?;
        let options = stage.shell.qemu(&wwn, &["--memory", "256M"])?;
        let plan = Guest::plan(&node::script(SCRIPT))
            .programs(&["sg_persist", "sg_reset"])
            .name(name)
            .options(&options);
        Ok(Node::new(plan.boot(&stage.scratch)?))
    };
    ["alice", "bob"].into_iter().map(node).collect()
}

#[test]
fn a_node_that_is_fenced_writes_no_more_until_it_comes_back() -> Result<()> {
    let mut stage = Stage::set()?;
    let mut nodes = nodes(&stage)?;
    let [alice, bob] = nodes.as_mut_slice() else { unreachable!("two were booted") };
    alice.does("register 0xa")?;
    bob.does("register 0xb")?;
    alice.does("reserve 0xa")?;
    bob.does("write")?;
    alice.does("fence 0xa 0xb")?;
    bob.does("write")?;
    bob.does("look")?;
    // What is reserved outlasts the daemon, whatever ends it.
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    bob.does("write")?;
    alice.does("keys")?;
    alice.does("held")?;
    alice.does("write")?;
    bob.does("register 0xb")?;
    bob.does("write")?;
    bob.does("keys")?;
    let said = Node::end(nodes)?;
    assert_eq!(
        said[0],
        "register 0xa: 0 \nreserve 0xa: 0 \nfence 0xa 0xb: 0 \nkeys: 0 0xa \n\
         held: 0 Key=0xa type: Write Exclusive, registrants only \nwrite: 0 \n"
    );
    assert_eq!(
        said[1],
        "register 0xb: 0 \nwrite: 0 \nwrite: 1 \nlook: 0 \nwrite: 1 \nregister 0xb: 0 \nwrite: 0 \n\
         keys: 0 0xa 0xb \n"
    );
    Ok(())
}

/// What the validation of a Windows failover cluster asks of a disk: it is told at once who may have it, whoever is
/// challenged loses it, and a node without a key gets nothing.
#[test]
fn a_disk_passes_the_checks_of_a_failover_cluster() -> Result<()> {
    // What sg_persist exits with.
    const ATTENTION: u32 = 6;
    const CONFLICT: u32 = 24;
    let mut stage = Stage::set()?;
    let mut nodes = nodes(&stage)?;
    let [alice, bob] = nodes.as_mut_slice() else { unreachable!("two were booted") };
    bob.does("reserve 0xb")?; // Without a key.
    alice.does("register 0xa")?;
    alice.does("reserve 0xa")?;
    bob.does("register 0xb")?;
    bob.does("reserve 0xb")?;
    bob.does("release 0xb")?; // It is not his, so nothing is released.
    alice.does("held")?;
    alice.does("write")?;
    bob.does("write")?;
    // The reservation outlasts a LOGICAL UNIT RESET by who challenges it; Linux makes nothing of the attention that both
    // have of it but to look again.
    bob.does("reset")?;
    bob.does("look")?;
    alice.does("look")?;
    alice.does("held")?;
    alice.does("write")?;
    bob.does("write")?;
    // And the target.
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    bob.does("write")?;
    alice.does("held")?;
    alice.does("keys")?;
    bob.does("preempt 0xb 0xa")?;
    bob.does("held")?;
    alice.does("write")?;
    alice.does("reserve 0xa")?; // It conflicts, before she is told that her registration was preempted.
    alice.does("register 0xa")?; // This does not.
    alice.does("reserve 0xa")?;
    alice.does("keys")?;
    bob.does("release 0xb")?;
    alice.does("write")?; // Nothing is reserved.
    alice.does("register 0xa")?;
    alice.does("clear 0xa")?;
    bob.does("keys")?;
    bob.does("reserve 0xb")?; // His key went with all others.
    let said = Node::end(nodes)?;
    assert_eq!(
        said[0],
        format!(
            "register 0xa: 0 \nreserve 0xa: 0 \nheld: 0 Key=0xa type: Write Exclusive, registrants only \n\
             write: 0 \nlook: 0 \nheld: 0 Key=0xa type: Write Exclusive, registrants only \nwrite: 0 \n\
             held: 0 Key=0xa type: Write Exclusive, registrants only \nkeys: 0 0xa 0xb \nwrite: 1 \nreserve 0xa: {CONFLICT} \nregister 0xa: {ATTENTION} \nreserve 0xa: {CONFLICT} \nkeys: 0 0xb \nwrite: 0 \nregister 0xa: 0 \n\
             clear 0xa: 0 \n"
        )
    );
    assert_eq!(
        said[1],
        format!(
            "reserve 0xb: {CONFLICT} \nregister 0xb: 0 \nreserve 0xb: {CONFLICT} \nrelease 0xb: 0 \nwrite: 0 \n\
             reset: 0 \nlook: 0 \nwrite: 0 \nwrite: 0 \npreempt 0xb 0xa: 0 \nheld: 0 Key=0xb type: Write Exclusive, registrants only \nrelease 0xb: 0 \n\
             keys: 0 \nreserve 0xb: {CONFLICT} \n"
        )
    );
    Ok(())
}

/// What a node that is challenged has under way ends before the challenger is answered, and lands never again.
#[test]
fn what_a_node_has_in_flight_when_it_is_preempted_lands_before_the_answer_or_never() -> Result<()> {
    if !slow_disk::available() {
        println!("skipped: a FUSE file system takes root");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let disk = stage.create_slow_fileio("shared", 16 << 20)?;
    let mut nodes = nodes_of(&stage)?;
    let [alice, bob] = nodes.as_mut_slice() else { unreachable!("two were booted") };
    alice.does("register 0xa")?;
    alice.does("reserve 0xa")?;
    bob.does("register 0xb")?;
    alice.does("own a")?;
    disk.keep_back(1);
    alice.begins("own A")?;
    Deadline::seconds(60).until("a write to be under way", || Ok((disk.kept() == 1).then_some(())))?;
    bob.begins("fence 0xb 0xa")?;
    // All can see that it has been taken; had it been answered, that would have come in the time of twenty others.
    bob.does("taken")?;
    bob.does("looks")?;
    ensure!(!bob.has_ended(), "answered, and a write may still land");
    ensure!(!alice.has_ended(), "ended, and it may still land");
    assert_eq!(disk.read(4 * 4096, 1), b"a");

    disk.let_land();
    assert_eq!(bob.ends()?, "0");
    // The node is told that its write failed, whatever became of it, and nothing of it comes later.
    bob.does("own b")?;
    assert_eq!(alice.ends()?, "1");
    alice.does("own A")?;
    assert_eq!(disk.read(4 * 4096, 4096), [b'b'; 4096]);
    bob.does("keys")?;
    let said = Node::end(nodes)?;
    assert_eq!(said[0], "register 0xa: 0 \nreserve 0xa: 0 \nown a: 0 \nbegin own A: 0 \nown A: 1 \n");
    assert_eq!(
        said[1],
        "register 0xb: 0 \nbegin fence 0xb 0xa: 0 \ntaken: 0 \nlooks: 0 \nown b: 0 \nkeys: 0 0xb \n"
    );
    assert_eq!(disk.read(4 * 4096, 4096), [b'b'; 4096]);
    Ok(())
}
