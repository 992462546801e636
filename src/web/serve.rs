//! A worker's side: listens, does one job after the other, answers.

use super::protocol::{self, Kind, Reply, ReplyOf, Request, RequestTo};
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

/// What does a kind's jobs in a worker, and remembers what it was told.
pub trait Serve<K: Kind> {
    /// Takes what later jobs work on; what is wrong with it is said by the jobs that need it.
    fn told(&mut self, told: K::Told);

    /// Does a job, telling how much of it is done of how much; a refusal is a sentence.
    fn work(&mut self, job: K::Job, progress: &dyn Fn(u64, u64)) -> Result<K::Answer, String>;
}

/// Starts listening, and says so.
pub fn start<K: Kind>(scope: &DedicatedWorkerGlobalScope, mut server: impl Serve<K> + 'static) {
    let dying = scope.clone();
    std::panic::set_hook(Box::new(move |info| say::<K>(&dying, &Reply::Panicked(info.to_string()))));
    let answering = scope.clone();
    let listener = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        listen(&answering, &mut server, &event.data());
    });
    scope.set_onmessage(Some(listener.as_ref().unchecked_ref()));
    listener.forget();
    say::<K>(scope, &Reply::Ready);
}

fn listen<K: Kind>(scope: &DedicatedWorkerGlobalScope, server: &mut impl Serve<K>, message: &JsValue) {
    match protocol::decode::<RequestTo<K>>(message) {
        Ok(Request::Tell(told)) => server.told(told),
        Ok(Request::Job { id, job }) => {
            match server.work(job, &|done, total| say::<K>(scope, &Reply::Progress { done, total })) {
                Ok(answer) => say::<K>(scope, &Reply::Done { id, answer }),
                Err(sentence) => say::<K>(scope, &Reply::Failed { id, sentence }),
            }
        }
        Err(error) => say::<K>(scope, &Reply::Failed { id: 0, sentence: error }),
    }
}

fn say<K: Kind>(scope: &DedicatedWorkerGlobalScope, reply: &ReplyOf<K>) {
    let moved = match reply {
        Reply::Done { answer, .. } => K::moved_with_answer(answer),
        _ => None,
    };
    let moved = protocol::transfer_list(moved);
    if let Err(error) = scope.post_message_with_transfer(&protocol::encode(reply), &moved) {
        web_sys::console::error_1(&error);
    }
}
