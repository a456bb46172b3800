use proptest::prelude::*;

use super::*;

#[test]
fn canonical_forms_are_upstreams() {
    let cases = [
        ("0", "0"),
        ("0n", "0"),
        ("0Ki", "0"),
        ("-0", "0"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("+1", "1"),
        ("007", "7"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1024Mi", "1Gi"),
        ("1000M", "1G"),
        ("1.5Gi", "1536Mi"),
        ("1023Ki", "1023Ki"),
        ("512", "512"),
        ("1024", "1024"),
        ("1000", "1k"),
        ("10000", "10k"),
        ("1500", "1500"),
        (".001Ki", "1024m"),
        (".000001Ki", "1024u"),
        (".000000001Ki", "1024n"),
        (".000000000001Ki", "2n"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1e3", "1e3"),
        ("100e3", "100e3"),
        ("1000e3", "1e6"),
        ("1E", "1E"),
        ("1E3", "1e3"),
        ("1e0", "1"),
        ("12e-1", "1200e-3"),
        ("-1Ki", "-1Ki"),
        ("9Ei", "9223372036854775807"),
        ("-9Ei", "-9223372036854775807"),
        ("8191Pi", "8191Pi"),
        ("9223372036854775807", "9223372036854775807"),
        ("1000E", "1000E"),
        ("1234567.89", "1234567890m"),
        ("1e50", "100e48"),
    ];
    for (text, expected) in cases {
        assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn faults_are_upstreams() {
    let cases = [
        ("", QuantityError::Format),
        (" 1", QuantityError::Format),
        ("1 ", QuantityError::Format),
        ("1.1.1", QuantityError::Format),
        ("1+1m", QuantityError::Format),
        ("1mi", QuantityError::Suffix),
        ("1Mb", QuantityError::Format),
        ("1K", QuantityError::Suffix),
        ("1i", QuantityError::Suffix),
        ("10ee3", QuantityError::Suffix),
        ("Gi", QuantityError::Numeric),
        ("aB", QuantityError::Format),
    ];
    for (text, expected) in cases {
        assert_eq!(Quantity::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn values_round_away_from_zero() {
    let cases = [
        ("1.1", 2, 1100),
        ("-1.1", -2, -1100),
        ("1u", 1, 1),
        ("500m", 1, 500),
        ("1Gi", 1 << 30, (1 << 30) * 1000),
        ("9Ei", i64::MAX, i64::MAX),
        ("1e50", i64::MAX, i64::MAX),
    ];
    for (text, value, milli) in cases {
        let quantity = Quantity::parse(text).expect(text);
        assert_eq!((quantity.value(), quantity.milli_value()), (value, milli), "{text}");
    }
}

#[test]
fn arithmetic_keeps_the_family_of_the_first() {
    let q = |text: &str| Quantity::parse(text).expect("the table holds well formed quantities");
    assert_eq!((q("1Gi") + q("1G")).to_string(), "2073741824");
    assert_eq!((q("0") + q("1Gi")).to_string(), "1Gi");
    assert_eq!((q("1") - q("900m")).to_string(), "100m");
    assert_eq!((q("100m") - q("1")).to_string(), "-900m");
    assert_eq!(q("1024Mi"), q("1Gi"));
    assert!(q("1G") < q("1Gi"));
    assert!(q("1e50") > q("1n"));
    assert!(q("-1e50") < q("1n"));
    assert_eq!(q("1.0001").round_up(-3).to_string(), "1001m");
    assert_eq!(["100m", "0.9", "1"].map(q).into_iter().sum::<Quantity>().to_string(), "2");
    assert_eq!(q("500Mi").times(4).to_string(), "2000Mi");
}

fn any_text() -> impl Strategy<Value = String> {
    let suffix = prop::sample::select(vec![
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "e3", "e-3", "E2",
        "e0",
    ]);
    ("[+-]?[0-9]{1,9}(\\.[0-9]{0,6})?", suffix).prop_map(|(number, suffix)| format!("{number}{suffix}"))
}

proptest! {
    #[test]
    fn the_canonical_form_is_a_fixed_point_of_the_same_value(text in any_text()) {
        let quantity = Quantity::parse(&text).expect("any_text gives well formed quantities");
        let once = quantity.to_string();
        let again = Quantity::parse(&once).expect("canonical forms parse");
        prop_assert_eq!(quantity, again);
        prop_assert_eq!(again.to_string(), once);
    }

    #[test]
    fn adding_and_taking_away_is_nothing(a in any_text(), b in any_text()) {
        let (a, b) = (Quantity::parse(&a).expect("well formed"), Quantity::parse(&b).expect("well formed"));
        prop_assert_eq!(a + b - b, a);
        prop_assert_eq!(a + b, b + a);
        prop_assert_eq!(a.cmp(&b), (a - b).cmp(&Quantity::ZERO));
    }

    #[test]
    fn no_text_panics(text in "[+-]?[0-9.]{0,40}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,12}") {
        if let Ok(quantity) = Quantity::parse(&text) {
            let _printed = (quantity + quantity).times(i64::MAX).to_string().len() + quantity.value() as usize % 2;
        }
    }
}
