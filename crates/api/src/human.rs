//! How long something took, as people read it (`apimachinery/pkg/util/duration`).

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A duration of whole seconds, with two or three figures of it: `119s`, `5m10s`, `3h`, `2y45d`
/// (`HumanDuration`). Clocks may differ by a second; what is further in the future is `<invalid>`.
pub fn human_duration(seconds: i64) -> String {
    let parts = |(big, big_name): (i64, &str), (small, small_name): (i64, &str)| {
        if small == 0 { format!("{big}{big_name}") } else { format!("{big}{big_name}{small}{small_name}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => parts((seconds / MINUTE, "m"), (seconds % MINUTE, "s")),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => parts((seconds / HOUR, "h"), (seconds % HOUR / MINUTE, "m")),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => parts((seconds / DAY, "d"), (seconds % DAY / HOUR, "h")),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => parts((seconds / YEAR, "y"), (seconds % YEAR / DAY, "d")),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_as_kubectl_tells_them() {
        for (seconds, told) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 59, "3h"),
            (7 * HOUR + 90, "7h1m"),
            (47 * HOUR, "47h"),
            (2 * DAY, "2d"),
            (7 * DAY + 3 * HOUR, "7d3h"),
            (8 * DAY + 3 * HOUR, "8d"),
            (729 * DAY, "729d"),
            (2 * YEAR, "2y"),
            (3 * YEAR + 4 * DAY, "3y4d"),
            (9 * YEAR, "9y"),
        ] {
            assert_eq!(human_duration(seconds), told, "{seconds}");
        }
    }
}
