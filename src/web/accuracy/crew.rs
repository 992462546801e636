//! The workers that run networks: told the same things, then asked one question at a time each.
//!
//! They are hired with the first question. Cancelling terminates busy workers; their successors are told again what all were told.

use super::words::{Ask, Tell, pack, unpack};
use crate::web::link;
use crate::web::oneshot::{Receiver, Sender, channel};
use crate::web::pool::{Failure, Outcome};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, MessageEvent, Worker};

/// What comes of a question.
pub type Answer = Outcome<Tell>;

struct Pending {
    ask: Ask,
    answer: Sender<Answer>,
}

struct Slot {
    worker: Worker,
    lock: String,
    _heard: Closure<dyn FnMut(MessageEvent)>,
    _died: Closure<dyn FnMut(ErrorEvent)>,
    ready: bool,
    /// Things all were told whose answers are not for anybody.
    told: usize,
    pending: Option<Pending>,
    last_words: Option<String>,
}

struct Inner {
    slots: Vec<Option<Slot>>,
    queue: VecDeque<Pending>,
    context: Vec<Ask>,
    progress: Box<dyn Fn(usize, usize)>,
}

/// The workers.
pub struct Crew(Rc<RefCell<Inner>>);

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew").field("workers", &self.0.borrow().slots.len()).finish_non_exhaustive()
    }
}

impl Crew {
    /// Places for `count` workers; `progress` hears how far long jobs have come.
    pub fn new(count: usize, progress: impl Fn(usize, usize) + 'static) -> Self {
        let slots = (0..count.max(1)).map(|_| None).collect();
        let (queue, context, progress) = (VecDeque::new(), Vec::new(), Box::new(progress));
        Self(Rc::new(RefCell::new(Inner { slots, queue, context, progress })))
    }

    /// Number of workers.
    pub fn len(&self) -> usize {
        self.0.borrow().slots.len()
    }

    /// Asks one worker.
    pub fn ask(&self, ask: Ask) -> Receiver<Answer> {
        let (answer, receiver) = channel();
        let hired = (0..self.len()).filter(|index| self.is_free(*index)).try_for_each(|at| hire(&self.0, at));
        if let Err(sentence) = hired {
            answer.send(Err(sentence.into()));
            return receiver;
        }
        self.0.borrow_mut().queue.push_back(Pending { ask, answer });
        dispatch(&self.0);
        receiver
    }

    fn is_free(&self, index: usize) -> bool {
        self.0.borrow().slots.get(index).is_some_and(Option::is_none)
    }

    /// Forgets what all were told.
    pub fn forget(&self) {
        self.0.borrow_mut().context.clear();
    }

    /// Tells every worker, and those hired later; nobody waits for what they say.
    pub fn tell(&self, ask: Ask) {
        let mut inner = self.0.borrow_mut();
        for slot in inner.slots.iter_mut().flatten().filter(|slot| slot.ready) {
            slot.told += 1;
            post(&slot.worker, &ask);
        }
        inner.context.push(ask);
    }

    /// Drops every question; busy workers are replaced.
    pub fn cancel(&self) {
        let (dropped, busy) = {
            let mut inner = self.0.borrow_mut();
            let mut dropped: Vec<Pending> = inner.queue.drain(..).collect();
            let mut busy = Vec::new();
            for (index, slot) in inner.slots.iter_mut().enumerate() {
                if let Some(pending) = slot.as_mut().and_then(|slot| slot.pending.take()) {
                    dropped.push(pending);
                    dismiss(slot);
                    busy.push(index);
                }
            }
            (dropped, busy)
        };
        for pending in dropped {
            pending.answer.send(Err(Failure::Cancelled));
        }
        for index in busy {
            let _ = hire(&self.0, index);
        }
    }
}

fn post(worker: &Worker, ask: &Ask) {
    if let Err(error) = worker.post_message(&pack(ask)) {
        web_sys::console::error_1(&error);
    }
}

fn dismiss(slot: &mut Option<Slot>) {
    if let Some(slot) = slot.take() {
        slot.worker.set_onmessage(None);
        slot.worker.set_onerror(None);
        slot.worker.terminate();
    }
}

fn hire(inner: &Rc<RefCell<Inner>>, index: usize) -> Result<(), String> {
    let (worker, lock) = link::spawn()?;
    let weak = Rc::downgrade(inner);
    let heard = Closure::new(move |event: MessageEvent| hear(&weak, index, &event.data()));
    worker.set_onmessage(Some(heard.as_ref().unchecked_ref()));
    let weak = Rc::downgrade(inner);
    let died = Closure::new(move |event: ErrorEvent| {
        event.prevent_default();
        mourn(&weak, index, event.message());
    });
    worker.set_onerror(Some(died.as_ref().unchecked_ref()));
    let slot = Slot {
        worker,
        lock,
        _heard: heard,
        _died: died,
        ready: false,
        told: 0,
        pending: None,
        last_words: None,
    };
    if let Some(place) = inner.borrow_mut().slots.get_mut(index) {
        *place = Some(slot);
    }
    Ok(())
}

fn dispatch(inner: &Rc<RefCell<Inner>>) {
    let mut inner = inner.borrow_mut();
    let Inner { slots, queue, .. } = &mut *inner;
    for slot in slots.iter_mut().flatten().filter(|slot| slot.ready && slot.pending.is_none()) {
        let Some(pending) = queue.pop_front() else { return };
        post(&slot.worker, &pending.ask);
        slot.pending = Some(pending);
    }
}

fn hear(weak: &Weak<RefCell<Inner>>, index: usize, message: &JsValue) {
    let Some(inner) = weak.upgrade() else { return };
    let told = unpack::<Tell>(message)
        .unwrap_or_else(|| Tell::Failed("a worker said something unreadable".to_owned()));
    let answered = {
        let mut borrowed = inner.borrow_mut();
        let Inner { slots, context, progress, .. } = &mut *borrowed;
        let Some(slot) = slots.get_mut(index).and_then(Option::as_mut) else { return };
        match told {
            Tell::Ready => {
                slot.ready = true;
                watch(weak, index, slot.lock.clone());
                for ask in context.iter() {
                    slot.told += 1;
                    post(&slot.worker, ask);
                }
                None
            }
            Tell::Progress(done, of) => {
                progress(done, of);
                return;
            }
            Tell::Panicked(words) => {
                slot.last_words = Some(words);
                return;
            }
            _ if slot.told > 0 => {
                slot.told -= 1;
                return;
            }
            told => slot.pending.take().map(|pending| (pending, told)),
        }
    };
    if let Some((pending, told)) = answered {
        pending.answer.send(match told {
            Tell::Failed(sentence) => Err(Failure::Sentence(sentence)),
            told => Ok(told),
        });
    }
    dispatch(&inner);
}

/// Notices a worker that the browser closes; one that was dismissed has a successor with another lock by then.
fn watch(weak: &Weak<RefCell<Inner>>, index: usize, lock: String) {
    let weak = weak.clone();
    let held = lock.clone();
    link::watch(&held, move || {
        let is_here = weak.upgrade().is_some_and(|inner| {
            let inner = inner.borrow();
            inner.slots.get(index).and_then(Option::as_ref).is_some_and(|slot| slot.lock == lock)
        });
        if is_here {
            mourn(&weak, index, link::CLOSED.to_owned());
        }
    });
}

fn mourn(weak: &Weak<RefCell<Inner>>, index: usize, words: String) {
    let weak = weak.clone();
    // A moment later, since the handler that runs is dropped with its slot.
    wasm_bindgen_futures::spawn_local(async move {
        let Some(inner) = weak.upgrade() else { return };
        let slot = inner.borrow_mut().slots.get_mut(index).and_then(Option::take);
        if let Some(mut slot) = slot {
            let words = slot.last_words.take().unwrap_or(words);
            if let Some(pending) = slot.pending.take() {
                let sentence = format!("a worker died of it and was replaced: {words}");
                pending.answer.send(Err(Failure::Sentence(sentence)));
            }
            dismiss(&mut Some(slot));
        }
        if hire(&inner, index).is_ok() {
            dispatch(&inner);
        }
    });
}
