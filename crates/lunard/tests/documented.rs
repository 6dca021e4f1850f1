// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The API is what its pages say: every path, change, type, member and code, and nothing else.
//!
//! Above: nothing.  Below: the description that `lunard` serves, the pages of the manual.
//! Never here: what an answer says; `server` has that.

use lunard::server::Description;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use utoipa::OpenApi;

const PAGE: &str = include_str!("../../../docs/manual/api.md");
const TYPES: &str = include_str!("../../../docs/manual/api-types.md");
const REFUSALS: &str = include_str!("../../model/src/refusal.rs");
const PROBLEMS: &str = include_str!("../../api/src/v1/problem.rs");

/// How the page of the types begins.
const HEAD: &str = "# The types of the API

Every object that [the API](api.md) takes and answers, member by member, made from the types themselves: a test compares. In
answers later versions may have more members, and more words where one of several is told; in requests a member that is not
here is refused.
";

fn description() -> Value {
    serde_json::to_value(Description::openapi()).unwrap()
}

fn schemas() -> Map<String, Value> {
    description()["components"]["schemas"].as_object().unwrap().clone()
}

/// The words between back quotes.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the table that begins with this line, cell by cell.
fn table<'p>(page: &'p str, head: &str) -> Vec<Vec<&'p str>> {
    let (_, rest) = page.split_once(head).unwrap_or_else(|| panic!("the page has no table {head}"));
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_path_is_in_the_page_with_its_parameters_and_no_other() {
    let mut expected = BTreeMap::new();
    for (path, methods) in description()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let names: BTreeSet<String> =
                parameters.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
            expected.insert(format!("{} {path}", method.to_uppercase()), names);
        }
    }
    // What describes, and what is not for programs that talk JSON.
    expected.insert("GET /openapi.json".to_owned(), BTreeSet::new());
    expected.insert("GET /metrics".to_owned(), BTreeSet::new());
    let rows = table(PAGE, "| method and path | |");
    let said = rows.iter().map(|row| {
        // A parameter stands with what it is set to.
        let named = quoted(row[1])
            .into_iter()
            .filter_map(|word| Some(word.trim_start_matches('?').split_once('=')?.0.to_owned()));
        (row[0].trim_matches('`').to_owned(), named.collect::<BTreeSet<_>>())
    });
    assert_eq!(said.collect::<BTreeMap<_, _>>(), expected);
}

/// The members of an object, those that may be left out apart.
fn members(schema: &Value, all: &Map<String, Value>) -> [BTreeSet<String>; 2] {
    let mut found = [BTreeSet::new(), BTreeSet::new()];
    if let Some(name) = schema["$ref"].as_str() {
        return members(&all[name.rsplit('/').next().unwrap()], all);
    }
    for part in ["allOf", "oneOf"].iter().flat_map(|key| schema[*key].as_array().into_iter().flatten()) {
        let of_part = members(part, all);
        found[0].extend(of_part[0].clone());
        found[1].extend(of_part[1].clone());
    }
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for name in schema["properties"].as_object().into_iter().flat_map(Map::keys) {
        found[usize::from(!required.contains(name.as_str()))].insert(name.clone());
    }
    found
}

/// The word of a tagged object.
fn tag(schema: &Value, key: &str) -> Option<String> {
    let word = schema["properties"][key]["enum"][0].as_str().map(str::to_owned);
    word.or_else(|| schema["allOf"].as_array()?.iter().find_map(|part| tag(part, key)))
}

#[test]
fn every_change_is_in_the_page_with_its_members_and_no_other() {
    let all = schemas();
    let changes = all["Change"]["oneOf"].as_array().unwrap();
    let expected: BTreeMap<String, [BTreeSet<String>; 2]> = changes
        .iter()
        .map(|change| {
            let word = tag(change, "change").unwrap();
            let [mut required, mut optional] = members(change, &all);
            required.remove("change");
            // Of kinds that have a member, some may leave it out.
            optional.retain(|name| !required.contains(name) || word == "create_backstore");
            required.retain(|name| !optional.contains(name));
            (word, [required, optional])
        })
        .collect();
    let said =
        table(PAGE, "| `change` | members; those in brackets may be left out |").into_iter().map(|row| {
            let (mut required, mut optional) = (String::new(), String::new());
            for part in row[1].split('[') {
                let (within, after) = part.split_once(']').unwrap_or(("", part));
                optional.push_str(within);
                required.push_str(after);
            }
            // In parentheses is what belongs to another.
            let plain = |text: &str| -> String {
                text.split('(').map(|part| part.split_once(')').map_or(part, |(_, after)| after)).collect()
            };
            let optional = quoted(&plain(&optional));
            let mut required = quoted(&plain(&required));
            // Kinds, of which members are told.
            required.retain(|word| {
                !["block", "fileio", "ramdisk"].contains(&word.as_str()) && !optional.contains(word)
            });
            (row[0].trim_matches('`').to_owned(), [required, optional])
        });
    assert_eq!(said.collect::<BTreeMap<_, _>>(), expected);
}

/// A text of the description, in one line and without the links of Rust.
fn line(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace("[`", "`")
        .replace("`]", "`")
        .replace('|', "\\|")
}

fn link(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap();
    format!("[{name}](#{})", name.to_lowercase())
}

/// What a member is.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return link(reference);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().map(kind).find(|kind| kind != "null").unwrap();
    }
    if let Some(word) = schema["enum"].as_array().and_then(|words| words.first()) {
        return format!("`{}`", word.as_str().unwrap());
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    let one = types.iter().filter_map(Value::as_str).find(|one| *one != "null").unwrap();
    match one {
        "array" => format!("list of {}", kind(&schema["items"])),
        "object" => format!("object: {} by name", kind(&schema["additionalProperties"])),
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    }
}

fn rows(page: &mut String, schema: &Value) {
    if let Some(reference) = schema["$ref"].as_str() {
        writeln!(page, "| all of {} | | {} |", link(reference), line(schema)).unwrap();
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        rows(page, part);
    }
    let required: Vec<&Value> = schema["required"].as_array().into_iter().flatten().collect();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let may_lack = if required.iter().any(|other| *other == name) { "" } else { ", or absent" };
        // A word of several has its text beside it; a reference in a choice too.
        let text =
            [line(member), member["oneOf"].as_array().map(|choices| line(&choices[0])).unwrap_or_default()];
        let text = text.iter().find(|text| !text.is_empty()).cloned().unwrap_or_default();
        writeln!(page, "| `{name}` | {}{may_lack} | {text} |", kind(member)).unwrap();
    }
}

fn section(page: &mut String, name: &str, schema: &Value) {
    writeln!(page, "\n## {name}\n").unwrap();
    if !line(schema).is_empty() {
        writeln!(page, "{}\n", line(schema)).unwrap();
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_str().unwrap())).collect();
        writeln!(page, "One of {}.", words.join(", ")).unwrap();
    } else if let Some(choices) = schema["oneOf"].as_array() {
        writeln!(page, "One of these:").unwrap();
        for choice in choices {
            let word = ["change", "kind", "result"].iter().find_map(|key| tag(choice, key)).unwrap();
            writeln!(page, "\n### {name}: {word}\n\n{}\n\n| member | | |\n|---|---|---|", line(choice))
                .unwrap();
            rows(page, choice);
        }
    } else {
        writeln!(page, "| member | | |\n|---|---|---|").unwrap();
        rows(page, schema);
    }
}

/// The codes of refusals with their messages, as the source has them.
fn refusals() -> Vec<(String, String)> {
    let (declared, told) = REFUSALS.split_once("pub fn code(&self)").unwrap();
    let mut messages = BTreeMap::new();
    let mut message = String::new();
    for line in declared.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("#[error(") {
            message = text.split('"').nth(1).unwrap_or_default().to_owned();
        }
        let name: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
        if !message.is_empty() && line.starts_with(|first: char| first.is_ascii_uppercase()) {
            messages.insert(name, std::mem::take(&mut message));
        } else if message.is_empty() && line.starts_with('"') {
            message = line.split('"').nth(1).unwrap_or_default().to_owned();
        }
    }
    let arms = told.lines().filter_map(|line| {
        let (variant, code) = line.trim().strip_prefix("Self::")?.split_once(" => \"")?;
        let variant: String = variant.chars().take_while(char::is_ascii_alphanumeric).collect();
        Some((variant, code.trim_end_matches("\",").to_owned()))
    });
    let codes = arms.take_while(|(variant, _)| messages.contains_key(variant));
    codes.map(|(variant, code)| (code, messages[&variant].replace('|', "\\|"))).collect()
}

/// The other codes, with what they mean.
fn other_codes() -> Vec<(String, String)> {
    let lines: Vec<&str> = PROBLEMS.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let code = pair[1].strip_prefix("pub const ")?.split('"').nth(1)?;
        Some((code.to_owned(), pair[0].trim_start_matches("/// ").to_owned()))
    });
    pairs.collect()
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (name, schema) in schemas() {
        section(&mut page, &name, &schema);
    }
    page.push_str("\n## Codes\n\nWhat [Problem](#problem) has as `code`.\n\n| code | |\n|---|---|\n");
    for (code, text) in other_codes() {
        writeln!(page, "| `{code}` | {text} |").unwrap();
    }
    page.push_str(
        "\nOf a change that the configuration refuses, with its message:\n\n| code | |\n|---|---|\n",
    );
    for (code, text) in refusals() {
        writeln!(page, "| `{code}` | {text} |").unwrap();
    }
    page
}

#[test]
fn the_page_of_the_types_says_what_the_types_are() {
    let page = page();
    if page != TYPES {
        let file = std::env::temp_dir().join("api-types.md");
        std::fs::write(&file, page).unwrap();
        panic!("docs/manual/api-types.md is not what the types are; {} is", file.display());
    }
}

#[test]
fn every_code_is_told_once() {
    let mut codes: Vec<String> = refusals().into_iter().chain(other_codes()).map(|(code, _)| code).collect();
    // As many as the sources have.
    let (_, told) = REFUSALS.split_once("pub fn code(&self)").unwrap();
    let (told, _) = told.split_once("pub fn ").unwrap_or((told, ""));
    let written = told.matches(" => \"").count() + PROBLEMS.matches("pub const ").count();
    assert_eq!(codes.len(), written);
    codes.sort();
    let all = codes.len();
    codes.dedup();
    assert_eq!(codes.len(), all);
}
