//! Charts, drawn with any plotters backend: a canvas on the page, SVG for export and for native tests.
//!
//! A chart is a plain struct. Drawing it returns the [`Frame`] it was drawn in, which maps between data and pixels, so
//! hover and keyboard find points without asking the picture. There is no legend on a canvas (the page has one in
//! HTML); SVG files carry their own. Nothing here measures text or knows a browser.
//!
//! Sizes and coordinates are device pixels; [`Scale`] says how many make a CSS pixel.
//!
//! ```
//! use quantscope::plot::{self, Marker, RateDistortion, Series, Theme};
//!
//! let chart = RateDistortion {
//!     series: vec![Series {
//!         title: "k-means".into(),
//!         points: vec![(1.0, 4.4), (2.0, 9.3), (3.0, 14.6)],
//!         marker: Marker::Circle,
//!         ..Series::default()
//!     }],
//!     x_title: "bits per weight".into(),
//!     y_title: "SQNR, dB".into(),
//!     ..RateDistortion::default()
//! };
//! let svg = plot::svg::rate_distortion(&chart, "LeNet", (720, 480), &Theme::light())?;
//! assert!(svg.contains("k-means") && svg.contains("SQNR, dB"));
//! # Ok::<(), plot::PlotError>(())
//! ```

#[cfg(feature = "network")]
mod accuracy;
mod axes;
mod frame;
mod hardware;
mod histogram;
mod marker;
#[cfg(feature = "network")]
mod precision_map;
mod rate_distortion;
mod scene;
mod sensitivity;
mod spans;
pub mod svg;
mod theme;
mod ticks;

#[cfg(feature = "network")]
pub use accuracy::{Accuracy, Measured, MeasuredSeries, mark_dominated};
pub use frame::{Frame, Spacing};
pub use histogram::Histogram;
pub use marker::{MARKERS, Marker};
#[cfg(feature = "network")]
pub use precision_map::{MapFrame, MapPoint, PrecisionMap};
pub use rate_distortion::{Line, RateDistortion, Series};
pub use sensitivity::{Bar, Sensitivity};
pub use spans::{Span, SpanRow, Spans};
pub use theme::{Colour, SERIES_COLOURS, Scale, Theme};

use plotters::prelude::DrawingBackend;
use scene::Scene;

/// Why a chart was not drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// There is no room for a data area beside the labels; a hidden canvas, for one.
    #[error("a chart needs more room than {width} by {height} pixels")]
    TooSmall {
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
    },
    /// The picture asked for is larger than any use of it.
    #[error("a chart of {width} by {height} pixels was asked for, the limit is {limit} on a side")]
    TooLarge {
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
        /// Largest width and height.
        limit: u32,
    },
    /// The backend could not draw.
    #[error("the drawing backend failed: {reason}")]
    Backend {
        /// What the backend said.
        reason: String,
    },
}

/// Draws a rate-distortion chart over the whole of `backend`.
pub fn rate_distortion<B: DrawingBackend>(
    backend: &mut B,
    chart: &RateDistortion,
    theme: &Theme,
    scale: Scale,
) -> Result<Frame, PlotError> {
    let (scene, frame) = rate_distortion::layout(chart, backend.get_size(), 0.0, theme, scale)?;
    scene.paint(backend, &theme.font, 1.0)?;
    Ok(frame)
}

/// Draws a chart of measured points over the whole of `backend`.
#[cfg(feature = "network")]
pub fn accuracy<B: DrawingBackend>(
    backend: &mut B,
    chart: &Accuracy,
    theme: &Theme,
    scale: Scale,
) -> Result<Frame, PlotError> {
    let (scene, frame) = accuracy::layout(chart, backend.get_size(), 0.0, theme, scale)?;
    scene.paint(backend, &theme.font, 1.0)?;
    Ok(frame)
}

/// Draws a map of number formats over the whole of `backend`.
#[cfg(feature = "network")]
pub fn precision_map<B: DrawingBackend>(
    backend: &mut B,
    map: &PrecisionMap,
    theme: &Theme,
    scale: Scale,
) -> Result<MapFrame, PlotError> {
    let (scene, frame) = precision_map::layout(map, backend.get_size(), 0.0, theme, scale)?;
    scene.paint(backend, &theme.font, 1.0)?;
    Ok(frame)
}

/// Draws only the mark on one point of a chart, for a transparent layer above the chart drawn in `frame`.
///
/// The layer is not cleared first. Nothing is drawn if `at` (series, point) names no drawable point.
pub fn highlight<B: DrawingBackend>(
    backend: &mut B,
    frame: &Frame,
    chart: &RateDistortion,
    at: (usize, usize),
    theme: &Theme,
    scale: Scale,
) -> Result<(), PlotError> {
    let mut scene = Scene::default();
    rate_distortion::highlight(&mut scene, frame, chart, at, theme, scale);
    scene.paint(backend, &theme.font, 1.0)
}

/// Draws a histogram with its codebook over the whole of `backend`.
pub fn histogram<B: DrawingBackend>(
    backend: &mut B,
    chart: &Histogram,
    theme: &Theme,
    scale: Scale,
) -> Result<Frame, PlotError> {
    let (scene, frame) = histogram::layout(chart, backend.get_size(), 0.0, theme, scale)?;
    scene.paint(backend, &theme.font, 1.0)?;
    Ok(frame)
}

/// Draws tensors as bars over the whole of `backend`; returns how many found room.
pub fn sensitivity<B: DrawingBackend>(
    backend: &mut B,
    chart: &Sensitivity,
    theme: &Theme,
    scale: Scale,
) -> Result<usize, PlotError> {
    let (scene, shown) = sensitivity::layout(chart, backend.get_size(), 0.0, theme, scale)?;
    scene.paint(backend, &theme.font, 1.0)?;
    Ok(shown)
}

/// Draws rows of spans over the whole of `backend`; returns how many rows found room.
pub fn spans<B: DrawingBackend>(
    backend: &mut B,
    chart: &Spans,
    theme: &Theme,
    scale: Scale,
) -> Result<usize, PlotError> {
    let (scene, shown) = spans::layout(chart, backend.get_size(), 0.0, theme, scale)?;
    scene.paint(backend, &theme.font, 1.0)?;
    Ok(shown)
}
