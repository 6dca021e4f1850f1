// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A shell over a daemon made for tests, and transcripts as text.
//!
//! Above: the test files.  Below: `shell`.
//! Never here: an expectation.

mod fake;

pub(crate) use fake::{FAKE_SERIAL, Fake, difference};

use shell::{Environment, Keeper, Kept, Mode, Reply, Screen, Shell, grammar};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

/// Remembers as long as the test runs.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Rc<RefCell<Kept>>, pub(crate) Rc<RefCell<Vec<String>>>);

impl Keeper for Memory {
    fn load(&self) -> Kept {
        self.0.borrow().clone()
    }

    fn update(&self, edit: &mut dyn FnMut(&mut Kept)) -> Result<(), String> {
        edit(&mut self.0.borrow_mut());
        Ok(())
    }

    fn log(&self, file: &str, lines: &[String]) {
        let without_time = |line: &String| match line.split_once("] ") {
            Some((level, rest)) => {
                format!("{file}: {level}] {}", rest.get(20..).unwrap_or_default().trim_end())
            }
            None => panic!("{line} has no level"),
        };
        self.1.borrow_mut().extend(lines.iter().map(without_time));
    }
}

/// A shell, its daemon and its memory.
pub(crate) struct Session {
    pub(crate) shell: Shell,
    pub(crate) fake: Fake,
    pub(crate) memory: Memory,
}

impl Session {
    pub(crate) fn new() -> Self {
        // Narrow, so that the lines of `ls` fit into the source of a test.
        Self::on(Screen { columns: 72, ..Screen::plain(Mode::Session) })
    }

    pub(crate) fn on(screen: Screen) -> Self {
        let (fake, memory) = (Fake::default(), Memory::default());
        let environment = Environment {
            directory: PathBuf::from("/srv/here"),
            home: Some(PathBuf::from("/home/admin")),
            version: "1.2.3".to_owned(),
        };
        let shell = Shell::new(Box::new(fake.clone()), Box::new(memory.clone()), environment, screen);
        Self { shell, fake, memory }
    }

    /// Runs one line, or several that a backslash joins.
    pub(crate) fn run(&mut self, line: &str) -> Reply {
        let lines = grammar::statements(line).expect("a finished line");
        let [words] = lines.as_slice() else { panic!("{line:?} is not one statement") };
        self.shell.run(words)
    }

    /// Plays the lines of `expected` that start with the prompt, and compares all that is shown.
    ///
    /// Standard error is shown with `! ` before each line.
    #[track_caller]
    pub(crate) fn transcript(&mut self, expected: &str) {
        let expected = expected.trim_start_matches('\n');
        let mut actual = String::new();
        let mut lines = expected.lines();
        while let Some(line) = lines.next() {
            let prompt = self.shell.prompt();
            let Some(typed) = line.strip_prefix(&prompt) else { continue };
            let mut typed = typed.to_owned();
            while typed.ends_with('\\') {
                typed.push('\n');
                typed.push_str(lines.next().expect("a continued line continues"));
            }
            let reply = self.run(&typed);
            assert_eq!(
                reply.failed,
                !reply.err.is_empty(),
                "{typed}: a failure and only a failure is reported"
            );
            actual.push_str(&format!("{prompt}{typed}\n{}", reply.out));
            actual.extend(reply.err.lines().map(|line| format!("! {line}\n")));
        }
        assert!(actual == expected, "expected:\n{expected}\nactual:\n{actual}");
    }
}

/// Plays a transcript in a fresh session.
#[track_caller]
pub(crate) fn transcript(expected: &str) {
    Session::new().transcript(expected);
}

/// A session with one backstore of each kind and a target that shows the file.
pub(crate) fn furnished() -> Session {
    let mut session = Session::new();
    for line in [
        "/backstores/block create disk0 /dev/sda",
        "/backstores/fileio create disk1 /srv/disk1.img 16M",
        "/backstores/ramdisk create disk2 8M",
        "/vhost create naa.500140568720f76f",
        "/vhost/naa.500140568720f76f/tpg1/luns create /backstores/fileio/disk1",
    ] {
        let reply = session.run(line);
        assert_eq!(reply.err, "", "{line}");
    }
    session
}
