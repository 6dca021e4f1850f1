// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns one payload and its file descriptors into a message, by the message's own rules.
//!
//! Above: the caller, `codec/receive.rs`.
//! Below: `codec/fields.rs`.
//! Never here: whether the message is allowed now.  That is `session`.
//!
//! File descriptors that a message does not need are closed: the standard demands it for REM_MEM_REG, and a message
//! without meaning for them cannot do harm with them.

use super::fields::Fields;
use super::{FDS_MAX, Header, Malformed, TABLE_REGIONS_MAX, WireError};
use crate::Request;
use crate::message::{
    Body, ConfigOrigin, ConfigWrite, InflightArea, LogArea, Message, Region, RingAddresses,
};
use std::os::fd::OwnedFd;

/// SET_VRING_KICK, _CALL, _ERR: the index is in these bits, …
const VRING_INDEX_MASK: u64 = 0xff;
/// … and this one says that there is no file descriptor.
const VRING_NO_FD: u64 = 1 << 8;
/// SET_VRING_ADDR: log writes to the used ring.
const VRING_FLAG_LOG: u32 = 1 << 0;
/// The inflight payload as QEMU sends it: packed.
const INFLIGHT_BYTES_PACKED: usize = 20;
/// The inflight payload as rust-vmm sends it: padded to 8 bytes.
const INFLIGHT_BYTES_PADDED: usize = 24;

/// Parses one message.  `payload` must have the length that `header` says.
///
/// # Errors
/// The message makes no sense, but the stream is intact: hand the error to [`crate::Session::on_malformed`], which
/// knows whether the front end is answered or cut off.
pub fn decode(header: Header, payload: &[u8], fds: Vec<OwnedFd>) -> Result<Message, Malformed> {
    let wrong = |reason| Malformed { header, reason };
    if payload.len() != header.payload_bytes {
        return Err(wrong(WireError::PayloadLength { bytes: payload.len() }));
    }
    if fds.len() > FDS_MAX {
        return Err(wrong(WireError::FdCount { count: fds.len() }));
    }
    let mut fields = Fields::new(payload);
    let body = body(header.request, &mut fields, fds).map_err(wrong)?;
    fields.end().map_err(wrong)?;
    Ok(Message { request: header.request, need_reply: header.need_reply, body })
}

fn body(request: Request, fields: &mut Fields<'_>, fds: Vec<OwnedFd>) -> Result<Body, WireError> {
    Ok(match request {
        Request::GET_FEATURES => Body::GetFeatures,
        Request::SET_FEATURES => Body::SetFeatures(fields.u64()?),
        Request::SET_OWNER => Body::SetOwner,
        Request::RESET_OWNER => Body::ResetOwner,
        Request::SET_MEM_TABLE => Body::SetMemTable(memory_table(fields, fds)?),
        Request::SET_LOG_BASE => Body::SetLogBase(log_area(fields, fds)?),
        Request::SET_LOG_FD => Body::SetLogFd(one(fds)?),
        Request::SET_VRING_NUM => Body::SetVringNum { index: fields.u32()?, entries: fields.u32()? },
        Request::SET_VRING_ADDR => ring_addresses(fields)?,
        Request::SET_VRING_BASE => Body::SetVringBase { index: fields.u32()?, base: fields.u32()? },
        Request::GET_VRING_BASE => {
            let index = fields.u32()?;
            fields.u32()?; // Unused by the standard.
            Body::GetVringBase { index }
        }
        Request::SET_VRING_KICK => {
            let (index, fd) = ring_fd(fields, fds)?;
            Body::SetVringKick { index, fd }
        }
        Request::SET_VRING_CALL => {
            let (index, fd) = ring_fd(fields, fds)?;
            Body::SetVringCall { index, fd }
        }
        Request::SET_VRING_ERR => {
            let (index, fd) = ring_fd(fields, fds)?;
            Body::SetVringErr { index, fd }
        }
        Request::SET_VRING_ENABLE => {
            Body::SetVringEnable { index: fields.u32()?, enable: flag(fields.u32()?)? }
        }
        Request::GET_PROTOCOL_FEATURES => Body::GetProtocolFeatures,
        Request::SET_PROTOCOL_FEATURES => Body::SetProtocolFeatures(fields.u64()?),
        Request::GET_QUEUE_NUM => Body::GetQueueNum,
        Request::SET_BACKEND_REQ_FD => Body::SetBackendReqFd(one(fds)?),
        Request::GET_CONFIG => get_config(fields)?,
        Request::SET_CONFIG => Body::SetConfig(config_write(fields)?),
        Request::GET_INFLIGHT_FD => get_inflight(fields)?,
        Request::SET_INFLIGHT_FD => Body::SetInflightFd(inflight_area(fields, fds)?),
        Request::RESET_DEVICE => Body::ResetDevice,
        Request::GET_MAX_MEM_SLOTS => Body::GetMaxMemSlots,
        Request::ADD_MEM_REG => {
            fields.u64()?; // Padding.
            Body::AddMemReg(region(fields, one(fds)?)?)
        }
        Request::REM_MEM_REG => remove_region(fields)?,
        Request::SET_STATUS => {
            let status = fields.u64()?;
            Body::SetStatus(u8::try_from(status).map_err(|_| WireError::Value { value: status })?)
        }
        Request::GET_STATUS => Body::GetStatus,
        _ => {
            fields.rest();
            Body::Unserved
        }
    })
}

fn memory_table(fields: &mut Fields<'_>, fds: Vec<OwnedFd>) -> Result<Vec<Region>, WireError> {
    let count = fields.u32()?;
    fields.u32()?; // Padding.
    let regions = usize::try_from(count).unwrap_or(usize::MAX);
    if regions > TABLE_REGIONS_MAX {
        return Err(WireError::TooManyRegions { count });
    }
    if regions != fds.len() {
        return Err(WireError::FdCount { count: fds.len() });
    }
    fds.into_iter().map(|file| region(fields, file)).collect()
}

fn region(fields: &mut Fields<'_>, file: OwnedFd) -> Result<Region, WireError> {
    let (guest, bytes, user, file_offset) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
    area(bytes, &[guest, user, file_offset])?;
    Ok(Region { guest, user, bytes, file_offset, file })
}

fn remove_region(fields: &mut Fields<'_>) -> Result<Body, WireError> {
    fields.u64()?; // Padding.
    let (guest, bytes, user) = (fields.u64()?, fields.u64()?, fields.u64()?);
    fields.u64()?; // The offset takes no part in the match.
    Ok(Body::RemMemReg { guest, user, bytes })
}

/// Checks that `bytes` is not 0 and that no range that begins at one of `starts` overflows.
fn area(bytes: u64, starts: &[u64]) -> Result<(), WireError> {
    let fits = starts.iter().all(|start| start.checked_add(bytes).is_some());
    if bytes > 0 && fits { Ok(()) } else { Err(WireError::Area { bytes }) }
}

fn log_area(fields: &mut Fields<'_>, fds: Vec<OwnedFd>) -> Result<LogArea, WireError> {
    let (bytes, file_offset) = (fields.u64()?, fields.u64()?);
    area(bytes, &[file_offset])?;
    Ok(LogArea { bytes, file_offset, file: one(fds)? })
}

fn ring_addresses(fields: &mut Fields<'_>) -> Result<Body, WireError> {
    let (index, flags) = (fields.u32()?, fields.u32()?);
    let (desc, used, avail, log) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
    for (address, align) in [(desc, 16), (used, 4), (avail, 2)] {
        if !address.is_multiple_of(align) {
            return Err(WireError::RingAlignment { address });
        }
    }
    let log = (flags & VRING_FLAG_LOG != 0).then_some(log);
    Ok(Body::SetVringAddr { index, addresses: RingAddresses { desc, used, avail, log } })
}

fn ring_fd(fields: &mut Fields<'_>, fds: Vec<OwnedFd>) -> Result<(u8, Option<OwnedFd>), WireError> {
    let value = fields.u64()?;
    if value & !(VRING_INDEX_MASK | VRING_NO_FD) != 0 {
        return Err(WireError::Value { value });
    }
    let index = u8::try_from(value & VRING_INDEX_MASK).map_err(|_| WireError::Value { value })?;
    let fd = if value & VRING_NO_FD != 0 { None } else { Some(one(fds)?) };
    Ok((index, fd))
}

fn get_config(fields: &mut Fields<'_>) -> Result<Body, WireError> {
    let (offset, bytes, flags) = (fields.u32()?, fields.u32()?, fields.u32()?);
    // The payload repeats as many bytes as it asks for, so the answer is no longer than a payload may be.
    let room = fields.rest().len();
    if usize::try_from(bytes).ok() != Some(room) {
        return Err(fields.wrong_length());
    }
    Ok(Body::GetConfig { offset, bytes, flags })
}

fn config_write(fields: &mut Fields<'_>) -> Result<ConfigWrite, WireError> {
    let (offset, bytes, flags) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let data = fields.rest();
    if usize::try_from(bytes).ok() != Some(data.len()) {
        return Err(fields.wrong_length());
    }
    let origin = match flags {
        0 => ConfigOrigin::Guest,
        1 => ConfigOrigin::Migration,
        _ => return Err(WireError::Value { value: u64::from(flags) }),
    };
    Ok(ConfigWrite { offset, data: data.to_vec(), origin })
}

fn get_inflight(fields: &mut Fields<'_>) -> Result<Body, WireError> {
    let (_, _, queues, entries, payload_bytes) = inflight(fields)?;
    Ok(Body::GetInflightFd { queues, entries, payload_bytes })
}

fn inflight_area(fields: &mut Fields<'_>, fds: Vec<OwnedFd>) -> Result<InflightArea, WireError> {
    let (bytes, file_offset, queues, entries, _) = inflight(fields)?;
    area(bytes, &[file_offset])?;
    Ok(InflightArea { bytes, file_offset, queues, entries, file: one(fds)? })
}

/// Reads the inflight payload in either of its two forms: bytes, offset, queues, entries, and which form it was.
fn inflight(fields: &mut Fields<'_>) -> Result<(u64, u64, u16, u16, usize), WireError> {
    let (bytes, offset, queues, entries) = (fields.u64()?, fields.u64()?, fields.u16()?, fields.u16()?);
    let padding = fields.rest().len();
    let payload_bytes = INFLIGHT_BYTES_PACKED + padding;
    if payload_bytes != INFLIGHT_BYTES_PACKED && payload_bytes != INFLIGHT_BYTES_PADDED {
        return Err(fields.wrong_length());
    }
    if queues == 0 || entries == 0 {
        return Err(WireError::Value { value: 0 });
    }
    Ok((bytes, offset, queues, entries, payload_bytes))
}

fn flag(value: u32) -> Result<bool, WireError> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(WireError::Value { value: u64::from(value) }),
    }
}

/// Takes the only file descriptor of a message.
fn one(fds: Vec<OwnedFd>) -> Result<OwnedFd, WireError> {
    let count = fds.len();
    let [fd] = <[OwnedFd; 1]>::try_from(fds).map_err(|_| WireError::FdCount { count })?;
    Ok(fd)
}
