//! Workers of one kind: a queue of jobs, results in order, cancel at once.
//!
//! Every worker is told the same things and then gets one job at a time. Workers start with the first job, or before it by
//! [`Pool::start`]. Cancelling terminates the workers that are busy and starts others. A worker that dies is replaced, and its
//! job is given to another one unless as many have died of it as the kind allows.

use super::link::{Heard, Link};
use super::oneshot::{Receiver, Sender, channel};
use super::protocol::{Kind, Reply, Request};
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

struct Pending<K: Kind> {
    job: K::Job,
    answer: Sender<Outcome<K::Answer>>,
    /// Workers that died of it.
    deaths: u32,
}

struct Slot<K: Kind> {
    /// Absent before the first job, between a worker's death and its replacement, and where none can be started.
    link: Option<Link<K>>,
    pending: Option<Pending<K>>,
}

struct Inner<K: Kind> {
    slots: Vec<Slot<K>>,
    queue: VecDeque<Pending<K>>,
    told: Vec<K::Told>,
    news: Box<dyn Fn(News)>,
}

/// What a pool tells beside its answers.
#[derive(Debug, Clone)]
pub enum News {
    /// A worker died, and what became of its job.
    Death(String),
    /// How far a long job has come: how much is done, of how much.
    Progress(u64, u64),
}

/// A fixed number of workers.
pub struct Pool<K: Kind>(Rc<RefCell<Inner<K>>>);

impl<K: Kind> std::fmt::Debug for Pool<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("workers", &self.len()).finish_non_exhaustive()
    }
}

impl<K: Kind> Pool<K> {
    /// Places for `workers` workers; `news` hears of deaths and progress.
    pub fn new(workers: usize, news: impl Fn(News) + 'static) -> Self {
        let slots = (0..workers.max(1)).map(|_| Slot { link: None, pending: None }).collect();
        let inner = Inner { slots, queue: VecDeque::new(), told: Vec::new(), news: Box::new(news) };
        Self(Rc::new(RefCell::new(inner)))
    }

    /// Number of workers.
    pub fn len(&self) -> usize {
        self.0.borrow().slots.len()
    }

    /// Starts the workers that have not started yet.
    pub fn start(&self) -> Result<(), String> {
        let is_absent =
            |index: &usize| self.0.borrow().slots.get(*index).is_some_and(|slot| slot.link.is_none());
        (0..self.len()).filter(is_absent).try_for_each(|index| respawn(&self.0, index))
    }

    /// Tells every worker, and those started later, what to work on, beside what was told before.
    pub fn tell(&self, told: K::Told) {
        let mut inner = self.0.borrow_mut();
        for link in inner.slots.iter().filter_map(|slot| slot.link.as_ref()) {
            link.post(Request::Tell(told.clone()));
        }
        inner.told.push(told);
    }

    /// Tells every worker, in place of what was told before.
    pub fn tell_anew(&self, told: K::Told) {
        self.forget();
        self.tell(told);
    }

    /// Tells every worker, in place of those things told before that `is_former` names.
    #[cfg(feature = "network")]
    pub fn tell_instead(&self, told: K::Told, is_former: impl Fn(&K::Told) -> bool) {
        self.0.borrow_mut().told.retain(|before| !is_former(before));
        self.tell(told);
    }

    /// Workers started later are not told what was told before.
    pub fn forget(&self) {
        self.0.borrow_mut().told.clear();
    }

    /// Queues a job.
    pub fn run(&self, job: K::Job) -> Receiver<Outcome<K::Answer>> {
        let (answer, receiver) = channel();
        if let Err(sentence) = self.start()
            && self.0.borrow().slots.iter().all(|slot| slot.link.is_none())
        {
            answer.send(Err(sentence.into()));
            return receiver;
        }
        self.0.borrow_mut().queue.push_back(Pending { job, answer, deaths: 0 });
        dispatch(&self.0);
        receiver
    }

    /// Runs jobs that answer with bytes; `sink` gets index and bytes in the jobs' order.
    ///
    /// The first failure stops the rest.
    pub async fn map(
        &self,
        jobs: impl IntoIterator<Item = K::Job>,
        mut sink: impl FnMut(usize, Uint8Array),
    ) -> Outcome<()> {
        let receivers: Vec<_> = jobs.into_iter().map(|job| self.run(job)).collect();
        for (index, receiver) in receivers.into_iter().enumerate() {
            let bytes = receiver.await.and_then(|answer| {
                let bytes = K::moved_with_answer(&answer).and_then(|bytes| bytes.dyn_ref::<Uint8Array>());
                bytes.cloned().ok_or_else(unexpected)
            });
            match bytes {
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
            let mut dropped: Vec<Pending<K>> = inner.queue.drain(..).collect();
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
                (self.0.borrow().news)(News::Death(sentence));
            }
        }
    }
}

/// An answer that does not fit its question.
pub fn unexpected() -> Failure {
    Failure::Sentence("a worker gave an unexpected answer (a defect of Quantscope)".to_owned())
}

/// Puts a fresh worker into a slot.
fn respawn<K: Kind>(inner: &Rc<RefCell<Inner<K>>>, index: usize) -> Result<(), String> {
    let weak = Rc::downgrade(inner);
    let link = Link::new(move |heard| hear(&weak, index, heard))?;
    let mut borrowed = inner.borrow_mut();
    for told in &borrowed.told {
        link.post(Request::Tell(told.clone()));
    }
    if let Some(slot) = borrowed.slots.get_mut(index) {
        slot.link = Some(link);
    }
    Ok(())
}

fn dispatch<K: Kind>(inner: &Rc<RefCell<Inner<K>>>) {
    let mut inner = inner.borrow_mut();
    let Inner { slots, queue, .. } = &mut *inner;
    for slot in slots.iter_mut().filter(|slot| slot.pending.is_none()) {
        let Some(link) = &slot.link else { continue };
        let Some(pending) = queue.pop_front() else { return };
        link.post(Request::Job { id: 0, job: pending.job.clone() });
        slot.pending = Some(pending);
    }
}

fn hear<K: Kind>(weak: &Weak<RefCell<Inner<K>>>, index: usize, heard: Heard<K::Answer>) {
    let Some(inner) = weak.upgrade() else { return };
    if let Heard::Reply(Reply::Progress { done, total }) = heard {
        return (inner.borrow().news)(News::Progress(done, total));
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

fn settle<K: Kind>(pending: Option<Pending<K>>, answer: Outcome<K::Answer>) {
    if let Some(pending) = pending {
        pending.answer.send(answer);
    }
}

fn replace<K: Kind>(inner: &Rc<RefCell<Inner<K>>>, index: usize, pending: Option<Pending<K>>, words: &str) {
    if let Some(slot) = inner.borrow_mut().slots.get_mut(index) {
        slot.link = None;
    }
    let replaced = match respawn(inner, index) {
        Ok(()) => "was replaced",
        Err(_) => "could not be replaced",
    };
    let news = match pending {
        Some(mut pending) if pending.deaths + 1 < K::MOST_DEATHS => {
            pending.deaths += 1;
            inner.borrow_mut().queue.push_front(pending);
            format!("A worker died and its job was repeated; it {replaced}: {words}")
        }
        Some(pending) => {
            let sentence = if K::MOST_DEATHS == 1 {
                format!("a worker died of it and {replaced}: {words}")
            } else {
                format!("the job was given up, since two workers died of it: {words}")
            };
            return pending.answer.send(Err(Failure::Sentence(sentence)));
        }
        None => format!("An idle worker died; it {replaced}: {words}"),
    };
    (inner.borrow().news)(News::Death(news));
}
