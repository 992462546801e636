//! Entropy coding: symbols to bits and back, integers only.
