//! The panel beside the page: setup, pictures, charts, actions.

use super::crew::{Answer, Crew};
use super::words::{Ask, Size, Tell};
use crate::formats::matching_name;
use crate::network::evaluate::Setup;
use crate::network::finetune::Schedule;
use crate::network::importance::{Computed, Kind};
use crate::network::measure::{Measures, Outputs, Share, measure};
use crate::plot::{self, Accuracy, Frame, MARKERS, Measured, MeasuredSeries, SERIES_COLOURS, Scale, mark_dominated};
use crate::quantize::methods::METHODS;
use crate::recipe::Recipe;
use crate::web::blobs::{blob_from_bytes, sentence};
use crate::web::canvas;
use crate::web::oneshot::Receiver;
use crate::web::page::{chart_theme, dom};
use dom::{append, clear, fact, make, on, set, set_text, show};
use js_sys::{Array, Reflect, Uint8Array};
use plotters_canvas::CanvasBackend;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, CanvasRenderingContext2d, CustomEvent, CustomEventInit, Document, Element, Event, File, FileList,
    HtmlButtonElement, HtmlCanvasElement, HtmlElement, HtmlInputElement, HtmlProgressElement, HtmlSelectElement,
    MouseEvent, Url, Window,
};

/// Workers at most.
const MOST_WORKERS: f64 = 8.0;
/// Samples of the first, coarse round.
const COARSE: usize = 1000;
/// Samples of one question.
const CHUNK: usize = 1250;
/// Points of a curve.
const POINTS: usize = 8;
/// How far from a point the pointer may be, in CSS pixels.
const REACH: f64 = 26.0;

/// What the page says is open.
#[derive(Debug, Clone, Default)]
struct Open {
    file: Option<Blob>,
    parts: Vec<crate::formats::Part>,
    name: String,
    importance: Option<Blob>,
    recipe: String,
    methods: Vec<String>,
}

/// A data set as the workers found it.
#[derive(Debug, Clone, Default)]
struct Data {
    kind: String,
    samples: usize,
    labels: Option<Vec<u32>>,
}

/// A set of weights, as far as it has been run.
#[derive(Debug, Clone, Default)]
struct Run {
    recipe: String,
    method: String,
    /// Retrained codebooks.
    tuned: bool,
    size: Option<Size>,
    outputs: Outputs,
    samples: usize,
    measures: Measures,
}

#[derive(Debug, Default)]
struct State {
    open: Open,
    network: Option<(String, Vec<u8>)>,
    data_files: Vec<(String, Vec<u8>)>,
    data: Option<Data>,
    setup: Option<Setup>,
    float: Run,
    runs: Vec<Run>,
    chosen: Option<(usize, usize)>,
    frame: Option<(Frame, f64)>,
    /// What the workers hold: the blob's size and name stand for the file.
    held: Option<String>,
    last_file: Option<(String, Vec<u8>)>,
}

/// The panel.
struct Panel {
    window: Window,
    document: Document,
    crew: Crew,
    state: RefCell<State>,
    /// Which wish is being carried out; a newer one ends it.
    flow: Cell<u32>,
    busy: Cell<bool>,
}

/// Why a flow ended early; `None` when something newer took over.
type Stop = Option<String>;

/// Starts the panel and asks the page what is open.
pub fn start(window: &Window) {
    let Some(document) = window.document() else { return };
    std::panic::set_hook(Box::new(|info| web_sys::console::error_1(&info.to_string().into())));
    let workers = window.navigator().hardware_concurrency().clamp(1.0, MOST_WORKERS) as usize;
    let progress = {
        let document = document.clone();
        move |done: usize, of: usize| {
            if let Some(bar) = document.get_element_by_id("accuracy-progress").and_then(|e| e.dyn_into::<HtmlProgressElement>().ok()) {
                bar.set_value(done as f64 / of.max(1) as f64);
            }
        }
    };
    let crew = match Crew::new(workers, progress) {
        Ok(crew) => crew,
        Err(error) => {
            web_sys::console::error_1(&error.into());
            return;
        }
    };
    let panel = Rc::new(Panel {
        window: window.clone(),
        document,
        crew,
        state: RefCell::default(),
        flow: Cell::new(0),
        busy: Cell::new(false),
    });
    panel.connect();
    panel.dispatch("accuracy-hello", &JsValue::UNDEFINED);
    std::mem::forget(panel);
}

fn array_of(files: Option<FileList>) -> Vec<File> {
    let Some(files) = files else { return Vec::new() };
    (0..files.length()).filter_map(|i| files.item(i)).collect()
}

async fn bytes_of(blob: &Blob) -> Result<Vec<u8>, String> {
    let buffer = JsFuture::from(blob.array_buffer()).await.map_err(|error| sentence(&error))?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

fn percent(share: &Share) -> String {
    format!("{:.2} %", 100.0 * share.value())
}

fn interval(share: &Share) -> String {
    format!("{:.2}–{:.2}", 100.0 * share.low, 100.0 * share.high)
}

fn method_of(line: &str) -> String {
    Recipe::from_line(line).map(|recipe| recipe.method).unwrap_or_default()
}

impl Panel {
    fn element<T: JsCast>(&self, id: &str) -> T {
        let found = self.document.get_element_by_id(id).and_then(|e| e.dyn_into().ok());
        found.unwrap_or_else(|| wasm_bindgen::throw_str(&format!("index.html lacks #{id}")))
    }

    fn dispatch(&self, kind: &str, detail: &JsValue) {
        let init = CustomEventInit::new();
        init.set_detail(detail);
        if let Ok(event) = CustomEvent::new_with_event_init_dict(kind, &init) {
            let _ = self.document.dispatch_event(&event);
        }
    }

    fn connect(self: &Rc<Self>) {
        let me = self.clone();
        on(&self.document, "accuracy-state", move |event| me.hear_state(&event));
        let me = self.clone();
        on(&self.document, "accuracy-data", move |event| {
            let Some(event) = event.dyn_ref::<CustomEvent>() else { return };
            let files: Vec<File> = Array::from(&event.detail()).iter().filter_map(|f| f.dyn_into().ok()).collect();
            me.take_data(files, true);
        });
        for (button, input) in [("accuracy-data-button", "accuracy-data-input"), ("accuracy-network-button", "accuracy-network-input")] {
            let input: HtmlInputElement = self.element(input);
            on(&self.element::<HtmlElement>(button), "click", move |_| input.click());
        }
        let me = self.clone();
        on(&self.element::<HtmlElement>("accuracy-data-input"), "change", move |_| {
            let input: HtmlInputElement = me.element("accuracy-data-input");
            me.take_data(array_of(input.files()), false);
            input.set_value("");
        });
        let me = self.clone();
        on(&self.element::<HtmlElement>("accuracy-network-input"), "change", move |_| {
            let input: HtmlInputElement = me.element("accuracy-network-input");
            let files = array_of(input.files());
            input.set_value("");
            me.take_network(files);
        });
        self.connect_drop();
        let actions: [(&str, fn(&Rc<Self>)); 6] = [
            ("accuracy-measure", |me| me.start("Measuring the curves", Self::measure_curves)),
            ("accuracy-this", |me| me.start("Measuring this recipe", Self::measure_this)),
            ("accuracy-tensors", |me| me.start("Measuring tensor by tensor", Self::measure_tensors)),
            ("accuracy-compute", |me| me.start("Computing importance", Self::compute_importance)),
            ("accuracy-tune", |me| me.start("Retraining the codebook", Self::tune)),
            ("accuracy-cancel", Self::cancel),
        ];
        for (id, action) in actions {
            let me = self.clone();
            on(&self.element::<HtmlElement>(id), "click", move |_| action(&me));
        }
        for id in ["accuracy-x", "accuracy-y"] {
            let me = self.clone();
            on(&self.element::<HtmlElement>(id), "change", move |_| me.draw());
        }
        for id in ["accuracy-scale", "accuracy-mean", "accuracy-std", "accuracy-layout"] {
            let me = self.clone();
            on(&self.element::<HtmlElement>(id), "change", move |_| me.start("Preprocessing", Self::preprocess));
        }
        let me = self.clone();
        on(&self.element::<HtmlElement>("accuracy-csv"), "click", move |_| me.save_table());
        let me = self.clone();
        on(&self.element::<HtmlElement>("accuracy-save"), "click", move |_| {
            let file = me.state.borrow().last_file.clone();
            if let Some((name, bytes)) = file {
                me.download(&name, &bytes);
            }
        });
        self.connect_chart();
        let me = self.clone();
        let resized = wasm_bindgen::closure::Closure::<dyn FnMut()>::new(move || me.draw());
        if let Ok(observer) = web_sys::ResizeObserver::new(resized.as_ref().unchecked_ref()) {
            observer.observe(&self.element::<Element>("accuracy-canvas"));
            std::mem::forget(observer);
        }
        resized.forget();
        let me = self.clone();
        on(&self.element::<HtmlElement>("theme-button"), "click", move |_| me.draw());
        let me = self.clone();
        on(&self.document, "keydown", move |event| {
            if event.dyn_ref::<web_sys::KeyboardEvent>().is_some_and(|e| e.key() == "Escape") && me.busy.get() {
                me.cancel();
            }
        });
    }

    fn connect_drop(self: &Rc<Self>) {
        let zone: Element = self.element("accuracy-setup");
        let me = self.clone();
        on(&zone, "drop", move |event: Event| {
            let Some(drag) = event.dyn_ref::<web_sys::DragEvent>() else { return };
            let files = array_of(drag.data_transfer().and_then(|data| data.files()));
            let (networks, data): (Vec<File>, Vec<File>) = files.into_iter().partition(|f| f.name().ends_with(".onnx"));
            event.prevent_default();
            event.stop_propagation();
            let veil: HtmlElement = me.element("drop-veil");
            show(&veil, false);
            if !networks.is_empty() {
                me.take_network(networks);
            }
            if !data.is_empty() {
                me.take_data(data, false);
            }
        });
    }

    fn hear_state(self: &Rc<Self>, event: &Event) {
        let Some(event) = event.dyn_ref::<CustomEvent>() else { return };
        let detail = event.detail();
        let get = |key: &str| Reflect::get(&detail, &key.into()).unwrap_or(JsValue::UNDEFINED);
        let text = |key: &str| get(key).as_string().unwrap_or_default();
        let parts = crate::formats::Part::list(
            Array::from(&get("parts")).iter().filter_map(|part| {
                let pair = Array::from(&part);
                Some((pair.get(0).as_string()?, pair.get(1).as_f64()? as u64))
            }),
        );
        let open = Open {
            file: get("file").dyn_into().ok(),
            parts,
            name: text("name"),
            importance: get("importance").dyn_into().ok(),
            recipe: text("recipe"),
            methods: text("methods").split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        };
        let fresh = {
            let mut state = self.state.borrow_mut();
            let fresh = state.open.name != open.name || !same(state.open.file.as_ref(), open.file.as_ref());
            if fresh {
                state.runs.clear();
                state.float = Run::default();
                state.network = None;
                state.held = None;
                state.chosen = None;
                state.setup = None;
            }
            state.open = open;
            fresh
        };
        if fresh {
            self.cancel();
            self.forget_setup();
        }
        self.sync();
    }

    fn forget_setup(&self) {
        for id in ["accuracy-scale", "accuracy-mean", "accuracy-std"] {
            self.element::<HtmlInputElement>(id).set_value("");
        }
        clear(&self.element::<Element>("accuracy-pictures"));
        clear(&self.element::<Element>("accuracy-facts"));
        clear(&self.element::<Element>("accuracy-tensor-rows"));
        show(&self.element::<HtmlElement>("accuracy-per-tensor"), false);
    }

    /// Shows what is there and what can be done with it.
    fn sync(&self) {
        let state = self.state.borrow();
        let is_onnx = state.open.name.ends_with(".onnx");
        let network = match (&state.network, is_onnx) {
            (Some((name, _)), _) => name.clone(),
            (None, true) => format!("{} (the open file)", state.open.name),
            (None, false) => "none: choose the .onnx these weights belong to".to_owned(),
        };
        set_text(&self.element::<Element>("accuracy-network-name"), &network);
        let data = match &state.data {
            Some(data) => {
                let labels = if data.labels.is_some() { "with labels" } else { "no labels" };
                format!("{}, {} samples, {labels}", data.kind, data.samples)
            }
            None => "none: MNIST idx, CIFAR-10 binary, .npz or .npy".to_owned(),
        };
        set_text(&self.element::<Element>("accuracy-data-name"), &data);
        let ready = state.open.file.is_some() && !state.data_files.is_empty() && (is_onnx || state.network.is_some());
        let busy = self.busy.get();
        for id in ["accuracy-measure", "accuracy-this", "accuracy-tensors", "accuracy-compute", "accuracy-tune"] {
            self.element::<HtmlButtonElement>(id).set_disabled(!ready || busy);
        }
        show(&self.element::<HtmlElement>("accuracy-job"), busy);
        show(&self.element::<HtmlElement>("accuracy-save"), state.last_file.is_some());
    }

    fn say(&self, text: &str) {
        let place: HtmlElement = self.element("accuracy-error");
        set_text(&place, text);
        show(&place, !text.is_empty());
    }

    fn take_data(self: &Rc<Self>, files: Vec<File>, measure: bool) {
        if files.is_empty() {
            return;
        }
        self.start("Reading the data", move |me| {
            Box::pin(async move {
                let mut read = Vec::new();
                for file in files {
                    read.push((file.name(), bytes_of(&file).await?));
                }
                me.load_data(read).await?;
                if measure {
                    // The page may still be reading the file that came with the data.
                    me.measure_when_open().await?;
                }
                Ok(())
            })
        });
    }

    async fn load_data(self: &Rc<Self>, read: Vec<(String, Vec<u8>)>) -> Result<(), Stop> {
        match self.answer(self.crew.ask(Ask::Data(read.clone()))).await? {
            Tell::Data { kind, samples, labels } => {
                let mut state = self.state.borrow_mut();
                state.data = Some(Data { kind, samples, labels });
                state.data_files = read;
                state.setup = None;
                state.held = None;
                state.runs.clear();
                state.float = Run::default();
            }
            _ => return Err(unexpected()),
        }
        self.forget_setup();
        self.sync();
        Ok(())
    }

    fn take_network(self: &Rc<Self>, files: Vec<File>) {
        let Some(file) = files.into_iter().next() else { return };
        self.start("Reading the network", move |me| {
            Box::pin(async move {
                let bytes = bytes_of(&file).await?;
                {
                    let mut state = me.state.borrow_mut();
                    state.network = Some((file.name(), bytes));
                    state.held = None;
                    state.setup = None;
                    state.runs.clear();
                    state.float = Run::default();
                }
                me.sync();
                Ok(())
            })
        });
    }

    fn cancel(self: &Rc<Self>) {
        self.flow.set(self.flow.get() + 1);
        self.crew.cancel();
        self.busy.set(false);
        self.sync();
        self.draw();
    }

    /// Begins a wish; what was under way ends.
    fn start<F>(self: &Rc<Self>, what: &str, work: F)
    where
        F: FnOnce(Rc<Self>) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Stop>>>> + 'static,
    {
        if self.busy.get() {
            self.cancel();
        }
        self.busy.set(true);
        self.say("");
        set_text(&self.element::<Element>("accuracy-job-title"), what);
        self.element::<HtmlProgressElement>("accuracy-progress").set_value(0.0);
        self.sync();
        let flow = self.flow.get() + 1;
        self.flow.set(flow);
        let me = self.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let result = work(me.clone()).await;
            if me.flow.get() != flow {
                return;
            }
            me.busy.set(false);
            if let Err(Some(sentence)) = result {
                me.crew.cancel();
                me.say(&sentence);
            }
            me.sync();
            me.draw();
        });
    }

    /// An answer, unless something newer has taken over.
    async fn answer(&self, receiver: Receiver<Answer>) -> Result<Tell, Stop> {
        let flow = self.flow.get();
        let answer = receiver.await?;
        if self.flow.get() == flow { Ok(answer) } else { Err(None) }
    }

    async fn measure_when_open(self: &Rc<Self>) -> Result<(), Stop> {
        for _ in 0..600 {
            if self.state.borrow().open.file.is_some() {
                return self.curves().await;
            }
            self.pause(50).await;
        }
        Ok(())
    }

    async fn pause(&self, millis: i32) {
        let window = self.window.clone();
        let promise = js_sys::Promise::new(&mut |resolve, _| {
            let _ = window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, millis);
        });
        let _ = JsFuture::from(promise).await;
    }

    /// Puts the network, weights, importance, data and setup on every worker's bench, if they are not there.
    async fn prepare(self: &Rc<Self>) -> Result<(), Stop> {
        let (open, network, data_files) = {
            let state = self.state.borrow();
            (state.open.clone(), state.network.clone(), state.data_files.clone())
        };
        let Some(file) = &open.file else { return Err(Some("Open a weight file first.".to_owned())) };
        if data_files.is_empty() {
            return Err(Some("Choose data first.".to_owned()));
        }
        let importance = match &open.importance {
            Some(blob) => Some(bytes_of(blob).await?),
            None => None,
        };
        let hash = importance.as_ref().map_or(0, |bytes| xxhash_rust::xxh3::xxh3_64(bytes));
        let names: Vec<&str> = data_files.iter().map(|(name, _)| name.as_str()).collect();
        let held = format!("{}|{}|{:?}|{hash}|{names:?}", open.name, file.size(), network.as_ref().map(|n| &n.0));
        if self.state.borrow().held.as_ref() != Some(&held) {
            let bytes = bytes_of(file).await?;
            let ask = match network {
                Some((_, network)) => {
                    Ask::Open { network, parts: Vec::new(), weights: Some(bytes), name: open.name.clone() }
                }
                None => Ask::Open { network: bytes, parts: open.parts.clone(), weights: None, name: open.name.clone() },
            };
            // One worker says whether it opens; then all are told.
            self.crew.forget();
            self.answer(self.crew.ask(ask.clone())).await?;
            let later = [Ask::Importance(importance), Ask::Data(data_files)];
            for ask in std::iter::once(ask).chain(later) {
                self.crew.tell(&ask);
            }
            self.state.borrow_mut().held = Some(held);
        }
        if self.state.borrow().setup.is_none() {
            let typed = self.preprocess_line();
            let ask = if typed.is_empty() { Ask::Guess } else { Ask::Preprocess(typed) };
            match self.answer(self.crew.ask(ask)).await? {
                Tell::Setup(setup) => {
                    self.show_preprocess(&setup);
                    self.state.borrow_mut().setup = Some(setup.clone());
                    self.crew.tell(&Ask::Use(setup));
                }
                _ => return Err(unexpected()),
            }
            self.run_float(0..self.coarse()).await?;
            self.show_pictures().await?;
        }
        Ok(())
    }

    fn coarse(&self) -> usize {
        self.state.borrow().data.as_ref().map_or(0, |data| data.samples.min(COARSE))
    }

    fn preprocess_line(&self) -> String {
        let value = |id: &str| self.element::<HtmlInputElement>(id).value();
        let pairs = [("scale", value("accuracy-scale")), ("mean", value("accuracy-mean")), ("std", value("accuracy-std"))];
        let mut pairs: Vec<String> =
            pairs.into_iter().filter(|(_, v)| !v.trim().is_empty()).map(|(k, v)| format!("{k}={}", v.trim())).collect();
        let layout = self.element::<HtmlSelectElement>("accuracy-layout").value();
        if layout != "auto" && !pairs.is_empty() {
            pairs.push(format!("layout={layout}"));
        }
        pairs.join("&")
    }

    fn show_preprocess(&self, setup: &Setup) {
        let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(", ");
        self.element::<HtmlInputElement>("accuracy-scale").set_value(&setup.preprocess.scale.to_string());
        self.element::<HtmlInputElement>("accuracy-mean").set_value(&list(&setup.preprocess.mean));
        self.element::<HtmlInputElement>("accuracy-std").set_value(&list(&setup.preprocess.std));
    }

    fn preprocess(me: Rc<Self>) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Stop>>>> {
        Box::pin(async move {
            {
                let mut state = me.state.borrow_mut();
                state.setup = None;
                state.runs.clear();
                state.float = Run::default();
                state.held = None;
                if state.data_files.is_empty() || state.open.file.is_none() {
                    return Ok(());
                }
            }
            me.prepare().await
        })
    }

    /// A few samples, each with its label and the float network's answer, so that a wrong guess is seen.
    async fn show_pictures(self: &Rc<Self>) -> Result<(), Stop> {
        let Tell::Pictures { width, height, channels, pixels } = self.answer(self.crew.ask(Ask::Pictures(10))).await? else {
            return Err(unexpected());
        };
        let place: Element = self.element("accuracy-pictures");
        clear(&place);
        let state = self.state.borrow();
        let answers: Vec<usize> = state.float.outputs.rows().take(10).map(best).collect();
        let size = width * height * channels;
        if size == 0 {
            return Ok(());
        }
        for (index, picture) in pixels.chunks_exact(size).enumerate() {
            let figure = make(&self.document, "figure", "", "");
            let canvas = make(&self.document, "canvas", "", "");
            let label = state.data.as_ref().and_then(|d| d.labels.as_ref()).and_then(|l| l.get(index)).copied();
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
            append(&place, &figure);
            if let Ok(canvas) = canvas.dyn_into::<HtmlCanvasElement>() {
                paint(&canvas, width, height, channels, picture);
            }
        }
        Ok(())
    }

    /// Runs the float weights on samples that they have not seen yet.
    async fn run_float(self: &Rc<Self>, range: std::ops::Range<usize>) -> Result<(), Stop> {
        let start = self.state.borrow().float.samples.max(range.start);
        let outputs = self.run_chunks(None, None, start..range.end).await?.0;
        let mut state = self.state.borrow_mut();
        extend(&mut state.float, outputs, range.end.max(start));
        Ok(())
    }

    /// Runs a recipe's weights on a range of samples, cut into chunks for all workers.
    async fn run_chunks(
        self: &Rc<Self>,
        recipe: Option<String>,
        only: Option<String>,
        range: std::ops::Range<usize>,
    ) -> Result<(Outputs, Option<Size>), Stop> {
        let count = range.len();
        let chunks = if count == 0 { 0 } else { count.div_ceil(CHUNK).max(if count > 400 { self.crew.len() } else { 1 }) };
        let size = count.div_ceil(chunks.max(1)).max(1);
        let asked: Vec<Receiver<Answer>> = (0..chunks)
            .map(|i| (range.start + i * size, (range.start + (i + 1) * size).min(range.end)))
            .filter(|(from, to)| from < to)
            .map(|range| self.crew.ask(Ask::Run { recipe: recipe.clone(), only: only.clone(), range }))
            .collect();
        let mut all = Outputs::default();
        let mut found = None;
        for receiver in asked {
            match self.answer(receiver).await? {
                Tell::Ran { outputs, classes, size } => {
                    all.classes = classes;
                    all.values.extend(outputs);
                    found = size;
                }
                _ => return Err(unexpected()),
            }
        }
        Ok((all, found))
    }

    fn measure_curves(me: Rc<Self>) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Stop>>>> {
        Box::pin(async move { me.curves().await })
    }

    /// Every method's curve, coarse first, then on all samples.
    async fn curves(self: &Rc<Self>) -> Result<(), Stop> {
        self.prepare().await?;
        let (line, methods) = {
            let state = self.state.borrow();
            let shown: Vec<String> = METHODS.iter().map(|m| m.id.to_owned()).filter(|id| state.open.methods.contains(id)).collect();
            (state.open.recipe.clone(), shown)
        };
        let mut wanted = Vec::new();
        let asked: Vec<_> = methods
            .iter()
            .map(|method| {
                let ask = Ask::Curve { recipe: line.clone(), method: method.clone(), points: POINTS };
                (method.clone(), self.crew.ask(ask))
            })
            .collect();
        for (method, receiver) in asked {
            let Tell::Curve(points) = self.answer(receiver).await? else { return Err(unexpected()) };
            let count = points.len();
            for (index, (recipe, _)) in points.into_iter().enumerate() {
                // The middle of every curve first, then halves, then quarters.
                wanted.push((spread(index, count), method.clone(), recipe));
            }
        }
        wanted.sort();
        let total = self.state.borrow().data.as_ref().map_or(0, |data| data.samples);
        let coarse = self.coarse();
        let rounds = if total > coarse { vec![coarse, total] } else { vec![total] };
        let steps = wanted.len() * rounds.len();
        let mut done = 0;
        for until in rounds {
            self.run_float(0..until).await?;
            // As many points at a time as there are workers, so that none waits.
            for group in wanted.chunks(self.crew.len()) {
                let mut asked = Vec::new();
                for (_, method, recipe) in group {
                    let at = self.run_of(recipe, method);
                    let from = self.state.borrow().runs.get(at).map_or(0, |run| run.samples);
                    let ask = |range| Ask::Run { recipe: Some(recipe.clone()), only: None, range };
                    let ranges = (from..until).step_by(CHUNK).map(|start| (start, (start + CHUNK).min(until)));
                    let receivers: Vec<_> = ranges.map(|range| (range.1, self.crew.ask(ask(range)))).collect();
                    asked.push((at, receivers));
                }
                for (at, receivers) in asked {
                    for (end, receiver) in receivers {
                        match self.answer(receiver).await? {
                            Tell::Ran { outputs, classes, size } => {
                                self.take_run(at, Outputs { values: outputs, classes }, end, size);
                            }
                            _ => return Err(unexpected()),
                        }
                    }
                    done += 1;
                    self.element::<HtmlProgressElement>("accuracy-progress").set_value(done as f64 / steps as f64);
                    self.draw();
                }
            }
        }
        Ok(())
    }

    /// The place of a recipe's run, a new one if there is none.
    fn run_of(&self, recipe: &str, method: &str) -> usize {
        let mut state = self.state.borrow_mut();
        if let Some(at) = state.runs.iter().position(|run| run.recipe == recipe && !run.tuned) {
            return at;
        }
        state.runs.push(Run { recipe: recipe.to_owned(), method: method.to_owned(), ..Run::default() });
        state.runs.len() - 1
    }

    fn take_run(&self, at: usize, outputs: Outputs, samples: usize, size: Option<Size>) {
        let mut state = self.state.borrow_mut();
        let State { runs, float, data, .. } = &mut *state;
        let Some(run) = runs.get_mut(at) else { return };
        extend(run, outputs, samples);
        if size.is_some() {
            run.size = size;
        }
        run.measures = measured(run, float, data.as_ref());
    }

    fn measure_this(me: Rc<Self>) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Stop>>>> {
        Box::pin(async move {
            me.prepare().await?;
            let line = me.state.borrow().open.recipe.clone();
            let total = me.state.borrow().data.as_ref().map_or(0, |data| data.samples);
            let at = me.run_of(&line, &method_of(&line));
            for until in [me.coarse(), total] {
                me.run_float(0..until).await?;
                let from = me.state.borrow().runs.get(at).map_or(0, |run| run.samples);
                let (outputs, size) = me.run_chunks(Some(line.clone()), None, from.min(until)..until).await?;
                if from < until {
                    me.take_run(at, outputs, until, size);
                }
                me.show_facts(at);
                me.draw();
            }
            Ok(())
        })
    }

    fn measure_tensors(me: Rc<Self>) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Stop>>>> {
        Box::pin(async move {
            me.prepare().await?;
            let line = me.state.borrow().open.recipe.clone();
            let until = me.coarse();
            me.run_float(0..until).await?;
            let (_, size) = me.run_chunks(Some(line.clone()), None, 0..1).await?;
            let Some(predicted) = size.and_then(|size| size.predicted) else {
                return Err(Some("Weigh errors by a curvature file first: compute one here, or choose it in the recipe.".to_owned()));
            };
            let rows: Element = me.element("accuracy-tensor-rows");
            clear(&rows);
            show(&me.element::<HtmlElement>("accuracy-per-tensor"), true);
            let steps = predicted.len();
            for (index, (name, predicted)) in predicted.into_iter().enumerate() {
                let (outputs, _) = me.run_chunks(Some(line.clone()), Some(name.clone()), 0..until).await?;
                let mut run = Run::default();
                extend(&mut run, outputs, until);
                let measures = {
                    let state = me.state.borrow();
                    measured(&run, &state.float, state.data.as_ref())
                };
                let against = measures.against.as_ref();
                let cells = [
                    format!("{predicted:.6}"),
                    against.and_then(|a| a.loss_change).map_or_else(|| "–".to_owned(), |c| format!("{c:.6}")),
                    against.map_or_else(String::new, |a| percent(&a.agreement)),
                    measures.top1.as_ref().map_or_else(|| "–".to_owned(), percent),
                ];
                let row = make(&me.document, "tr", "", "");
                let head = make(&me.document, "th", "", &name);
                set(&head, "scope", "row");
                append(&row, &head);
                for cell in cells {
                    append(&row, &make(&me.document, "td", "num", &cell));
                }
                append(&rows, &row);
                me.element::<HtmlProgressElement>("accuracy-progress").set_value((index + 1) as f64 / steps.max(1) as f64);
            }
            Ok(())
        })
    }

    fn compute_importance(me: Rc<Self>) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Stop>>>> {
        Box::pin(async move {
            me.prepare().await?;
            let kind = Kind::from_id(&me.element::<HtmlSelectElement>("accuracy-kind").value()).unwrap_or(Kind::Hessian);
            let typed = me.element::<HtmlInputElement>("accuracy-samples").value().parse::<usize>().unwrap_or(COARSE);
            let (total, setup, data_kind, name) = {
                let state = me.state.borrow();
                let data = state.data.clone().unwrap_or_default();
                let name = state.network.as_ref().map_or_else(|| state.open.name.clone(), |(name, _)| name.clone());
                (data.samples.min(typed.max(1)), state.setup.clone(), data.kind, name)
            };
            let Some(setup) = setup else { return Err(unexpected()) };
            let share = total.div_ceil(me.crew.len()).max(1);
            let ranges = (0..total).step_by(share).map(|start| (start, (start + share).min(total)));
            let asked: Vec<_> = ranges.map(|range| me.crew.ask(Ask::Walk { kind, range })).collect();
            let mut sums: BTreeMap<String, (Vec<usize>, Vec<f64>)> = BTreeMap::new();
            let mut words = String::new();
            for receiver in asked {
                let Tell::Walked { parts, loss } = me.answer(receiver).await? else { return Err(unexpected()) };
                words = loss;
                for (name, shape, values) in parts {
                    let sum = sums.entry(name).or_insert_with(|| (shape, vec![0.0; values.len()]));
                    sum.1.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                }
            }
            let means = |values: Vec<f64>| values.into_iter().map(|x| x / total.max(1) as f64).collect();
            let tensors = sums.into_iter().map(|(name, (shape, values))| (name, shape, means(values))).collect();
            let computed = Computed { kind, tensors, samples: total, loss: words, without: Vec::new() };
            let bytes = computed.to_safetensors(&name, &data_kind, &setup, false).map_err(|e| Some(e.to_string()))?;
            let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
            let file_name = format!("{stem}.{}.safetensors", kind.id());
            me.state.borrow_mut().last_file = Some((file_name.clone(), bytes.clone()));
            if kind != Kind::Gradient {
                let blob = blob_from_bytes(&bytes).map_err(Some)?;
                if let Ok(file) = File::new_with_blob_sequence(&Array::of1(&blob), &file_name) {
                    me.dispatch("accuracy-importance", &file);
                }
            }
            set_text(
                &me.element::<Element>("accuracy-done"),
                &format!("{file_name}: {} of {} over {total} samples", kind.id(), computed.loss),
            );
            Ok(())
        })
    }

    fn tune(me: Rc<Self>) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Stop>>>> {
        Box::pin(async move {
            me.prepare().await?;
            let line = me.state.borrow().open.recipe.clone();
            let number = |id: &str, default: f64| me.element::<HtmlInputElement>(id).value().parse::<f64>().unwrap_or(default);
            let schedule = Schedule {
                epochs: number("accuracy-epochs", 4.0).clamp(1.0, 100.0) as usize,
                rate: number("accuracy-rate", 0.02).clamp(1e-5, 1.0),
                ..Schedule::default()
            };
            let total = me.state.borrow().data.as_ref().map_or(0, |data| data.samples);
            let half = total / 2;
            // The half that teaches does not examine; at most so many samples that it takes seconds.
            let teach = (0, half.min(2000));
            me.run_float(0..total).await?;
            let before = me.run_chunks(Some(line.clone()), None, half..total).await?.0;
            let ask = Ask::Tune { recipe: line.clone(), schedule, range: teach };
            let Tell::Tuned { file, size, losses } = me.answer(me.crew.ask(ask)).await? else { return Err(unexpected()) };
            // The worker that holds the retrained network is the one that is free first.
            let mut after = Outputs::default();
            let asked = me.crew.ask(Ask::RunTuned { range: (half, total) });
            match me.answer(asked).await? {
                Tell::Ran { outputs, classes, .. } => {
                    after.values = outputs;
                    after.classes = classes;
                }
                _ => return Err(unexpected()),
            }
            let (then, now) = {
                let state = me.state.borrow();
                let labels = state.data.as_ref().and_then(|data| data.labels.as_deref());
                let each = labels.map_or(0, |labels| labels.len() / total.max(1));
                let labels = labels.and_then(|labels| labels.get(half * each..total * each));
                let classes = state.float.outputs.classes;
                let per_sample = state.float.outputs.values.len() / total.max(1);
                let values = state.float.outputs.values.get(half * per_sample..).unwrap_or_default().to_vec();
                let float = Outputs { values, classes };
                (measure(&before, labels, Some(&float)), measure(&after, labels, Some(&float)))
            };
            let text = |m: &Measures| m.top1.as_ref().map_or_else(String::new, percent);
            set_text(
                &me.element::<Element>("accuracy-done"),
                &format!(
                    "Retrained on {} samples; on {} others top-1 went from {} to {}, loss from {:.4} to {:.4} nats (float weights in training: {:.4} at last).",
                    teach.1,
                    total - half,
                    text(&then),
                    text(&now),
                    then.loss.unwrap_or(f64::NAN),
                    now.loss.unwrap_or(f64::NAN),
                    losses.last().copied().unwrap_or(f64::NAN),
                ),
            );
            {
                let mut state = me.state.borrow_mut();
                let stem = state.open.name.rsplit_once('.').map_or(state.open.name.clone(), |(stem, _)| stem.to_owned());
                state.last_file = Some((format!("{stem}.retrained.qsz"), file));
                let method = method_of(&line);
                let samples = total - half;
                state.runs.push(Run { recipe: line.clone(), method, tuned: true, size: Some(size), outputs: after, samples, measures: now });
            }
            Ok(())
        })
    }

    fn show_facts(&self, at: usize) {
        let state = self.state.borrow();
        let Some(run) = state.runs.get(at) else { return };
        let list: Element = self.element("accuracy-facts");
        clear(&list);
        let m = &run.measures;
        let fact = |term: &str, text: &str| fact(&self.document, &list, term, text, "");
        if let Some(top1) = &m.top1 {
            fact("top-1", &format!("{} ({})", percent(top1), interval(top1)));
        }
        if let Some(top5) = &m.top5 {
            fact("top-5", &percent(top5));
        }
        let float = measured(&state.float, &Run::default(), state.data.as_ref());
        if let Some(top1) = &float.top1 {
            fact("float weights", &format!("{} ({})", percent(top1), interval(top1)));
        }
        if let Some(loss) = m.loss {
            fact("loss, nats", &format!("{loss:.4}"));
        }
        if let Some(against) = &m.against {
            fact("agrees with float", &percent(&against.agreement));
            if let Some(p) = against.p_value {
                fact("answers lost, won", &format!("{}, {} (McNemar p = {p:.3})", against.lost, against.won));
            }
            if let Some(change) = against.loss_change {
                fact("loss change", &format!("{change:.5}"));
            }
            if let Some(predicted) = run.size.as_ref().and_then(predicted) {
                fact("predicted, ½ Σ h δ²", &format!("{predicted:.5}"));
            }
            fact("output SQNR", &format!("{:.2} dB", against.sqnr_db));
            fact("divergence, nats", &format!("{:.2e}", against.divergence));
        }
        if let Some(size) = &run.size {
            fact("file", &format!("{} bytes, ratio {:.2}", size.file_bytes, size.ratio));
        }
        fact("samples", &run.samples.to_string());
    }

    fn connect_chart(self: &Rc<Self>) {
        let place: HtmlElement = self.element("accuracy-chart");
        let me = self.clone();
        on(&place, "mousemove", move |event| {
            let Some(mouse) = event.dyn_ref::<MouseEvent>() else { return };
            let found = me.hit(mouse);
            let changed = me.state.borrow().chosen != found;
            if changed {
                me.choose(found);
            }
        });
        let me = self.clone();
        on(&place, "click", move |_| me.adopt());
        let me = self.clone();
        on(&place, "keydown", move |event| {
            let Some(key) = event.dyn_ref::<web_sys::KeyboardEvent>() else { return };
            if me.press(&key.key()) {
                event.prevent_default();
            }
        });
    }

    fn press(&self, key: &str) -> bool {
        let series = self.grouped();
        let at = self.state.borrow().chosen;
        let (mut s, mut p) = at.unwrap_or((0, 0));
        let len = |s: usize| series.get(s).map_or(0, |(_, runs)| runs.len());
        match key {
            _ if series.is_empty() => return false,
            "ArrowRight" if at.is_some() => p = (p + 1).min(len(s).saturating_sub(1)),
            "ArrowLeft" if at.is_some() => p = p.saturating_sub(1),
            "ArrowDown" if at.is_some() => s = (s + 1).min(series.len() - 1),
            "ArrowUp" if at.is_some() => s = s.saturating_sub(1),
            "ArrowRight" | "ArrowLeft" | "ArrowDown" | "ArrowUp" => {}
            "Enter" => {
                self.adopt();
                return true;
            }
            _ => return false,
        }
        p = p.min(len(s).saturating_sub(1));
        self.choose(Some((s, p)));
        true
    }

    fn hit(&self, mouse: &MouseEvent) -> Option<(usize, usize)> {
        let chart = self.describe();
        let state = self.state.borrow();
        let (frame, scale) = state.frame.as_ref()?;
        let (x, y) = (f64::from(mouse.offset_x()), f64::from(mouse.offset_y()));
        let mut best = None;
        for (s, series) in chart.series.iter().enumerate() {
            for (p, point) in series.points.iter().enumerate() {
                let (px, py) = frame.to_pixels(point.x, point.y);
                let (dx, dy) = (px / scale - x, py / scale - y);
                let distance = (dx * dx + dy * dy).sqrt();
                if distance < REACH && best.is_none_or(|(d, _)| distance < d) {
                    best = Some((distance, (s, p)));
                }
            }
        }
        best.map(|(_, at)| at)
    }

    fn choose(&self, at: Option<(usize, usize)>) {
        self.state.borrow_mut().chosen = at;
        let text = at.and_then(|(s, p)| self.run_at(s, p)).map(|run| self.describe_run(&run)).unwrap_or_default();
        set_text(&self.element::<Element>("accuracy-live"), &text);
        self.draw();
    }

    fn run_at(&self, s: usize, p: usize) -> Option<Run> {
        let index = *self.grouped().get(s)?.1.get(p)?;
        self.state.borrow().runs.get(index).cloned()
    }

    fn describe_run(&self, run: &Run) -> String {
        let title = METHODS.iter().find(|m| m.id == run.method).map_or(run.method.as_str(), |m| m.title);
        let size = run.size.as_ref();
        let mut text = format!("{title}{}", if run.tuned { ", retrained" } else { "" });
        if let Some(size) = size {
            text.push_str(&format!(": {:.3} bits per weight, ratio {:.2}", size.bits, size.ratio));
        }
        if let Some(top1) = &run.measures.top1 {
            text.push_str(&format!(", top-1 {} ({})", percent(top1), interval(top1)));
        } else if let Some(against) = &run.measures.against {
            text.push_str(&format!(", agrees {}, output SQNR {:.1} dB", percent(&against.agreement), against.sqnr_db));
        }
        text.push_str(&format!(", {} samples. {}", run.samples, run.recipe));
        text
    }

    fn adopt(&self) {
        let chosen = self.state.borrow().chosen;
        if let Some(run) = chosen.and_then(|(s, p)| self.run_at(s, p)).filter(|run| !run.tuned) {
            self.dispatch("accuracy-recipe", &run.recipe.into());
        }
    }

    /// Runs by method, each in order of size: indexes into the state's runs.
    fn grouped(&self) -> Vec<(String, Vec<usize>)> {
        let state = self.state.borrow();
        let mut groups = Vec::new();
        for tuned in [false, true] {
            for method in METHODS {
                let of = |run: &Run| run.method == method.id && run.tuned == tuned && run.size.is_some() && run.samples > 0;
                let mut runs: Vec<usize> =
                    state.runs.iter().enumerate().filter(|(_, run)| of(run)).map(|(index, _)| index).collect();
                let bits = |index: &usize| state.runs.get(*index).and_then(|r| r.size.as_ref()).map_or(0.0, |s| s.bits);
                runs.sort_by(|a, b| bits(a).total_cmp(&bits(b)));
                if !runs.is_empty() {
                    let title = if tuned { format!("{}, retrained", method.title) } else { method.title.to_owned() };
                    groups.push((title, runs));
                }
            }
        }
        groups
    }

    fn describe(&self) -> Accuracy {
        let x_kind = self.element::<HtmlSelectElement>("accuracy-x").value();
        let y_kind = self.element::<HtmlSelectElement>("accuracy-y").value();
        let groups = self.grouped();
        let state = self.state.borrow();
        let point = |index: &usize| -> Measured {
            let Some((run, size)) = state.runs.get(*index).and_then(|run| Some((run, run.size.as_ref()?))) else {
                return Measured::default();
            };
            let x = match x_kind.as_str() {
                "ratio" => size.ratio,
                "entropy" => size.entropy_bits,
                _ => size.bits,
            };
            let m = &run.measures;
            let against = m.against.as_ref();
            let share = |share: Option<&Share>| match share {
                Some(share) => (100.0 * share.value(), (100.0 * share.low, 100.0 * share.high)),
                None => (f64::NAN, (0.0, 0.0)),
            };
            let plain = |value: Option<f64>| (value.unwrap_or(f64::NAN), (0.0, 0.0));
            let (y, interval) = match y_kind.as_str() {
                "top5" => share(m.top5.as_ref()),
                "agreement" => share(against.map(|a| &a.agreement)),
                "loss" => {
                    let change = against.and_then(|a| a.loss_change);
                    let error = 1.96 * against.and_then(|a| a.loss_error).unwrap_or(0.0);
                    (change.unwrap_or(f64::NAN), change.map_or((0.0, 0.0), |c| (c - error, c + error)))
                }
                "sqnr" => plain(against.map(|a| a.sqnr_db)),
                "divergence" => plain(against.map(|a| a.divergence)),
                _ => share(m.top1.as_ref().or_else(|| against.map(|a| &a.agreement))),
            };
            Measured { x, y, interval, dominated: false }
        };
        let mut series: Vec<MeasuredSeries> = groups
            .iter()
            .map(|(title, runs)| {
                let id = runs.first().and_then(|index| state.runs.get(*index)).map(|run| run.method.as_str());
                let slot = METHODS.iter().position(|m| Some(m.id) == id).unwrap_or(0);
                let tuned = runs.first().and_then(|index| state.runs.get(*index)).is_some_and(|run| run.tuned);
                MeasuredSeries {
                    title: title.clone(),
                    points: runs.iter().map(point).collect(),
                    marker: MARKERS.get((slot + 3 * usize::from(tuned)) % MARKERS.len()).copied().unwrap_or_default(),
                    colour: slot % SERIES_COLOURS,
                    joined: !tuned,
                }
            })
            .collect();
        let better_up = !matches!(y_kind.as_str(), "loss" | "divergence");
        mark_dominated(&mut series, x_kind != "ratio", better_up);
        let labels = state.data.as_ref().is_some_and(|data| data.labels.is_some());
        let float = measured(&state.float, &Run::default(), state.data.as_ref());
        let level = match y_kind.as_str() {
            "top5" => float.top5,
            "top1" => float.top1,
            _ => None,
        };
        Accuracy {
            series,
            baseline: level.map(|share| (100.0 * share.value(), 100.0 * share.low, 100.0 * share.high)),
            diagonal: false,
            x_title: match x_kind.as_str() {
                "ratio" => "ratio: 32 bits per weight over real bytes",
                "entropy" => "bits per weight, entropy of the symbols",
                _ => "bits per weight, real bytes of the whole file",
            }
            .to_owned(),
            y_title: match y_kind.as_str() {
                "top5" => "top-5 accuracy, %",
                "agreement" => "agreement with the float weights, %",
                "loss" => "change of the loss, nats",
                "sqnr" => "output SQNR, dB",
                "divergence" => "divergence from the float answers, nats",
                _ if labels => "top-1 accuracy, %",
                _ => "agreement with the float weights, % (no labels)",
            }
            .to_owned(),
            chosen: state.chosen,
        }
    }

    /// Predicted against measured change of the loss, both as decimal logarithms.
    fn describe_prediction(&self) -> Accuracy {
        let groups = self.grouped();
        let state = self.state.borrow();
        let point = |index: &usize| -> Option<Measured> {
            let run = state.runs.get(*index)?;
            let x = predicted(run.size.as_ref()?)?;
            let against = run.measures.against.as_ref()?;
            let (change, error) = (against.loss_change?, 1.96 * against.loss_error.unwrap_or(0.0));
            let log = |x: f64| libm::log10(x.max(1e-9));
            (x > 0.0 && change > 0.0).then(|| Measured {
                x: log(x),
                y: log(change),
                interval: (log((change - error).max(change * 0.1)), log(change + error)),
                dominated: false,
            })
        };
        let series = groups.iter().map(|(title, runs)| {
            let id = runs.first().and_then(|index| state.runs.get(*index)).map(|run| run.method.as_str());
            let slot = METHODS.iter().position(|m| Some(m.id) == id).unwrap_or(0);
            MeasuredSeries {
                title: title.clone(),
                points: runs.iter().filter_map(point).collect(),
                marker: MARKERS.get(slot % MARKERS.len()).copied().unwrap_or_default(),
                colour: slot % SERIES_COLOURS,
                joined: false,
            }
        });
        Accuracy {
            series: series.filter(|series| !series.points.is_empty()).collect(),
            diagonal: true,
            x_title: "predicted change of the loss, ½ Σ h δ², log₁₀ nats".to_owned(),
            y_title: "measured change, log₁₀ nats".to_owned(),
            ..Accuracy::default()
        }
    }

    fn draw(&self) {
        let chart = self.describe();
        let prediction = self.describe_prediction();
        let empty = chart.series.is_empty();
        show(&self.element::<HtmlElement>("accuracy-results"), !empty);
        let has_prediction = !prediction.series.is_empty();
        show(&self.element::<HtmlElement>("accuracy-prediction"), has_prediction);
        if empty {
            return;
        }
        let frame = self.draw_on("accuracy-canvas", &chart);
        self.state.borrow_mut().frame = frame;
        if has_prediction {
            self.draw_on("accuracy-prediction-canvas", &prediction);
        }
        self.fill_keys(&chart);
        self.fill_table();
    }

    fn draw_on(&self, id: &str, chart: &Accuracy) -> Option<(Frame, f64)> {
        let sized = canvas::fit(&self.window, &self.element::<HtmlCanvasElement>(id))?;
        sized.clear();
        let mut backend = CanvasBackend::with_canvas_object(sized.canvas.clone())?;
        let theme = chart_theme(&self.window, &self.document);
        let frame = plot::accuracy(&mut backend, chart, &theme, Scale::new(sized.scale)).ok()?;
        Some((frame, sized.scale))
    }

    fn fill_keys(&self, chart: &Accuracy) {
        let keys: Element = self.element("accuracy-keys");
        clear(&keys);
        for series in &chart.series {
            let item = make(&self.document, "li", "", &series.title);
            set(&item, "data-slot", &series.colour.to_string());
            append(&keys, &item);
        }
        if chart.baseline.is_some() {
            append(&keys, &make(&self.document, "li", "base", "float weights, with interval"));
        }
        if chart.series.iter().any(|series| series.points.iter().any(|p| p.dominated)) {
            append(&keys, &make(&self.document, "li", "grey", "beaten by a smaller or better point"));
        }
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let groups = self.grouped();
        let state = self.state.borrow();
        let mut rows = Vec::new();
        for (title, runs) in &groups {
            for run in runs.iter().filter_map(|index| state.runs.get(*index)) {
                let Some(size) = &run.size else { continue };
                let against = run.measures.against.as_ref();
                let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.5}"));
                rows.push(vec![
                    title.clone(),
                    format!("{:.4}", size.bits),
                    format!("{:.2}", size.ratio),
                    size.file_bytes.to_string(),
                    run.measures.top1.as_ref().map_or_else(|| "–".to_owned(), percent),
                    run.measures.top1.as_ref().map_or_else(|| "–".to_owned(), interval),
                    against.map_or_else(String::new, |a| percent(&a.agreement)),
                    number(against.and_then(|a| a.loss_change)),
                    number(predicted(size)),
                    run.samples.to_string(),
                    size.recipe.clone(),
                ]);
            }
        }
        rows
    }

    fn fill_table(&self) {
        let body: Element = self.element("accuracy-rows");
        clear(&body);
        for cells in self.rows() {
            let row = make(&self.document, "tr", "", "");
            for (index, cell) in cells.iter().enumerate().take(10) {
                let cell = make(&self.document, if index == 0 { "th" } else { "td" }, if index == 0 { "" } else { "num" }, cell);
                if index == 0 {
                    set(&cell, "scope", "row");
                }
                append(&row, &cell);
            }
            append(&body, &row);
        }
    }

    fn save_table(&self) {
        let mut text =
            "method,bits_per_weight,ratio,file_bytes,top1,top1_interval,agreement,loss_change,predicted_loss_change,samples,recipe\n".to_owned();
        for row in self.rows() {
            let quoted: Vec<String> = row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            text.push_str(&quoted.join(","));
            text.push('\n');
        }
        self.download("accuracy.csv", text.as_bytes());
    }

    fn download(&self, name: &str, bytes: &[u8]) {
        let url = blob_from_bytes(bytes).ok().and_then(|blob| Url::create_object_url_with_blob(&blob).ok());
        let anchor = self.document.create_element("a").ok().and_then(|a| a.dyn_into::<HtmlElement>().ok());
        if let (Some(url), Some(anchor)) = (url, anchor) {
            set(&anchor, "href", &url);
            set(&anchor, "download", name);
            anchor.click();
        }
    }
}

fn unexpected() -> Stop {
    Some("a worker gave an unexpected answer (a defect of Quantscope)".to_owned())
}

fn same(a: Option<&Blob>, b: Option<&Blob>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => JsValue::eq(a, b) || a.size() == b.size(),
        (None, None) => true,
        _ => false,
    }
}

/// The class with the largest score.
fn best(row: &[f32]) -> usize {
    let best = row.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (i, x)| if *x > best.1 { (i, *x) } else { best });
    best.0
}

/// Appends answers to samples up to `samples`.
fn extend(run: &mut Run, outputs: Outputs, samples: usize) {
    if outputs.values.is_empty() {
        return;
    }
    run.outputs.classes = outputs.classes;
    run.outputs.values.extend(outputs.values);
    run.samples = samples;
}

/// Measures a run on the samples that it and the float weights have both seen.
fn measured(run: &Run, float: &Run, data: Option<&Data>) -> Measures {
    let total = data.map_or(0, |data| data.samples).max(1);
    let labels = data.and_then(|data| data.labels.as_deref());
    let each = labels.map_or(0, |labels| labels.len() / total);
    let labels = labels.and_then(|labels| labels.get(..run.samples * each));
    if float.samples < run.samples || float.samples == 0 {
        return measure(&run.outputs, labels, None);
    }
    let per_sample = float.outputs.values.len() / float.samples.max(1);
    let values = float.outputs.values.get(..run.samples * per_sample).unwrap_or_default().to_vec();
    measure(&run.outputs, labels, Some(&Outputs { values, classes: float.outputs.classes }))
}

fn predicted(size: &Size) -> Option<f64> {
    let all = size.predicted.as_ref()?;
    // Tied names count once.
    let mut seen = std::collections::BTreeSet::new();
    Some(all.iter().filter(|(name, _)| seen.insert(matching_name(name))).map(|(_, change)| change).sum())
}

/// The place of point `index` of `count` in an order that halves the gaps.
fn spread(index: usize, count: usize) -> usize {
    let bits = usize::BITS - count.max(1).leading_zeros();
    (index + 1).reverse_bits() >> (usize::BITS - bits)
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
    let context = canvas.get_context("2d").ok().flatten().and_then(|c| c.dyn_into::<CanvasRenderingContext2d>().ok());
    let image = web_sys::ImageData::new_with_u8_clamped_array_and_sh(wasm_bindgen::Clamped(&rgba), width as u32, height as u32);
    if let (Some(context), Ok(image)) = (context, image) {
        let _ = context.put_image_data(&image, 0.0, 0.0);
    }
}

