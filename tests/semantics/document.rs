//! The sentences of a document in Markdown.

/// A sentence, with the line on which it begins, and blanks folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    pub line: usize,
    pub text: String,
}

/// Words with the lines on which they stand.
type Words<'a> = Vec<(usize, &'a str)>;

/// Every sentence from the first `## ` heading on.
pub fn sentences(markdown: &str) -> Vec<Sentence> {
    let lines: Vec<&str> = markdown.lines().collect();
    let begin = lines.iter().position(|line| line.starts_with("## ")).unwrap_or(lines.len());
    let mut found = Vec::new();
    let mut words = Words::new();
    for (number, line) in (1..).zip(&lines).skip(begin) {
        let is_row = line.starts_with('|');
        let item = line.trim_start().strip_prefix("- ");
        if line.trim().is_empty() || line.starts_with('#') || is_row || item.is_some() {
            found.extend(split(&std::mem::take(&mut words)));
        }
        if is_row {
            let heads = lines.get(number).is_some_and(|next| is_rule(next));
            if !heads && !is_rule(line) {
                found.push(Sentence { line: number, text: row(line) });
            }
        } else if !line.starts_with('#') {
            words.extend(item.unwrap_or(line).split_whitespace().map(|word| (number, word)));
        }
    }
    found.extend(split(&words));
    found
}

/// The line between the head of a table and its rows.
fn is_rule(line: &str) -> bool {
    line.starts_with("|---")
}

/// A row of a table: its cells with ` | ` between them.
pub fn row(line: &str) -> String {
    let cells = line.trim().trim_matches('|').split('|');
    cells.map(|cell| cell.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(" | ")
}

/// Splits behind each word that ends in `.`, `!` or `?` outside of code.
pub fn split(words: &[(usize, &str)]) -> Vec<Sentence> {
    let mut found: Vec<Sentence> = Vec::new();
    let mut begins = true;
    let mut ticks = 0;
    for (line, word) in words {
        match found.last_mut() {
            Some(last) if !begins => last.text = format!("{} {word}", last.text),
            _ => found.push(Sentence { line: *line, text: (*word).to_owned() }),
        }
        ticks += word.matches('`').count();
        begins = ticks % 2 == 0 && word.trim_end_matches([')', '"', '*']).ends_with(['.', '!', '?']);
    }
    found
}
