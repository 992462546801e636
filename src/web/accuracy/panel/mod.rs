//! The panel beside the page: setup, pictures, charts, actions. The boot script shows it when somebody asks for it.

mod chart;
mod flows;
mod state;

use super::jobs::{Answer, Networks};
use super::parts;
use crate::formats::is_named_onnx;
use crate::network::evaluate::Setup;
use crate::network::measure::Share;
use crate::web::blobs::blob_from_bytes;
use crate::web::dom::{self, clear, on, set, set_text, show};
use crate::web::oneshot::Receiver;
use crate::web::pool::{Failure, News, Outcome, Pool};
use js_sys::Array;
use state::{Open, State};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Blob, CanvasRenderingContext2d, Document, Element, Event, File, FileList, HtmlButtonElement,
    HtmlCanvasElement, HtmlElement, HtmlInputElement, HtmlProgressElement, HtmlSelectElement, Url, Window,
};

/// Workers at most.
const MOST_WORKERS: f64 = 8.0;

/// The panel.
struct Panel {
    window: Window,
    document: Document,
    pool: Pool<Networks>,
    state: RefCell<State>,
    /// Which wish is being carried out; a newer one ends it.
    flow: Cell<u32>,
    busy: Cell<bool>,
    /// What is under way is reading data, which another weight file does not end.
    reading: Cell<bool>,
}

/// What a button does.
type Action = fn(&Rc<Panel>);

/// Starts the panel and asks the page what is open.
pub fn start(window: &Window) {
    let Some(document) = window.document() else { return };
    std::panic::set_hook(Box::new(|info| web_sys::console::error_1(&info.to_string().into())));
    let workers = window.navigator().hardware_concurrency().clamp(1.0, MOST_WORKERS) as usize;
    let progress = {
        let document = document.clone();
        move |news| {
            if let News::Progress(done, of) = news
                && let Some(bar) = document
                    .get_element_by_id("accuracy-progress")
                    .and_then(|e| e.dyn_into::<HtmlProgressElement>().ok())
            {
                bar.set_value(done as f64 / of.max(1) as f64);
            }
        }
    };
    let pool = Pool::new(workers, progress);
    let panel = Rc::new(Panel {
        window: window.clone(),
        document,
        pool,
        state: RefCell::default(),
        flow: Cell::new(0),
        busy: Cell::new(false),
        reading: Cell::new(false),
    });
    panel.connect();
    std::mem::forget(panel);
}

fn array_of(files: Option<FileList>) -> Vec<File> {
    let Some(files) = files else { return Vec::new() };
    (0..files.length()).filter_map(|i| files.item(i)).collect()
}

fn percent(share: &Share) -> String {
    format!("{:.2} %", 100.0 * share.value())
}

fn interval(share: &Share) -> String {
    format!("{:.2}–{:.2}", 100.0 * share.low, 100.0 * share.high)
}

impl Panel {
    fn element<T: JsCast>(&self, id: &str) -> T {
        let found = self.document.get_element_by_id(id).and_then(|e| e.dyn_into().ok());
        found.unwrap_or_else(|| wasm_bindgen::throw_str(&format!("index.html lacks #{id}")))
    }

    fn dispatch(&self, kind: &str, detail: &JsValue) {
        dom::dispatch(&self.document, kind, detail);
    }

    fn connect(self: &Rc<Self>) {
        let me = self.clone();
        on(&self.document, "accuracy-state", move |event| me.hear_state(&event));
        let me = self.clone();
        on(&self.document, "accuracy-data", move |event| {
            let detail = dom::detail(&event);
            let get = |key: &str| dom::get(&detail, key);
            let files: Vec<File> =
                Array::from(&get("files")).iter().filter_map(|f| f.dyn_into().ok()).collect();
            let name = get("model").as_string().unwrap_or_default();
            me.state.borrow_mut().awaited = Some(name);
            me.take_data(files);
        });
        for (button, input) in [
            ("accuracy-data-button", "accuracy-data-input"),
            ("accuracy-network-button", "accuracy-network-input"),
        ] {
            let input: HtmlInputElement = self.element(input);
            on(&self.element::<HtmlElement>(button), "click", move |_| input.click());
        }
        let me = self.clone();
        on(&self.element::<HtmlElement>("accuracy-data-input"), "change", move |_| {
            let input: HtmlInputElement = me.element("accuracy-data-input");
            me.take_data(array_of(input.files()));
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
        let actions: [(&str, Action); 7] = [
            ("accuracy-measure", |me| me.start("Measuring the curves", Self::curves)),
            ("accuracy-this", |me| me.start("Measuring this recipe", Self::measure_this)),
            ("accuracy-tensors", |me| me.start("Measuring tensor by tensor", Self::measure_tensors)),
            ("accuracy-compute", |me| me.start("Computing importance", Self::compute_importance)),
            ("accuracy-tune", |me| me.start("Retraining the codebook", Self::tune)),
            ("accuracy-answers", |me| me.start("Running the network", Self::save_answers)),
            ("accuracy-cancel", Self::cancel),
        ];
        for (id, action) in actions {
            let me = self.clone();
            on(&self.element::<HtmlElement>(id), "click", move |_| action(&me));
        }
        for id in ["accuracy-x", "accuracy-y", "accuracy-near"] {
            let me = self.clone();
            on(&self.element::<HtmlElement>(id), "change", move |_| me.draw());
        }
        for id in ["accuracy-scale", "accuracy-mean", "accuracy-std", "accuracy-layout"] {
            let me = self.clone();
            on(&self.element::<HtmlElement>(id), "change", move |_| {
                me.start("Preprocessing", Self::preprocess);
            });
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
            if event.dyn_ref::<web_sys::KeyboardEvent>().is_some_and(|e| e.key() == "Escape") && me.busy.get()
            {
                me.cancel();
            }
        });
    }

    fn connect_drop(self: &Rc<Self>) {
        let zone: Element = self.element("accuracy-setup");
        let me = self.clone();
        on(&zone, "dragover", move |event| {
            event.prevent_default();
            event.stop_propagation();
            show(&me.element::<HtmlElement>("drop-veil"), false);
        });
        let me = self.clone();
        on(&zone, "drop", move |event: Event| {
            let Some(drag) = event.dyn_ref::<web_sys::DragEvent>() else { return };
            let files = array_of(drag.data_transfer().and_then(|data| data.files()));
            let (networks, data): (Vec<File>, Vec<File>) =
                files.into_iter().partition(|f| is_named_onnx(&f.name()));
            event.prevent_default();
            event.stop_propagation();
            show(&me.element::<HtmlElement>("drop-veil"), false);
            if !networks.is_empty() {
                me.take_network(networks);
            }
            if !data.is_empty() {
                me.take_data(data);
            }
        });
    }

    fn hear_state(self: &Rc<Self>, event: &Event) {
        let detail = dom::detail(event);
        let get = |key: &str| dom::get(&detail, key);
        let text = |key: &str| get(key).as_string().unwrap_or_default();
        let parts = parts(&get("parts"));
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
                state.forget_runs();
                state.network = None;
                state.benched = false;
                state.setup = None;
            }
            state.open = open;
            fresh
        };
        if fresh {
            if !self.reading.get() {
                self.cancel();
            }
            self.forget_setup();
        }
        self.sync();
        self.begin_awaited();
    }

    /// Measures a sample once its file and its data are there.
    fn begin_awaited(self: &Rc<Self>) {
        let is_here = {
            let mut state = self.state.borrow_mut();
            let is_here = state.data.is_some() && state.awaited.as_ref() == Some(&state.open.name);
            if is_here {
                state.awaited = None;
            }
            is_here
        };
        if is_here {
            self.start("Measuring the curves", Self::curves);
        }
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
        let is_onnx = is_named_onnx(&state.open.name);
        let network = match (&state.network, is_onnx) {
            (Some(chosen), _) => chosen.name.clone(),
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
        let ready =
            state.open.file.is_some() && !state.data_files.is_empty() && (is_onnx || state.network.is_some());
        let busy = self.busy.get();
        for id in
            ["measure", "this", "tensors", "compute", "tune", "answers"].map(|id| format!("accuracy-{id}"))
        {
            self.element::<HtmlButtonElement>(&id).set_disabled(!ready || busy);
        }
        show(&self.element::<HtmlElement>("accuracy-job"), busy);
        show(&self.element::<HtmlElement>("accuracy-save"), state.last_file.is_some());
    }

    fn say(&self, text: &str) {
        let place: HtmlElement = self.element("accuracy-error");
        set_text(&place, text);
        show(&place, !text.is_empty());
    }

    fn take_data(self: &Rc<Self>, files: Vec<File>) {
        if files.is_empty() {
            return;
        }
        self.start("Reading the data", move |me| async move {
            let mut read = Vec::new();
            for file in files {
                read.push((file.name(), me.read(&file).await?));
            }
            me.load_data(read).await?;
            me.begin_awaited();
            Ok(())
        });
        self.reading.set(true);
    }

    fn take_network(self: &Rc<Self>, files: Vec<File>) {
        if files.is_empty() {
            return;
        }
        self.start("Reading the network", move |me| async move {
            let mut read = Vec::new();
            for file in files {
                read.push((file.name(), me.read(&file).await?));
            }
            me.load_network(read).await
        });
    }

    fn cancel(self: &Rc<Self>) {
        self.flow.set(self.flow.get() + 1);
        self.pool.cancel();
        self.busy.set(false);
        self.sync();
        self.draw();
    }

    /// Begins a wish; what was under way ends.
    fn start<F, Work>(self: &Rc<Self>, what: &str, work: F)
    where
        F: FnOnce(Rc<Self>) -> Work + 'static,
        Work: Future<Output = Outcome<()>>,
    {
        if self.busy.get() {
            self.cancel();
        }
        self.busy.set(true);
        self.reading.set(false);
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
            if let Err(Failure::Sentence(sentence)) = result {
                me.pool.cancel();
                me.say(&sentence);
            }
            me.sync();
            me.draw();
        });
    }

    /// What a future gives, unless something newer has taken over meanwhile.
    async fn unless_stopped<T>(&self, future: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let flow = self.flow.get();
        let result = future.await;
        if self.flow.get() == flow { result } else { Err(Failure::Cancelled) }
    }

    async fn answer(&self, receiver: Receiver<Outcome<Answer>>) -> Outcome<Answer> {
        self.unless_stopped(receiver).await
    }

    async fn read(&self, blob: &Blob) -> Outcome<Vec<u8>> {
        self.unless_stopped(super::read(blob)).await
    }

    fn preprocess_line(&self) -> String {
        let value = |id: &str| self.element::<HtmlInputElement>(id).value();
        let pairs = [
            ("scale", value("accuracy-scale")),
            ("mean", value("accuracy-mean")),
            ("std", value("accuracy-std")),
        ];
        let mut pairs: Vec<String> = pairs
            .into_iter()
            .filter(|(_, v)| !v.trim().is_empty())
            .map(|(k, v)| format!("{k}={}", v.trim()))
            .collect();
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

fn same(a: Option<&Blob>, b: Option<&Blob>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => js_sys::Object::is(a, b),
        (None, None) => true,
        _ => false,
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
