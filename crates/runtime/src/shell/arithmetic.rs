//! `$((…))`: whole numbers, as C calculates with them.

use super::parse::MAX_DEPTH;

/// The value of an expression; a name stands for what `value` gives.
///
/// # Errors
/// Where it is none, or divides by zero.
pub(super) fn evaluate(text: &str, value: &dyn Fn(&str) -> Option<i64>) -> Result<i64, &'static str> {
    let mut reader = Reader { rest: text, value, depth: 0 };
    let number = reader.binary(0)?;
    if reader.rest.trim_start().is_empty() { Ok(number) } else { Err("arithmetic syntax error") }
}

struct Reader<'a> {
    rest: &'a str,
    value: &'a dyn Fn(&str) -> Option<i64>,
    depth: usize,
}

/// Operators by how tightly they bind, loosest first; longer ones before those that begin them.
const LEVELS: [&[&str]; 6] =
    [&["||"], &["&&"], &["==", "!="], &["<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%"]];

impl Reader<'_> {
    fn binary(&mut self, level: usize) -> Result<i64, &'static str> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            self.rest = self.rest.trim_start();
            let operator = operators.iter().find(|operator| self.rest.starts_with(**operator));
            let Some(operator) = operator else { return Ok(left) };
            self.rest = &self.rest[operator.len()..];
            let right = self.binary(level + 1)?;
            left = apply(left, operator, right)?;
        }
    }

    fn unary(&mut self) -> Result<i64, &'static str> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("expression recursion level exceeded");
        }
        self.rest = self.rest.trim_start();
        let number = if let Some(rest) = self.rest.strip_prefix('-') {
            self.rest = rest;
            self.unary()?.wrapping_neg()
        } else if let Some(rest) = self.rest.strip_prefix('+') {
            self.rest = rest;
            self.unary()?
        } else if let Some(rest) = self.rest.strip_prefix('!') {
            self.rest = rest;
            i64::from(self.unary()? == 0)
        } else if let Some(rest) = self.rest.strip_prefix('(') {
            self.rest = rest;
            let number = self.binary(0)?;
            self.rest = self.rest.trim_start().strip_prefix(')').ok_or("arithmetic syntax error")?;
            number
        } else {
            self.operand()?
        };
        self.depth -= 1;
        Ok(number)
    }

    fn operand(&mut self) -> Result<i64, &'static str> {
        let text = self.rest.strip_prefix('$').unwrap_or(self.rest);
        let length = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let (word, rest) = text.split_at(length.unwrap_or(text.len()));
        self.rest = rest;
        match word.chars().next() {
            None => Err("arithmetic syntax error"),
            Some('0'..='9') => word.parse().map_err(|_| "arithmetic syntax error"),
            Some(_) => Ok((self.value)(word).unwrap_or(0)),
        }
    }
}

fn apply(left: i64, operator: &str, right: i64) -> Result<i64, &'static str> {
    Ok(match operator {
        "||" => i64::from(left != 0 || right != 0),
        "&&" => i64::from(left != 0 && right != 0),
        "==" => i64::from(left == right),
        "!=" => i64::from(left != right),
        "<=" => i64::from(left <= right),
        ">=" => i64::from(left >= right),
        "<" => i64::from(left < right),
        ">" => i64::from(left > right),
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        _ if right == 0 => return Err("divide by zero"),
        "/" => left.wrapping_div(right),
        _ => left.wrapping_rem(right),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_the_values_of_c() {
        let value = |name: &str| (name == "x").then_some(7);
        for (text, expected) in [
            ("1 + 2*3", Ok(7)),
            ("(1+2)*3", Ok(9)),
            ("x % 4 == 3 && !0", Ok(1)),
            ("$x - -1", Ok(8)),
            ("nothing", Ok(0)),
            ("10 - 3 - 2", Ok(5)),
            ("1/0", Err("divide by zero")),
            ("1 +", Err("arithmetic syntax error")),
            ("1 2", Err("arithmetic syntax error")),
            ("9223372036854775807 + 1", Ok(i64::MIN)),
        ] {
            assert_eq!(evaluate(text, &value), expected, "{text}");
        }
        assert!(evaluate(&"(".repeat(1000), &value).is_err());
    }
}
