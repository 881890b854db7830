//! What tests quote.

use super::document::{row, split};

/// A sentence in a doc comment, the line on which it begins, and what it stands above.
#[derive(Debug)]
pub struct Quotation {
    pub line: usize,
    pub text: String,
    pub test: Item,
}

/// What is below a doc comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Function { name: String, attributes: Vec<String> },
    Other,
}

impl Item {
    /// Why this is no test that runs.
    pub fn runs(&self, harness: bool, listed: &[String]) -> Result<(), String> {
        let Self::Function { name, attributes } = self else {
            return Err("this quotation is not above a function".to_owned());
        };
        let has = |wanted: &str| attributes.iter().any(|attribute| attribute.starts_with(wanted));
        match (has("#[test]"), listed.contains(name)) {
            (true, _) if !harness => Err(format!("{name} is not run: its program has no harness")),
            (true, _) if has("#[ignore") => Err(format!("{name} is ignored")),
            (true, _) | (_, true) => Ok(()),
            _ => Err(format!("{name} is neither a #[test] nor in a list of cases nor named by main")),
        }
    }
}

/// Every sentence that a doc comment of this file quotes.
pub fn quotations(source: &str) -> Vec<Quotation> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let mut found = Vec::new();
    let mut index = 0;
    while index < lines.len() {
        let begun = index;
        while lines.get(index).is_some_and(|line| quoted(line).is_some()) {
            index += 1;
        }
        if begun == index {
            index += 1;
            continue;
        }
        let test = item(&lines[index..]);
        for (line, text) in folded(&lines[begun..index], begun + 1) {
            found.push(Quotation { line, text, test: test.clone() });
        }
    }
    found
}

/// What a line of a doc comment quotes.
fn quoted(line: &str) -> Option<&str> {
    line.strip_prefix("///")?.trim_start().strip_prefix('>')
}

/// The sentences of one quotation, which is a row if it has cells.
fn folded(lines: &[&str], first: usize) -> Vec<(usize, String)> {
    let quoted = lines.iter().filter_map(|line| quoted(line));
    let words: Vec<(usize, &str)> = (first..)
        .zip(quoted)
        .flat_map(|(line, text)| text.split_whitespace().map(move |word| (line, word)))
        .collect();
    if words.iter().any(|(_, word)| *word == "|") {
        let text = words.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(" ");
        return vec![(first, row(&text))];
    }
    split(&words).into_iter().map(|sentence| (sentence.line, sentence.text)).collect()
}

/// What the rest of a file begins with, behind what is left of the doc comment.
fn item(lines: &[&str]) -> Item {
    let mut attributes: Vec<String> = Vec::new();
    let mut open = false;
    for line in lines {
        match attributes.last_mut() {
            Some(last) if open => last.push_str(line),
            _ if line.starts_with("#[") => attributes.push((*line).to_owned()),
            _ if line.starts_with("///") => continue,
            _ => return function(line, attributes),
        }
        open = !line.ends_with(']');
    }
    Item::Other
}

fn function(line: &str, attributes: Vec<String>) -> Item {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
    match (words.next(), words.next()) {
        (Some("fn"), Some(rest)) => {
            let name = rest.split(|sign: char| !(sign.is_alphanumeric() || sign == '_')).next();
            Item::Function { name: name.unwrap_or_default().to_owned(), attributes }
        }
        _ => Item::Other,
    }
}

/// The functions that lists of cases name, and whatever `main` does.
pub fn cases(source: &str) -> Vec<String> {
    let is_word = |sign: char| sign.is_alphanumeric() || sign == '_';
    let lists = source.split("cases![").skip(1).filter_map(|rest| rest.split(']').next());
    let main = source.split("\nfn main() {\n").nth(1).and_then(|rest| rest.split("\n}\n").next());
    let named = lists.chain(main).flat_map(|list| list.split(|sign| !is_word(sign)));
    let rows = source.split("Case::").skip(1).filter_map(|rest| rest.split(')').next()?.rsplit(", ").next());
    named.chain(rows).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect()
}
