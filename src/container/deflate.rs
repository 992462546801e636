//! Raw deflate streams (RFC 1951) of known inflated length, for the manifest and for kept tensors.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Deflate cannot shrink bytes further than this: at most 258 bytes from 2 bits.
const MAX_RATIO: u64 = 1032;

/// `bytes` deflated, if that makes them smaller.
pub(super) fn deflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; bytes.len()];
    let mut state = Compress::new(Compression::default(), false);
    let status = state.compress(bytes, &mut out, FlushCompress::Finish).ok()?;
    out.truncate(usize::try_from(state.total_out()).ok()?);
    (status == Status::StreamEnd && out.len() < bytes.len()).then_some(out)
}

/// Why a stream was refused: what was expected, and found.
pub(super) type Refusal = (String, String);

/// Inflates a stream that must take all of `bytes` and give exactly `len`; the caller has limited `len`.
pub(super) fn inflated(bytes: &[u8], len: u64) -> Result<Vec<u8>, Refusal> {
    let most = (bytes.len() as u64).saturating_mul(MAX_RATIO);
    if len > most {
        return Err((
            format!("at most {most} bytes from a deflate stream of {}", bytes.len()),
            len.to_string(),
        ));
    }
    let no_memory = || (format!("memory for {len} bytes"), "less".to_owned());
    let size = usize::try_from(len).map_err(|_| no_memory())?;
    let mut out = Vec::new();
    // One byte more, to tell a stream that is too long from one that fits.
    out.try_reserve_exact(size.saturating_add(1)).map_err(|_| no_memory())?;
    out.resize(size + 1, 0);
    let mut state = Decompress::new(false);
    let status = state.decompress(bytes, &mut out, FlushDecompress::Finish);
    let ended = matches!(status, Ok(Status::StreamEnd));
    if !ended || state.total_out() != len || state.total_in() != bytes.len() as u64 {
        let expected = format!("a deflate stream of {} bytes that gives {len}", bytes.len());
        let how = if ended { "one that ends" } else { "one that breaks" };
        return Err((expected, format!("{how} after {} bytes with {}", state.total_in(), state.total_out())));
    }
    out.truncate(size);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_read_back_at_their_exact_length_only() {
        let bytes: Vec<u8> = (0..20_000u32).map(|i| (i % 7) as u8).collect();
        let stream = deflated(&bytes).unwrap();
        assert_eq!(inflated(&stream, 20_000).unwrap(), bytes);
        assert!(inflated(&stream, 19_999).is_err());
        assert!(inflated(&stream, 20_001).is_err());
        assert!(inflated(&[&stream[..], &[0]].concat(), 20_000).is_err());
        assert!(inflated(&stream[..stream.len() - 1], 20_000).is_err());
    }

    #[test]
    fn what_does_not_shrink_is_left_alone() {
        assert_eq!(deflated(&[]), None);
        assert_eq!(deflated(b"abc"), None);
    }

    #[test]
    fn implausible_lengths_are_refused_before_allocating() {
        assert!(inflated(&[3, 0], 1 << 40).is_err());
    }
}
