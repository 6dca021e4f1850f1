// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns descriptor chains into requests (virtio 1.2, 5.6.6.1).
//!
//! Above: `queue`.  Below: `memory`.
//! Never here: SCSI meaning.  A CDB passes through this file unread.

use crate::response::{RESPONSE_BYTES, ResponseCode};
use memory::IoBuf;
use scsi::CDB_BYTES_MAX;
use target::{Buffers, TaskAttribute};

/// Bytes of a request before its data.
const HEADER_BYTES: usize = 51;
/// The same where protection information was negotiated.
const PI_HEADER_BYTES: usize = 59;
/// The feature that makes the header longer: VIRTIO_SCSI_F_T10_PI.  Never offered; a front end may be set to
/// add it all the same, and then the guest sends the longer header.
pub(crate) const FEATURE_T10_PI: u64 = 1 << 3;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) lun: [u8; 8],
    pub(crate) tag: u64,
    pub(crate) attribute: TaskAttribute,
    pub(crate) cdb: [u8; CDB_BYTES_MAX],
}

/// Why a chain is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRequest {
    /// There is no room for an answer.
    Unanswerable,
    /// It is answered by the transport alone.
    Refused(ResponseCode),
}

/// Takes a chain apart.  What is left of `readable` and `writable` becomes the data buffers, `response` the
/// room for the answer.
pub(crate) fn parse(
    features: u64,
    readable: &mut IoBuf,
    writable: &mut IoBuf,
    response: &mut IoBuf,
) -> Result<Request, NoRequest> {
    if writable.bytes() < RESPONSE_BYTES as u64 {
        return Err(NoRequest::Unanswerable);
    }
    writable.take_front(RESPONSE_BYTES as u64, response);
    let header_bytes = if features & FEATURE_T10_PI == 0 { HEADER_BYTES } else { PI_HEADER_BYTES };
    let mut header = [0; PI_HEADER_BYTES];
    let Some(header) = header.get_mut(..header_bytes) else {
        return Err(NoRequest::Refused(ResponseCode::Failure));
    };
    if readable.copy_to(0, header) < header_bytes {
        return Err(NoRequest::Refused(ResponseCode::BadTarget));
    }
    readable.advance(header_bytes as u64);
    let (fixed, rest) = header.split_at(19);
    let (protection, cdb) = rest.split_at(rest.len() - CDB_BYTES_MAX);
    if protection.iter().any(|&byte| byte != 0) || !(readable.is_empty() || writable.is_empty()) {
        // Protection information and both directions at once were never negotiated.
        return Err(NoRequest::Refused(ResponseCode::Failure));
    }
    let field = |from: usize| fixed.get(from..).and_then(|bytes| bytes.first_chunk::<8>()).copied();
    let (Some(lun), Some(tag), Ok(cdb)) = (field(0), field(8), cdb.try_into()) else {
        return Err(NoRequest::Refused(ResponseCode::Failure));
    };
    let attribute = match fixed.get(16) {
        Some(1) => TaskAttribute::Ordered,
        Some(2) => TaskAttribute::HeadOfQueue,
        Some(3) => TaskAttribute::Aca,
        _ => TaskAttribute::Simple,
    };
    Ok(Request { lun, tag: u64::from_le_bytes(tag), attribute, cdb })
}

/// Moves what is left of a chain into data buffers.
pub(crate) fn data(readable: IoBuf, writable: IoBuf) -> Buffers {
    Buffers { data_out: readable, data_in: writable }
}
