//! Exact decimal arithmetic on whole numbers of millionths (rules.md: sum and avg are decimal arithmetic).

use crate::value::Value;

/// How many units a one is: six decimal places.
pub const SCALE: i128 = 1_000_000;

/// Numbers from here on are no decimals: a double no longer tells their sixth place.
pub const NO_DECIMAL: f64 = 1e15;

const EXACT_BELOW: f64 = 1e9;

/// A number's shortest decimal text, rounded half-even to six places, in millionths; None for what is no number and for
/// one of `NO_DECIMAL` or more.
pub fn to_micros(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => {
            let limit = NO_DECIMAL as i64;
            (-limit < *number && *number < limit).then(|| i128::from(*number) * SCALE)
        }
        Value::Float(number) => micros_of(*number),
        _ => None,
    }
}

/// The same of a double.
pub fn micros_of(number: f64) -> Option<i128> {
    if number.abs() < EXACT_BELOW {
        // Up to here six places are at most 15 significant digits: where the nearest millionth reads back as the same
        // double, it is the shortest text.
        let micros = (number * SCALE as f64).round_ties_even();
        if micros / SCALE as f64 == number {
            return Some(micros as i128);
        }
    }
    (number.abs() < NO_DECIMAL).then(|| rounded(&format!("{number:e}")))
}

/// A text such as `-1.25e-7`, in millionths, half-even.
fn rounded(text: &str) -> i128 {
    let (mantissa, exponent) = text.split_once('e').expect("a number in scientific form");
    let exponent: i32 = exponent.parse().expect("an exponent");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().expect("digits");
    let shift = exponent - fraction.len() as i32 + 6;
    if shift >= 0 {
        return digits * 10_i128.pow(shift as u32);
    }
    if shift < -36 {
        return 0;
    }
    let unit = 10_i128.pow((-shift) as u32);
    half_even(digits, unit)
}

/// The quotient, rounded half-even; `unit` is positive.
fn half_even(number: i128, unit: i128) -> i128 {
    let whole = number.div_euclid(unit);
    let rest = number.rem_euclid(unit);
    if 2 * rest > unit || (2 * rest == unit && whole % 2 != 0) {
        whole + 1
    } else {
        whole
    }
}

/// The JSON number of so many millionths; whole ones as integers.
pub fn from_micros(micros: i128) -> Value {
    if micros % SCALE == 0 {
        let whole = micros / SCALE;
        return i64::try_from(whole).map_or_else(|_| Value::Big(whole.to_string().into()), Value::Int);
    }
    let sign = if micros < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:06}", micros.abs() / SCALE, micros.abs() % SCALE);
    Value::Float(text.parse().expect("a decimal number"))
}

/// The average, rounded half-even to six places, as a JSON number.
pub fn quotient(micros: i128, count: u64) -> Value {
    from_micros(half_even(micros, i128::from(count)))
}

/// A double as JSON shows it: whole numbers that a double holds exactly as integers.
pub fn json_number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        Value::Int(number as i64)
    } else {
        Value::Float(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_text_counts() {
        assert_eq!(micros_of(0.1), Some(100_000));
        assert_eq!(micros_of(0.1 + 0.2), Some(300_000));
        assert_eq!(micros_of(1e-7), Some(0));
        assert_eq!(micros_of(0.000_000_5), Some(0));
        assert_eq!(micros_of(0.000_001_5), Some(2));
        assert_eq!(micros_of(-0.000_001_5), Some(-2));
        assert_eq!(micros_of(0.000_000_500_000_1), Some(1));
        assert_eq!(micros_of(123_456_789_012.345_67), Some(123_456_789_012_345_670));
        assert_eq!(micros_of(999_999_999_999_999.9), Some(999_999_999_999_999_900_000));
        assert_eq!(micros_of(1e15), None);
        assert_eq!(to_micros(&Value::Int(-3)), Some(-3_000_000));
        assert_eq!(to_micros(&Value::Int(1_000_000_000_000_000)), None);
        assert_eq!(to_micros(&Value::text("1")), None);
    }

    #[test]
    fn what_a_double_cannot_tell_to_the_sixth_place_is_no_decimal() {
        let largest = 999_999_999_999_999;
        for sign in [1, -1] {
            let (number, limit) = (sign * largest, sign * (largest + 1));
            assert_eq!(to_micros(&Value::Int(number)), Some(i128::from(number) * SCALE));
            assert_eq!(to_micros(&Value::Float(number as f64)), Some(i128::from(number) * SCALE));
            assert_eq!((to_micros(&Value::Int(limit)), micros_of(limit as f64)), (None, None));
        }
        assert_eq!(micros_of(1e9), Some(1_000_000_000 * SCALE));
        assert_eq!(micros_of(-1_234_567_890.125), Some(-1_234_567_890_125_000));
        assert_eq!(micros_of(1_234_567_890.123_456_7), Some(1_234_567_890_123_457));
        for tiny in [1e-30, 9e-31, 1e-36, 1e-42, 1e-43, 1e-300] {
            assert_eq!((micros_of(tiny), micros_of(-tiny)), (Some(0), Some(0)), "{tiny}");
        }
    }

    #[test]
    fn whole_numbers_are_shown_as_integers() {
        assert_eq!(from_micros(0), Value::Int(0));
        assert_eq!(from_micros(-1), Value::Float(-0.000_001));
        assert_eq!(from_micros(-12_500_000), Value::Float(-12.5));
        assert_eq!(from_micros(-3 * SCALE), Value::Int(-3));
        assert_eq!(json_number(-3.0), Value::Int(-3));
        assert_eq!(json_number(2.5), Value::Float(2.5));
        assert_eq!(json_number(9_007_199_254_740_991.0), Value::Int(9_007_199_254_740_991));
        for large in [9_007_199_254_740_992.0, -9_007_199_254_740_992.0, 1e300] {
            assert_eq!(json_number(large), Value::Float(large));
        }
    }

    #[test]
    fn averages_round_half_even() {
        assert_eq!(quotient(1, 2), Value::Int(0));
        assert_eq!(quotient(3, 2), Value::Float(0.000_002));
        assert_eq!(quotient(-3, 2), Value::Float(-0.000_002));
        assert_eq!(quotient(10_000_000, 4), Value::Float(2.5));
        assert_eq!(from_micros(i128::from(i64::MAX) * SCALE * 10), Value::Big("92233720368547758070".into()));
    }
}
