//! Canvases at the screen's resolution: the backing store is the size in CSS pixels times the device's pixel ratio, and at
//! least twice, since plotters' coordinates are whole pixels.

use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, Window};

/// A canvas whose backing store fits its size on screen.
#[derive(Debug, Clone)]
pub struct Sized {
    /// The canvas.
    pub canvas: HtmlCanvasElement,
    /// Backing pixels per CSS pixel.
    pub scale: f64,
}

/// Fits the backing store; `None` while the canvas has no size, or its size is none that could be drawn on.
pub fn fit(window: &Window, canvas: &HtmlCanvasElement) -> Option<Sized> {
    let (width, height) = (f64::from(canvas.client_width()), f64::from(canvas.client_height()));
    if width < 40.0 || height < 40.0 {
        return None;
    }
    let scale = libm::ceil(window.device_pixel_ratio().clamp(2.0, 4.0));
    let (w, h) = ((width * scale) as u32, (height * scale) as u32);
    if canvas.width() != w || canvas.height() != h {
        canvas.set_width(w);
        canvas.set_height(h);
    }
    Some(Sized { canvas: canvas.clone(), scale })
}

impl Sized {
    /// Makes every pixel transparent.
    pub fn clear(&self) {
        let context = self.canvas.get_context("2d").ok().flatten();
        if let Some(context) = context.and_then(|context| context.dyn_into::<CanvasRenderingContext2d>().ok())
        {
            context.clear_rect(0.0, 0.0, f64::from(self.canvas.width()), f64::from(self.canvas.height()));
        }
    }
}
