//! Every element of index.html that the hardware model speaks to.

use crate::web::elements::elements;
use web_sys::{
    HtmlButtonElement, HtmlCanvasElement, HtmlDetailsElement, HtmlElement, HtmlInputElement,
    HtmlSelectElement,
};

elements! {
    HtmlElement {
        section = "cost",
        stale = "cost-stale",
        format_error = "cost-format-error",
        activations_error = "cost-activations-error",
        accumulator_error = "cost-accumulator-error",
        batch_error = "cost-batch-error",
        said = "cost-said",
        results = "cost-results",
        rows = "cost-rows",
        parts_plot = "cost-parts",
        layers_rows = "cost-layers-rows",
        layers_total = "cost-layers-total",
        tornado_title = "cost-tornado-title",
        tornado_plot = "cost-tornado",
        tornado_rows = "cost-tornado-rows",
        constants_summary = "cost-constants-summary",
        constants_rows = "cost-constants-rows",
        command = "cost-command",
    }
    HtmlDetailsElement {
        constants = "cost-constants",
    }
    HtmlInputElement {
        format = "cost-format",
        activations = "cost-activations",
        accumulator = "cost-accumulator",
        batch = "cost-batch",
    }
    HtmlSelectElement {
        technology = "cost-technology",
        storage = "cost-storage",
        of = "cost-of",
        quantity = "cost-quantity",
    }
    HtmlButtonElement {
        count = "cost-count",
        csv = "cost-csv",
        parts_svg = "cost-parts-svg",
        tornado_svg = "cost-tornado-svg",
        reset = "cost-reset",
    }
    HtmlCanvasElement {
        parts_canvas = "cost-parts-canvas",
        tornado_canvas = "cost-tornado-canvas",
    }
}
