//! The worker's side: listens, does one job after the other, answers.

use super::archive;
use super::blobs::BlobSource;
use super::message::{byte_lists, no_context, sentence, unpack};
use super::protocol::{self, Answer, Context, Job, Opened, Reply, Request, Target};
use super::session::Held;
use crate::container::Reader;
use crate::engine::{self, Export, Importance, Input, Plan, Task};
use crate::formats::{self, Limits, Part};
use crate::model::Model;
use js_sys::{Array, Uint8Array};
use std::cell::RefCell;
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

/// What a worker remembers between jobs.
#[derive(Debug)]
struct State {
    files: Result<Files, String>,
    held: Held,
}

/// The context, read.
#[derive(Debug)]
struct Files {
    source: BlobSource,
    model: Model,
    importance: Option<(BlobSource, Importance)>,
    plan: Option<Plan>,
    compressed: Option<(BlobSource, Reader)>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State { files: Err(no_context()), held: Held::default() });
}

/// Starts listening, and says so.
pub fn start(scope: &DedicatedWorkerGlobalScope) {
    let dying = scope.clone();
    std::panic::set_hook(Box::new(move |info| say(&dying, &Reply::Panicked(info.to_string()))));
    let answering = scope.clone();
    let listener = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        STATE.with(|state| listen(&answering, &mut state.borrow_mut(), &event.data()));
    });
    scope.set_onmessage(Some(listener.as_ref().unchecked_ref()));
    listener.forget();
    say(scope, &Reply::Ready);
}

fn listen(scope: &DedicatedWorkerGlobalScope, state: &mut State, message: &JsValue) {
    match protocol::decode::<Request>(message) {
        Ok(Request::Context(context)) => state.files = Files::read(&context),
        Ok(Request::Job { id, job }) => {
            match state.work(job, &|done, total| say(scope, &Reply::Progress { done, total })) {
                Ok(answer) => say(scope, &Reply::Done { id, answer }),
                Err(sentence) => say(scope, &Reply::Failed { id, sentence }),
            }
        }
        Err(error) => say(scope, &Reply::Failed { id: 0, sentence: error }),
    }
}

fn say(scope: &DedicatedWorkerGlobalScope, reply: &Reply) {
    let transfer = Array::new();
    if let Reply::Done { answer: Answer::Bytes(bytes), .. } = reply
        && let Some(array) = bytes.dyn_ref::<Uint8Array>()
    {
        transfer.push(&array.buffer());
    }
    if let Err(error) = scope.post_message_with_transfer(&protocol::encode(reply), &transfer) {
        web_sys::console::error_1(&error);
    }
}

fn open_compressed(file: &JsValue) -> Result<(BlobSource, Reader), String> {
    let source = BlobSource::new(file)?;
    let reader = engine::open_container(&source).map_err(sentence)?;
    Ok((source, reader))
}

impl Files {
    fn read(context: &Context) -> Result<Self, String> {
        let given = |value: &JsValue| !value.is_undefined();
        let importance = match &context.importance {
            bytes if given(bytes) => Some((BlobSource::new(&context.importance_file)?, unpack(bytes)?)),
            _ => None,
        };
        Ok(Self {
            source: BlobSource::new(&context.file)?,
            model: unpack(&context.model)?,
            importance,
            plan: if given(&context.plan) { Some(unpack(&context.plan)?) } else { None },
            compressed: if given(&context.compressed) {
                Some(open_compressed(&context.compressed)?)
            } else {
                None
            },
        })
    }

    fn input(&self) -> Input<'_> {
        Input {
            source: &self.source,
            model: &self.model,
            importance: self.importance.as_ref().map(|(source, importance)| (source as _, importance)),
        }
    }

    fn plan(&self) -> Result<&Plan, String> {
        self.plan.as_ref().ok_or_else(no_context)
    }
}

impl State {
    fn files(&self) -> Result<&Files, String> {
        self.files.as_ref().map_err(Clone::clone)
    }

    fn work(&mut self, job: Job, progress: &dyn Fn(u64, u64)) -> Result<Answer, String> {
        match job {
            Job::Open { file, parts } => open(&file, parts),
            Job::Tell(file) => {
                Ok(Answer::Told(formats::purpose(&BlobSource::new(&file)?, &self.files()?.model)))
            }
            Job::Match { file, recipe } => {
                let other = formats::open(&BlobSource::new(&file)?, &Limits::default()).map_err(sentence)?;
                let importance =
                    Importance::new(recipe.importance.kind, &recipe.importance, &self.files()?.model, &other)
                        .map_err(sentence)?;
                Ok(matched(&importance))
            }
            Job::Complete(surveys) => {
                let files = self.files.as_mut().map_err(|sentence| sentence.clone())?;
                let (_, importance) = files.importance.as_mut().ok_or_else(no_context)?;
                importance.absorb(&byte_lists(&surveys)).map_err(sentence)?;
                Ok(matched(importance))
            }
            Job::Survey(task) => {
                let (source, importance) = self.files()?.importance.as_ref().ok_or_else(no_context)?;
                bytes(engine::survey(source, importance, &task))
            }
            Job::Sketch { tasks, stride } => {
                let input = self.files()?.input();
                let sketches = tasks.iter().map(|task| engine::sketch(input, task, stride));
                bytes(sketches.collect::<Result<Vec<_>, _>>().map(|sketches| engine::pack(&sketches)))
            }
            Job::Prepare(task) => {
                let files = self.files()?;
                bytes(engine::prepare(files.input(), files.plan()?, &task))
            }
            Job::Encode(task) => {
                let files = self.files()?;
                bytes(engine::encode(files.input(), files.plan()?, &task))
            }
            Job::Verify(task) => self.verify(&task),
            Job::Decode { file, target } => {
                let export = match target {
                    Target::Safetensors => Export::Safetensors,
                    Target::Npz => Export::Npz,
                    Target::Onnx => {
                        let files = self.files()?;
                        Export::Onnx(&files.source, &files.model)
                    }
                };
                archive::decode(&file, export, progress)
            }
            Job::Check(file) => archive::check(&file, progress),
            job => self.held.work(job),
        }
    }

    fn verify(&self, task: &Task) -> Result<Answer, String> {
        let files = self.files()?;
        let (compressed, reader) = files.compressed.as_ref().ok_or_else(no_context)?;
        bytes(engine::verify(files.input(), files.plan()?, compressed, reader, task))
    }
}

fn bytes(result: Result<Vec<u8>, engine::EngineError>) -> Result<Answer, String> {
    result.map(|bytes| Answer::Bytes(protocol::array_from_bytes(&bytes))).map_err(sentence)
}

fn matched(importance: &Importance) -> Answer {
    Answer::Matched {
        importance: protocol::array_from_bytes(&engine::pack(importance)),
        tasks: importance.survey_tasks(),
        notes: importance.notes().to_vec(),
        choice: importance.choice(),
    }
}

fn open(file: &JsValue, parts: Vec<Part>) -> Result<Answer, String> {
    let source = BlobSource::new(file)?.of_parts(parts);
    if engine::is_container(&source) {
        return archive::open(&source).map(Answer::Archive);
    }
    let model = formats::open(&source, &Limits::default()).map_err(sentence)?;
    Ok(Answer::Opened(Opened {
        model: protocol::array_from_bytes(&engine::pack(&model)),
        format: model.format.name().to_owned(),
        tensors: model.tensors.len(),
        parameters: model.parameters(),
        float32_bytes: model.float32_bytes(),
        notes: model.notes.clone(),
        tasks: engine::sketch_tasks(&model),
    }))
}
