//! A worker that keeps a session, from the page's side: questions and answers by number.

use super::jobs::{Answer, Job, Weights};
use super::link::{Heard, Link};
use super::oneshot::{Receiver, Sender, channel};
use super::pool::{Failure, Outcome};
use super::protocol::{Reply, Request};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

/// One worker and the questions it has not answered yet.
pub struct Solver(Rc<Inner>);

struct Inner {
    link: RefCell<Option<Link<Weights>>>,
    questions: RefCell<Vec<(u32, Sender<Outcome<Answer>>)>>,
    next: Cell<u32>,
    /// Told, with its last words, that the worker died and another one without a session took its place.
    lost: Box<dyn Fn(String)>,
}

impl std::fmt::Debug for Solver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Solver").field("asked", &self.0.next.get()).finish_non_exhaustive()
    }
}

impl Solver {
    /// Starts the worker; `lost` gets a sentence when it died with its session.
    pub fn new(lost: impl Fn(String) + 'static) -> Result<Self, String> {
        let inner = Rc::new(Inner {
            link: RefCell::new(None),
            questions: RefCell::default(),
            next: Cell::new(0),
            lost: Box::new(lost),
        });
        spawn(&inner)?;
        Ok(Self(inner))
    }

    /// Gives up what is being answered: another worker, without a session, takes this one's place. Whether there was anything.
    pub fn restart(&self) -> Result<bool, String> {
        if self.0.questions.borrow().is_empty() {
            return Ok(false);
        }
        *self.0.link.borrow_mut() = None;
        let orphans = std::mem::take(&mut *self.0.questions.borrow_mut());
        spawn(&self.0)?;
        for (_, sender) in orphans {
            sender.send(Err(Failure::Cancelled));
        }
        Ok(true)
    }

    /// Asks; questions are answered in order.
    pub fn ask(&self, job: Job) -> Receiver<Outcome<Answer>> {
        let (sender, receiver) = channel();
        let id = self.0.next.get();
        self.0.next.set(id.wrapping_add(1));
        match &*self.0.link.borrow() {
            Some(link) => {
                self.0.questions.borrow_mut().push((id, sender));
                link.post(Request::Job { id, job });
            }
            None => sender.send(Err(Failure::Sentence("the solver could not be started again".to_owned()))),
        }
        receiver
    }
}

fn spawn(inner: &Rc<Inner>) -> Result<(), String> {
    let weak = Rc::downgrade(inner);
    let link = Link::new(move |heard| hear(&weak, heard))?;
    *inner.link.borrow_mut() = Some(link);
    Ok(())
}

fn hear(weak: &Weak<Inner>, heard: Heard<Answer>) {
    let Some(inner) = weak.upgrade() else { return };
    let answer = |id: u32, answer| {
        let sender = {
            let mut questions = inner.questions.borrow_mut();
            let at = questions.iter().position(|(asked, _)| *asked == id);
            at.map(|at| questions.remove(at))
        };
        if let Some((_, sender)) = sender {
            sender.send(answer);
        }
    };
    match heard {
        Heard::Reply(Reply::Done { id, answer: given }) => answer(id, Ok(given)),
        Heard::Reply(Reply::Failed { id, sentence }) => answer(id, Err(Failure::Sentence(sentence))),
        Heard::Reply(_) => {}
        Heard::Died(words) => die(&inner, &words),
    }
}

fn die(inner: &Rc<Inner>, words: &str) {
    *inner.link.borrow_mut() = None;
    let orphans = std::mem::take(&mut *inner.questions.borrow_mut());
    let _ = spawn(inner);
    for (_, sender) in orphans {
        sender.send(Err(Failure::Cancelled));
    }
    (inner.lost)(format!("The solver died and was replaced: {words}"));
}
