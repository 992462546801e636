//! What a solver worker keeps: the session, the plan being prepared, the file being assembled.

use super::blobs::BlobSink;
use super::jobs::{Answer, Job};
use super::message::{byte_lists, sentence, unpack};
use super::protocol;
use crate::engine::{self, Assembler, Plan, Session};
use crate::recipe::Recipe;
use wasm_bindgen::JsValue;

/// A worker's session and what is under way in it.
#[derive(Debug, Default)]
pub struct Held {
    /// The session being built; it takes the current one's place when complete, so that a failure loses nothing.
    begun: Option<Session>,
    session: Option<Session>,
    plan: Option<Plan>,
    /// The file being put together.
    assembling: Option<Assembler<BlobSink>>,
}

fn nothing_held() -> String {
    "no file is open in the solver (a defect of Quantscope)".to_owned()
}

impl Held {
    /// Does a job that needs the session.
    pub fn work(&mut self, job: Job) -> Result<Answer, String> {
        match job {
            Job::Begin { model, importance } => self.begin(&model, &importance),
            Job::Absorb { index, bytes } => {
                let session = self.begun.as_mut().ok_or_else(nothing_held)?;
                let sketches: Vec<Vec<u8>> = unpack(&bytes)?;
                for (at, sketch) in sketches.iter().enumerate() {
                    session.absorb(index + at, sketch).map_err(sentence)?;
                }
                Ok(Answer::Done)
            }
            Job::Finish => self.finish(),
            Job::Overlay { recipe, tensor, hasty } => {
                self.session()?.overlay(&recipe, tensor, hasty).map(Answer::Overlay).map_err(sentence)
            }
            Job::Sweep { recipe, method, points } => {
                self.session()?.sweep(&recipe, &[&method], points).map(Answer::Sweep).map_err(sentence)
            }
            Job::Sensitivity(recipe) => {
                self.session()?.sensitivity(&recipe).map(Answer::Sensitivity).map_err(sentence)
            }
            Job::Plan(recipe) => self.start_plan(&recipe),
            Job::Prepared(parts) => {
                let session = self.session.as_ref().ok_or_else(nothing_held)?;
                let plan = self.plan.as_mut().ok_or_else(nothing_held)?;
                plan.absorb(session.model(), &byte_lists(&parts)).map_err(sentence)?;
                Ok(planned(plan))
            }
            Job::Assemble { name, source_bytes } => {
                let session = self.session.as_ref().ok_or_else(nothing_held)?;
                let plan = self.plan.as_ref().ok_or_else(nothing_held)?;
                let assembler = Assembler::new(session, plan, &name, source_bytes, BlobSink::new());
                self.assembling = Some(assembler.map_err(sentence)?);
                Ok(Answer::Done)
            }
            Job::Append(bytes) => {
                let bytes = protocol::bytes_from_array(&bytes).ok_or_else(nothing_held)?;
                self.assembling.as_mut().ok_or_else(nothing_held)?.absorb(&bytes).map_err(sentence)?;
                Ok(Answer::Done)
            }
            Job::Seal => self.seal(),
            Job::Collect(parts) => {
                engine::collect_verification(&byte_lists(&parts)).map(Answer::Verified).map_err(sentence)
            }
            _ => Err("the solver was asked for what only map workers do (a defect of Quantscope)".to_owned()),
        }
    }

    fn session(&mut self) -> Result<&mut Session, String> {
        self.session.as_mut().ok_or_else(nothing_held)
    }

    fn begin(&mut self, model: &JsValue, importance: &JsValue) -> Result<Answer, String> {
        let importance = if importance.is_undefined() { None } else { Some(unpack(importance)?) };
        let session = Session::new(unpack(model)?, importance);
        let stride = session.sample_stride();
        self.begun = Some(session);
        Ok(Answer::Stride(stride))
    }

    fn finish(&mut self) -> Result<Answer, String> {
        let mut session = self.begun.take().ok_or_else(nothing_held)?;
        session.finish();
        let answer = Answer::Surveyed { rows: session.rows(), hash: session.hash() };
        self.session = Some(session);
        self.plan = None;
        self.assembling = None;
        Ok(answer)
    }

    fn start_plan(&mut self, recipe: &Recipe) -> Result<Answer, String> {
        let plan = self.session()?.plan(recipe).map_err(sentence)?;
        let answer = planned(&plan);
        self.plan = Some(plan);
        Ok(answer)
    }

    fn seal(&mut self) -> Result<Answer, String> {
        let assembler = self.assembling.take().ok_or_else(nothing_held)?;
        let (sink, outcome) = assembler.finish().map_err(sentence)?;
        Ok(Answer::Compressed { file: sink.finish()?.into(), outcome })
    }
}

fn planned(plan: &Plan) -> Answer {
    Answer::Plan {
        plan: protocol::array_from_bytes(&engine::pack(plan)),
        ready: plan.is_ready(),
        tasks: plan.tasks().to_vec(),
    }
}
