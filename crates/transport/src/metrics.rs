//! What components count, in the text that Prometheus reads (its exposition format, version 0.0.4).
//!
//! What is counted, and under which names, is the components' own.

use std::fmt::Write;

/// The media type of [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Observations, counted by size: see [`Histogram`].
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// All numbers of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name, unit included.
    pub name: String,
    /// One line for people.
    pub help: &'static str,
    /// What the numbers mean.
    pub kind: Kind,
    /// The numbers.
    pub samples: Vec<Sample>,
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What is put behind the family's name: nothing, or a histogram's `_bucket`, `_sum`, `_count`.
    pub suffix: &'static str,
    /// Labels and their values.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

impl Family {
    /// A family with one number and no labels.
    pub fn single(name: impl Into<String>, kind: Kind, help: &'static str, value: f64) -> Self {
        Self {
            samples: vec![Sample { suffix: "", labels: Vec::new(), value }],
            ..Self::new(name, kind, help)
        }
    }

    /// A family that has no numbers yet.
    pub fn new(name: impl Into<String>, kind: Kind, help: &'static str) -> Self {
        Self { name: name.into(), help, kind, samples: Vec::new() }
    }

    /// Adds a number with labels.
    #[must_use]
    pub fn with(mut self, labels: Vec<(&'static str, String)>, value: f64) -> Self {
        self.samples.push(Sample { suffix: "", labels, value });
        self
    }

    /// Adds a histogram's numbers, under these labels.
    #[must_use]
    pub fn with_histogram(mut self, labels: &[(&'static str, String)], histogram: &Histogram) -> Self {
        let mut below = 0;
        let bounds = histogram.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&histogram.counts) {
            below += count;
            let mut labels = labels.to_vec();
            labels.push(("le", bound));
            self.samples.push(Sample { suffix: "_bucket", labels, value: number(below) });
        }
        let (sum, count) = (histogram.sum, number(below));
        self.samples.push(Sample { suffix: "_sum", labels: labels.to_vec(), value: sum });
        self.samples.push(Sample { suffix: "_count", labels: labels.to_vec(), value: count });
        self
    }
}

/// A count as Prometheus has all numbers.
pub fn number(count: u64) -> f64 {
    count as f64
}

/// Observations, counted by size.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above all.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// No observations yet; `bounds` ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Counts one observation.
    pub fn observe(&mut self, value: f64) {
        let place = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[place] += 1;
        self.sum += value;
    }
}

/// The families as text; those without numbers are left out.
pub fn text(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        let (name, help, kind) = (&family.name, family.help, family.kind.as_str());
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for Sample { suffix, labels, value } in &family.samples {
            let _ = write!(text, "{name}{suffix}");
            for (index, (label, value)) in labels.iter().enumerate() {
                let before = if index == 0 { '{' } else { ',' };
                let _ = write!(text, "{before}{label}=\"{}\"", escaped(value));
            }
            let after = if labels.is_empty() { "" } else { "}" };
            let _ = writeln!(text, "{after} {value}");
        }
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut took = Histogram::new(&[0.005, 1.0]);
        [0.001953125, 0.5, 0.75, 3.0].into_iter().for_each(|seconds| took.observe(seconds));
        let families = [
            Family::single("opened_total", Kind::Counter, "How many.", 3.0),
            Family::new("open", Kind::Gauge, "By node.").with(vec![("node", "a\"b\\c\n".to_owned())], 1.5),
            Family::new("unused", Kind::Gauge, "No number."),
            Family::new("took_seconds", Kind::Histogram, "Time.")
                .with_histogram(&[("protocol", "grpc".to_owned())], &took),
        ];
        let expected = r#"# HELP opened_total How many.
# TYPE opened_total counter
opened_total 3
# HELP open By node.
# TYPE open gauge
open{node="a\"b\\c\n"} 1.5
# HELP took_seconds Time.
# TYPE took_seconds histogram
took_seconds_bucket{protocol="grpc",le="0.005"} 1
took_seconds_bucket{protocol="grpc",le="1"} 3
took_seconds_bucket{protocol="grpc",le="+Inf"} 4
took_seconds_sum{protocol="grpc"} 4.251953125
took_seconds_count{protocol="grpc"} 4
"#;
        assert_eq!(text(&families), expected);
    }
}
