//! Right checksums for a `.qsz` with wrong bytes, so that what reads it is tried behind them.

const HEADER: usize = 9;
const TRAILER: usize = 12;

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Makes every checksum of a mutated file right again, as far as its directory can be followed.
pub fn resigned(mut file: Vec<u8>) -> Vec<u8> {
    let Some(trailer) = file.len().checked_sub(TRAILER) else { return file };
    let directory = u32::from_le_bytes(file[trailer..trailer + 4].try_into().unwrap()) as usize;
    let Some(start) = trailer.checked_sub(directory) else { return file };
    let (mut at, mut offset) = (start, HEADER);
    while at < trailer {
        let tag = file[at];
        at += 1;
        let has_two_parts = tag >> 6 == 1 || tag >> 3 == 0x11;
        let first = if has_two_parts { varint(&file, &mut at) } else { Some(0) };
        let (Some(first), Some(rest)) = (first, varint(&file, &mut at)) else { break };
        let len = first.saturating_add(rest) as usize;
        if len <= 4 {
            // It stands here, and has no checksum of its own.
            at += len;
            continue;
        }
        let Some(section) = file.get(offset..).and_then(|tail| tail.get(..len)) else { break };
        offset += section.len();
        let crc = crc32fast::hash(section);
        if at + 4 > trailer {
            break;
        }
        file[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        at += 4;
    }
    let crc = crc32fast::hash(&file[start..trailer]);
    file[trailer + 4..trailer + 8].copy_from_slice(&crc.to_le_bytes());
    file
}
