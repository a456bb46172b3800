//! Samples and what is told of them.

use serde::Serialize;

/// Measured values of one figure.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value below which this part (0 to 1) of the samples lies, by the nearest rank; 0 of none.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let rank = (part * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.clamp(1, self.0.len().max(1)) - 1).copied().unwrap_or(0.0)
    }

    pub(crate) fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    pub(crate) fn median(&self) -> f64 {
        let n = self.0.len();
        if n > 0 && n.is_multiple_of(2) {
            (self.0[n / 2 - 1] + self.0[n / 2]) / 2.0
        } else {
            self.quantile(0.5)
        }
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(1.0)
    }
}

/// Rows as columns of equal width, the first to the left, the others to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            let padded = if at == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            out.push_str(&padded);
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        for (values, min, median, p90, max) in [
            (vec![], 0.0, 0.0, 0.0, 0.0),
            (vec![3.0], 3.0, 3.0, 3.0, 3.0),
            (vec![4.0, 1.0], 1.0, 2.5, 4.0, 4.0),
            ((1..=10).map(f64::from).rev().collect(), 1.0, 5.5, 9.0, 10.0),
        ] {
            let samples = Samples::of(values.clone());
            let got = (samples.min(), samples.median(), samples.quantile(0.9), samples.max());
            assert_eq!(got, (min, median, p90, max), "{values:?}");
        }
    }

    #[test]
    fn a_table_is_aligned() {
        let rows = [vec!["a".to_string(), "long".into()], vec!["name".into(), "1".into()]];
        assert_eq!(table(&rows), "a     long\nname     1\n");
    }
}
