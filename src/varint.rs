//! Numbers that are mostly small, as bytes: groups of 7 bits, least significant first, the top bit of a byte saying that more
//! follow (LEB128). Only the shortest form is read, so that a number has one encoding.

/// Appends a number.
pub(crate) fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number from the front of `bytes`; `None` if they end before it does, or it is in another form or of more than 64 bits.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let group = u64::from(byte & 0x7f);
        if (shift == 63 && group > 1) || (shift > 0 && *byte == 0) {
            return None;
        }
        value |= group << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_have_one_form() {
        for value in [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put(value, &mut bytes);
            let mut rest = &bytes[..];
            assert_eq!((take(&mut rest), rest.len()), (Some(value), 0));
        }
        for mut bytes in [&[0x80, 0][..], &[0xff; 10], &[0x80; 11], &[0x80], &[]] {
            assert_eq!(take(&mut bytes), None, "{bytes:?}");
        }
    }
}
