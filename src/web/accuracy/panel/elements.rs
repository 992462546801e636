//! Every element of index.html that the panel speaks to.

use crate::web::elements::elements;
use web_sys::{
    HtmlButtonElement, HtmlCanvasElement, HtmlElement, HtmlInputElement, HtmlProgressElement,
    HtmlSelectElement, HtmlTemplateElement,
};

elements! {
    HtmlElement {
        setup = "accuracy-setup",
        drop_veil = "drop-veil",
        network_name = "accuracy-network-name",
        data_name = "accuracy-data-name",
        pictures = "accuracy-pictures",
        job = "accuracy-job",
        job_title = "accuracy-job-title",
        error = "accuracy-error",
        done = "accuracy-done",
        facts = "accuracy-facts",
        results = "accuracy-results",
        keys = "accuracy-keys",
        ranking = "accuracy-ranking",
        parting = "accuracy-parting",
        chart = "accuracy-chart",
        live = "accuracy-live",
        rows = "accuracy-rows",
        prediction = "accuracy-prediction",
        per_tensor = "accuracy-per-tensor",
        tensor_rows = "accuracy-tensor-rows",
    }
    HtmlButtonElement {
        theme_button = "theme-button",
        network_button = "accuracy-network-button",
        data_button = "accuracy-data-button",
        measure = "accuracy-measure",
        measure_this = "accuracy-this",
        answers = "accuracy-answers",
        tensors = "accuracy-tensors",
        compute = "accuracy-compute",
        tune = "accuracy-tune",
        cancel = "accuracy-cancel",
        save = "accuracy-save",
        csv = "accuracy-csv",
    }
    HtmlInputElement {
        network_input = "accuracy-network-input",
        data_input = "accuracy-data-input",
        scale = "accuracy-scale",
        mean = "accuracy-mean",
        std = "accuracy-std",
        samples = "accuracy-samples",
        epochs = "accuracy-epochs",
        rate = "accuracy-rate",
        near = "accuracy-near",
    }
    HtmlSelectElement {
        layout = "accuracy-layout",
        kind = "accuracy-kind",
        x = "accuracy-x",
        y = "accuracy-y",
    }
    HtmlProgressElement {
        progress = "accuracy-progress",
    }
    HtmlCanvasElement {
        canvas = "accuracy-canvas",
        prediction_canvas = "accuracy-prediction-canvas",
    }
    HtmlTemplateElement {
        toggle_template = "toggle-template",
    }
}
