// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a medium is to be formatted: the parameter list of FORMAT UNIT.  SBC-3.
//!
//! Above: `target`.
//! Below: `field`.
//! Never here: the formatting; a list that asks for any is refused.

use crate::Sense;
use crate::cdb::media::FormatUnit;
use crate::field::Fields;

/// Looks at the header of a parameter list.  Every format that is accepted leaves the medium as it is.
///
/// # Errors
///
/// PARAMETER LIST LENGTH ERROR where the list is shorter than its header; INVALID FIELD IN PARAMETER LIST for protection
/// information, an initialization pattern, or defects.
pub fn check(list: &[u8], command: &FormatUnit) -> Result<(), Sense> {
    let short = Sense::PARAMETER_LIST_LENGTH_ERROR;
    let (first, defects_bytes) = if command.long_header {
        let header = list.first_chunk::<8>().ok_or(short)?;
        (Fields(header).be16::<0>(), Fields(header).be32::<4>())
    } else {
        let header = list.first_chunk::<4>().ok_or(short)?;
        (Fields(header).be16::<0>(), u32::from(Fields(header).be16::<2>()))
    };
    let [protection, options] = first.to_be_bytes();
    let (usage, initializes) = (Fields(&[protection]).bits::<0, 2, 0>(), Fields(&[options]).bit::<0, 3>());
    if usage != 0 || initializes || defects_bytes != 0 {
        return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_changes_nothing_is_accepted() {
        let short = FormatUnit { has_list: true, long_header: false };
        let long = FormatUnit { has_list: true, long_header: true };
        assert_eq!(check(&[0, /* FOV, IMMED */ 0x82, 0, 0], &short), Ok(()));
        assert_eq!(check(&[0, 0x02, 0, 0, 0, 0, 0, 0], &long), Ok(()));
        let refused = Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
        assert_eq!(check(&[1, 0, 0, 0], &short), refused);
        assert_eq!(check(&[0, /* IP */ 0x08, 0, 0], &short), refused);
        assert_eq!(check(&[0, 0, 0, 8], &short), refused);
        assert_eq!(check(&[0, 0, 0, 0, 0, 0, 0, 8], &long), refused);
        assert_eq!(check(&[0, 0, 0, 0], &long), Err(Sense::PARAMETER_LIST_LENGTH_ERROR));
    }
}
