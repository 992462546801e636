//! Files for the user.

use super::app::App;
use super::notice;
use crate::web::blobs::{blob_from_bytes, sentence};
use crate::web::dom::set;
use wasm_bindgen::JsCast;
use web_sys::{Blob, HtmlElement, Url};

/// Offers a blob as a download.
pub fn blob(app: &App, name: &str, blob: &Blob) {
    let url = match Url::create_object_url_with_blob(blob) {
        Ok(url) => url,
        Err(error) => {
            return notice::error(app, &format!("{name} could not be handed out: {}", sentence(&error)));
        }
    };
    if let Some(anchor) = app.document.create_element("a").ok().and_then(|a| a.dyn_into::<HtmlElement>().ok())
    {
        set(&anchor, "href", &url);
        set(&anchor, "download", name);
        anchor.click();
    }
    // The download holds its own reference once it has begun.
    app.later(10_000, move |()| {
        let _ = Url::revoke_object_url(&url);
    });
}

/// Offers a text as a download.
pub fn text(app: &App, name: &str, text: &str) {
    match blob_from_bytes(text.as_bytes()) {
        Ok(file) => blob(app, name, &file),
        Err(sentence) => notice::error(app, &sentence),
    }
}

/// A file's name without its last extension.
pub fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem })
}
