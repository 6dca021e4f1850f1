// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What Prometheus is told.
//!
//! Above: `server`.  Below: the handle's snapshots and counts.
//! Never here: a counter of its own.  A scrape reads what is, and an idle daemon counts nothing.

use crate::machine::{Countable, Statistics};
use crate::state_driver::Handle;
use crate::view;
use model::{Kind, Model};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use scsi::log::Counted;
use std::fmt;
use std::sync::atomic::Ordering;

/// The format of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

/// All of it, as it is now.
#[must_use]
pub fn text(handle: &Handle) -> String {
    let mut registry = Registry::with_prefix("lunar");
    registry.register_collector(Box::new(Snapshot(handle.clone())));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Snapshot(Handle);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(handle) = self;
        let model = handle.model();
        let build = Family::<Labels, Gauge>::default();
        build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        put(&mut encoder, "build_info", "Which lunard this is", &build)?;
        configured(&mut encoder, &model)?;
        let counts = handle.counts();
        for (name, help, count) in [
            ("changes_done", "Transactions that are done and durable", &counts.done),
            ("changes_refused", "Transactions that were refused", &counts.refused),
            ("changes_failed", "Transactions for which the host failed", &counts.failed),
        ] {
            put(&mut encoder, name, help, &ConstCounter::new(count.load(Ordering::Relaxed)))?;
        }
        backstores(&mut encoder, handle, &model)?;
        asked(&mut encoder, handle, &model)?;
        targets(&mut encoder, handle, &model)?;
        waiting(&mut encoder, handle)
    }
}

fn configured(encoder: &mut DescriptorEncoder<'_>, model: &Model) -> fmt::Result {
    let kinds = Family::<Labels, Gauge>::default();
    for kind in Kind::ALL {
        let count = model.backstores().keys().filter(|id| id.kind == kind).count();
        kinds.get_or_create(&vec![("kind", kind.as_str().to_owned())]).set(whole(count));
    }
    put(encoder, "storage_objects", "Storage objects that are configured", &kinds)?;
    let tpgs = || model.targets().values().flat_map(|target| target.tpgs.values());
    let luns: usize = tpgs().map(|tpg| tpg.luns.len()).sum();
    put(encoder, "targets", "Targets that are configured", &ConstGauge::new(whole(model.targets().len())))?;
    put(encoder, "tpgs", "Target port groups that are configured", &ConstGauge::new(whole(tpgs().count())))?;
    put(encoder, "luns", "LUNs that are configured", &ConstGauge::new(whole(luns)))
}

fn backstores(encoder: &mut DescriptorEncoder<'_>, handle: &Handle, model: &Model) -> fmt::Result {
    let live = handle.live();
    let (sizes, missing) = (Family::<Labels, Gauge>::default(), Family::<Labels, Gauge>::default());
    let (available, scarce) = (Family::<Labels, Gauge>::default(), Family::<Labels, Gauge>::default());
    for (id, backstore) in model.backstores() {
        let labels = vec![("kind", id.kind.as_str().to_owned()), ("name", id.name.as_str().to_owned())];
        let live = live.backstores.get(id);
        let bytes = i64::try_from(view::size_bytes(backstore, live)).unwrap_or(i64::MAX);
        sizes.get_or_create(&labels).set(bytes);
        missing.get_or_create(&labels).set(i64::from(live.is_some_and(|live| live.missing)));
        if let Some(space) = live.and_then(|live| live.space) {
            let bytes = i64::try_from(space.available_bytes).unwrap_or(i64::MAX);
            available.get_or_create(&labels).set(bytes);
            scarce.get_or_create(&labels).set(i64::from(space.is_scarce));
        }
    }
    put(encoder, "storage_object_size_bytes", "The capacity of a storage object", &sizes)?;
    put(encoder, "storage_object_missing", "1 while the file or device is not there", &missing)?;
    let help = "What is left of the file system that it shares with others";
    put(encoder, "storage_object_space_available_bytes", help, &available)?;
    let help = "1 while that is scarce";
    put(encoder, "storage_object_space_scarce", help, &scarce)
}

/// What guests asked for, by LUN and by storage object.
fn asked(encoder: &mut DescriptorEncoder<'_>, handle: &Handle, model: &Model) -> fmt::Result {
    let mut luns = Asked::default();
    for (place, _) in model.mappings() {
        let (tpg, lun) = (place.tag.to_string(), place.lun.to_string());
        let labels = vec![("wwn", place.wwn.as_str().to_owned()), ("tpg", tpg), ("lun", lun)];
        luns.take(&labels, handle.counted(&Countable::Lun(place)));
    }
    luns.put(encoder, "lun")?;
    let mut objects = Asked::default();
    let (resets, aborts) = (Family::<Labels, Counter>::default(), Family::<Labels, Counter>::default());
    for id in model.backstores().keys() {
        let labels = vec![("kind", id.kind.as_str().to_owned()), ("name", id.name.as_str().to_owned())];
        let counts = handle.counted(&Countable::Backstore(id.clone()));
        objects.take(&labels, counts);
        let managed = counts.unwrap_or_default().managed;
        resets.get_or_create(&labels).inc_by(managed.resets);
        aborts.get_or_create(&labels).inc_by(managed.aborted);
    }
    objects.put(encoder, "storage_object")?;
    put(encoder, "storage_object_resets", "LOGICAL UNIT RESET of a storage object", &resets)?;
    put(encoder, "storage_object_aborts", "Commands to a storage object that ABORT TASK ended", &aborts)
}

/// What was asked for, metric by metric.
#[derive(Default)]
struct Asked([Family<Labels, Counter>; 4]);

impl Asked {
    fn take(&mut self, labels: &Labels, counts: Option<Statistics>) {
        let Some(Statistics { asked, .. }) = counts else { return };
        let Counted { read, write, verify } = asked.moved;
        let errors =
            [read, write, verify].into_iter().fold(0, |sum: u64, moved| sum.wrapping_add(moved.errors));
        let numbers = [asked.commands(), read.bytes, write.bytes, errors];
        for (family, number) in self.0.iter().zip(numbers) {
            family.get_or_create(labels).inc_by(number);
        }
    }

    fn put(&self, encoder: &mut DescriptorEncoder<'_>, of: &str) -> fmt::Result {
        let words = [
            ("commands", "Commands that guests sent"),
            ("read_bytes", "Bytes that guests asked to read"),
            ("written_bytes", "Bytes that guests asked to write"),
            ("medium_errors", "Commands that the medium failed"),
        ];
        for ((name, help), family) in words.into_iter().zip(&self.0) {
            put(encoder, &format!("{of}_{name}"), help, family)?;
        }
        Ok(())
    }
}

fn targets(encoder: &mut DescriptorEncoder<'_>, handle: &Handle, model: &Model) -> fmt::Result {
    let live = handle.live();
    let (connected, without) = (Family::<Labels, Gauge>::default(), Family::<Labels, Gauge>::default());
    for wwn in model.targets().keys() {
        let (labels, live) = (vec![("wwn", wwn.as_str().to_owned())], live.targets.get(wwn));
        connected.get_or_create(&labels).set(i64::from(live.is_some_and(|live| live.connected)));
        without.get_or_create(&labels).set(i64::from(live.is_some_and(|live| live.socket_fault.is_some())));
    }
    put(encoder, "target_connected", "1 while a front end is connected", &connected)?;
    put(encoder, "target_socket_missing", "1 while it has no socket: its socket_fault says why", &without)
}

fn waiting(encoder: &mut DescriptorEncoder<'_>, handle: &Handle) -> fmt::Result {
    let (commands, seconds) = (Family::<Labels, Gauge>::default(), Family::<Labels, Gauge>::default());
    for waiting in handle.waiting() {
        let (tpg, lun) = (waiting.target.to_string(), waiting.lun.to_string());
        let labels = vec![("wwn", waiting.wwn), ("tpg", tpg), ("lun", lun)];
        commands.get_or_create(&labels).set(whole(waiting.commands));
        seconds.get_or_create(&labels).set(i64::try_from(waiting.since.as_secs()).unwrap_or(i64::MAX));
    }
    put(encoder, "lun_commands_waiting", "Commands to a LUN whose oldest has waited for long", &commands)?;
    put(encoder, "lun_oldest_command_seconds", "How long that oldest command has waited", &seconds)
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
