// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands of the survey that print something else, and why.
//!
//! Above: `survey`.  Below: rows of docs/deviations.md, by the test that each names.
//! Never here: a difference without a reason.

const SUPPORTED_COMMANDS: &[&str] = &["all_commands_are_listed_in_order"];
const ORDER_OF_LUNS: &[&str] = &["report_luns_lists_units_in_the_order_of_their_numbers"];
const WELL_KNOWN: &[&str] =
    &["report_luns_tells_well_known_units_apart", "report_luns_lists_units_in_the_order_of_their_numbers"];
const TASK_ATTRIBUTES: &[&str] = &["aca_is_refused_and_other_attributes_are_served"];
const LIMITS: &[&str] = &[
    "a_write_waits_for_the_blocks_of_a_comparison_and_others_do_not",
    "block_limits_is_whole_without_unmap",
    "a_file_is_thin_and_says_how_much_it_takes",
];
const SERVICE_ACTION: &[&str] = &["an_unknown_service_action_is_an_invalid_field"];
const ERASED_READS: &[&str] = &["what_is_read_after_an_erase_is_said_where_there_is_one"];
const THIN: &[&str] = &["provisioning_type_is_thin_where_blocks_can_be_unmapped"];
const EVERY_PAGE: &[&str] = &[
    "aca_is_refused_and_other_attributes_are_served",
    "a_write_waits_for_the_blocks_of_a_comparison_and_others_do_not",
    "block_limits_is_whole_without_unmap",
    "a_file_is_thin_and_says_how_much_it_takes",
    "what_is_read_after_an_erase_is_said_where_there_is_one",
    "provisioning_type_is_thin_where_blocks_can_be_unmapped",
];

/// The command, and the tests of the rows that say why.
pub(crate) const EXPLAINED: &[(&str, &[&str])] = &[
    ("sg_get_lba_status DISK", &["lba_status_is_that_of_the_file"]),
    ("sg_ident DISK", SERVICE_ACTION),
    ("sg_logs -a DISK", &["what_was_asked_for_is_counted_until_log_select_forgets_it"]),
    ("sg_luns -HH DISK", ORDER_OF_LUNS),
    ("sg_luns -s 1 DISK", WELL_KNOWN),
    ("sg_luns -s 2 DISK", WELL_KNOWN),
    ("sg_luns -v DISK", ORDER_OF_LUNS),
    (
        "sg_modes -a DISK",
        &["mode_block_descriptor_holds_the_number_of_blocks", "what_may_be_changed_is_taken_from_every_page"],
    ),
    ("sg_opcodes -H DISK", SUPPORTED_COMMANDS),
    ("sg_opcodes -m DISK", SUPPORTED_COMMANDS),
    ("sg_opcodes -t -q -H DISK", &["every_function_is_there_but_clear_aca"]),
    ("sg_opcodes DISK", SUPPORTED_COMMANDS),
    ("sg_requests -HH DISK", &["request_sense_is_as_long_as_the_sense"]),
    ("sg_timestamp DISK", SERVICE_ACTION),
    ("sg_vpd -a -HH DISK", EVERY_PAGE),
    ("sg_vpd -a DISK", EVERY_PAGE),
    ("sg_vpd -p 0x86 -HH DISK", TASK_ATTRIBUTES),
    ("sg_vpd -p 0x86 DISK", TASK_ATTRIBUTES),
    ("sg_vpd -p 0xb0 -HH DISK", LIMITS),
    ("sg_vpd -p 0xb0 DISK", LIMITS),
    ("sg_vpd -p 0xb1 -HH DISK", ERASED_READS),
    ("sg_vpd -p 0xb1 DISK", ERASED_READS),
    ("sg_vpd -p 0xb2 -HH DISK", THIN),
    ("sg_vpd -p 0xb2 DISK", THIN),
];
