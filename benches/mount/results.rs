//! What was measured: figures with all their samples, and what is computed from them.
//!
//! Invariant: figures of one row were measured in the same rounds, one after the other in each round, so
//! that the samples with the same index belong together.

use serde::{Deserialize, Serialize};

/// All of a run. This is results.json.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Results {
    /// Where and with what it was measured: names and values, in the order of showing.
    pub machine: Vec<(String, String)>,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// What could not be measured, and why.
    pub missing: Vec<Missing>,
}

/// One row and one contender.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// The table it belongs to.
    pub topic: String,
    /// What was done.
    pub row: String,
    /// Who did it.
    pub contender: String,
    /// The unit of the samples.
    pub unit: String,
    /// A value for each round.
    pub samples: Vec<f64>,
}

/// A contender that is not in a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Who.
    pub contender: String,
    /// Why.
    pub why: String,
}

/// The middle of some values; of an even number the mean of the two in the middle. `None` of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

impl Figure {
    /// A figure.
    pub fn new(topic: &str, row: &str, contender: &str, unit: &str, samples: Vec<f64>) -> Self {
        let [topic, row, contender, unit] = [topic, row, contender, unit].map(ToOwned::to_owned);
        Self { topic, row, contender, unit, samples }
    }

    /// The middle of the samples.
    pub fn median(&self) -> f64 {
        median(self.samples.iter().copied()).unwrap_or(f64::NAN)
    }

    /// The middle of the ratios of each round to what others took together in the same round.
    pub fn ratio_to(&self, others: &[&Figure]) -> Option<f64> {
        let ratios = self.samples.iter().enumerate().map(|(round, sample)| {
            let others: Option<f64> = others.iter().map(|other| other.samples.get(round)).sum();
            others.map(|others| sample / others)
        });
        median(ratios.collect::<Option<Vec<f64>>>()?)
    }
}

impl Results {
    /// A figure.
    pub fn find(&self, row: &str, contender: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.row == row && figure.contender == contender)
    }

    /// The middle of the ratios of one contender to another, in one row.
    pub fn ratio(&self, row: &str, contender: &str, to: &str) -> Option<f64> {
        self.find(row, contender)?.ratio_to(&[self.find(row, to)?])
    }

    /// The values of a field of the figures that fit, each once, in the order of measuring.
    pub fn distinct<'a>(
        &'a self,
        fits: impl Fn(&Figure) -> bool,
        field: impl Fn(&'a Figure) -> &'a str,
    ) -> Vec<&'a str> {
        let mut found: Vec<&str> = Vec::new();
        for figure in self.figures.iter().filter(|figure| fits(figure)) {
            if !found.contains(&field(figure)) {
                found.push(field(figure));
            }
        }
        found
    }

    /// Says that a contender is not there, once.
    pub fn miss(&mut self, contender: &str, why: &str) {
        let missing = Missing { contender: contender.to_owned(), why: why.to_owned() };
        if !self.missing.contains(&missing) {
            self.missing.push(missing);
        }
    }
}
