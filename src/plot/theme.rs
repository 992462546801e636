//! Colours and the pixel scale of a chart.

/// A colour as 8-bit sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    /// The colour in the form CSS and SVG read, `#rrggbb`.
    pub fn hex(self) -> String {
        format!("#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }

    /// Contrast ratio against `other` by WCAG 2.2, 1 to 21.
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Relative luminance by WCAG 2.2, 0 to 1.
    fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { libm::pow((c + 0.055) / 1.055, 2.4) }
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }
}

/// Number of colours for series; later series start again with other markers.
pub const SERIES_COLOURS: usize = 8;

/// The colours and the font of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    /// Behind everything.
    pub background: Colour,
    /// Titles.
    pub text: Colour,
    /// Tick labels, axes, bounds and thresholds.
    pub muted: Colour,
    /// Grid lines.
    pub grid: Colour,
    /// The chosen operating point and the codebook.
    pub accent: Colour,
    /// Lines and markers, told apart with any colour vision and by their markers.
    pub series: [Colour; SERIES_COLOURS],
    /// Font families in the form CSS reads.
    pub font: String,
}

impl Theme {
    /// Dark on white.
    pub fn light() -> Self {
        Self {
            background: Colour(255, 255, 255),
            text: Colour(28, 32, 38),
            muted: Colour(98, 106, 116),
            grid: Colour(232, 235, 239),
            accent: Colour(198, 40, 86),
            series: [
                Colour(0, 108, 178),
                Colour(201, 84, 0),
                Colour(0, 132, 98),
                Colour(170, 68, 140),
                Colour(133, 106, 0),
                Colour(38, 146, 200),
                Colour(88, 82, 190),
                Colour(96, 98, 102),
            ],
            font: "system-ui, sans-serif".to_owned(),
        }
    }

    /// Light on near black.
    pub fn dark() -> Self {
        Self {
            background: Colour(20, 23, 28),
            text: Colour(232, 235, 240),
            muted: Colour(152, 160, 172),
            grid: Colour(41, 46, 54),
            accent: Colour(255, 122, 158),
            series: [
                Colour(86, 172, 240),
                Colour(240, 146, 72),
                Colour(56, 200, 154),
                Colour(222, 138, 202),
                Colour(222, 192, 74),
                Colour(148, 216, 240),
                Colour(160, 152, 244),
                Colour(178, 182, 188),
            ],
            font: "system-ui, sans-serif".to_owned(),
        }
    }

    /// The colour of the series in this slot; slots past the palette start it again.
    pub fn series_colour(&self, slot: usize) -> Colour {
        self.series[slot % SERIES_COLOURS]
    }
}

/// Device pixels per CSS pixel: multiplies every font, stroke, marker and margin.
///
/// A canvas is sharp when its backing store is its CSS size times this, and curves are smooth from 2 up, because
/// backends take whole pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale(f64);

impl Scale {
    /// The scale nearest to `ratio` that can be drawn with, 0.5 to 16; NaN gives 1.
    pub fn new(ratio: f64) -> Self {
        Self(if ratio.is_nan() { 1.0 } else { ratio.clamp(0.5, 16.0) })
    }

    /// `css` CSS pixels in device pixels.
    pub fn pixels(self, css: f64) -> f64 {
        css * self.0
    }

    /// A width of `css` CSS pixels in whole device pixels, at least one.
    pub fn whole(self, css: f64) -> f64 {
        self.pixels(css).round_ties_even().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_and_the_accent_stand_out_from_the_background() {
        for theme in [Theme::light(), Theme::dark()] {
            for colour in theme.series.iter().chain([&theme.accent]) {
                let contrast = colour.contrast(theme.background);
                assert!(contrast >= 3.0, "{} has contrast {contrast}", colour.hex());
            }
        }
    }

    #[test]
    fn text_is_readable() {
        for theme in [Theme::light(), Theme::dark()] {
            assert!(theme.text.contrast(theme.background) >= 7.0);
            assert!(theme.muted.contrast(theme.background) >= 4.5);
        }
    }

    #[test]
    fn contrast_of_black_on_white_is_21() {
        assert!((Colour(0, 0, 0).contrast(Colour(255, 255, 255)) - 21.0).abs() < 1e-9);
    }

    #[test]
    fn a_scale_is_never_unusable() {
        assert_eq!(Scale::new(f64::NAN).pixels(3.0), 3.0);
        assert_eq!(Scale::new(0.0).pixels(2.0), 1.0);
        assert_eq!(Scale::new(2.0).whole(1.25), 2.0);
        assert_eq!(Scale::new(1.0).whole(0.1), 1.0);
    }
}
