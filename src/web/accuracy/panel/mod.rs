//! The panel beside the page: setup, pictures, charts, actions. The boot script shows it when somebody asks for it.

mod chart;
mod cost;
mod elements;
mod facts;
mod importance;
mod measuring;
mod points;
mod precision;
mod sections;
mod setup;
mod state;
mod timing;
mod tuning;

use super::jobs::{Answer, Networks};
use super::parts;
use crate::model::FileFormat;
use crate::network::measure::Share;
use crate::web::blobs::blob_from_bytes;
use crate::web::dom::{self, on, set, set_text, show};
use crate::web::oneshot::Receiver;
use crate::web::pool::{Failure, News, Outcome, Pool};
use cost::Cost;
use elements::Elements;
use js_sys::Array;
use precision::Precision;
use state::{Open, State};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use timing::Timings;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, Document, Event, EventTarget, File, FileList, HtmlElement, Url, Window};

/// Workers at most.
const MOST_WORKERS: f64 = 8.0;

/// The panel.
struct Panel {
    window: Window,
    document: Document,
    elements: Elements,
    pool: Pool<Networks>,
    state: RefCell<State>,
    /// Which wish is being carried out; a newer one ends it.
    flow: Cell<u32>,
    busy: Cell<bool>,
    /// The search for a number format.
    precision: Precision,
    /// What the hardware model says of the network.
    cost: Cost,
    /// What compressing takes here.
    timing: Timings,
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
    let elements = Elements::find(&document);
    let bar = elements.progress.clone();
    let pool = Pool::new(workers, move |news| {
        if let News::Progress(done, of) = news {
            bar.set_value(done as f64 / of.max(1) as f64);
        }
    });
    let precision = Precision::find(&document);
    let (cost, timing) = (Cost::find(&document), Timings::find(&document));
    let panel = Rc::new(Panel {
        window: window.clone(),
        document,
        elements,
        pool,
        state: RefCell::default(),
        precision,
        cost,
        timing,
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
    fn dispatch(&self, kind: &str, detail: &JsValue) {
        dom::dispatch(&self.document, kind, detail);
    }

    fn connect(self: &Rc<Self>) {
        self.connect_page();
        self.connect_files();
        self.connect_drop();
        self.connect_actions();
        self.connect_chart();
        self.connect_precision();
        self.connect_cost();
        self.connect_timing();
        let me = self.clone();
        let resized = wasm_bindgen::closure::Closure::<dyn FnMut()>::new(move || {
            me.draw();
            me.draw_map();
            me.draw_cost();
        });
        if let Ok(observer) = web_sys::ResizeObserver::new(resized.as_ref().unchecked_ref()) {
            observer.observe(&self.elements.canvas);
            observer.observe(&self.precision.elements.plot);
            observer.observe(&self.cost.elements.parts_plot);
            std::mem::forget(observer);
        }
        resized.forget();
        let me = self.clone();
        on(&self.document, "keydown", move |event| {
            if event.dyn_ref::<web_sys::KeyboardEvent>().is_some_and(|e| e.key() == "Escape") && me.busy.get()
            {
                me.cancel();
            }
        });
    }

    /// Hears what is open, and of data that come with it.
    fn connect_page(self: &Rc<Self>) {
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
    }

    fn connect_files(self: &Rc<Self>) {
        let e = &self.elements;
        for (button, input) in [(&e.data_button, &e.data_input), (&e.network_button, &e.network_input)] {
            let input = input.clone();
            on(button, "click", move |_| input.click());
        }
        let me = self.clone();
        on(&e.data_input, "change", move |_| {
            let input = &me.elements.data_input;
            me.take_data(array_of(input.files()));
            input.set_value("");
        });
        let me = self.clone();
        on(&e.network_input, "change", move |_| {
            let input = &me.elements.network_input;
            let files = array_of(input.files());
            input.set_value("");
            me.take_network(files);
        });
    }

    fn connect_actions(self: &Rc<Self>) {
        let e = &self.elements;
        let preprocess: Action = |me| me.start("Preprocessing", Self::preprocess);
        let actions: [(&EventTarget, &str, Action); 17] = [
            (&e.measure, "click", |me| me.start("Measuring the curves", Self::curves)),
            (&e.measure_this, "click", |me| me.start("Measuring this recipe", Self::measure_this)),
            (&e.tensors, "click", |me| me.start("Measuring tensor by tensor", Self::measure_tensors)),
            (&e.compute, "click", |me| me.start("Computing importance", Self::compute_importance)),
            (&e.tune, "click", |me| me.start("Retraining the codebook", Self::tune)),
            (&e.answers, "click", |me| me.start("Running the network", Self::save_answers)),
            (&e.cancel, "click", Self::cancel),
            (&e.x, "change", |me| me.draw()),
            (&e.y, "change", |me| me.draw()),
            (&e.near, "change", |me| me.draw()),
            (&e.theme_button, "click", |me| {
                me.draw();
                me.draw_map();
                me.draw_cost();
            }),
            (&e.scale, "change", preprocess),
            (&e.mean, "change", preprocess),
            (&e.std, "change", preprocess),
            (&e.layout, "change", preprocess),
            (&e.csv, "click", |me| me.save_table()),
            (&e.save, "click", |me| me.save_file()),
        ];
        for (control, kind, action) in actions {
            let me = self.clone();
            on(control, kind, move |_| action(&me));
        }
    }

    fn save_file(&self) {
        let file = self.state.borrow().last_file.clone();
        if let Some((name, bytes)) = file {
            self.download(&name, &bytes);
        }
    }

    fn connect_drop(self: &Rc<Self>) {
        let zone = &self.elements.setup;
        let me = self.clone();
        on(zone, "dragover", move |event| {
            event.prevent_default();
            event.stop_propagation();
            show(&me.elements.drop_veil, false);
        });
        let me = self.clone();
        on(zone, "drop", move |event: Event| {
            let Some(drag) = event.dyn_ref::<web_sys::DragEvent>() else { return };
            let files = array_of(drag.data_transfer().and_then(|data| data.files()));
            let (networks, data): (Vec<File>, Vec<File>) =
                files.into_iter().partition(|f| FileFormat::Onnx.is_name_of(&f.name()));
            event.prevent_default();
            event.stop_propagation();
            show(&me.elements.drop_veil, false);
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
            self.cost.forget();
            if !self.reading.get() {
                self.cancel();
            }
            self.forget_setup();
        }
        self.hear_cost(&text("cost"), get("made").dyn_into().ok());
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

    /// Shows what is there and what can be done with it.
    fn sync(&self) {
        let state = self.state.borrow();
        let is_onnx = FileFormat::Onnx.is_name_of(&state.open.name);
        let network = match (&state.network, is_onnx) {
            (Some(chosen), _) => chosen.name.clone(),
            (None, true) => format!("{} (the open file)", state.open.name),
            (None, false) => "none: choose the .onnx these weights belong to".to_owned(),
        };
        set_text(&self.elements.network_name, &network);
        let data = match &state.data {
            Some(data) => {
                let labels = if data.labels.is_some() { "with labels" } else { "no labels" };
                format!("{}, {} samples, {labels}", data.kind, data.samples)
            }
            None => "none: MNIST idx, CIFAR-10 binary, .npz or .npy".to_owned(),
        };
        set_text(&self.elements.data_name, &data);
        let ready =
            state.open.file.is_some() && !state.data_files.is_empty() && (is_onnx || state.network.is_some());
        let busy = self.busy.get();
        let e = &self.elements;
        for button in [&e.measure, &e.measure_this, &e.tensors, &e.compute, &e.tune, &e.answers] {
            button.set_disabled(!ready || busy);
        }
        let searching = busy && self.precision.searching.get();
        show(&self.elements.job, busy && !searching);
        self.sync_precision(ready, busy);
        let is_open = state.open.file.is_some();
        self.sync_cost(is_open && (is_onnx || state.network.is_some()), busy);
        self.sync_timing(is_open, busy);
        show(&self.elements.save, state.last_file.is_some());
    }

    fn say(&self, text: &str) {
        let place = &self.elements.error;
        set_text(place, text);
        show(place, !text.is_empty());
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
        self.timing.stop();
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
        self.precision.searching.set(false);
        self.say("");
        set_text(&self.elements.job_title, what);
        self.elements.progress.set_value(0.0);
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
