//! The module that runs networks, as the page asks it; the boot script loads it with the first question.
//!
//! Questions and answers are events on the document; [`crate::web`]'s module `accuracy` lists them. An answer to another
//! question than the last is not heard.

use crate::web::dom::{detail, dispatch, get, on};
use crate::web::oneshot::{Receiver, Sender, channel};
use crate::web::pool::{Failure, Outcome};
use js_sys::{Object, Reflect};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use web_sys::Document;

type Question = (u32, Sender<Outcome<JsValue>>);

/// The question that waits for its answer.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Rc<RefCell<Option<Question>>>);

impl Waiting {
    /// Listens to answers.
    pub fn connect(&self, document: &Document) {
        let waiting = self.clone();
        on(document, "run-told", move |event| {
            let detail = detail(&event);
            let id = get(&detail, "id").as_f64();
            let waiting = waiting.0.borrow_mut().take_if(|(asked, _)| id == Some(f64::from(*asked)));
            if let Some((_, sender)) = waiting {
                sender.send(Ok(detail));
            }
        });
    }

    /// Asks by number; what is asked is told in fields.
    pub fn ask(
        &self,
        document: &Document,
        id: u32,
        fields: &[(&str, &JsValue)],
    ) -> Receiver<Outcome<JsValue>> {
        let (sender, receiver) = channel();
        *self.0.borrow_mut() = Some((id, sender));
        let question = Object::new();
        for (key, value) in [("id", &id.into())].iter().chain(fields) {
            let _ = Reflect::set(&question, &(*key).into(), value);
        }
        dispatch(document, "run-wanted", &question);
        receiver
    }

    /// Gives up the question that waits.
    pub fn stop(&self, document: &Document) {
        if let Some((_, sender)) = self.0.borrow_mut().take() {
            dispatch(document, "run-stop", &JsValue::UNDEFINED);
            sender.send(Err(Failure::Cancelled));
        }
    }
}
