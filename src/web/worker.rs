//! What a worker does with weights: the jobs that read the files of its context; those that need a session are the session's.

use super::archive;
use super::blobs::BlobSource;
use super::jobs::{Answer, Context, Job, Opened, Weights};
use super::message::{byte_lists, no_context, sentence, unpack};
use super::protocol;
use super::serve::{self, Serve};
use super::session::Held;
use crate::container::Reader;
use crate::engine::{self, Importance, Input, Plan, Task};
use crate::formats::{self, Limits, Part};
use crate::model::Model;
use wasm_bindgen::JsValue;
use web_sys::DedicatedWorkerGlobalScope;

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

/// Becomes a worker.
pub fn start(scope: &DedicatedWorkerGlobalScope) {
    serve::start(scope, State { files: Err(no_context()), held: Held::default() });
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

impl Serve<Weights> for State {
    fn told(&mut self, context: Context) {
        self.files = Files::read(&context);
    }

    fn work(&mut self, job: Job, progress: &dyn Fn(u64, u64)) -> Result<Answer, String> {
        match job {
            Job::Open { file, parts, select } => open(&file, parts, &select),
            Job::Tell(file) => {
                Ok(Answer::Told(crate::purpose::purpose(&BlobSource::new(&file)?, &self.files()?.model)))
            }
            Job::Match { file, recipe } => {
                let other = formats::open(&BlobSource::new(&file)?, &Limits::default()).map_err(sentence)?;
                let wanted = recipe.importance.source.ok_or_else(no_context)?;
                let importance = Importance::new(wanted, &recipe.importance, &self.files()?.model, &other)
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
            Job::Decode { file, format } => archive::decode(&file, format, progress),
            Job::Digests(file) => archive::digests(&file, progress),
            Job::Check(file) => archive::check(&file, progress),
            job => self.held.work(job),
        }
    }
}

impl State {
    fn files(&self) -> Result<&Files, String> {
        self.files.as_ref().map_err(Clone::clone)
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

fn open(file: &JsValue, parts: Vec<Part>, select: &str) -> Result<Answer, String> {
    let source = BlobSource::new(file)?.of_parts(parts);
    if engine::is_container(&source) {
        return archive::open(&source).map(Answer::Archive);
    }
    let mut model = formats::open(&source, &Limits::default()).map_err(sentence)?;
    // A recipe may come from another file.
    if formats::other_parts(&model).iter().any(|part| part == select) {
        model = formats::open_part(&source, &Limits::default(), select).map_err(sentence)?;
    }
    Ok(Answer::Opened(Opened {
        model: protocol::array_from_bytes(&engine::pack(&model)),
        format: model.format.name().to_owned(),
        part: model.part.clone(),
        other_parts: formats::other_parts(&model),
        tensors: model.tensors.len(),
        parameters: model.parameters(),
        float32_bytes: model.float32_bytes(),
        notes: model.notes.clone(),
        tasks: engine::sketch_tasks(&model),
    }))
}
