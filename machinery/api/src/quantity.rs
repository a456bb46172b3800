//! `resource.Quantity`: fixed-point numbers with a suffix, as CPU, memory and storage are told.
//!
//! A quantity is exact down to a billionth; what is finer is rounded away from zero. Its canonical form keeps the
//! family of its suffix: `1024Mi` is `1Gi`, `0.5` is `500m`, `1000e3` is `1e6`.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The finest that a quantity can tell: 10⁻⁹.
const SCALE_MIN: i32 = -9;
/// `E`, the greatest decimal suffix.
const SCALE_SUFFIX_MAX: i32 = 18;
/// 10³⁸ is the greatest power of ten in an `i128`.
const POWER_MAX: u32 = 38;
/// No quantity of anything is greater; a bound, because the canonical form writes zeros out.
const EXPONENT_MAX: i32 = 200;

/// The messages are upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// The family of suffixes in which a quantity is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `n u m k M G T P E`
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`
    BinarySi,
    /// `e3`
    DecimalExponent,
}

/// Compared and equal by value: `1Gi` equals `1024Mi`.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    /// The number is `value × 10^scale`; `value` has no factor of ten, so equal numbers are equal pairs.
    value: i128,
    scale: i32,
    format: Format,
}

/// The number before the suffix, cut into its parts.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let (negative, unsigned) = match text.as_bytes().first() {
        None => return Err(QuantityError::Format),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = unsigned.split_at(digits(unsigned));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let letters = suffix
        .bytes()
        .take_while(|b| {
            matches!(b, b'e' | b'E' | b'i' | b'n' | b'u' | b'm' | b'k' | b'K' | b'M' | b'G' | b'T' | b'P')
        })
        .count();
    let tail = &suffix[letters..];
    let tail = tail.strip_prefix(['+', '-']).unwrap_or(tail);
    if digits(tail) != tail.len() {
        return Err(QuantityError::Format);
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(if suffix.is_empty() { QuantityError::Format } else { QuantityError::Numeric });
    }
    Ok(Parts { negative, whole, fraction, suffix })
}

/// What a suffix multiplies with: a power of ten or of two.
fn interpret(suffix: &str) -> Result<(Format, i32), QuantityError> {
    let decimal = |exponent| Ok((Format::DecimalSi, exponent));
    let binary = |exponent| Ok((Format::BinarySi, exponent));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
            let exponent: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
            if exponent > EXPONENT_MAX {
                return Err(QuantityError::Numeric);
            }
            Ok((Format::DecimalExponent, exponent))
        }
    }
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    (exponent <= POWER_MAX).then(|| 10i128.pow(exponent))
}

/// `value ÷ 10^places`, away from zero.
fn shrink(value: i128, places: u32) -> i128 {
    let Some(divisor) = power_of_ten(places) else { return value.signum() };
    let (quotient, rest) = (value / divisor, value % divisor);
    if rest == 0 { quotient } else { quotient + value.signum() }
}

impl Quantity {
    pub const ZERO: Self = Self { value: 0, scale: 0, format: Format::DecimalSi };

    /// From a whole number.
    pub fn new(value: i64, format: Format) -> Self {
        Self::normal(i128::from(value), 0, format)
    }

    pub fn from_milli(value: i64, format: Format) -> Self {
        Self::normal(i128::from(value), -3, format)
    }

    fn normal(value: i128, scale: i32, format: Format) -> Self {
        if value == 0 {
            return Self { value: 0, scale: 0, format };
        }
        let (mut value, mut scale) = (value, scale);
        if scale < SCALE_MIN {
            value = shrink(value, scale.abs_diff(SCALE_MIN));
            scale = SCALE_MIN;
        }
        while value % 10 == 0 {
            value /= 10;
            scale = scale.saturating_add(1);
        }
        Self { value, scale, format }
    }

    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let parts = split(text)?;
        let (format, exponent) = interpret(parts.suffix)?;
        let mut value: i128 = 0;
        for digit in parts.whole.bytes().chain(parts.fraction.bytes()) {
            value = value
                .checked_mul(10)
                .and_then(|v| v.checked_add(i128::from(digit - b'0')))
                .ok_or(QuantityError::Numeric)?;
        }
        if parts.negative {
            value = -value;
        }
        let places = i32::try_from(parts.fraction.len()).map_err(|_| QuantityError::Numeric)?;
        if format != Format::BinarySi {
            let parsed = Self::normal(value, exponent.saturating_sub(places), format);
            // The canonical form may need two more digits, and must be readable too.
            let zeros = power_of_ten(parsed.scale.rem_euclid(3).unsigned_abs());
            zeros.and_then(|zeros| parsed.value.checked_mul(zeros)).ok_or(QuantityError::Numeric)?;
            return Ok(parsed);
        }
        // Upstream caps what is told in powers of two at the greatest int64.
        let cap = i128::from(i64::MAX);
        let scaled = match value.checked_mul(1i128 << exponent) {
            Some(product) => Self::normal(product, -places, format),
            None => Self::normal(cap * value.signum(), 0, format),
        };
        let limit = Self::normal(cap, 0, format);
        Ok(if scaled.abs() > limit { Self { value: limit.value * value.signum(), ..limit } } else { scaled })
    }

    /// From a string or a number in JSON.
    pub fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::Null => Ok(Self::ZERO),
            _ => Err(QuantityError::Format),
        }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn is_zero(&self) -> bool {
        self.value == 0
    }

    pub fn is_negative(&self) -> bool {
        self.value < 0
    }

    pub fn abs(self) -> Self {
        Self { value: self.value.abs(), ..self }
    }

    /// In units of `10^scale`, rounded away from zero, held within an `i64`.
    pub fn scaled_value(&self, scale: i32) -> i64 {
        let difference = self.scale.saturating_sub(scale);
        let wide = if difference < 0 {
            shrink(self.value, difference.unsigned_abs())
        } else {
            power_of_ten(difference.unsigned_abs()).and_then(|p| self.value.checked_mul(p)).unwrap_or_else(
                || {
                    if self.value < 0 { i128::MIN } else { i128::MAX * i128::from(self.value != 0) }
                },
            )
        };
        i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
    }

    /// The whole number, rounded away from zero.
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// In thousandths, rounded away from zero.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(-3)
    }

    pub fn as_f64(&self) -> f64 {
        self.value as f64 * 10f64.powi(self.scale)
    }

    /// Drops what is finer than `10^scale`, away from zero.
    pub fn round_up(self, scale: i32) -> Self {
        if self.scale >= scale {
            return self;
        }
        Self::normal(shrink(self.value, self.scale.abs_diff(scale)), scale, self.format)
    }

    pub fn times(self, factor: i64) -> Self {
        match self.value.checked_mul(i128::from(factor)) {
            Some(value) => Self::normal(value, self.scale, self.format),
            None => Self::normal(
                shrink(self.value, 19) * i128::from(factor),
                self.scale.saturating_add(19),
                self.format,
            ),
        }
    }

    /// Both numbers in the finer of the two scales; `None` where one of them is too great for it.
    fn aligned(&self, other: &Self) -> Option<(i128, i128, i32)> {
        let scale = match (self.value, other.value) {
            (0, _) => other.scale,
            (_, 0) => self.scale,
            _ => self.scale.min(other.scale),
        };
        let grow = |q: &Self| match q.value {
            0 => Some(0),
            value => power_of_ten(q.scale.abs_diff(scale)).and_then(|p| value.checked_mul(p)),
        };
        Some((grow(self)?, grow(other)?, scale))
    }

    fn plus(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        let sum = self.aligned(&other).and_then(|(a, b, scale)| Some((a.checked_add(b)?, scale)));
        match sum {
            Some((value, scale)) => Self::normal(value, scale, format),
            // They are so far apart that the smaller is lost in the greater's rounding.
            None if self.abs() >= other.abs() => Self { format, ..self },
            None => Self { format, ..other },
        }
    }

    /// The number at scale 0 where it is whole and fits.
    fn whole(&self) -> Option<i128> {
        if self.scale < 0 {
            return None;
        }
        power_of_ten(self.scale.unsigned_abs()).and_then(|p| self.value.checked_mul(p))
    }

    fn write_binary(&self, f: &mut fmt::Formatter<'_>, whole: i128) -> fmt::Result {
        let (mut value, mut steps) = (whole, 0);
        while value % 1024 == 0 && steps < 6 {
            value /= 1024;
            steps += 1;
        }
        write!(f, "{value}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][steps])
    }

    fn write_decimal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut scale = self.scale - self.scale.rem_euclid(3);
        if self.format != Format::DecimalExponent {
            scale = scale.min(SCALE_SUFFIX_MAX);
        }
        write!(f, "{}", self.value)?;
        for _ in scale..self.scale {
            f.write_str("0")?;
        }
        if self.format == Format::DecimalExponent {
            return if scale == 0 { Ok(()) } else { write!(f, "e{scale}") };
        }
        let steps = usize::try_from((scale - SCALE_MIN) / 3).expect("the scale is never under SCALE_MIN");
        f.write_str(["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][steps])
    }
}

/// The canonical form of a quantity's text.
pub fn canonical(text: &str) -> Result<String, QuantityError> {
    Quantity::parse(text).map(|quantity| quantity.to_string())
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the greatest suffix that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        match self.whole() {
            Some(whole) if self.format == Format::BinarySi && whole.abs() >= 1024 => {
                self.write_binary(f, whole)
            }
            _ => self.write_decimal(f),
        }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.aligned(other) {
            Some((a, b, _)) => a.cmp(&b),
            None => {
                let by_sign = self.value.signum().cmp(&other.value.signum());
                let magnitude = |q: &Self| i64::from(q.value.unsigned_abs().ilog10()) + i64::from(q.scale);
                by_sign.then_with(|| {
                    let by_size = magnitude(self).cmp(&magnitude(other));
                    if self.value < 0 { by_size.reverse() } else { by_size }
                })
            }
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        (self.value, self.scale) == (other.value, other.scale)
    }
}

impl Eq for Quantity {}

impl Default for Quantity {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.plus(other)
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.plus(-other)
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        Self { value: -self.value, ..self }
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(quantities: I) -> Self {
        quantities.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(&value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "quantity_tests.rs"]
mod tests;
