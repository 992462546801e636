//! Elements of index.html by typed handles: found once, and what is missing is named at the start.

use wasm_bindgen::JsCast;
use web_sys::Document;

/// An element of ours, or an exception that names it: a page without its parts cannot run.
pub fn find<T: JsCast>(document: &Document, id: &str) -> T {
    let element = document.get_element_by_id(id).unwrap_or_else(|| fail(document, id));
    element.dyn_into().unwrap_or_else(|_| fail(document, id))
}

fn fail(document: &Document, id: &str) -> ! {
    let sentence = format!("Quantscope could not start: index.html lacks #{id}, or it is of the wrong kind");
    if let Some(place) = document.get_element_by_id("loading") {
        place.set_text_content(Some(&sentence));
    }
    wasm_bindgen::throw_str(&sentence)
}

/// A struct `Elements` of typed handles, by their types and ids.
macro_rules! elements {
    ($($kind:ty { $($field:ident = $id:literal,)* })*) => {
        /// Handles by what they are for; the ids are those of index.html.
        #[derive(Debug)]
        #[allow(missing_docs)]
        pub struct Elements {
            $($(pub $field: $kind,)*)*
        }

        impl Elements {
            /// Finds them all.
            pub fn find(document: &web_sys::Document) -> Self {
                Self { $($($field: $crate::web::elements::find(document, $id),)*)* }
            }
        }
    };
}
pub(crate) use elements;
