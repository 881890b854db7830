//! What the checker must and must not find: one that finds nothing proves nothing.

use super::document::{Sentence, sentences};
use super::*;

const DOCUMENT: &str = "\
# Rules

Not a sentence of the rules.

## Writing

The bytes are the block: it is stored (at
once). They are not: `a. b` is refused. Is it?

- An item. With two
  sentences
- and one

| what | errno |
|---|---|
| a  name | EINVAL. |
";

/// The sentences of [`DOCUMENT`], as tests quote them. No line here begins as a quotation does, for this
/// file is read as well.
const WHOLE: &str = concat!(
    "/// Words of its own.\n",
    "///\n",
    "/// > The bytes are the block: it is stored (at once). Is it?\n",
    "/// > They are not: `a. b`\n",
    "/// > is refused.\n",
    "/// > An item.\n",
    "///\n",
    "/// > a name | EINVAL.\n",
    "#[test]\n",
    "fn one() {}\n",
    "\n",
    "/// > With two sentences\n",
    "fn two(backend: &str) {}\n",
    "/// > and one\n",
    "pub fn three(store: Store) {}\n",
    "const CASES: &[Case] = cases![two];\n",
    "const MORE: &[Case] = &[Case::every(\"three\", three)];\n",
);

fn found(document: &str, source: &str) -> Vec<String> {
    let source = Source { path: "tests/x/y.rs".to_owned(), text: source.to_owned() };
    offences(document, &[source], &[])
}

/// Exactly one offence, which begins so and has these words.
fn one_offence(document: &str, source: &str, begins: &str, words: &str) {
    let found = found(document, source);
    assert!(found.len() == 1 && found[0].starts_with(begins) && found[0].contains(words), "{found:#?}");
}

#[test]
fn a_document_is_split_into_sentences() {
    let expected = [
        (7, "The bytes are the block: it is stored (at once)."),
        (8, "They are not: `a. b` is refused."),
        (8, "Is it?"),
        (10, "An item."),
        (10, "With two sentences"),
        (12, "and one"),
        (16, "a name | EINVAL."),
    ];
    let expected = expected.map(|(line, text)| Sentence { line, text: text.to_owned() });
    assert_eq!(sentences(DOCUMENT), expected);
}

#[test]
fn what_is_quoted_by_tests_is_no_offence() {
    assert_eq!(found(DOCUMENT, WHOLE), Vec::<String>::new());
}

#[test]
fn a_sentence_that_no_test_quotes_is_found() {
    let less = WHOLE.replace("Is it?", "");
    one_offence(DOCUMENT, &less, "docs/SEMANTICS.md:8: no test quotes", "\n    > Is it?");
    let less = WHOLE.replace("/// > a name | EINVAL.\n", "");
    one_offence(DOCUMENT, &less, "docs/SEMANTICS.md:16: no test quotes", "\n    > a name | EINVAL.");
    assert_eq!(found(DOCUMENT, "").len(), 7);
}

/// Whoever changes a sentence is sent to its tests.
#[test]
fn a_quotation_that_is_no_sentence_is_found() {
    for (more, words) in [
        ("/// > It was so once.", "> It was so once."),
        ("/// > and one | two", "> and one | two"),
        ("/// > An item", "> An item"),
        ("/// > Not a sentence of the rules.", "> Not a sentence"),
    ] {
        one_offence(
            DOCUMENT,
            &format!("{WHOLE}{more}\n#[test]\nfn four() {{}}"),
            "tests/x/y.rs:18: this is no sentence",
            words,
        );
    }
}

#[test]
fn a_quotation_that_is_not_above_a_test_is_found() {
    for (below, why) in [
        ("fn helper() {}", "helper is neither"),
        ("#[allow(\n    dead_code\n)]\nfn helper() {}", "helper is neither"),
        ("#[test]\n#[ignore = \"slow\"]\nfn slow() {}", "slow is ignored"),
        ("const X: u32 = 1;", "is not above a function"),
        ("\n#[test]\nfn apart() {}", "is not above a function"),
        ("", "is not above a function"),
    ] {
        one_offence(DOCUMENT, &format!("{WHOLE}/// > Is it?\n{below}"), "tests/x/y.rs:18: ", why);
    }
    let by_main = format!("{WHOLE}/// > Is it?\nfn helper() {{}}\n\nfn main() {{\n    run(helper);\n}}\n");
    assert_eq!(found(DOCUMENT, &by_main), Vec::<String>::new());
    // Elsewhere a list of cases may name a function of the same name.
    let other = Source { path: "tests/x.rs".to_owned(), text: "cases![helper]".to_owned() };
    let source =
        Source { path: "tests/z.rs".to_owned(), text: format!("{WHOLE}/// > Is it?\nfn helper() {{}}") };
    let found = offences(DOCUMENT, &[other, source], &[]);
    assert!(found.len() == 1 && found[0].contains("helper is neither"), "{found:#?}");
}

#[test]
fn a_test_in_a_program_without_harness_is_found() {
    let manifest = "[[test]]\nname = \"w\"\n\n[[test]]\nname = \"x\"\nharness = false\n\n[profile.release]\n";
    assert_eq!(without_harness(manifest), ["x"]);
    let source = Source { path: "tests/x/y.rs".to_owned(), text: WHOLE.to_owned() };
    let found = offences(DOCUMENT, &[source], &["x"]);
    assert!(found.len() == 5 && found.iter().all(|offence| offence.contains("one is not run")), "{found:#?}");
}

#[test]
fn a_sentence_that_stands_twice_names_nothing() {
    let twice = format!("{DOCUMENT}\nIs it?\n");
    one_offence(&twice, WHOLE, "docs/SEMANTICS.md:18: this sentence stands twice", "> Is it?");
}
