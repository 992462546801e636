//! What messages hold: packed values and errors as sentences.

use super::protocol;
use crate::engine;
use js_sys::Array;
use wasm_bindgen::JsValue;

/// An error with its causes, in one sentence.
pub fn sentence(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// A message packed by `engine::pack`.
pub fn unpack<T: serde::de::DeserializeOwned>(array: &JsValue) -> Result<T, String> {
    let bytes = protocol::bytes_from_array(array).ok_or_else(no_context)?;
    engine::unpack(&bytes).map_err(sentence)
}

/// Why a message without its bytes cannot be read.
pub fn no_context() -> String {
    "a worker was not told what to work on (a defect of Quantscope)".to_owned()
}

/// The byte arrays of a JavaScript array.
pub fn byte_lists(array: &JsValue) -> Vec<Vec<u8>> {
    Array::from(array).iter().filter_map(|item| protocol::bytes_from_array(&item)).collect()
}
