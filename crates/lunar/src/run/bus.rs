// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A message bus that knows nobody.
//!
//! Above: `run`; GLib, in the process of targetcli, which does not start without a system bus although it only
//! asks whether a handler of user space backstores is there.  Below: a socket.
//! Never here: a service.  Whoever asks for one is told that there is none.
//!
//! The host's bus would not do: it knows the handlers of the host's target.

use rustix::process::Signal;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, ExitCode, Stdio};

/// Where it listens: in the view of the command alone.
const SOCKET: &str = "/run/lunar-run.bus";

/// The name of the bus, which a client wants to see and nobody compares.
const GUID: &str = "6c756e6172206e6f626f6479206865a0";

/// The longest line of an authentication, and the longest message that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1024;
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Starts it, as a process that ends with this one, and returns its address.
pub(crate) fn start() -> io::Result<String> {
    let listener = UnixListener::bind(SOCKET)?;
    let mut bus = Command::new("/proc/self/exe");
    bus.args(["run-bus", &std::process::id().to_string()]).stdin(Stdio::from(OwnedFd::from(listener)));
    bus.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(format!("unix:path={SOCKET}"))
}

/// Is the bus of the process with this number; its socket is the standard input.
pub(crate) fn serve(of: u32) -> ExitCode {
    // The command is the process that started this one.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    // It may have ended before that was in force, and then nobody sends a signal.
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get().cast_unsigned());
    if parent != Some(of) {
        return ExitCode::FAILURE;
    }
    // What is meant for the command's terminal is not meant for it.
    let _ = rustix::process::setsid();
    let Ok(listener) = io::stdin().as_fd().try_clone_to_owned().map(UnixListener::from) else {
        return ExitCode::FAILURE;
    };
    for stream in listener.incoming().flatten() {
        // Each client to its end; a client that hangs holds up nobody else.
        let _ = std::thread::Builder::new().spawn(move || {
            // A client that does not keep to the protocol is left alone.
            let _ = converse(&stream);
        });
    }
    ExitCode::FAILURE
}

fn converse(stream: &UnixStream) -> io::Result<()> {
    let mut input = BufReader::new(File::from(stream.as_fd().try_clone_to_owned()?));
    let mut output: &UnixStream = stream;
    while let Some(answer) = authenticate(&line(&mut input)?) {
        output.write_all(answer.as_bytes())?;
    }
    let mut serial = 0_u32;
    while let Some(call) = Call::read(&mut input)? {
        if call.wants_answer {
            serial = serial.wrapping_add(1).max(1);
            output.write_all(&call.answer(serial))?;
        }
    }
    Ok(())
}

fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_matches(['\0', '\r', '\n', ' ']).to_owned())
}

/// What is answered to a line of the authentication; `None` begins the messages.
///
/// Whoever reaches the socket is who he says: it is in a view of his own.
fn authenticate(line: &str) -> Option<String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some(match (word, rest) {
        ("BEGIN", _) => return None,
        ("AUTH", "EXTERNAL") => "DATA\r\n".to_owned(),
        ("AUTH", rest) if rest.starts_with("EXTERNAL ") => format!("OK {GUID}\r\n"),
        ("DATA", _) => format!("OK {GUID}\r\n"),
        ("NEGOTIATE_UNIX_FD", _) => "ERROR no descriptors\r\n".to_owned(),
        _ => "REJECTED EXTERNAL\r\n".to_owned(),
    })
}

/// A message of a client, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    serial: u32,
    wants_answer: bool,
    is_hello: bool,
}

/// Kinds of messages, a flag, and the codes of header fields, of the D-Bus specification.
const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const NO_REPLY_EXPECTED: u8 = 1;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

/// The one client of a connection, and the bus itself.
const CLIENT: &str = ":1.0";
const BUS: &str = "org.freedesktop.DBus";
const UNKNOWN: &str = "org.freedesktop.DBus.Error.ServiceUnknown";
const UNKNOWN_SAYS: &str = "lunar run has no services";

impl Call {
    /// The next message; `None` where the client has gone.
    fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut fixed = [0; 16];
        match input.read_exact(&mut fixed) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let [order, kind, flags, ..] = fixed;
        let number = |from: usize| {
            let bytes = fixed.get(from..from + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
            if order == b'l' { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
        };
        let fields_bytes = usize::try_from(number(12)).unwrap_or(usize::MAX);
        let body_bytes = usize::try_from(number(4)).unwrap_or(usize::MAX);
        if fields_bytes > MESSAGE_BYTES_MAX || body_bytes > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rest = vec![0; fields_bytes.next_multiple_of(8) + body_bytes];
        input.read_exact(&mut rest)?;
        let fields = rest.get(..fields_bytes).unwrap_or_default();
        let wants_answer = kind == METHOD_CALL && flags & NO_REPLY_EXPECTED == 0;
        Ok(Some(Self { serial: number(8), wants_answer, is_hello: member_is_hello(fields) }))
    }

    fn answer(&self, serial: u32) -> Vec<u8> {
        let (kind, text) = if self.is_hello { (METHOD_RETURN, CLIENT) } else { (ERROR, UNKNOWN_SAYS) };
        let mut fields = Vec::new();
        field(&mut fields, REPLY_SERIAL, b'u', |into| into.extend(self.serial.to_le_bytes()));
        field(&mut fields, DESTINATION, b's', |into| string(into, CLIENT));
        field(&mut fields, SENDER, b's', |into| string(into, BUS));
        field(&mut fields, SIGNATURE, b'g', |into| into.extend(b"\x01s\0"));
        if kind == ERROR {
            field(&mut fields, ERROR_NAME, b's', |into| string(into, UNKNOWN));
        }
        let mut body = Vec::new();
        string(&mut body, text);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut message = vec![b'l', kind, NO_REPLY_EXPECTED, 1];
        message.extend(length(&body));
        message.extend(serial.to_le_bytes());
        message.extend(length(&fields));
        message.extend(fields);
        pad(&mut message, 8);
        message.extend(body);
        message
    }
}

/// Whether the method of a message is `Hello`, which asks for a name.  Its name is in a field of its own, so that the
/// text with its length is nowhere else.
fn member_is_hello(fields: &[u8]) -> bool {
    let little = [MEMBER, 1, b's', 0, 5, 0, 0, 0];
    let big = [MEMBER, 1, b's', 0, 0, 0, 0, 5];
    fields.windows(14).any(|window| {
        window.ends_with(b"Hello\0") && (window.starts_with(&little) || window.starts_with(&big))
    })
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn string(into: &mut Vec<u8>, text: &str) {
    into.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    into.extend(text.as_bytes());
    into.push(0);
}

fn field(into: &mut Vec<u8>, code: u8, signature: u8, value: impl FnOnce(&mut Vec<u8>)) {
    pad(into, 8);
    into.extend([code, 1, signature, 0]);
    value(into);
}
