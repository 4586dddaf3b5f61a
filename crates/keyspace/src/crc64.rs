//! The checksum of DUMP's format: CRC-64 with the Jones polynomial, reflected, from 0.

const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// What each byte does to a checksum that is taken `n` bytes later, for `n` from 0 to 7: eight
/// bytes at a time are several times as fast as one, and values may be long.
const TABLES: [[u64; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut later = 1;
    while later < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before: u64 = tables[later - 1][byte];
            tables[later][byte] = tables[0][(before & 0xff) as usize] ^ before >> 8;
            byte += 1;
        }
        later += 1;
    }
    tables
};

pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let crc = words.iter().fold(0, |crc, word| {
        let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        let pairs = mixed.iter().zip(TABLES.iter().rev());
        pairs.fold(0, |crc, (&byte, table)| crc ^ table[usize::from(byte)])
    });
    rest.iter().fold(crc, |crc, &byte| TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_is_that_of_redis() {
        assert_eq!(super::crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn eight_bytes_at_a_time_come_to_the_same() {
        let bytes: alloc::vec::Vec<u8> = (0..200u16).map(|n| (n * 7 + n / 3) as u8).collect();
        for len in 0..bytes.len() {
            let by_one = bytes[..len]
                .iter()
                .fold(0, |crc, &byte| super::TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8);
            assert_eq!(super::crc64(&bytes[..len]), by_one, "{len}");
        }
    }
}
