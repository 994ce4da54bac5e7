//! Resource quantities: `100m`, `1Gi`, `5e3`.

/// An amount, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    milli: i128,
}

impl Quantity {
    /// Reads a quantity; fractions of a thousandth are rounded up, as Kubernetes rounds them.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, suffix) = split(text);
        let factor = match suffix {
            "m" => 1,
            "" => 1_000,
            "k" => 1_000_000,
            "M" => 1_000_000_000,
            "G" => 1_000_000_000_000,
            "T" => 1_000_000_000_000_000,
            "P" => 1_000_000_000_000_000_000,
            "Ki" => 1_000 << 10,
            "Mi" => 1_000 << 20,
            "Gi" => 1_000 << 30,
            "Ti" => 1_000 << 40,
            "Pi" => 1_000 << 50,
            _ => 1_000 * exponent(suffix)?,
        };
        Some(Self { milli: decimal(number, factor)? })
    }

    /// The amount in thousandths.
    pub fn milli(self) -> i128 {
        self.milli
    }

    /// The amount in whole units, rounded up.
    pub fn value(self) -> i128 {
        self.milli.div_euclid(1_000) + i128::from(self.milli.rem_euclid(1_000) > 0)
    }
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c));
    text.split_at(end.unwrap_or(text.len()))
}

fn exponent(suffix: &str) -> Option<i128> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    10_i128.checked_pow(digits.parse().ok()?).filter(|factor| *factor <= 1_000_000_000_000_000_000)
}

fn decimal(number: &str, factor: i128) -> Option<i128> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !plain(whole) || !plain(fraction) || digits.len() > 18 {
        return None;
    }
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let amount: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scaled = amount.checked_mul(factor)?;
    let rounded = scaled / scale + i128::from(scaled % scale > 0);
    Some(if negative { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_scale_and_nonsense_is_refused() {
        for (text, milli) in [
            ("100m", 100),
            ("1", 1_000),
            ("1.5", 1_500),
            ("0.0001", 1),
            ("2k", 2_000_000),
            ("1Ki", 1_024_000),
            ("5e3", 5_000_000),
            ("-1", -1_000),
        ] {
            assert_eq!(Quantity::parse(text).map(Quantity::milli), Some(milli), "{text}");
        }
        for bad in ["", "x", "1.2.3", "1Zi", "--1", "1e99", "9999999999999999999"] {
            assert_eq!(Quantity::parse(bad), None, "{bad}");
        }
        assert_eq!(Quantity::parse("1m").unwrap().value(), 1, "whole units round up");
    }
}
