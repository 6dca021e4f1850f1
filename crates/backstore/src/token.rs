// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The promise that an operation ends exactly once.
//!
//! Above: whoever submits.  Below: nothing.
//! Never here: meaning.  The number is the submitter's own.

/// Stands for one operation from its submission to its completion.
///
/// It cannot be copied and must not be dropped: a lost token is a command that never ends, and a guest waits
/// for it for ever.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Token(u64);

impl Token {
    /// Makes a token that carries `number`.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Ends the token's life and gives the number back.
    pub fn redeem(self) -> u64 {
        let number = self.0;
        std::mem::forget(self);
        number
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        // A broken invariant of ours ends the process, and the resumption of what was in flight mends it.
        assert!(std::thread::panicking(), "operation {:#x} was dropped without an end", self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_gives_its_number_back() {
        assert_eq!(Token::new(0x1234).redeem(), 0x1234);
    }

    #[test]
    #[should_panic(expected = "operation 0x7 was dropped without an end")]
    fn a_dropped_token_is_a_broken_invariant() {
        drop(Token::new(7));
    }
}
