//! Where a node stands: region, zone and rack, as the operator named them.

use alloc::string::String;
use core::fmt;

/// The labels of a node. Empty where the operator gave none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Locality {
    /// The region: what a disaster may take away.
    pub region: String,
    /// The zone: a data centre, a round trip away from the next.
    pub zone: String,
    /// The rack: what one switch or one fuse may take away.
    pub rack: String,
}

impl Locality {
    /// How much two nodes would fail together: the labels they share, 0 to 3. A label that was not
    /// given is shared with nobody, but doesn't keep the labels below it from being shared.
    #[must_use]
    pub fn shared(&self, other: &Self) -> u32 {
        let region = self.region == other.region;
        let zone = region && self.zone == other.zone;
        let rack = zone && self.rack == other.rack;
        u32::from(region && !self.region.is_empty())
            + u32::from(zone && !self.zone.is_empty())
            + u32::from(rack && !self.rack.is_empty())
    }

    /// Whether two nodes are in one place as far as round trips are concerned.
    #[must_use]
    pub fn same_zone(&self, other: &Self) -> bool {
        self.region == other.region && self.zone == other.zone
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.region, self.zone, self.rack)
    }
}
