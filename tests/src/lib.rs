// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the stories stand on: a real daemon, a real guest.
