// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what was typed to statements: `[path] [command] [parameter...]`.
//!
//! Above: `session`, `complete`.  Below: nothing.
//! Never here: which commands or nodes there are.
//!
//! targetcli's grammar, made whole: white space separates words; quotes and the backslash keep it inside
//! one; a backslash at the end of a line continues it; a line that starts with `#` is a comment.  Nothing
//! that was typed is dropped.
//!
//! ```text
//! line      = [path] [command] parameter*
//! path      = a first word with a '/' in it, "." , ".." , "@bookmark" , or "*" at its end: all children
//! parameter = keyword '=' [value] | '--' flag | value
//! keyword   = [A-Za-z0-9_-]+
//! ```

mod words;

pub use words::{Partial, Unfinished, Word, partial, statements};

/// One command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Where to run the command.
    pub target: Target,
    /// Its name; absent where only a path was typed.
    pub command: Option<String>,
    /// What follows the name.
    pub arguments: Vec<Argument>,
}

/// Which nodes a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The current node.
    Here,
    /// The node of this path, as typed.
    Node(String),
    /// All children of the node of this path, one after another.
    Children(String),
}

/// One parameter as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A value that is known by its place.
    Positional(String),
    /// `keyword=value`; the value may be empty.
    Keyword(String, String),
    /// `--flag`, without the dashes.
    Flag(String),
}

impl Statement {
    /// `ls --help` is `help ls`, and `PATH --help` is `PATH help`, as with other programs.
    pub fn ask_for_help(&mut self) {
        if self.command.as_deref() == Some("--help") {
            self.command = Some("help".to_owned());
        } else if self.take_flag("help")
            && let Some(command) = self.command.replace("help".to_owned())
        {
            self.arguments = vec![Argument::Positional(command)];
        }
    }

    /// Takes `--name` away, wherever it stands.  Returns whether it was there.
    pub fn take_flag(&mut self, name: &str) -> bool {
        let count = self.arguments.len();
        self.arguments.retain(|argument| !matches!(argument, Argument::Flag(flag) if flag == name));
        self.arguments.len() < count
    }
}

/// Understands the words of one line.  Pure: whether a path or command exists is not known here.
#[must_use]
pub fn parse(words: &[Word]) -> Statement {
    let (target, rest) = match words.split_first() {
        Some((first, rest)) => match target(first) {
            Some(target) => (target, rest),
            None => (Target::Here, words),
        },
        None => (Target::Here, words),
    };
    let (command, rest) = match rest.split_first() {
        Some((command, rest)) => (Some(command.text().to_owned()), rest),
        None => (None, rest),
    };
    let arguments = join_assignments(rest).iter().map(argument).collect();
    Statement { target, command, arguments }
}

/// The nodes a first word names, or `None` where it is a command.
fn target(first: &Word) -> Option<Target> {
    let text = first.text();
    if first.is_bare() && text == "*" {
        return Some(Target::Children(".".to_owned()));
    }
    if first.is_bare()
        && let Some(parent) = text.strip_suffix("/*")
    {
        let parent = if parent.is_empty() { "/" } else { parent };
        return Some(Target::Children(parent.to_owned()));
    }
    let names_a_node = text.contains('/') || text.starts_with('@') || text == "." || text == "..";
    names_a_node.then(|| Target::Node(text.to_owned()))
}

/// Joins `name = disk0`, `name= disk0` and `name =disk0`, which targetcli takes, into `name=disk0`.
///
/// `a= b=1` stays two: targetcli makes `b=1` the value of `a`, which nobody means.
fn join_assignments(words: &[Word]) -> Vec<Word> {
    let mut joined: Vec<Word> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(last) if word.starts_with_equals() && last.is_keyword() => last.append(word),
            Some(last) if last.is_open_assignment() && word.equals().is_none() && !word.is_flag() => {
                last.append(word)
            }
            _ => joined.push(word.clone()),
        }
    }
    joined
}

fn argument(word: &Word) -> Argument {
    if word.is_flag() {
        return Argument::Flag(word.text().trim_start_matches('-').to_owned());
    }
    match word.equals() {
        Some(at) if is_keyword(&word.text()[..at]) => {
            Argument::Keyword(word.text()[..at].to_owned(), word.text()[at + 1..].to_owned())
        }
        _ => Argument::Positional(word.text().to_owned()),
    }
}

/// Whether a text can stand before `=`.
pub(crate) fn is_keyword(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a statement so that every boundary shows: `target|command|positional|key=>value|--flag`.
    fn show(line: &str) -> String {
        let lines = statements(line).expect("a finished line");
        let all = lines.iter().map(|words| {
            let statement = parse(words);
            let target = match statement.target {
                Target::Here => String::new(),
                Target::Node(path) => path,
                Target::Children(path) => format!("children of {path}"),
            };
            let mut parts = vec![target, statement.command.unwrap_or_default()];
            parts.extend(statement.arguments.into_iter().map(|argument| match argument {
                Argument::Positional(value) => value,
                Argument::Keyword(key, value) => format!("{key}=>{value}"),
                Argument::Flag(flag) => format!("--{flag}"),
            }));
            parts.join("|")
        });
        all.collect::<Vec<_>>().join(" && ")
    }

    /// Each row: a line, and what it means.
    const CASES: &[(&str, &str)] = &[
        // Paths and commands.
        ("ls", "|ls"),
        ("  ls\t/vhost  1 ", "|ls|/vhost|1"),
        ("/vhost create", "/vhost|create"),
        ("vhost/ create", "vhost/|create"),
        (
            "backstores/block create name=disk0 dev=/dev/sda",
            "backstores/block|create|name=>disk0|dev=>/dev/sda",
        ),
        (
            "/vhost/naa.500140568720f76f/tpg1/luns create /backstores/block/disk0",
            "/vhost/naa.500140568720f76f/tpg1/luns|create|/backstores/block/disk0",
        ),
        (".. ls", "..|ls"),
        (". status", ".|status"),
        ("@last ls", "@last|ls"),
        ("/vhost", "/vhost|"),
        ("* status", "children of .|status"),
        ("/vhost/* status", "children of /vhost|status"),
        ("/*", "children of /|"),
        ("/backstores/fileio/a@b ls", "/backstores/fileio/a@b|ls"),
        ("pwd;ls", "|pwd;ls"),
        // Keywords.
        ("create name = disk0", "|create|name=>disk0"),
        ("create name= disk0", "|create|name=>disk0"),
        ("create name =disk0", "|create|name=>disk0"),
        ("create x=a=b", "|create|x=>a=b"),
        ("create a,b=c", "|create|a,b=c"),
        ("create size=", "|create|size=>"),
        ("set attribute a= b=1", "|set|attribute|a=>|b=>1"),
        ("set attribute a= --json", "|set|attribute|a=>|--json"),
        ("create =x", "|create|=x"),
        ("ls --json /vhost", "|ls|--json|/vhost"),
        ("create '--json'", "|create|--json"),
        ("create --a=b", "|create|--a=>b"),
        ("create -- x", "|create|--|x"),
        // Quoting.
        ("create 'r x' 1M", "|create|r x|1M"),
        ("create \"r x\" 1M", "|create|r x|1M"),
        ("create r\\ x 1M", "|create|r x|1M"),
        ("create name='a b'c", "|create|name=>a bc"),
        ("create 'a=b'", "|create|a=b"),
        ("create \"it's\" 'say \"hi\"' \"a\\\"b\" \"c\\d\"", "|create|it's|say \"hi\"|a\"b|c\\d"),
        ("create ''", "|create|"),
        ("create a''b", "|create|ab"),
        ("'/vhost' create", "/vhost|create"),
        ("create ünïcode", "|create|ünïcode"),
        // Lines.
        ("create name=disk0 \\\n   dev=/dev/sda", "|create|name=>disk0|dev=>/dev/sda"),
        ("create na\\\nme=disk0", "|create|name=>disk0"),
        ("create \\\r\n x\r", "|create|x"),
        ("create \"a\\\nb\"", "|create|ab"),
        ("cd /vhost\ncreate", "|cd|/vhost && |create"),
        ("create 'a\nb'", "|create|a\nb"),
        ("# a comment 'with a quote\nls", "|ls"),
        ("  # another", ""),
        ("create a#b # c", "|create|a#b|#|c"),
        ("", ""),
        ("\n\n", ""),
    ];

    #[test]
    fn lines_mean_what_the_table_says() {
        for (line, meaning) in CASES {
            // The table shows an empty positional as nothing after a bar.
            let expected = if *line == "create '--json'" { "|create|--json" } else { meaning };
            assert_eq!(&show(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_quoted_flag_is_a_value() {
        let lines = statements("create '--json'").expect("finished");
        assert_eq!(parse(&lines[0]).arguments, [Argument::Positional("--json".to_owned())]);
    }

    #[test]
    fn unfinished_lines_ask_for_more() {
        assert_eq!(statements("create a \\"), Err(Unfinished::Continued));
        assert_eq!(statements("create a \\\n"), Err(Unfinished::Continued));
        assert_eq!(statements("create 'a b"), Err(Unfinished::Quote('\'')));
        assert_eq!(statements("create \"a\\\" b"), Err(Unfinished::Quote('"')));
        assert_eq!(statements("create \"a\\"), Err(Unfinished::Quote('"')));
    }

    #[test]
    fn words_of_a_command_line_are_not_split_again() {
        let words = [Word::raw("create"), Word::raw("name=my disk"), Word::raw("a 'b")];
        let arguments = parse(&words).arguments;
        assert_eq!(
            arguments,
            [
                Argument::Keyword("name".to_owned(), "my disk".to_owned()),
                Argument::Positional("a 'b".to_owned())
            ]
        );
    }
}
