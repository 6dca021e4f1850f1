// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `bookmarks`.

use crate::support::{furnished, transcript};

#[test]
fn a_bookmark_is_added_used_shown_and_deleted() {
    transcript(
        "
/> bookmarks show
No bookmarks yet.
/> /vhost bookmarks add v
Bookmarked /vhost as v.
/> bookmarks add v
! Bookmark v already exists.
/> bookmarks show

BOOKMARKS
=========

v
-
/vhost
/> @v status
Status for /vhost: Targets: 0
/> bookmarks go v
/vhost> cd @nosuch
! No such bookmark nosuch
! hint: `bookmarks show` has those there are
/vhost> bookmarks del v
Deleted bookmark v.
/vhost> bookmarks del v
! No such bookmark v.
! hint: `bookmarks show` has those there are
",
    );
}

#[test]
fn what_was_created_last_has_one() {
    furnished().transcript(
        "
/> @last info
alias: a7975b902c
alua_tg_pt_gp_name: default_tg_pt_gp
index: 0
storage_object: /backstores/fileio/disk1
/> /vhost/naa.500140568720f76f create
Created TPG 2.
/> @last/luns pwd
/vhost/naa.500140568720f76f/tpg2/luns
",
    );
}

#[test]
fn nonsense_is_refused() {
    transcript(
        "
/> bookmarks
! Missing required parameter action
! hint: the command is: bookmarks action [bookmark]
/> bookmarks add
! Syntax error, see 'help bookmarks'.
! hint: the command is: bookmarks add NAME, go NAME, del NAME or show
/> bookmarks frob x
! Syntax error, see 'help bookmarks'.
! hint: the command is: bookmarks add NAME, go NAME, del NAME or show
/> bookmarks add a/b
! Bookmark a/b has characters other than letters, digits and : _ . -
",
    );
}
