//! Commands on geographic indexes.

use super::super::{Categories as C, Command, Flags as F, Group, KeyFlags as K};
use super::row::{after, one, row};

const fn command(name: &'static str, since: &'static str) -> Command {
    row(Group::Geo, name, since)
}

/// The rows of the family.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    command("geoadd", "3.2.0")
        .about("Add one or more geospatial items in the geospatial index represented using a \
            sorted set",
            "O(log(N)) for each item added, where N is the number of elements in the sorted set.")
        .takes(-5, &[F::WRITE, F::DENYOOM], &[C::GEO])
        .keys(&[one(&[K::RW, K::UPDATE], 1)])
        .planned("geographic indexes are planned"),
    command("geodist", "3.2.0")
        .about("Returns the distance between two members of a geospatial index", "O(log(N))")
        .takes(-4, &[F::READONLY], &[C::GEO])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("geographic indexes are planned"),
    command("geohash", "3.2.0")
        .about("Returns members of a geospatial index as standard geohash strings",
            "O(log(N)) for each member requested, where N is the number of elements in the sorted \
            set.")
        .takes(-2, &[F::READONLY], &[C::GEO])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("geographic indexes are planned"),
    command("geopos", "3.2.0")
        .about("Returns longitude and latitude of members of a geospatial index",
            "O(N) where N is the number of members requested.")
        .takes(-2, &[F::READONLY], &[C::GEO])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("geographic indexes are planned"),
    command("georadius", "3.2.0")
        .about("Query a sorted set representing a geospatial index to fetch members matching a \
            given maximum distance from a point",
            "O(N+log(M)) where N is the number of elements inside the bounding box of the circular \
            area delimited by center and radius and M is the number of items inside the index.")
        .takes(-6, &[F::WRITE, F::DENYOOM, F::MOVABLEKEYS], &[C::GEO])
        .keys(&[
            one(&[K::RO, K::ACCESS], 1),
            after(&[K::OW, K::UPDATE], "STORE", 6),
            after(&[K::OW, K::UPDATE], "STOREDIST", 6),
        ])
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")
        .planned("geographic indexes are planned"),
    command("georadius_ro", "3.2.10")
        .about("A read-only variant for GEORADIUS",
            "O(N+log(M)) where N is the number of elements inside the bounding box of the circular \
            area delimited by center and radius and M is the number of items inside the index.")
        .takes(-6, &[F::READONLY], &[C::GEO])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")
        .planned("geographic indexes are planned"),
    command("georadiusbymember", "3.2.0")
        .about("Query a sorted set representing a geospatial index to fetch members matching a \
            given maximum distance from a member",
            "O(N+log(M)) where N is the number of elements inside the bounding box of the circular \
            area delimited by center and radius and M is the number of items inside the index.")
        .takes(-5, &[F::WRITE, F::DENYOOM, F::MOVABLEKEYS], &[C::GEO])
        .keys(&[
            one(&[K::RO, K::ACCESS], 1),
            after(&[K::OW, K::UPDATE], "STORE", 5),
            after(&[K::OW, K::UPDATE], "STOREDIST", 5),
        ])
        .deprecated("6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments")
        .planned("geographic indexes are planned"),
    command("georadiusbymember_ro", "3.2.10")
        .about("A read-only variant for GEORADIUSBYMEMBER",
            "O(N+log(M)) where N is the number of elements inside the bounding box of the circular \
            area delimited by center and radius and M is the number of items inside the index.")
        .takes(-5, &[F::READONLY], &[C::GEO])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")
        .planned("geographic indexes are planned"),
    command("geosearch", "6.2.0")
        .about("Query a sorted set representing a geospatial index to fetch members inside an area \
            of a box or a circle.",
            "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area \
            around the shape provided as the filter and M is the number of items inside the shape")
        .takes(-7, &[F::READONLY], &[C::GEO])
        .keys(&[one(&[K::RO, K::ACCESS], 1)])
        .planned("geographic indexes are planned"),
    command("geosearchstore", "6.2.0")
        .about("Query a sorted set representing a geospatial index to fetch members inside an area \
            of a box or a circle, and store the result in another key.",
            "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area \
            around the shape provided as the filter and M is the number of items inside the shape")
        .takes(-8, &[F::WRITE, F::DENYOOM], &[C::GEO])
        .keys(&[one(&[K::OW, K::UPDATE], 1), one(&[K::RO, K::ACCESS], 2)])
        .planned("geographic indexes are planned"),
];
