// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The floor: fio on the same file, in the same run, with no virtual machine between.
//!
//! Above: `speed`.  Below: the program fio, where it is installed.

use crate::sample::Sample;
use anyhow::{Context, Result};
use initiator::load::{Access, Load};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use stories::process::{command, run_well};
use stories::programs::find_in_path;

/// How much longer than its load fio may take.
const SLACK: Duration = Duration::from_secs(30);

/// Whether it is installed.
pub(crate) fn is_there() -> bool {
    find_in_path("fio").is_some()
}

/// Runs the same load on a file.
pub(crate) fn take(file: &Path, load: &Load) -> Result<Sample> {
    let mut fio = command("fio");
    fio.args(["--name=floor", "--thread", "--time_based", "--direct=0", "--invalidate=0", "--norandommap"]);
    fio.args(["--output-format=json", "--randrepeat=0"]);
    fio.arg(format!("--filename={}", file.display()));
    // One command at a time needs no ring.  Neither do writes: io_uring gives those to threads of the kernel, whose
    // time fio does not count.
    let is_plain = load.queue_depth == 1 || load.read_percent == 0;
    let (engine, depth) = if is_plain { ("psync", 1) } else { ("io_uring", load.queue_depth) };
    fio.args([format!("--ioengine={engine}"), format!("--iodepth={depth}")]);
    fio.args([format!("--rw={}", name_of(load)), format!("--bs={}", load.io_bytes)]);
    fio.arg(format!("--runtime={}ms", load.duration.as_millis()));
    let told = run_well(&mut fio, load.duration + SLACK)?;
    let told: Value = serde_json::from_slice(&told).context("fio does not speak JSON")?;
    let of = if load.read_percent == 0 { "write" } else { "read" };
    sample_of(&told, of).context("fio does not say what it measured")
}

fn name_of(load: &Load) -> &'static str {
    match (load.access, load.read_percent) {
        (Access::Random, 0) => "randwrite",
        (Access::Random, _) => "randread",
        (Access::Sequential, 0) => "write",
        (Access::Sequential, _) => "read",
    }
}

fn sample_of(told: &Value, of: &str) -> Option<Sample> {
    let job = &told["jobs"][0];
    let side = &job[of];
    let percentile = |name: &str| side["clat_ns"]["percentile"][name].as_f64().map(|ns| ns / 1e3);
    let commands = side["total_ios"].as_f64()?.max(1.0);
    // Percent of the job's run time, which is in milliseconds.
    let busy_percent = job["usr_cpu"].as_f64()? + job["sys_cpu"].as_f64()?;
    let busy_us = busy_percent / 100.0 * job["job_runtime"].as_f64()? * 1e3;
    Some(Sample {
        iops: side["iops"].as_f64()?,
        p50_us: percentile("50.000000")?,
        p99_us: percentile("99.000000")?,
        cpu_us: busy_us / commands,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fio_tells_becomes_a_sample() {
        let told = r#"{"jobs": [{"job_runtime": 2000, "usr_cpu": 10.0, "sys_cpu": 40.0, "read": {
            "iops": 5000.5, "total_ios": 10000,
            "clat_ns": {"percentile": {"50.000000": 1500, "99.000000": 9000}}}}]}"#;
        let sample = sample_of(&serde_json::from_str(told).unwrap(), "read");
        let expected = Sample { iops: 5000.5, p50_us: 1.5, p99_us: 9.0, cpu_us: 100.0 };
        assert_eq!(sample, Some(expected));
    }
}
