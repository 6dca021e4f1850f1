// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows the product.

use anyhow::Result;
/// Shows it.
pub(crate) fn show() -> Result<()> {
    Ok(())
}
