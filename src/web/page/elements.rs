//! Every element of index.html that the page speaks to, found once; what is missing is named at the start.

use wasm_bindgen::JsCast;
use web_sys::{
    Document, Element, HtmlButtonElement, HtmlCanvasElement, HtmlDialogElement, HtmlElement, HtmlFormElement,
    HtmlInputElement, HtmlProgressElement, HtmlSelectElement, HtmlTemplateElement,
};

/// An element of ours, or an exception that names it: a page without its parts cannot run.
fn find<T: JsCast>(document: &Document, id: &str) -> T {
    let element = document.get_element_by_id(id).unwrap_or_else(|| fail(document, id));
    element.dyn_into().unwrap_or_else(|_| fail(document, id))
}

fn fail(document: &Document, id: &str) -> ! {
    let sentence = format!("Quantscope could not start: index.html lacks #{id}, or it is of the wrong kind");
    if let Some(place) = document.get_element_by_id("loading") {
        place.set_text_content(Some(&sentence));
    }
    wasm_bindgen::throw_str(&sentence)
}

macro_rules! elements {
    ($($kind:ty { $($field:ident = $id:literal,)* })*) => {
        /// Handles by what they are for; the ids are those of index.html.
        #[derive(Debug)]
        #[allow(missing_docs)]
        pub struct Elements {
            $($(pub $field: $kind,)*)*
        }

        impl Elements {
            /// Finds them all.
            pub fn find(document: &Document) -> Self {
                Self { $($($field: find(document, $id),)*)* }
            }
        }
    };
}

elements! {
    HtmlDialogElement {
        purpose = "purpose",
    }
    HtmlElement {
        purpose_name = "purpose-name",
        skip = "skip",
        main = "main",
        file_summary = "file-summary",
        file_name = "file-name",
        file_facts = "file-facts",
        notice = "notice",
        notice_text = "notice-text",
        link_notice = "link-notice",
        link_notice_text = "link-notice-text",
        job = "job",
        job_title = "job-title",
        job_left = "job-left",
        announcer = "announcer",
        drop_veil = "drop-veil",
        figures = "figures-panel",
        figure_list = "figures",
        figure_bits = "figure-bits",
        figure_ratio = "figure-ratio",
        figure_ratio_label = "figure-ratio-label",
        figure_sqnr = "figure-sqnr",
        figure_sqnr_label = "figure-sqnr-label",
        figure_entropy = "figure-entropy",
        figure_formula = "figure-formula",
        figure_note = "figure-note",
        method_summary = "method-summary",
        method_parameters = "method-parameters",
        importance_fields = "importance-fields",
        importance_zone = "importance-zone",
        importance_name = "importance-name",
        importance_notes = "importance-notes",
        recipe_error = "recipe-error",
        target_fields = "target-fields",
        target_said = "target-said",
        method_toggles = "method-toggles",
        chart = "chart",
        chart_tooltip = "chart-tooltip",
        chart_empty = "chart-empty",
        chart_earlier = "chart-earlier",
        chart_live = "chart-live",
        chart_details = "chart-details",
        overlay_panel = "overlay-panel",
        overlay_caption = "overlay-caption",
        sensitivity = "sensitivity",
        sensitivity_plot = "sensitivity-plot",
        sensitivity_caption = "sensitivity-caption",
        sensitivity_details = "sensitivity-details",
        result = "result",
        result_title = "result-title",
        result_stale = "result-stale",
        result_facts = "result-facts",
        result_notes = "result-notes",
        verdict = "verdict",
        verdict_hash = "verdict-hash",
        run_verdict = "run-verdict",
        ledger_bar = "ledger-bar",
        ledger_bytes = "ledger-bytes",
        ledger_bits = "ledger-bits",
        tensor_count = "tensor-count",
        model_notes = "model-notes",
        archive_title = "archive-title",
        archive_facts = "archive-facts",
        archive_verdict = "archive-verdict",
        archive_bar = "archive-bar",
    }
    Element {
        chart_keys = "chart-keys",
        chart_gaps = "chart-gaps",
        chart_rows = "chart-rows",
        sensitivity_rows = "sensitivity-rows",
        ledger_rows = "ledger-rows",
        tensor_rows = "tensor-rows",
        tensor_table = "tensor-table",
        archive_ledger = "archive-ledger",
        archive_rows = "archive-rows",
    }
    HtmlButtonElement {
        open_button = "open-button",
        copy_link = "copy-link",
        theme_button = "theme-button",
        notice_close = "notice-close",
        link_notice_close = "link-notice-close",
        job_cancel = "job-cancel",
        choose_button = "choose-button",
        compress_button = "compress-button",
        run_button = "run-button",
        importance_button = "importance-button",
        target_find = "target-find",
        chart_svg = "chart-svg",
        chart_csv = "chart-csv",
        overlay_svg = "overlay-svg",
        sensitivity_csv = "sensitivity-csv",
        download_qsz = "download-qsz",
        download_safetensors = "download-safetensors",
        download_npz = "download-npz",
        download_onnx = "download-onnx",
        download_recipe = "download-recipe",
        tensor_more = "tensor-more",
        archive_verify = "archive-verify",
        archive_safetensors = "archive-safetensors",
        archive_npz = "archive-npz",
        archive_onnx = "archive-onnx",
        archive_recipe = "archive-recipe",
        archive_back = "archive-back",
    }
    HtmlInputElement {
        file_input = "file-input",
        importance_input = "importance-input",
        target_amount = "target-amount",
        target_all = "target-all",
        overlay_log = "overlay-log",
        tensor_filter = "tensor-filter",
    }
    HtmlSelectElement {
        target_kind = "target-kind",
        chart_rate = "chart-rate",
        chart_quality = "chart-quality",
        overlay_tensor = "overlay-tensor",
        sensitivity_show = "sensitivity-show",
    }
    HtmlFormElement {
        recipe_form = "recipe-form",
        target_form = "target-form",
    }
    HtmlProgressElement {
        job_progress = "job-progress",
    }
    HtmlCanvasElement {
        chart_canvas = "chart-canvas",
        chart_hover = "chart-hover",
        overlay_canvas = "overlay-canvas",
        sensitivity_canvas = "sensitivity-canvas",
    }
    HtmlTemplateElement {
        tensor_row_template = "tensor-row-template",
        slider_template = "slider-template",
        select_template = "select-template",
        toggle_template = "toggle-template",
        key_template = "key-template",
    }
}
