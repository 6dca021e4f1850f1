// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What figures were measured on: without it they mean nothing.
//!
//! Above: `main`, `speed`.  Below: `/proc`.

/// One line about the machine and how busy it is.
pub(crate) fn describe() -> String {
    let kernel = read("/proc/sys/kernel/osrelease");
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("machine: {processors} x {model}, Linux {}, load {}", kernel.trim_end(), load())
}

/// The load average of the last minute, as the kernel tells it.
pub(crate) fn load() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
