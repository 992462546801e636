//! Does a compressed network still run? The page asks, one worker answers.

use super::jobs::{Answer, Job, Networks};
use super::{parts, read};
use crate::web::dom::{detail, dispatch, get, on};
use crate::web::pool::{Failure, Outcome, Pool, unexpected};
use js_sys::{Object, Reflect};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, Window};

/// Listens to the page.
pub fn start(window: &Window) {
    let Some(document) = window.document() else { return };
    let pool = Rc::new(Pool::new(1, |_| {}));
    let stopped = pool.clone();
    on(&document, "run-stop", move |_| stopped.cancel());
    let here = document.clone();
    on(&document, "run-network", move |event| {
        let detail = detail(&event);
        let (pool, document) = (pool.clone(), here.clone());
        wasm_bindgen_futures::spawn_local(async move {
            let told = match check(&pool, &detail).await {
                Ok(pairs) => pairs,
                Err(Failure::Cancelled) => return,
                Err(Failure::Sentence(sentence)) => vec![("failed", sentence.into())],
            };
            let answer = Object::new();
            for (key, value) in [("id", get(&detail, "id"))].into_iter().chain(told) {
                let _ = Reflect::set(&answer, &key.into(), &value);
            }
            dispatch(&document, "run-told", &answer);
        });
    });
}

async fn field(detail: &JsValue, key: &str) -> Outcome<Vec<u8>> {
    let blob: Blob = get(detail, key).dyn_into().map_err(|_| unexpected())?;
    read(&blob).await
}

async fn check(pool: &Pool<Networks>, detail: &JsValue) -> Outcome<Vec<(&'static str, JsValue)>> {
    let network = if get(detail, "first").is_truthy() {
        Some((field(detail, "file").await?, parts(&get(detail, "parts"))))
    } else {
        None
    };
    let file = field(detail, "made").await?;
    match pool.run(Job::Check { network, file }).await? {
        Answer::Checked { sentence, warning, ample } => {
            Ok(vec![("sentence", sentence.into()), ("warning", warning.into()), ("ample", ample.into())])
        }
        _ => Err(unexpected()),
    }
}
