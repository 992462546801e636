//! Our file, `.qsz`: sections, checksums, writer, reader. `docs/format.md` is its contract.
