//! Map workers: a queue of jobs, results in order, cancel at once.
//!
//! Every worker is told the same [`Context`] and then gets one job at a time. Cancelling terminates the workers that are
//! busy and starts others. A worker that dies is replaced, its job is given once to another, and the page is told; a job
//! that kills a second worker is given up.

use super::link::{Heard, Link};
use super::oneshot::{Receiver, Sender, channel};
use super::protocol::{Answer, Context, Job, Reply, Request};
use js_sys::Uint8Array;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use wasm_bindgen::JsCast;

/// Why a job gave no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The user, or a newer wish, stopped it.
    Cancelled,
    /// What went wrong, in a sentence.
    Sentence(String),
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self::Sentence(sentence)
    }
}

/// What comes of a job.
pub type Outcome<T> = Result<T, Failure>;

struct Pending {
    job: Job,
    answer: Sender<Outcome<Answer>>,
    attempts: u32,
}

struct Slot {
    /// Absent between a worker's death and its replacement, and where none can be started.
    link: Option<Link>,
    pending: Option<Pending>,
}

struct Inner {
    slots: Vec<Slot>,
    queue: VecDeque<Pending>,
    context: Option<Context>,
    tell: Box<dyn Fn(News)>,
}

/// What a pool tells beside its answers.
#[derive(Debug, Clone)]
pub enum News {
    /// A worker died, and what became of its job.
    Death(String),
    /// How far a long job has come: bytes done, bytes in all.
    Progress(u64, u64),
}

/// A fixed number of map workers.
pub struct Pool(Rc<RefCell<Inner>>);

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("workers", &self.0.borrow().slots.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts `workers` workers; `tell` hears of deaths and progress.
    pub fn new(workers: usize, tell: impl Fn(News) + 'static) -> Result<Self, String> {
        let slots = (0..workers.max(1)).map(|_| Slot { link: None, pending: None }).collect();
        let inner = Inner { slots, queue: VecDeque::new(), context: None, tell: Box::new(tell) };
        let pool = Self(Rc::new(RefCell::new(inner)));
        for index in 0..workers.max(1) {
            respawn(&pool.0, index)?;
        }
        Ok(pool)
    }

    /// Tells every worker, and those started later, what to read.
    pub fn set_context(&self, context: &Context) {
        let mut inner = self.0.borrow_mut();
        for link in inner.slots.iter().filter_map(|slot| slot.link.as_ref()) {
            link.post(Request::Context(context.clone()));
        }
        inner.context = Some(context.clone());
    }

    /// Queues a job.
    pub fn run(&self, job: Job) -> Receiver<Outcome<Answer>> {
        let (answer, receiver) = channel();
        self.0.borrow_mut().queue.push_back(Pending { job, answer, attempts: 0 });
        dispatch(&self.0);
        receiver
    }

    /// Runs jobs that answer with bytes; `sink` gets index and bytes in the jobs' order.
    ///
    /// The first failure stops the rest.
    pub async fn map(
        &self,
        jobs: impl IntoIterator<Item = Job>,
        mut sink: impl FnMut(usize, Uint8Array),
    ) -> Outcome<()> {
        let receivers: Vec<_> = jobs.into_iter().map(|job| self.run(job)).collect();
        for (index, receiver) in receivers.into_iter().enumerate() {
            let answer = receiver.await.and_then(|answer| match answer {
                Answer::Bytes(bytes) => bytes.dyn_into().map_err(|_| unexpected()),
                _ => Err(unexpected()),
            });
            match answer {
                Ok(bytes) => sink(index, bytes),
                Err(failure) => {
                    self.cancel();
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// Drops every job, queued or running: busy workers are terminated and replaced.
    pub fn cancel(&self) {
        let (dropped, busy) = {
            let mut inner = self.0.borrow_mut();
            let mut dropped: Vec<Pending> = inner.queue.drain(..).collect();
            let mut busy = Vec::new();
            for (index, slot) in inner.slots.iter_mut().enumerate() {
                if let Some(pending) = slot.pending.take() {
                    dropped.push(pending);
                    slot.link = None;
                    busy.push(index);
                }
            }
            (dropped, busy)
        };
        for pending in dropped {
            pending.answer.send(Err(Failure::Cancelled));
        }
        for index in busy {
            if let Err(sentence) = respawn(&self.0, index) {
                (self.0.borrow().tell)(News::Death(sentence));
            }
        }
    }
}

fn unexpected() -> Failure {
    Failure::Sentence("a worker gave an unexpected answer (a defect of Quantscope)".to_owned())
}

/// Puts a fresh worker into a slot.
fn respawn(inner: &Rc<RefCell<Inner>>, index: usize) -> Result<(), String> {
    let weak = Rc::downgrade(inner);
    let link = Link::new(move |heard| hear(&weak, index, heard))?;
    let mut borrowed = inner.borrow_mut();
    if let Some(context) = &borrowed.context {
        link.post(Request::Context(context.clone()));
    }
    if let Some(slot) = borrowed.slots.get_mut(index) {
        slot.link = Some(link);
    }
    Ok(())
}

fn dispatch(inner: &Rc<RefCell<Inner>>) {
    let mut inner = inner.borrow_mut();
    let Inner { slots, queue, .. } = &mut *inner;
    for slot in slots.iter_mut().filter(|slot| slot.pending.is_none()) {
        let Some(link) = &slot.link else { continue };
        let Some(pending) = queue.pop_front() else { return };
        link.post(Request::Job { id: 0, job: pending.job.clone() });
        slot.pending = Some(pending);
    }
}

fn hear(weak: &Weak<RefCell<Inner>>, index: usize, heard: Heard) {
    let Some(inner) = weak.upgrade() else { return };
    if let Heard::Reply(Reply::Progress { done, total }) = heard {
        return (inner.borrow().tell)(News::Progress(done, total));
    }
    let pending = inner.borrow_mut().slots.get_mut(index).and_then(|slot| slot.pending.take());
    match heard {
        Heard::Reply(Reply::Done { answer, .. }) => settle(pending, Ok(answer)),
        Heard::Reply(Reply::Failed { sentence, .. }) => settle(pending, Err(Failure::Sentence(sentence))),
        Heard::Reply(_) => {}
        Heard::Died(words) => replace(&inner, index, pending, &words),
    }
    dispatch(&inner);
}

fn settle(pending: Option<Pending>, answer: Outcome<Answer>) {
    if let Some(pending) = pending {
        pending.answer.send(answer);
    }
}

fn replace(inner: &Rc<RefCell<Inner>>, index: usize, pending: Option<Pending>, words: &str) {
    if let Some(slot) = inner.borrow_mut().slots.get_mut(index) {
        slot.link = None;
    }
    let replaced = match respawn(inner, index) {
        Ok(()) => "it was replaced",
        Err(_) => "it could not be replaced",
    };
    match pending {
        Some(mut pending) if pending.attempts == 0 => {
            pending.attempts = 1;
            inner.borrow_mut().queue.push_front(pending);
            (inner.borrow().tell)(News::Death(format!(
                "A worker died and its job was repeated; {replaced}: {words}"
            )));
        }
        Some(pending) => {
            let sentence = format!("the job was given up, since two workers died of it: {words}");
            pending.answer.send(Err(Failure::Sentence(sentence)));
        }
        None => (inner.borrow().tell)(News::Death(format!("An idle worker died; {replaced}: {words}"))),
    }
}
