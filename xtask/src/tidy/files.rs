// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rules for one file of the repository.
//!
//! Above: `tidy`.  Below: text.

use std::path::Path;

const SPDX: &str = "SPDX-License-Identifier: Apache-2.0 OR MIT";

/// The most lines of a Rust file, those of its tests not counted.
const LINES_MAX: usize = 600;

/// What no file says, each in two halves lest this one does.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "work that is left belongs into the tracker"),
    (concat!("FIX", "ME"), "work that is left belongs into the tracker"),
    (concat!("XX", "X"), "work that is left belongs into the tracker"),
    (concat!("dbg", "!("), "a trace of debugging"),
    (concat!("issue", " #"), "the repository speaks for itself"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/tmp/", "scratch"), "a path of one machine"),
];

/// Returns the faults of a file, given by its path from the top of the repository.
pub(super) fn check(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |line: usize, what: &str| faults.push(format!("{}:{}: {what}", path.display(), line + 1));
    if has_ending(path, "rs") {
        check_opening(text, &mut fault);
        check_unsafe(text, &mut fault);
        check_names(text, &mut fault);
        check_length(path, text, &mut fault);
    }
    if path.ends_with("Cargo.toml") && path.parent().is_some_and(|parent| !parent.as_os_str().is_empty()) {
        check_manifest(text, &mut fault);
    }
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        fault(0, "a module of this name names nothing: put it beside its folder");
    }
    if !path.ends_with("Cargo.lock") {
        check_words(text, &mut fault);
    }
    faults
}

fn has_ending(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|ending| ending == wanted)
}

fn check_opening(text: &str, fault: &mut impl FnMut(usize, &str)) {
    let mut lines = text.lines();
    if lines.next().and_then(|line| line.strip_prefix("// ")) != Some(SPDX) {
        fault(0, "the first line is not the SPDX line");
    }
    if !lines.next().is_some_and(|line| line.starts_with("//! ")) {
        fault(1, "the file does not open with what it is (`//! …`)");
    }
}

/// Each `unsafe` has its reason directly above: `// SAFETY:`, or `# Safety` in the docs of what is unsafe to
/// call.
fn check_unsafe(text: &str, fault: &mut impl FnMut(usize, &str)) {
    const FORMS: &[&str] = &["unsafe {", "unsafe impl", "unsafe fn", "unsafe trait", "unsafe extern \"\" {"];
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (number, line) in lines.iter().enumerate() {
        let code = code_of(line);
        let is_unsafe = FORMS.iter().any(|form| words_contain(&code, form));
        if is_unsafe && !line.contains("SAFETY:") && !has_reason_above(&lines[..number]) {
            fault(number, "`unsafe` without a SAFETY note");
        }
    }
}

/// A line without its comment and without what its strings say.
fn code_of(line: &str) -> String {
    let (mut code, mut in_string, mut escaped) = (String::new(), false, false);
    for c in line.chars() {
        let quote = c == '"' && !escaped;
        if quote || !in_string {
            code.push(c);
        }
        in_string ^= quote;
        escaped = c == '\\' && !escaped;
        if !in_string && code.ends_with("//") {
            break;
        }
    }
    code
}

fn has_reason_above(above: &[&str]) -> bool {
    for line in above.iter().rev() {
        if line.starts_with("//") {
            if line.contains("SAFETY:") || line.contains("# Safety") {
                return true;
            }
        } else if line.is_empty() || (line.ends_with([';', '{', '}', ',']) && !line.starts_with("#[")) {
            // Another statement ends here; attributes and the start of our own one may stand between.
            return false;
        }
    }
    false
}

/// Whether `part` stands in `text` with no letter, digit or `_` before it.
fn words_contain(text: &str, part: &str) -> bool {
    let inside_a_word = |at: usize| text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    text.match_indices(part).any(|(at, _)| !inside_a_word(at))
}

fn check_names(text: &str, fault: &mut impl FnMut(usize, &str)) {
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with(concat!("fn te", "st_")) {
            fault(number, "the name of a test is a claim and needs no prefix");
        }
    }
}

fn check_length(path: &Path, text: &str, fault: &mut impl FnMut(usize, &str)) {
    // Tests are `tests.rs` of a module, and the files of a folder `tests` unless they are its library.
    let lies_in = |folder: &str| path.components().any(|part| part.as_os_str() == folder);
    let is_test = path.ends_with("tests.rs") || (lies_in("tests") && !lies_in("src"));
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if !is_test && lines > LINES_MAX {
        fault(lines - 1, &format!("{lines} lines: two rooms in one? The limit is {LINES_MAX} without tests"));
    }
}

fn check_manifest(text: &str, fault: &mut impl FnMut(usize, &str)) {
    if !text.contains("[lints]\nworkspace = true\n") {
        fault(0, "the manifest does not take the workspace's lints");
    }
    if !text.contains("publish.workspace = true\n") {
        fault(0, "the manifest does not say publish.workspace = true");
    }
}

fn check_words(text: &str, fault: &mut impl FnMut(usize, &str)) {
    for (number, line) in text.lines().enumerate() {
        for (word, why) in FORBIDDEN {
            if stands_alone(line, word) {
                fault(number, &format!("{word}: {why}"));
            }
        }
    }
}

/// Whether a word stands in a line and is not part of a longer one.
fn stands_alone(line: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].ends_with(letter) && word.starts_with(letter);
        let after = line[at + word.len()..].starts_with(letter) && word.ends_with(letter);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENING: &str = "// SPDX-License-Identifier: Apache-2.0 OR MIT\n//! What it is.\n";

    fn rust(body: &str) -> Vec<String> {
        check(Path::new("a/src/b.rs"), &format!("{OPENING}{body}"))
    }

    #[test]
    fn a_file_with_an_opening_is_fine() {
        assert_eq!(rust("fn f() {}\n"), Vec::<String>::new());
    }

    #[test]
    fn a_file_without_an_opening_has_two_faults() {
        assert_eq!(
            check(Path::new("b.rs"), "fn f() {}\n"),
            [
                "b.rs:1: the first line is not the SPDX line",
                "b.rs:2: the file does not open with what it is (`//! …`)",
            ]
        );
    }

    #[test]
    fn unsafe_without_a_reason_is_a_fault() {
        let expected = ["a/src/b.rs:4: `unsafe` without a SAFETY note"];
        assert_eq!(rust("fn f() {\n    unsafe { g() }\n}\n"), expected);
        assert_eq!(rust("// SAFETY: of another.\nunsafe impl Send for T {}\n"), Vec::<String>::new());
        assert_eq!(rust("// SAFETY: g is fine.\nlet x =\n    unsafe { g() };\n"), Vec::<String>::new());
        assert_eq!(
            rust("/// # Safety\n/// Not null.\n#[inline]\npub unsafe fn f() {}\n"),
            Vec::<String>::new()
        );
        let second = "// SAFETY: g is fine.\nlet x = unsafe { g() };\nlet y = unsafe { h() };\n";
        assert_eq!(rust(second), ["a/src/b.rs:5: `unsafe` without a SAFETY note"]);
        assert_eq!(rust("f(); // unsafe { in a comment\nfn not_unsafe {\n"), Vec::<String>::new());
        assert_eq!(rust("f(\"\\\"unsafe { in a string\");\n"), Vec::<String>::new());
        assert_eq!(rust("unsafe extern \"C\" {\n").len(), 1);
    }

    #[test]
    fn forbidden_words_are_found_as_words() {
        let found = check(Path::new("a.md"), concat!("one\nTO", "DO: two\n"));
        assert_eq!(found, [concat!("a.md:2: TO", "DO: work that is left belongs into the tracker")]);
        let path = check(Path::new(".ci/run"), concat!("cd /wo", "rk/main\n"));
        assert_eq!(path, [concat!(".ci/run:1: /wo", "rk/: a path of one machine")]);
        assert_eq!(check(Path::new("a.md"), "lunar-XXXXXX\n"), Vec::<String>::new());
    }

    #[test]
    fn a_long_file_is_a_fault_and_its_tests_do_not_count() {
        let long = "//\n".repeat(599);
        assert_eq!(
            rust(&long),
            ["a/src/b.rs:601: 601 lines: two rooms in one? The limit is 600 without tests"]
        );
        let tested = format!("{}#[cfg(test)]\n{long}", "//\n".repeat(598));
        assert_eq!(rust(&tested), Vec::<String>::new());
        let story = format!("{OPENING}{long}");
        assert_eq!(check(Path::new("tests/guest/long.rs"), &story), Vec::<String>::new());
        assert_eq!(check(Path::new("a/src/b/tests.rs"), &story), Vec::<String>::new());
        assert_eq!(check(Path::new("tests/src/long.rs"), &story).len(), 1);
    }

    #[test]
    fn names_that_say_test_or_nothing_are_faults() {
        let named = concat!("fn te", "st_it_works() {}\n");
        assert_eq!(rust(named), ["a/src/b.rs:3: the name of a test is a claim and needs no prefix"]);
        assert_eq!(check(Path::new("a/src/c/mod.rs"), OPENING).len(), 1);
    }

    #[test]
    fn a_manifest_takes_the_workspaces_lints() {
        let good = "[package]\npublish.workspace = true\n\n[lints]\nworkspace = true\n";
        assert_eq!(check(Path::new("crates/a/Cargo.toml"), good), Vec::<String>::new());
        assert_eq!(check(Path::new("crates/a/Cargo.toml"), "[package]\n").len(), 2);
        assert_eq!(check(Path::new("Cargo.toml"), "[workspace]\n"), Vec::<String>::new());
    }
}
