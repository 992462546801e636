//! Every element of index.html that the search for a number format speaks to.

use crate::web::elements::elements;
use web_sys::{
    HtmlButtonElement, HtmlCanvasElement, HtmlDetailsElement, HtmlElement, HtmlInputElement,
    HtmlProgressElement, HtmlSelectElement,
};

elements! {
    HtmlElement {
        section = "precision",
        stale = "precision-stale",
        partial = "precision-partial",
        formats_error = "precision-formats-error",
        keep_error = "precision-keep-error",
        samples_error = "precision-samples-error",
        job = "precision-job",
        job_title = "precision-job-title",
        said = "precision-said",
        results = "precision-results",
        plot = "precision-map",
        live = "precision-live",
        facts = "precision-facts",
        detail = "precision-detail",
        command = "precision-command",
        copied = "precision-copied",
        heading = "precision-heading",
        rows = "precision-rows",
    }
    HtmlDetailsElement {
        details = "precision-details",
    }
    HtmlInputElement {
        formats = "precision-formats",
        keep = "precision-keep",
        samples = "precision-samples",
    }
    HtmlSelectElement {
        preset = "precision-preset",
        rounded = "precision-rounded",
        search = "precision-search",
    }
    HtmlButtonElement {
        start = "precision-start",
        cancel = "precision-cancel",
        copy = "precision-copy",
        quantize = "precision-quantize",
        csv = "precision-csv",
        svg = "precision-svg",
    }
    HtmlProgressElement {
        progress = "precision-progress",
    }
    HtmlCanvasElement {
        canvas = "precision-canvas",
    }
}
