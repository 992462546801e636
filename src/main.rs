//! The page's binary: on wasm32 it becomes the page or a worker, by the global scope it wakes up in.

#[cfg(target_arch = "wasm32")]
fn main() {
    quantscope::web::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!(
        "this binary is Quantscope's page and runs in a browser: see `make serve`; the native program is `quantscope`"
    );
    std::process::exit(2);
}
