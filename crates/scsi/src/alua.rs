// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric logical unit access: the answer to REPORT TARGET PORT GROUPS, the parameter list of SET TARGET PORT
//! GROUPS, and which commands a state lets pass.  SPC-4, target port group access states.
//!
//! Above: `target`, which knows the groups and their states.
//! Below: `field`.
//! Never here: which state a group is in, or whether it may change.

use crate::Sense;
use crate::field::{Block, Fields};

/// How a unit is reached through the ports of a group.  SPC-4, ASYMMETRIC ACCESS STATE field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AccessState {
    /// As well as it can be.
    Optimized = 0x0,
    /// In full, and perhaps slower.
    NonOptimized = 0x1,
    /// Not for its blocks; it could be.
    Standby = 0x2,
    /// Not, but to be asked about itself.
    Unavailable = 0x3,
    /// Some blocks so, others so.
    LbaDependent = 0x4,
    /// Not at all: the secondary state, of one port rather than a group.
    Offline = 0xe,
    /// Between two of the others.
    Transitioning = 0xf,
}

impl AccessState {
    /// Returns the state of this number.
    #[must_use]
    pub const fn parse(number: u8) -> Option<Self> {
        Some(match number {
            0x0 => Self::Optimized,
            0x1 => Self::NonOptimized,
            0x2 => Self::Standby,
            0x3 => Self::Unavailable,
            0x4 => Self::LbaDependent,
            0xe => Self::Offline,
            0xf => Self::Transitioning,
            _ => return None,
        })
    }

    /// Returns the number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns what a command is refused with that the state does not let pass.  SPC-4, the description of each state.
    #[must_use]
    pub const fn refusal(self) -> Option<Sense> {
        match self {
            Self::Optimized | Self::NonOptimized | Self::LbaDependent => None,
            Self::Standby => Some(Sense::ALUA_STANDBY),
            Self::Unavailable => Some(Sense::ALUA_UNAVAILABLE),
            Self::Offline => Some(Sense::LOGICAL_UNIT_OFFLINE),
            Self::Transitioning => Some(Sense::ALUA_TRANSITION),
        }
    }
}

/// In which access states a command is carried out: the column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Where blocks can be reached: optimized, non-optimized and LBA dependent.
    Blocks,
    /// In standby too: what says how the unit is.
    Standby,
    /// In standby and where the unit is unavailable: SET TARGET PORT GROUPS, the way out of either.
    Unavailable,
    /// In every state of a group: what says what the unit is.
    Always,
}

impl Reach {
    /// Returns whether a command passes in a state.
    #[must_use]
    pub const fn passes(self, state: AccessState) -> bool {
        match state {
            AccessState::Optimized | AccessState::NonOptimized | AccessState::LbaDependent => true,
            AccessState::Standby => !matches!(self, Self::Blocks),
            AccessState::Unavailable => matches!(self, Self::Unavailable | Self::Always),
            AccessState::Transitioning => matches!(self, Self::Always),
            AccessState::Offline => false,
        }
    }
}

/// The states that a group can be in.  SPC-4, target port group descriptor, byte 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedStates {
    /// T_SUP.
    pub transitioning: bool,
    /// O_SUP.
    pub offline: bool,
    /// LBD_SUP.
    pub lba_dependent: bool,
    /// U_SUP.
    pub unavailable: bool,
    /// S_SUP.
    pub standby: bool,
    /// AN_SUP.
    pub non_optimized: bool,
    /// AO_SUP.
    pub optimized: bool,
}

impl SupportedStates {
    /// What LIO's groups begin with: all but LBA dependent.
    pub const ALL_BUT_LBA_DEPENDENT: Self = Self {
        transitioning: true,
        offline: true,
        lba_dependent: false,
        unavailable: true,
        standby: true,
        non_optimized: true,
        optimized: true,
    };

    /// Returns whether the group can be in a state.
    #[must_use]
    pub const fn has(&self, state: AccessState) -> bool {
        match state {
            AccessState::Optimized => self.optimized,
            AccessState::NonOptimized => self.non_optimized,
            AccessState::Standby => self.standby,
            AccessState::Unavailable => self.unavailable,
            AccessState::LbaDependent => self.lba_dependent,
            AccessState::Offline => self.offline,
            AccessState::Transitioning => self.transitioning,
        }
    }
}

/// Who changed the state of a group last.  SPC-4, STATUS CODE field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum AlteredBy {
    /// Nobody has.
    #[default]
    Nobody = 0,
    /// An initiator, by SET TARGET PORT GROUPS.
    Command = 1,
    /// The device server: its administrator.
    Itself = 2,
}

/// A target port group as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortGroup {
    /// TARGET PORT GROUP.
    pub id: u16,
    /// PREF: the administrator would rather have commands here.
    pub preferred: bool,
    /// ASYMMETRIC ACCESS STATE.
    pub state: AccessState,
    /// The states that it can be in.
    pub supported: SupportedStates,
    /// STATUS CODE.
    pub altered_by: AlteredBy,
    /// The relative identifiers of its ports, in order.
    pub ports: Vec<u16>,
}

/// The most ports of a group that are told: TARGET PORT COUNT has eight bits.
const PORTS_MAX: usize = 255;

/// Asks for the target port groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportTargetPortGroups {
    /// PARAMETER DATA FORMAT 001b: with the implicit transition time.
    pub extended: bool,
    /// The most bytes to return.
    pub allocation_bytes: u32,
}

/// Sets the states of target port groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetTargetPortGroups {
    /// The length of the parameter list.
    pub list_bytes: u32,
}

/// Returns the whole answer to REPORT TARGET PORT GROUPS; the caller cuts it to the allocation length.
///
/// Groups without ports are left out.  `implicit_transition_seconds` is the time that an initiator gives an implicit
/// change, 0 for no word about it.
#[must_use]
pub fn report(
    command: &ReportTargetPortGroups,
    groups: &[PortGroup],
    implicit_transition_seconds: u8,
) -> Vec<u8> {
    let mut rest = Vec::new();
    if command.extended {
        rest.extend(Block::<4>::new().bits::<0, 6, 4>(1).byte::<1>(implicit_transition_seconds).done());
    }
    for group in groups.iter().filter(|group| !group.ports.is_empty()) {
        describe(group, &mut rest);
    }
    let mut answer = u32::try_from(rest.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    answer.extend(rest);
    answer
}

/// SPC-4, target port group descriptor.
fn describe(group: &PortGroup, answer: &mut Vec<u8>) {
    let PortGroup { id, preferred, state, supported, altered_by, ports } = group;
    let ports = ports.get(..PORTS_MAX).unwrap_or(ports);
    let header = Block::<8>::new()
        .bit::<0, 7>(*preferred)
        .bits::<0, 3, 0>(state.code())
        .bit::<1, 7>(supported.transitioning)
        .bit::<1, 6>(supported.offline)
        .bit::<1, 4>(supported.lba_dependent)
        .bit::<1, 3>(supported.unavailable)
        .bit::<1, 2>(supported.standby)
        .bit::<1, 1>(supported.non_optimized)
        .bit::<1, 0>(supported.optimized)
        .be16::<2>(*id)
        .byte::<5>(*altered_by as u8)
        .byte::<7>(u8::try_from(ports.len()).unwrap_or(u8::MAX));
    answer.extend(header.done());
    for port in ports {
        answer.extend(Block::<4>::new().be16::<2>(*port).done());
    }
}

/// What SET TARGET PORT GROUPS asks of one group, or of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The state.
    pub state: AccessState,
    /// The target port group; where the state is offline, the relative target port.
    pub id: u16,
}

/// The longest parameter list of SET TARGET PORT GROUPS: a descriptor for each group that there can be.
pub const SET_BYTES_MAX: usize = 4 + 4 * 65_536;

/// Reads the parameter list of SET TARGET PORT GROUPS.
///
/// # Errors
///
/// PARAMETER LIST LENGTH ERROR where a descriptor is cut off (SPC-4, PARAMETER LIST LENGTH), INVALID FIELD IN PARAMETER LIST for a state that
/// cannot be asked for.
pub fn parse_set(list: &[u8]) -> Result<Vec<Wanted>, Sense> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let descriptors = list.get(4..).ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    let (descriptors, []) = descriptors.as_chunks::<4>() else {
        return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
    };
    let wanted = descriptors.iter().map(|descriptor| {
        let fields = Fields(descriptor);
        let state = AccessState::parse(fields.bits::<0, 3, 0>());
        // SPC-4, SET TARGET PORT GROUPS: transitioning is a state to pass through, not to ask for.
        let state = state.filter(|state| *state != AccessState::Transitioning);
        let state = state.ok_or(Sense::INVALID_FIELD_IN_PARAMETER_LIST)?;
        Ok(Wanted { state, id: fields.be16::<2>() })
    });
    wanted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: u16, ports: &[u16]) -> PortGroup {
        PortGroup {
            id,
            preferred: false,
            state: AccessState::Optimized,
            supported: SupportedStates::ALL_BUT_LBA_DEPENDENT,
            altered_by: AlteredBy::Nobody,
            ports: ports.to_vec(),
        }
    }

    fn plain(groups: &[PortGroup]) -> Vec<u8> {
        report(&ReportTargetPortGroups { extended: false, allocation_bytes: 0 }, groups, 0)
    }

    #[test]
    fn one_group_of_one_port_is_told_as_lio_tells_it() {
        assert_eq!(plain(&[group(0, &[1])]), [0, 0, 0, 0x0c, 0x00, 0xcf, 0, 0, 0, 0, 0, 0x01, 0, 0, 0, 0x01]);
    }

    #[test]
    fn a_group_says_its_state_who_set_it_and_that_it_is_preferred() {
        let told = PortGroup {
            preferred: true,
            state: AccessState::Standby,
            altered_by: AlteredBy::Itself,
            ..group(0x0102, &[0x0304, 5])
        };
        let expected =
            [0, 0, 0, 0x10, 0x82, 0xcf, 1, 2, 0, /* status */ 2, 0, 2, 0, 0, 3, 4, 0, 0, 0, 5];
        assert_eq!(plain(&[told]), expected);
    }

    #[test]
    fn the_length_counts_what_follows_it_in_the_extended_form_too() {
        let extended = ReportTargetPortGroups { extended: true, allocation_bytes: 0 };
        let expected =
            [0, 0, 0, 0x10, 0x10, /* seconds */ 60, 0, 0, 0x00, 0xcf, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        assert_eq!(report(&extended, &[group(0, &[1])], 60), expected);
    }

    #[test]
    fn a_group_without_ports_is_left_out() {
        assert_eq!(
            plain(&[group(0, &[]), group(1, &[7])]),
            [0, 0, 0, 0x0c, 0, 0xcf, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7]
        );
        assert_eq!(plain(&[]), [0, 0, 0, 0]);
    }

    #[test]
    fn no_more_ports_are_told_than_can_be_counted() {
        let ports: Vec<u16> = (1..=300).collect();
        let told = plain(&[group(0, &ports)]);
        assert_eq!(told.len(), 4 + 8 + 4 * 255);
        assert_eq!((told[11], &told[told.len() - 2..]), (255, &[0, 255][..]));
    }

    #[test]
    fn each_supported_state_is_a_bit() {
        let none = SupportedStates {
            transitioning: false,
            offline: false,
            lba_dependent: false,
            unavailable: false,
            standby: false,
            non_optimized: false,
            optimized: false,
        };
        let byte = |supported| plain(&[PortGroup { supported, ..group(0, &[1]) }])[5];
        assert_eq!(byte(none), 0x00);
        assert_eq!(byte(SupportedStates { transitioning: true, ..none }), 0x80);
        assert_eq!(byte(SupportedStates { offline: true, ..none }), 0x40);
        assert_eq!(byte(SupportedStates { lba_dependent: true, ..none }), 0x10);
        assert_eq!(byte(SupportedStates { unavailable: true, ..none }), 0x08);
        assert_eq!(byte(SupportedStates { standby: true, ..none }), 0x04);
        assert_eq!(byte(SupportedStates { non_optimized: true, ..none }), 0x02);
        assert_eq!(byte(SupportedStates { optimized: true, ..none }), 0x01);
    }

    #[test]
    fn a_parameter_list_is_four_bytes_and_four_for_each_group() {
        let list = [0, 0, 0, 0, /* standby */ 0xf2, 0xff, 0x01, 0x02, /* offline */ 0x0e, 0, 0, 7];
        assert_eq!(
            parse_set(&list),
            Ok(vec![
                Wanted { state: AccessState::Standby, id: 0x0102 },
                Wanted { state: AccessState::Offline, id: 7 },
            ])
        );
        assert_eq!(parse_set(&[]), Ok(vec![]));
        assert_eq!(parse_set(&[0; 4]), Ok(vec![]));
    }

    #[test]
    fn a_parameter_list_that_is_cut_or_asks_for_no_state_is_refused() {
        for cut in [1, 3, 5, 7, 9] {
            let sense = parse_set(&vec![0; cut]).map_err(|sense| [sense.key as u8, sense.asc, sense.ascq]);
            assert_eq!(sense, Err([0x05, 0x1a, 0x00]), "{cut} bytes");
        }
        for state in [5, 0xd, /* transitioning */ 0xf] {
            let sense = parse_set(&[0, 0, 0, 0, state, 0, 0, 0]);
            let sense = sense.map_err(|sense| [sense.key as u8, sense.asc, sense.ascq]);
            assert_eq!(sense, Err([0x05, 0x26, 0x00]), "state {state}");
        }
    }

    #[test]
    fn what_a_state_refuses_says_which_state_it_is() {
        let sense = |number| {
            let refusal = AccessState::parse(number).and_then(AccessState::refusal);
            refusal.map(|sense| [sense.key as u8, sense.asc, sense.ascq])
        };
        assert_eq!((sense(0), sense(1), sense(4)), (None, None, None));
        assert_eq!(sense(2), Some([0x02, 0x04, 0x0b]));
        assert_eq!(sense(3), Some([0x02, 0x04, 0x0c]));
        assert_eq!(sense(14), Some([0x02, 0x04, 0x12]));
        assert_eq!(sense(15), Some([0x02, 0x04, 0x0a]));
        assert_eq!(AccessState::parse(5), None);
    }
}
