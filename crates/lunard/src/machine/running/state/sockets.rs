// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where front ends come in.
//!
//! Above: `running`.  Below: `vhost-scsi`.
//! Never here: what they are shown.

use super::{State, Target};
use model::Wwn;
use std::collections::BTreeMap;
use std::sync::Arc;
use vhost_scsi::{Bound, Endpoint, Reactors};

impl State {
    /// Lets front ends in where the map is whole.
    pub(in super::super) fn serve(
        &mut self,
        sockets: &mut BTreeMap<Wwn, Result<Bound, String>>,
        reactors: &Arc<Reactors>,
    ) {
        for (wwn, target) in &mut self.targets {
            if target.endpoint.is_none() {
                target.resized.extend(target.luns_of(&self.resized));
                match sockets.remove(wwn) {
                    Some(Ok(bound)) => target.let_in(bound, reactors),
                    Some(Err(why)) => target.socket_fault = Some(why),
                    None => {}
                }
            }
        }
        self.resized.clear();
    }

    /// The targets that were restored without a socket.
    pub(in super::super) fn unserved(&self) -> impl Iterator<Item = &Wwn> {
        let without = self.targets.iter().filter(|(_, target)| target.endpoint.is_none());
        without.filter(|_| !self.is_ending).map(|(wwn, _)| wwn)
    }

    /// Whether a target is there without a socket, still.
    pub(in super::super) fn is_unserved(&self, wwn: &Wwn) -> bool {
        !self.is_ending && self.targets.get(wwn).is_some_and(|target| target.endpoint.is_none())
    }

    /// Lets front ends in at a socket that could not be had before.  Returns whether that is still wanted.
    pub(in super::super) fn serve_late(&mut self, wwn: &Wwn, bound: Bound, reactors: &Arc<Reactors>) -> bool {
        let is_ending = self.is_ending;
        let target = self.targets.get_mut(wwn).filter(|target| target.endpoint.is_none() && !is_ending);
        target.map(|target| target.let_in(bound, reactors)).is_some()
    }

    /// Takes note of what is in the place of a socket by now.
    pub(in super::super) fn note_socket_fault(&mut self, wwn: &Wwn, why: String) {
        if let Some(target) = self.targets.get_mut(wwn).filter(|target| target.endpoint.is_none()) {
            target.socket_fault = Some(why);
        }
    }

    /// Turns away every front end that comes now.
    pub(in super::super) fn stop_accepting(&mut self) {
        self.is_ending = true;
        self.targets
            .values()
            .filter_map(|target| target.endpoint.as_ref())
            .for_each(Endpoint::stop_accepting);
    }

    /// The sockets, which close when they are dropped.
    pub(in super::super) fn take_endpoints(&mut self) -> Vec<Endpoint> {
        self.targets.values_mut().filter_map(|target| target.endpoint.take()).collect()
    }
}

impl Target {
    fn let_in(&mut self, bound: Bound, reactors: &Arc<Reactors>) {
        self.socket_fault = None;
        self.endpoint = Some(bound.serve(Arc::clone(&self.port), Arc::clone(reactors)));
        // A guest that was here before a restart has seen another size.
        for (tag, lun) in self.resized.drain(..) {
            self.port.tell_of_capacity(tag, lun);
        }
    }
}
