// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Words of an `info` file.
//!
//! Above: `object`.  Below: nothing.
//! Never here: a file.

/// The word after the last `key: `; of `Size: ` and `SectorSize: ` the later one counts.
pub(super) fn word<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let after = text.rsplit_once(&format!("{key}: "))?.1;
    after.split_whitespace().next()
}

/// The same as a number.
pub(super) fn number(text: &str, key: &str) -> Option<u64> {
    word(text, key)?.parse().ok()
}

/// What stands between the last `key: ` and the next `end`: a path may have spaces in it.
pub(super) fn between<'t>(text: &'t str, key: &str, end: &str) -> Option<&'t str> {
    let after = text.rsplit_once(&format!("{key}: "))?.1;
    Some(after.split_once(end)?.0.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 16384\n        \
                        TCM FILEIO ID: 0        File: /tmp/a d.img  Size: 16777216  Mode: Buffered-WCE Async: 0";
    const DEVICE: &str = "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 4592\n        \
                          iBlock device: dm-0  UDEV PATH: /dev/mapper/x  readonly: 1\n        \
                          Major: 252 Minor: 3  CLAIMED: IBLOCK";

    #[test]
    fn words_are_those_of_the_kernel() {
        assert_eq!(number(FILE, "Size"), Some(16_777_216));
        assert_eq!(number(FILE, "SectorSize"), Some(512));
        assert_eq!(between(FILE, "File", "Size: "), Some("/tmp/a d.img"));
        assert_eq!(word(DEVICE, "iBlock device"), Some("dm-0"));
        assert_eq!((number(DEVICE, "Major"), number(DEVICE, "Minor")), (Some(252), Some(3)));
        assert_eq!(number(DEVICE, "readonly"), Some(1));
        assert_eq!(word(DEVICE, "nosuch"), None);
    }
}
