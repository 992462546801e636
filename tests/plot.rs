//! Charts through the public interface: what is in the SVG, and where.
#![allow(clippy::unwrap_used)]

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use plotters_svg::SVGBackend;
use quantscope::engine::report::TensorSensitivity;
use quantscope::plot::{
    self, Histogram, Line, Marker, RateDistortion, Scale, Sensitivity, Series, Spans, Theme,
};

fn rate_distortion() -> RateDistortion {
    let curve = |offset: f64| (1..=8).map(|b| (f64::from(b), 6.02 * f64::from(b) - offset)).collect();
    RateDistortion {
        series: vec![
            Series {
                title: "k-means".into(),
                points: curve(4.0),
                marker: Marker::Circle,
                colour: 0,
                preview: false,
            },
            Series {
                title: "ECSQ <exact>".into(),
                points: curve(1.5),
                marker: Marker::Square,
                colour: 1,
                preview: true,
            },
        ],
        bounds: vec![Line { title: "Shannon bound, Laplace".into(), points: curve(0.2) }],
        x_title: "bits per weight".into(),
        y_title: "SQNR, dB".into(),
        current: Some((3.0, 6.02 * 3.0 - 1.5)),
        highlighted: None,
        earlier: Vec::new(),
    }
}

fn histogram(levels: usize) -> Histogram {
    let step = 2.0 / levels as f64;
    Histogram {
        start: -1.0,
        width: 0.02,
        bins: (0..100).map(|i| f64::from(50 - (i - 50_i32).abs())).collect(),
        levels: (0..levels).map(|i| (-1.0 + step * (i as f64 + 0.5), 1.0 / levels as f64)).collect(),
        thresholds: (1..levels).map(|i| -1.0 + step * i as f64).collect(),
        x_title: "weight".into(),
        y_title: "weights per bin".into(),
        log_counts: true,
    }
}

fn sensitivities(tensors: usize) -> Vec<TensorSensitivity> {
    let row = |i: usize| TensorSensitivity {
        name: format!("layers.{i}.<weight>"),
        error_share: 0.5 / (i + 1) as f64,
        bit_share: 0.1,
        slope_ratio: (i != 2).then(|| 4.0 / (i * i + 1) as f64),
        ..TensorSensitivity::default()
    };
    (0..tensors).map(row).collect()
}

#[test]
fn tensors_are_bars_with_names_and_values() {
    let rows = sensitivities(3);
    let shares =
        plot::svg::sensitivity(&Sensitivity::of_shares(&rows), "LeNet", (900, 220), &Theme::light()).unwrap();
    for text in
        ["layers.0.&lt;weight&gt;", "50.0 %", "share of the distortion", "share of the bits", "share, %"]
    {
        assert!(shares.contains(text), "{text} is missing");
    }
    let slopes =
        plot::svg::sensitivity(&Sensitivity::of_slopes(&rows), "LeNet", (900, 220), &Theme::dark()).unwrap();
    for text in ["4.00×", "2.00×", "layers.2.&lt;weight&gt;: none.", "could be coarser"] {
        assert!(slopes.contains(text), "{text} is missing");
    }
    let mut svg = String::new();
    let mut backend = SVGBackend::with_string(&mut svg, (640, 200));
    let many = Sensitivity::of_shares(&sensitivities(200));
    let shown = plot::sensitivity(&mut backend, &many, &Theme::light(), Scale::new(1.0)).unwrap();
    drop(backend);
    assert!(shown < 10 && svg.contains(&format!("and {} more", 200 - shown)));
}

#[test]
fn energies_are_stacked_with_their_parts_and_totals() {
    use quantscope::cost::{Bill, Constants, Design, Layer, Quantity, Workload, tornado};
    let workload = Workload { layers: vec![Layer::dense("fc", 500, 100)] };
    let constants = Constants::default();
    let bills = Design::baselines().map(|design| Bill::of(&workload, &design, &constants).unwrap());
    let svg = plot::svg::spans(&Spans::of_bills(&bills), "LeNet", (900, 260), &Theme::light()).unwrap();
    for text in ["fp16", "multiply", "activations", "energy of an inference, µJ"] {
        assert!(svg.contains(text), "{text} is missing");
    }
    let swings = tornado(&workload, &Design::fp32(), &constants, Quantity::Time).unwrap();
    let chart = Spans::of_tornado(&swings, Quantity::Time);
    let svg = plot::svg::spans(&chart, "LeNet", (900, 260), &Theme::dark()).unwrap();
    assert!(svg.contains("bandwidth, DRAM") && svg.contains("with half the constant"));
}

#[test]
fn circles_of_a_drawn_chart_are_where_its_frame_says() {
    let chart = rate_distortion();
    let mut svg = String::new();
    let frame = {
        let mut backend = SVGBackend::with_string(&mut svg, (1440, 960));
        plot::rate_distortion(&mut backend, &chart, &Theme::light(), Scale::new(2.0)).unwrap()
    };
    for &(x, y) in &chart.series[0].points {
        let (px, py) = frame.to_pixels(x, y);
        let centre = format!("cx=\"{}\" cy=\"{}\"", px.round_ties_even(), py.round_ties_even());
        assert!(svg.contains(&centre), "no circle at {centre}");
        assert_eq!(chart.nearest(&frame, (px + 3.0, py - 3.0), 20.0).map(|at| at.0), Some(0));
    }
}

#[test]
fn titles_ticks_and_legend_are_in_the_file() {
    let svg =
        plot::svg::rate_distortion(&rate_distortion(), "LeNet & co", (720, 480), &Theme::dark()).unwrap();
    let texts = [
        "LeNet &amp; co",
        "k-means",
        "ECSQ &lt;exact&gt;",
        "Shannon bound, Laplace",
        "bits per weight",
        "SQNR, dB",
    ];
    for text in texts {
        assert!(svg.contains(text), "{text} is missing");
    }
    assert!(svg.contains(">\n8\n</text>") && svg.contains(">\n40\n</text>"));
    assert!(svg.contains(
        "<desc id=\"description\">SQNR, dB against bits per weight. k-means: 8 points from (1.000, 2.020)"
    ));
    assert!(svg.contains("viewBox=\"0 0 7200 4800\"") && svg.contains("width=\"720\""));
}

#[test]
fn the_same_chart_is_the_same_file() {
    let draw = || plot::svg::rate_distortion(&rate_distortion(), "t", (720, 480), &Theme::light()).unwrap();
    assert_eq!(draw(), draw());
    let draw = || plot::svg::histogram(&histogram(16), "t", (720, 300), &Theme::light()).unwrap();
    assert_eq!(draw(), draw());
}

#[test]
fn every_file_is_one_balanced_element() {
    let hostile = Histogram { x_title: "a\u{0}b\u{1b}<script>".into(), ..histogram(2) };
    let files = [
        plot::svg::rate_distortion(&rate_distortion(), "", (320, 240), &Theme::light()).unwrap(),
        plot::svg::rate_distortion(&RateDistortion::default(), "empty", (320, 240), &Theme::light()).unwrap(),
        plot::svg::histogram(&histogram(2), "two", (720, 300), &Theme::light()).unwrap(),
        plot::svg::histogram(&histogram(256), "many", (720, 300), &Theme::dark()).unwrap(),
        plot::svg::sensitivity(&Sensitivity::default(), "no tensor", (320, 240), &Theme::dark()).unwrap(),
        plot::svg::sensitivity(&Sensitivity::of_slopes(&sensitivities(90)), "", (360, 240), &Theme::dark())
            .unwrap(),
        plot::svg::spans(&Spans::default(), "no row", (320, 240), &Theme::light()).unwrap(),
        plot::svg::histogram(&hostile, "h\u{7}", (720, 300), &Theme::dark()).unwrap(),
    ];
    for svg in files {
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<svg").count(), 1);
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("<script"));
        assert!(svg.chars().all(|c| !c.is_control() || c == '\n'));
    }
}

#[test]
fn points_that_are_not_finite_do_not_change_the_picture() {
    let clean = rate_distortion();
    let mut noisy = clean.clone();
    noisy.series[0].points.insert(3, (f64::NAN, 1.0));
    noisy.series[1].points.push((f64::INFINITY, f64::NEG_INFINITY));
    noisy.bounds[0].points.insert(0, (1.0, f64::NAN));
    let draw = |chart| plot::svg::rate_distortion(chart, "t", (720, 480), &Theme::light()).unwrap();
    assert_eq!(draw(&noisy), draw(&clean));
}

#[test]
fn a_highlight_is_drawn_alone() {
    let chart = rate_distortion();
    let (theme, scale) = (Theme::light(), Scale::new(1.0));
    let mut below = String::new();
    let frame =
        plot::rate_distortion(&mut SVGBackend::with_string(&mut below, (720, 480)), &chart, &theme, scale)
            .unwrap();
    let draw = |at| {
        let mut layer = String::new();
        plot::highlight(
            &mut SVGBackend::with_string(&mut layer, (720, 480)),
            &frame,
            &chart,
            at,
            &theme,
            scale,
        )
        .unwrap();
        layer
    };
    let (px, py) = frame.to_pixels(2.0, 6.02 * 2.0 - 4.0);
    assert!(draw((0, 1)).contains(&format!(
        "cx=\"{}\" cy=\"{}\"",
        px.round_ties_even(),
        py.round_ties_even()
    )));
    assert!(!draw((0, 1)).contains("<text"));
    assert_eq!(draw((7, 1)).lines().count(), 2);
}

#[test]
fn pictures_without_room_or_without_bounds_are_refused() {
    let small = plot::svg::histogram(&histogram(4), "t", (60, 40), &Theme::light()).unwrap_err();
    assert_eq!(small.to_string(), "a chart needs more room than 60 by 40 pixels");
    let large = plot::svg::histogram(&histogram(4), "t", (u32::MAX, 40), &Theme::light()).unwrap_err();
    assert!(large.to_string().ends_with("the limit is 20000 on a side"));
}

#[cfg(feature = "network")]
fn formats(measured: usize) -> plot::PrecisionMap {
    let point = |i: usize| plot::MapPoint {
        family: if i.is_multiple_of(2) { "floating point eNmN" } else { "integers <intN>" }.into(),
        axes: if i.is_multiple_of(2) { ("exponent bits", "mantissa bits") } else { ("bits", "") },
        place: if i.is_multiple_of(2) { (i as u32 % 6, i as u32 / 6) } else { (i as u32 / 2, 0) },
        is_listed: false,
        share: if i < measured { i as f64 / 40.0 } else { f64::NAN },
        is_partial: i.is_multiple_of(4),
        reaches: i > 30 && i < measured,
    };
    let choices = vec![("exhaustive: e3m4".into(), 32), ("efficient: e3m5".into(), 34)];
    plot::PrecisionMap { points: (0..40).map(point).collect(), choices, target: "99%".into(), chosen: None }
}

#[cfg(feature = "network")]
#[test]
fn formats_are_cells_of_a_map_with_a_panel_for_each_family() {
    let draw = |map| plot::svg::precision_map(&map, "LeNet & co", 720, &Theme::dark()).unwrap();
    let svg = draw(formats(40));
    for text in [
        "LeNet &amp; co",
        "floating point eNmN",
        "integers &lt;intN&gt;",
        "mantissa bits",
        "of float32’s accuracy",
        "some samples seen",
        "reaches 99%",
        "exhaustive: e3m4",
        "40 number formats, 40 measured, 9 reach 99% or may still. exhaustive: e3m4: floating point eNmN, 2 exponent bits, 5 mantissa bits.",
    ] {
        assert!(svg.contains(text), "{text} is missing");
    }
    assert_eq!(svg, draw(formats(40)));
    assert!(draw(formats(0)).contains("40 number formats, 0 measured, 0 reach 99% or may still."));
    for map in [formats(40), formats(0), plot::PrecisionMap::default()] {
        let svg = plot::svg::precision_map(&map, "", 320, &Theme::light()).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    }
    let small = plot::svg::precision_map(&formats(40), "t", 60, &Theme::light()).unwrap_err();
    assert!(small.to_string().starts_with("a chart needs more room than 60 by "));
}
