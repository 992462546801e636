//! What pages and their workers say to each other, whatever the work is: a worker is told what to work on, asked one job at a
//! time, and answers. A [`Kind`] of worker says in which words.
//!
//! A message is packed into bytes as the engine packs its own (exact, and small code), in an array with the browser's own
//! values behind it: files travel as handles; models, plans and task results as typed arrays, which are transferred and
//! not copied.

use crate::engine::{pack, unpack};
use js_sys::{Array, Uint8Array};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use wasm_bindgen::{JsCast, JsValue};

/// A kind of worker: what it is told, what it does, what it answers.
pub trait Kind: Debug + 'static {
    /// What every worker is told and none answers.
    type Told: Debug + Clone + Serialize + DeserializeOwned;
    /// What one worker is asked to do.
    type Job: Debug + Clone + Serialize + DeserializeOwned;
    /// What a job gives.
    type Answer: Debug + Serialize + DeserializeOwned;
    /// How many workers may die of one job before it is given up.
    const MOST_DEATHS: u32;

    /// A typed array that a job takes along, so that it is moved and not copied.
    fn moved_with_job(_: &Self::Job) -> Option<&JsValue> {
        None
    }

    /// A typed array that an answer takes along.
    fn moved_with_answer(_: &Self::Answer) -> Option<&JsValue> {
        None
    }
}

/// A message to a worker of a kind.
pub type RequestTo<K> = Request<<K as Kind>::Told, <K as Kind>::Job>;

/// A message from a worker of a kind.
pub type ReplyOf<K> = Reply<<K as Kind>::Answer>;

/// A message to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request<T, J> {
    /// What later jobs work on.
    Tell(T),
    /// A job whose answer carries the same number.
    Job {
        /// The number.
        id: u32,
        /// What to do.
        job: J,
    },
}

/// A message from a worker.
#[derive(Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // one at a time, read and handed on
pub enum Reply<A> {
    /// The worker listens.
    Ready,
    /// How far a long job has come; its answer is still to follow.
    Progress {
        /// How much is done.
        done: u64,
        /// How much it is in all.
        total: u64,
    },
    /// A job is done.
    Done {
        /// The job's number.
        id: u32,
        /// What it gave.
        answer: A,
    },
    /// A job was refused; the worker is well.
    Failed {
        /// The job's number.
        id: u32,
        /// Why, in a sentence.
        sentence: String,
    },
    /// The worker is about to die of a defect.
    Panicked(String),
}

/// Values of the browser inside packed messages: the bytes hold their place in the array behind the message.
pub mod handle {
    use js_sys::Array;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::cell::RefCell;
    use wasm_bindgen::JsValue;

    thread_local! {
        /// The values of the message being packed or read.
        pub static VALUES: RefCell<Array> = RefCell::new(Array::new());
    }

    /// Puts a value behind the message.
    pub fn serialize<S: Serializer>(value: &JsValue, serializer: S) -> Result<S::Ok, S::Error> {
        let length = VALUES.with_borrow(|values| values.push(value));
        serializer.serialize_u32(length - 1)
    }

    /// Takes a value from behind the message.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JsValue, D::Error> {
        let place = u32::deserialize(deserializer)?;
        Ok(VALUES.with_borrow(|values| values.get(place)))
    }
}

/// A message as the browser carries it: an array of the packed message and the values behind it.
pub fn encode<T: Serialize>(message: &T) -> Array {
    handle::VALUES.set(Array::new());
    let bytes = pack(message);
    Array::of2(&Uint8Array::from(bytes.as_slice()), &handle::VALUES.take())
}

/// Reads a message of [`encode`].
pub fn decode<T: for<'de> Deserialize<'de>>(message: &JsValue) -> Result<T, String> {
    let message: &Array = message.dyn_ref().ok_or("it is no message")?;
    let bytes = bytes_from_array(&message.get(0)).ok_or("it holds no bytes")?;
    handle::VALUES.set(message.get(1).unchecked_into());
    let read = unpack(&bytes).map_err(|error| error.to_string());
    handle::VALUES.set(Array::new());
    read
}

/// The buffer of a typed array, to be moved with a message; an empty list for none.
pub fn transfer_list(array: Option<&JsValue>) -> Array {
    let list = Array::new();
    if let Some(array) = array.and_then(|array| array.dyn_ref::<Uint8Array>()) {
        list.push(&array.buffer());
    }
    list
}

/// Bytes as a typed array of the browser's.
pub fn array_from_bytes(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

/// The bytes of a typed array.
pub fn bytes_from_array(array: &JsValue) -> Option<Vec<u8>> {
    array.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec)
}
