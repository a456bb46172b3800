//! The syntax of cron schedules: five fields, or a name such as `@daily`.

const NAMED: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What is wrong with a schedule.
pub(super) fn fault(schedule: &str) -> Option<String> {
    if schedule.starts_with('@') {
        let every = schedule.strip_prefix("@every ").is_some_and(|d| !d.is_empty());
        let known = every || NAMED.contains(&schedule);
        return (!known).then(|| format!("unrecognized descriptor: {schedule}"));
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != 5 {
        return Some(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    let bounds: [(u32, u32, &[&str], u32); 5] =
        [(0, 59, &[], 0), (0, 23, &[], 0), (1, 31, &[], 0), (1, 12, &MONTHS, 1), (0, 6, &DAYS, 0)];
    fields
        .iter()
        .zip(bounds)
        .find_map(|(field, bounds)| field.split(',').find_map(|part| part_fault(part, bounds)))
}

/// `*`, `?`, `5`, `1-5`, each perhaps with a step.
fn part_fault(part: &str, (min, max, names, first): (u32, u32, &[&str], u32)) -> Option<String> {
    let number = |text: &str| -> Result<u32, String> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|index| u32::try_from(index).ok()).map(|index| index + first);
        named.or_else(|| text.parse().ok()).ok_or_else(|| {
            format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")
        })
    };
    let mut halves = part.split('/');
    let (range, step) = (halves.next().unwrap_or_default(), halves.next());
    if halves.next().is_some() {
        return Some(format!("too many slashes: {part}"));
    }
    let ends = if range == "*" || range == "?" {
        Ok((min, max))
    } else {
        match range.split_once('-') {
            Some((_, rest)) if rest.contains('-') => return Some(format!("too many hyphens: {part}")),
            Some((low, high)) => number(low).and_then(|low| Ok((low, number(high)?))),
            None => number(range).map(|n| (n, if step.is_some() { max } else { n })),
        }
    };
    let (low, high) = match ends {
        Ok(ends) => ends,
        Err(fault) => return Some(fault),
    };
    match step.map(number) {
        Some(Err(fault)) => Some(fault),
        Some(Ok(0)) => Some(format!("step of range should be a positive number: {part}")),
        _ if low < min => Some(format!("beginning of range ({low}) below minimum ({min}): {part}")),
        _ if high > max => Some(format!("end of range ({high}) above maximum ({max}): {part}")),
        _ if low > high => Some(format!("beginning of range ({low}) beyond end of range ({high}): {part}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn schedules_follow_the_syntax() {
        for good in ["* * * * *", "*/5 0-6 1,15 jan-mar MON", "@daily", "@every 1h30m", "0 0 31 12 ?"] {
            assert_eq!(fault(good), None, "{good}");
        }
        for (bad, want) in [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("@never", "unrecognized descriptor: @never"),
        ] {
            assert_eq!(fault(bad).as_deref(), Some(want), "{bad}");
        }
    }
}
