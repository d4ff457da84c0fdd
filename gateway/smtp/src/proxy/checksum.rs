//! CRC32c (RFC 9260 appendix A).

/// The checksum of pieces in a row.
pub(super) fn crc32c<const N: usize>(pieces: [&[u8]; N]) -> u32 {
    // Bit by bit: headers are short, and few have a checksum.
    !pieces.into_iter().flatten().fold(u32::MAX, |sum, &octet| {
        (0..8).fold(sum ^ u32::from(octet), |sum, _| {
            let carry = sum & 1;
            sum >> 1 ^ if carry == 1 { POLYNOMIAL } else { 0 }
        })
    })
}

/// Castagnoli's, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_check_value() {
        assert_eq!(crc32c([b"123456789"]), 0xe306_9283);
        assert_eq!(crc32c([b"1234", b"", b"56789"]), 0xe306_9283);
        // RFC 3720 appendix B.4.
        assert_eq!(crc32c([&[0; 32]]), 0x8a91_36aa);
        assert_eq!(crc32c([&[0xff; 32]]), 0x62a8_ab43);
    }
}
