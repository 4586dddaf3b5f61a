//! Zones as operators write them: `REGION/ZONE`.

use types::limits::NAME_BYTES_MAX;

/// Whether a text is a zone. Its labels are those of a member's locality; the region may be empty.
pub(crate) fn is_zone(text: &str) -> bool {
    let is_label = |label: &str| {
        let allowed = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.');
        label.len() <= NAME_BYTES_MAX && label.bytes().all(allowed)
    };
    let labels = text.split_once('/');
    labels.is_some_and(|(region, zone)| is_label(region) && is_label(zone) && !zone.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_regions_and_labels() {
        for good in ["eu/a", "/a", "us-east.1/b_2"] {
            assert!(is_zone(good), "{good}");
        }
        for bad in ["", "eu", "eu/", "eu/a/r1", "eu/a b", "eu/\n"] {
            assert!(!is_zone(bad), "{bad:?}");
        }
    }
}
