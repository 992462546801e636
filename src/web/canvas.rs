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
    /// Width in CSS pixels.
    pub width: f64,
    /// Height in CSS pixels.
    pub height: f64,
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
    Some(Sized { canvas: canvas.clone(), scale, width, height })
}

impl Sized {
    /// The drawing context, cleared.
    pub fn cleared(&self) -> Option<CanvasRenderingContext2d> {
        let context: CanvasRenderingContext2d = self.canvas.get_context("2d").ok().flatten()?.dyn_into().ok()?;
        context.clear_rect(0.0, 0.0, f64::from(self.canvas.width()), f64::from(self.canvas.height()));
        Some(context)
    }
}
