//! What is put before the workers: the network, its weights, their importance, the data and how samples are preprocessed.

use super::super::jobs::{Answer, Job};
use super::Panel;
use super::state::{Chosen, Data, best};
use crate::formats::Part;
use crate::model::FileFormat;
use crate::network::evaluate::Setup;
use crate::web::dom::{append, clear, make, set, show};
use crate::web::pool::{Outcome, unexpected};
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Blob, CanvasRenderingContext2d, HtmlCanvasElement};

/// A network of several files as one: the model first, the others behind it, and where each lies.
fn joined(mut files: Vec<(String, Vec<u8>)>) -> (String, Vec<u8>, Vec<Part>) {
    files.sort_by_key(|(name, _)| !FileFormat::Onnx.is_name_of(name));
    let parts = if files.len() > 1 {
        Part::list(files.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)))
    } else {
        Vec::new()
    };
    let name = files.first().map_or_else(String::new, |(name, _)| name.clone());
    (name, files.into_iter().flat_map(|(_, bytes)| bytes).collect(), parts)
}

impl Panel {
    pub(super) async fn load_data(self: &Rc<Self>, read: Vec<(String, Vec<u8>)>) -> Outcome<()> {
        // Data that do not fit what is open are refused before anything is given up for them.
        let check = {
            let state = self.state.borrow();
            state.benched && state.awaited.is_none()
        };
        let Answer::Data { kind, samples, labels } =
            self.answer(self.pool.run(Job::Data { files: read.clone(), check })).await?
        else {
            return Err(unexpected());
        };
        {
            let mut state = self.state.borrow_mut();
            state.data = Some(Data { kind, samples, labels });
            state.data_files = read;
            state.setup = None;
            state.benched = false;
            state.forget_runs();
        }
        self.forget_setup();
        self.sync();
        Ok(())
    }

    /// Takes the network that the open weights belong to: an ONNX file, and files of external data beside it.
    pub(super) async fn load_network(self: &Rc<Self>, read: Vec<(String, Vec<u8>)>) -> Outcome<()> {
        let (name, network, parts) = joined(read);
        let file = self.state.borrow().open.file.clone();
        if let Some(file) = file {
            let weights = Some(self.read(&file).await?);
            let weights_name = self.state.borrow().open.name.clone();
            let ask =
                Job::Open { network: network.clone(), parts: parts.clone(), weights, name: weights_name };
            self.answer(self.pool.run(ask)).await?;
        }
        {
            let mut state = self.state.borrow_mut();
            self.cost.forget();
            state.network = Some(Chosen { name, bytes: network, parts });
            state.benched = false;
            state.setup = None;
            state.forget_runs();
        }
        self.forget_setup();
        self.sync();
        Ok(())
    }

    /// Puts the network, weights, importance, data and setup on every worker's bench, as far as they are not there.
    pub(super) async fn prepare(self: &Rc<Self>) -> Outcome<()> {
        let (open, network, data_files) = {
            let state = self.state.borrow();
            (state.open.clone(), state.network.clone(), state.data_files.clone())
        };
        let Some(file) = &open.file else { return Err("Open a weight file first.".to_owned().into()) };
        if data_files.is_empty() {
            return Err("Choose data first.".to_owned().into());
        }
        if !self.state.borrow().benched {
            let bytes = self.read(file).await?;
            let ask = match network {
                Some(Chosen { bytes: network, parts, .. }) => {
                    Job::Open { network, parts, weights: Some(bytes), name: open.name.clone() }
                }
                None => Job::Open {
                    network: bytes,
                    parts: open.parts.clone(),
                    weights: None,
                    name: open.name.clone(),
                },
            };
            // One worker says whether it opens; then all are told.
            self.pool.forget();
            self.answer(self.pool.run(ask.clone())).await?;
            self.pool.tell(ask);
            self.pool.tell(Job::Data { files: data_files, check: false });
            let mut state = self.state.borrow_mut();
            state.benched = true;
            state.weighed_by = 0;
            if let Some(setup) = state.setup.clone() {
                self.pool.tell(Job::Use(setup));
            }
        }
        self.prepare_importance(open.importance.as_ref()).await?;
        if self.state.borrow().setup.is_none() {
            let typed = self.preprocess_line();
            let ask = if typed.is_empty() { Job::Guess } else { Job::Preprocess(typed) };
            let Answer::Setup(setup) = self.answer(self.pool.run(ask)).await? else {
                return Err(unexpected());
            };
            self.show_preprocess(&setup);
            self.state.borrow_mut().setup = Some(setup.clone());
            self.pool.tell(Job::Use(setup));
            self.run_float(self.coarse()).await?;
            self.show_pictures().await?;
        }
        Ok(())
    }

    async fn prepare_importance(self: &Rc<Self>, importance: Option<&Blob>) -> Outcome<()> {
        let bytes = match importance {
            Some(blob) => Some(self.read(blob).await?),
            None => None,
        };
        let hash = bytes.as_ref().map_or(0, |bytes| xxhash_rust::xxh3::xxh3_64(bytes));
        if self.state.borrow().weighed_by != hash {
            self.pool.tell(Job::Importance(bytes));
            self.state.borrow_mut().weighed_by = hash;
        }
        Ok(())
    }

    pub(super) async fn preprocess(me: Rc<Self>) -> Outcome<()> {
        {
            let mut state = me.state.borrow_mut();
            state.setup = None;
            state.forget_runs();
            if state.data_files.is_empty() || state.open.file.is_none() {
                return Ok(());
            }
        }
        me.prepare().await
    }

    fn preprocess_line(&self) -> String {
        let e = &self.elements;
        let pairs = [("scale", e.scale.value()), ("mean", e.mean.value()), ("std", e.std.value())];
        let mut pairs: Vec<String> = pairs
            .into_iter()
            .filter(|(_, v)| !v.trim().is_empty())
            .map(|(k, v)| format!("{k}={}", v.trim()))
            .collect();
        let layout = self.elements.layout.value();
        if layout != "auto" && !pairs.is_empty() {
            pairs.push(format!("layout={layout}"));
        }
        pairs.join("&")
    }

    fn show_preprocess(&self, setup: &Setup) {
        let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(", ");
        self.elements.scale.set_value(&setup.preprocess.scale.to_string());
        self.elements.mean.set_value(&list(&setup.preprocess.mean));
        self.elements.std.set_value(&list(&setup.preprocess.std));
    }

    /// A few samples, each with its label and the float network's answer, so that a wrong guess is seen.
    async fn show_pictures(self: &Rc<Self>) -> Outcome<()> {
        let Answer::Pictures { width, height, channels, pixels } =
            self.answer(self.pool.run(Job::Pictures(10))).await?
        else {
            return Err(unexpected());
        };
        let place = &self.elements.pictures;
        clear(place);
        let state = self.state.borrow();
        let answers: Vec<usize> = state.float.outputs.rows().take(10).map(best).collect();
        let size = width * height * channels;
        if size == 0 {
            return Ok(());
        }
        for (index, picture) in pixels.chunks_exact(size).enumerate() {
            let figure = make(&self.document, "figure", "", "");
            let canvas = make(&self.document, "canvas", "", "");
            let label =
                state.data.as_ref().and_then(|d| d.labels.as_ref()).and_then(|l| l.get(index)).copied();
            let answer = answers.get(index).copied();
            let text = match (label, answer) {
                (Some(label), Some(answer)) if label as usize == answer => format!("{label} ✓"),
                (Some(label), Some(answer)) => format!("{label}, not {answer}"),
                (None, Some(answer)) => format!("{answer}?"),
                _ => String::new(),
            };
            set(&canvas, "role", "img");
            set(&canvas, "aria-label", &format!("sample {index}: {text}"));
            append(&figure, &canvas);
            append(&figure, &make(&self.document, "figcaption", "", &text));
            append(place, &figure);
            if let Ok(canvas) = canvas.dyn_into::<HtmlCanvasElement>() {
                paint(&canvas, width, height, channels, picture);
            }
        }
        Ok(())
    }

    pub(super) fn forget_setup(&self) {
        for field in [&self.elements.scale, &self.elements.mean, &self.elements.std] {
            field.set_value("");
        }
        clear(&self.elements.pictures);
        clear(&self.elements.facts);
        clear(&self.elements.tensor_rows);
        show(&self.elements.per_tensor, false);
    }
}

fn paint(canvas: &HtmlCanvasElement, width: usize, height: usize, channels: usize, planes: &[u8]) {
    canvas.set_width(width as u32);
    canvas.set_height(height as u32);
    let pixels = width * height;
    let mut rgba = Vec::with_capacity(4 * pixels);
    for i in 0..pixels {
        let of = |channel: usize| planes.get(channel.min(channels - 1) * pixels + i).copied().unwrap_or(0);
        rgba.extend([of(0), of(1), of(2), 255]);
    }
    let context =
        canvas.get_context("2d").ok().flatten().and_then(|c| c.dyn_into::<CanvasRenderingContext2d>().ok());
    let image = web_sys::ImageData::new_with_u8_clamped_array_and_sh(
        wasm_bindgen::Clamped(&rgba),
        width as u32,
        height as u32,
    );
    if let (Some(context), Ok(image)) = (context, image) {
        let _ = context.put_image_data(&image, 0.0, 0.0);
    }
}
