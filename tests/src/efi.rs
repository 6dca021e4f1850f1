// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An application for UEFI firmware: says whether all of its file was loaded as it is on the disk, and by that ends the
//! machine.
//!
//! Above: the stories that boot OVMF.  Below: nothing.
//! Never here: a call of the firmware.  The application reaches its serial port as a boot sector would.
//!
//! Its file may be as long as one likes, and firmware reads a file with as few commands as it can: so a long one is how
//! big transfers are had from firmware.

use crate::firmware::{DONE, FAILED};
use anyhow::{Result, ensure};

/// Where the parts lie in the only section.
const SUM_AT: u32 = 0x100;
const TEXT_AT: u32 = 0x110;
const BALLAST_AT: u32 = 0x400;

/// Where the section lies in the file, and in memory from the start of the image.
const SECTION_IN_FILE: u32 = 0x200;
const SECTION_IN_MEMORY: u32 = 0x1000;

/// The code: sums the ballast up, compares, and sends the text to the first serial port.
fn code(words: u32) -> Vec<u8> {
    let mut code = Vec::new();
    // The displacement of an operand that is relative to the next instruction.
    let far = |code: &mut Vec<u8>, opcode: &[u8], to: u32| {
        code.extend_from_slice(opcode);
        let next = u32::try_from(code.len()).unwrap_or(u32::MAX) + 4;
        code.extend_from_slice(&to.wrapping_sub(next).to_le_bytes());
    };
    far(&mut code, &[0x48, 0x8d, 0x35], BALLAST_AT); // lea rsi, [ballast]
    code.push(0xb9); //                                 mov ecx, words
    code.extend_from_slice(&words.to_le_bytes());
    code.extend_from_slice(&[
        0x31, 0xdb, //              xor ebx, ebx
        0x48, 0xd1, 0xc3, // next:  rol rbx, 1
        0x48, 0x03, 0x1e, //        add rbx, [rsi]
        0x48, 0x83, 0xc6, 0x08, //  add rsi, 8
        0xff, 0xc9, //              dec ecx
        0x75, 0xf2, //              jnz next
    ]);
    far(&mut code, &[0x48, 0x3b, 0x1d], SUM_AT); // cmp rbx, [sum]
    code.extend_from_slice(&[0x75, 0x24]); //       jne failed
    far(&mut code, &[0x48, 0x8d, 0x35], TEXT_AT); // lea rsi, [text]
    code.extend_from_slice(&[
        0xac, //              next: lodsb
        0x84, 0xc0, //              test al, al
        0x74, 0x14, //              jz done
        0x88, 0xc3, //              mov bl, al
        0x66, 0xba, 0xfd, 0x03, //  mov dx, 3fdh
        0xec, //              full: in al, dx
        0xa8, 0x20, //              test al, 20h
        0x74, 0xfb, //              jz full
        0x88, 0xd8, //              mov al, bl
        0x66, 0xba, 0xf8, 0x03, //  mov dx, 3f8h
        0xee, //                    out dx, al
        0xeb, 0xe7, //              jmp next
        0xb0, DONE, //        done: mov al, DONE
        0xeb, 0x02, //              jmp leave
        0xb0, FAILED, //    failed: mov al, FAILED
        0xe6, 0xf4, //       leave: out f4h, al
        0xf4, //                    hlt
        0xeb, 0xfd, //              jmp back
    ]);
    code
}

/// An application that prints `text` if the `ballast` that is part of it arrived whole.
pub fn application(text: &str, ballast: &[u8]) -> Result<Vec<u8>> {
    ensure!(!ballast.is_empty() && ballast.len().is_multiple_of(512), "the ballast is whole sectors");
    ensure!(text.is_ascii() && text.len() < 0x200, "the application prints at most 511 ASCII characters");
    let words = ballast.as_chunks::<8>().0;
    let sum =
        words.iter().fold(0_u64, |sum, word| sum.rotate_left(1).wrapping_add(u64::from_le_bytes(*word)));
    let mut section = vec![0; usize::try_from(BALLAST_AT)?];
    let mut put = |at: u32, bytes: &[u8]| {
        let at = at as usize;
        section[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(0, &code(u32::try_from(words.len())?));
    put(SUM_AT, &sum.to_le_bytes());
    put(TEXT_AT, text.as_bytes());
    section.extend_from_slice(ballast);
    let mut file = headers(u32::try_from(section.len())?);
    file.resize(usize::try_from(SECTION_IN_FILE)?, 0);
    file.extend_from_slice(&section);
    Ok(file)
}

/// The headers of a PE32+ image with one section (PE Format, "Overview").
fn headers(section_bytes: u32) -> Vec<u8> {
    let image_bytes = SECTION_IN_MEMORY + section_bytes.next_multiple_of(0x1000);
    let mut file = vec![b'M', b'Z'];
    file.resize(0x3c, 0);
    let mut u16s = |values: &[u16]| file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    // The offset of what follows.
    u16s(&[0x40, 0]);
    // "PE", x86-64, one section, no time and no symbols, 240 bytes of optional header, executable.
    u16s(&[0x4550, 0, 0x8664, 1, 0, 0, 0, 0, 0, 0, 240, 0x22]);
    // PE32+, no linker.
    u16s(&[0x20b, 0]);
    let mut u32s = |values: &[u32]| file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    // Code, data, more data; the entry and the code; the base, which is any; the alignments.
    u32s(&[section_bytes, 0, 0, SECTION_IN_MEMORY, SECTION_IN_MEMORY, 0, 0, 0x1000, 0x200]);
    // Three versions and a reserved field; the image, the headers, no check sum.
    u32s(&[0, 0, 0, 0, image_bytes, SECTION_IN_FILE, 0]);
    // An EFI application; four sizes of stack and heap; loader flags; 16 directories, all empty.
    u32s(&[10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16]);
    u32s(&[0; 32]);
    file.extend_from_slice(b".text\0\0\0");
    let mut u32s = |values: &[u32]| file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    // Its place in memory and in the file; no relocations; code that may be read, written and run.
    u32s(&[section_bytes, SECTION_IN_MEMORY, section_bytes, SECTION_IN_FILE, 0, 0, 0, 0xe000_0020]);
    file
}

/// Bytes that repeat nowhere near, the same for the same length: xorshift64 by Marsaglia.
pub fn ballast(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_land_where_the_comments_say() {
        let code = code(7);
        let at = |bytes: &[u8]| code.windows(bytes.len()).position(|window| window == bytes);
        // Each jump: its own bytes, and the bytes it leads to.
        for (jump, to) in [
            ([0x75, 0xf2], &[0x48, 0xd1, 0xc3][..]),
            ([0x75, 0x24], &[0xb0, FAILED]),
            ([0x74, 0x14], &[0xb0, DONE]),
            ([0x74, 0xfb], &[0xec]),
            ([0xeb, 0xe7], &[0xac]),
            ([0xeb, 0x02], &[0xe6, 0xf4]),
            ([0xeb, 0xfd], &[0xf4, 0xeb]),
        ] {
            let from = at(&jump).expect("the jump is there") + 2;
            let landed = from.wrapping_add_signed(isize::from(jump[1].cast_signed()));
            assert_eq!(Some(landed), at(to), "{jump:x?}");
        }
    }

    #[test]
    fn an_application_is_a_pe_image_with_its_section_behind_the_headers() -> Result<()> {
        let file = application("Hello.", &[1; 512])?;
        assert_eq!(file.len(), 0x200 + 0x400 + 512);
        assert_eq!((&file[..2], &file[0x40..0x46]), (&b"MZ"[..], &b"PE\0\0\x64\x86"[..]));
        assert_eq!((&file[0x148..0x14d], file[0x200]), (&b".text"[..], 0x48));
        assert_eq!(&file[0x200 + 0x110..0x200 + 0x117], b"Hello.\0");
        Ok(())
    }
}
