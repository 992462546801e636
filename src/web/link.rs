//! A worker from the page's side: started, spoken to, heard, terminated.

use super::blobs::sentence;
use super::protocol::{self, Kind, Reply, ReplyOf, Request, RequestTo};
use js_sys::Array;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, BlobPropertyBag, ErrorEvent, MessageEvent, Url, Worker, WorkerOptions, WorkerType};

#[wasm_bindgen]
extern "C" {
    /// Where the page's own glue lies: a blob, since `boot.js` made it one.
    #[wasm_bindgen(thread_local_v2, js_namespace = ["import", "meta"], js_name = url)]
    static GLUE_URL: String;
}

/// What a worker waits for before Rust takes over.
const BOOTSTRAP: &str = include_str!("../../www/worker.js");

thread_local! {
    static BOOTSTRAP_URL: String = {
        let options = BlobPropertyBag::new();
        options.set_type("text/javascript");
        Blob::new_with_str_sequence_and_options(&Array::of1(&BOOTSTRAP.into()), &options)
            .and_then(|blob| Url::create_object_url_with_blob(&blob))
            .unwrap_or_default()
    };
}

thread_local! {
    static WORKERS: Cell<u32> = const { Cell::new(0) };
}

/// A name that no other worker's lock has, in this tab or another of the same origin.
fn lock_name() -> String {
    let number = WORKERS.replace(WORKERS.get().wrapping_add(1));
    format!("quantscope-worker-{number}-{}", js_sys::Math::random())
}

/// What is heard from a worker.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // one at a time, handed on at once
pub enum Heard<A> {
    /// It said something.
    Reply(Reply<A>),
    /// It is gone, with what it said last; [`Link::terminate`] is not reported.
    Died(String),
}

/// A running worker; dropped, it is terminated.
#[derive(Debug)]
pub struct Link<K: Kind> {
    shared: Rc<Shared<K>>,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _error: Closure<dyn FnMut(ErrorEvent)>,
}

#[derive(Debug)]
struct Shared<K: Kind> {
    worker: Worker,
    /// Name of the lock that the worker holds; whoever gets it knows that the worker is gone.
    lock: String,
    ready: Cell<bool>,
    dead: Cell<bool>,
    last_words: RefCell<Option<String>>,
    /// Messages from before the worker listened; it would lose them.
    waiting: RefCell<Vec<RequestTo<K>>>,
}

impl<K: Kind> Link<K> {
    /// Starts a worker; `heard` is called for everything it says but that it is ready.
    pub fn new(heard: impl Fn(Heard<K::Answer>) + 'static) -> Result<Self, String> {
        let worker = bare()?;
        let shared = Rc::new(Shared {
            worker,
            lock: lock_name(),
            ready: Cell::new(false),
            dead: Cell::new(false),
            last_words: RefCell::new(None),
            waiting: RefCell::new(Vec::new()),
        });
        let heard = Rc::new(heard);
        let message = shared.clone().on_message(heard.clone());
        shared.worker.set_onmessage(Some(message.as_ref().unchecked_ref()));
        let error = shared.clone().on_error(heard);
        shared.worker.set_onerror(Some(error.as_ref().unchecked_ref()));
        hand_over_module(&shared.worker, shared.lock.clone())?;
        Ok(Self { shared, _message: message, _error: error })
    }

    /// Sends a message, or keeps it until the worker listens.
    pub fn post(&self, request: RequestTo<K>) {
        if self.shared.ready.get() {
            self.shared.post(&request);
        } else {
            self.shared.waiting.borrow_mut().push(request);
        }
    }

    /// Stops the worker at once; nothing more is heard of it.
    pub fn terminate(&self) {
        self.shared.dead.set(true);
        self.shared.worker.terminate();
    }
}

impl<K: Kind> Drop for Link<K> {
    fn drop(&mut self) {
        self.terminate();
        self.shared.worker.set_onmessage(None);
        self.shared.worker.set_onerror(None);
    }
}

/// What `www/worker.js` waits for.
#[derive(serde::Serialize)]
struct Hello {
    glue: String,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    module: JsValue,
    /// The lock that the worker holds for as long as it lives.
    lock: String,
}

fn hand_over_module(worker: &Worker, lock: String) -> Result<(), String> {
    let hello =
        Hello { glue: GLUE_URL.with(|glue| glue.as_str().to_owned()), module: wasm_bindgen::module(), lock };
    let hello = serde_wasm_bindgen::to_value(&hello).map_err(|error| error.to_string())?;
    worker.post_message(&hello).map_err(|error| sentence(&error))
}

fn bare() -> Result<Worker, String> {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    BOOTSTRAP_URL
        .with(|url| Worker::new_with_options(url, &options))
        .map_err(|error| format!("a worker could not be started: {}", sentence(&error)))
}

/// What is said of a worker whose lock is free.
const CLOSED: &str = "the browser closed it, as it does where memory is short";

/// Calls back once the lock of a worker that has started is free. A worker that the browser closes says nothing, and one that
/// works long says nothing either; only the lock tells them apart. Where pages have no locks, a closed worker is not noticed.
fn watch(lock: &str, gone: impl FnOnce() + 'static) {
    let gone = Closure::once_into_js(gone);
    let get = |target: &JsValue, name: &str| js_sys::Reflect::get(target, &name.into());
    let locks = get(&js_sys::global(), "navigator").and_then(|navigator| get(&navigator, "locks"));
    if let Ok(locks) = locks
        && let Ok(request) = get(&locks, "request")
        && let Some(request) = request.dyn_ref::<js_sys::Function>()
    {
        let _ = request.call2(&locks, &lock.into(), &gone);
    }
}

impl<K: Kind> Shared<K> {
    fn on_message(
        self: Rc<Self>,
        heard: Rc<impl Fn(Heard<K::Answer>) + 'static>,
    ) -> Closure<dyn FnMut(MessageEvent)> {
        Closure::new(move |event: MessageEvent| {
            if self.dead.get() {
                return;
            }
            match protocol::decode::<ReplyOf<K>>(&event.data()) {
                Ok(Reply::Ready) => {
                    self.ready.set(true);
                    let (gone, told) = (self.clone(), heard.clone());
                    watch(&self.lock, move || gone.die(told, CLOSED.to_owned()));
                    let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
                    for request in &waiting {
                        self.post(request);
                    }
                }
                Ok(Reply::Panicked(words)) => *self.last_words.borrow_mut() = Some(words),
                Ok(reply) => heard(Heard::Reply(reply)),
                Err(error) => self.die(heard.clone(), format!("it said something unreadable: {error}")),
            }
        })
    }

    fn on_error(
        self: Rc<Self>,
        heard: Rc<impl Fn(Heard<K::Answer>) + 'static>,
    ) -> Closure<dyn FnMut(ErrorEvent)> {
        Closure::new(move |event: ErrorEvent| {
            event.prevent_default();
            let words = self.last_words.borrow_mut().take().unwrap_or_else(|| event.message());
            self.die(heard.clone(), words);
        })
    }

    /// Told a moment later, since who hears it drops the link whose handler is running.
    fn die(&self, heard: Rc<impl Fn(Heard<K::Answer>) + 'static>, words: String) {
        if !self.dead.replace(true) {
            self.worker.terminate();
            wasm_bindgen_futures::spawn_local(async move { heard(Heard::Died(words)) });
        }
    }

    fn post(&self, request: &RequestTo<K>) {
        let moved = match request {
            Request::Job { job, .. } => K::moved_with_job(job),
            Request::Tell(_) => None,
        };
        // A message that cannot be sent is a defect; the worker's silence would hide it, so it goes to the console.
        let (message, moved) = (protocol::encode(request), protocol::transfer_list(moved));
        if let Err(error) = self.worker.post_message_with_transfer(&message, &moved) {
            web_sys::console::error_1(&error);
        }
    }
}
