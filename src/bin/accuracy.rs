//! The page's second binary: accuracy, loaded when it is first asked for; its panel or one of its workers.

#[cfg(target_arch = "wasm32")]
fn main() {
    quantscope::web::accuracy::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("this binary is a part of Quantscope's page and runs in a browser: see `make serve`");
    std::process::exit(2);
}
