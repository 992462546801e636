//! The native program as its users run it.
#![cfg(all(not(target_arch = "wasm32"), feature = "cli"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::PathBuf;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quantscope")).args(arguments).output().unwrap()
}

fn path(name: &str) -> String {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name).display().to_string()
}

fn model(name: &str) -> String {
    let path = path(name);
    std::fs::write(&path, support::small_model()).unwrap();
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn succeeds(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The exit code and the one sentence on standard error.
fn fails(arguments: &[&str]) -> (i32, String) {
    let output = run(arguments);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    (output.status.code().unwrap(), stderr.trim_end().to_owned())
}

#[test]
fn inspect_lists_every_tensor() {
    let model = model("cli_inspect.safetensors");
    let table = succeeds(&["inspect", &model]);
    for name in ["conv1.weight", "conv1.bias", "fc1.weight", "fc2.weight", "steps", "empty", "scale"] {
        assert!(table.contains(name), "{table}");
    }
    let json: serde_json::Value = serde_json::from_str(&succeeds(&["inspect", &model, "--json"])).unwrap();
    assert_eq!(json["tensors"].as_array().unwrap().len(), 7);
    assert_eq!(json["tensors"][0]["shape"], serde_json::json!([8, 3, 3, 3]));
    assert_eq!(json["format"], "safetensors");
}

#[test]
fn what_is_kept_whole_is_said_to_have_no_error() {
    let model = model("cli_kept.safetensors");
    let said = succeeds(&["compress", &model, "-o", &path("cli_kept.qsz"), "--exclude", "*"]);
    assert!(said.contains("bit-identical to the quantizer's output; no error in any weight"), "{said}");
    assert!(!said.contains("inf") && !said.contains("NaN"), "{said}");
}

#[test]
fn compress_decode_verify_and_compress_again_by_the_files_own_recipe() {
    let model = model("cli_compress.safetensors");
    let (qsz, out, npz) = (path("cli.qsz"), path("cli_decoded.safetensors"), path("cli_decoded.npz"));
    let said = succeeds(&["compress", &model, "-o", &qsz, "--method", "kmeans", "--k", "16", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["verification"]["mismatches"], 0);
    assert_eq!(json["outcome"]["file_bytes"], std::fs::metadata(&qsz).unwrap().len());
    succeeds(&["decode", &qsz, "-o", &out]);
    succeeds(&["decode", &qsz, "-o", &npz]);
    succeeds(&["verify", &qsz]);
    succeeds(&["verify", &qsz, "--source", &model]);
    let listed: serde_json::Value = serde_json::from_str(&succeeds(&["inspect", &out, "--json"])).unwrap();
    assert_eq!(listed["tensors"].as_array().unwrap().len(), 7);
    let from_npz: serde_json::Value = serde_json::from_str(&succeeds(&["inspect", &npz, "--json"])).unwrap();
    assert_eq!(from_npz["tensors"].as_array().unwrap().len(), 7);
    let recipe = succeeds(&["recipe", &qsz]);
    let again = path("cli_again.qsz");
    succeeds(&["compress", &model, "-o", &again, "--recipe", recipe.trim(), "--jobs", "3"]);
    assert!(std::fs::read(&qsz).unwrap() == std::fs::read(&again).unwrap());
}

#[test]
fn a_recipe_goes_through_json_and_back() {
    let file = path("cli_recipe.json");
    let json = succeeds(&["recipe", "--method", "ecsq", "--lambda", "0.2", "--scope", "all", "--json"]);
    std::fs::write(&file, &json).unwrap();
    assert_eq!(succeeds(&["recipe", &file]).trim(), "method=ecsq&lambda=0.2&scope=all");
}

#[test]
fn sweep_writes_csv_json_and_a_chart() {
    let model = model("cli_sweep.safetensors");
    let svg = path("cli_sweep.svg");
    let csv = succeeds(&["sweep", &model, "--methods", "uniform,kmeans", "--points", "5", "--svg", &svg]);
    assert!(csv.starts_with("method,parameter,value,"));
    assert_eq!(csv.lines().filter(|l| l.starts_with("uniform,step,")).count(), 5);
    assert_eq!(csv.lines().filter(|l| l.starts_with("kmeans,k,")).count(), 5);
    assert!(std::fs::read_to_string(&svg).unwrap().contains("</svg>"));
    let json: serde_json::Value =
        serde_json::from_str(&succeeds(&["sweep", &model, "--methods", "lloyd", "--points", "3", "--json"]))
            .unwrap();
    assert_eq!(json["curves"][0]["points"].as_array().unwrap().len(), 3);
}

#[test]
fn timings_have_a_row_for_every_method_with_every_coder() {
    let model = model("cli_timings.safetensors");
    let json: serde_json::Value = serde_json::from_str(&succeeds(&[
        "sweep",
        &model,
        "--timings",
        "--methods",
        "uniform,trellis",
        "--json",
    ]))
    .unwrap();
    let rows = json["timings"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row["compress_seconds"].as_f64().unwrap() > 0.0));
    assert!(json["machine"].as_str().unwrap().contains("threads used"));
}

#[test]
fn a_search_for_a_number_format_finds_the_same_in_full_early_and_by_foretelling() {
    let sample = |name: &str| format!("{}/www/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    let (network, data, csv) = (sample("lstm.onnx"), sample("digits-8.npz"), path("cli_precision.csv"));
    let search = |more: &[&str]| -> serde_json::Value {
        let family =
            ["precision", &network, "--data", &data, "--samples", "150", "--family", "m1..6e3..5", "--json"];
        serde_json::from_str(&succeeds(&[&family[..], more].concat())).unwrap()
    };
    let both = search(&["-o", &csv]);
    let full = search(&["--search", "exhaustive", "--full"]);
    let choices = |found: &serde_json::Value| -> Vec<String> {
        let searches = found["searches"].as_array().unwrap().iter();
        searches.map(|search| search["choice"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(choices(&both), ["m3e4", "m3e4"]);
    assert_eq!(choices(&full), ["m3e4"]);
    assert_eq!(full["searches"][0]["runs"], 18 * 150);
    assert!(both["searches"][0]["runs"].as_u64().unwrap() < 1800);
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), 19);
    let one_thread = search(&["--jobs", "1"]);
    assert_eq!(one_thread["formats"], both["formats"]);
}

#[test]
fn blocks_are_searched_measured_and_drawn_as_other_formats_are() {
    let sample = |name: &str| format!("{}/www/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    let (network, data) = (sample("lstm.onnx"), sample("digits-8.npz"));
    let (csv, svg) = (path("cli_blocks.csv"), path("cli_blocks.svg"));
    let given = [
        "precision",
        &network,
        "--data",
        &data,
        "--samples",
        "100",
        "--family",
        "int2..6-g16..64",
        "--mixed",
    ];
    let found: serde_json::Value =
        serde_json::from_str(&succeeds(&[&given[..], &["-o", &csv, "--svg", &svg, "--json"]].concat()))
            .unwrap();
    let choice = found["searches"][0]["choice"].as_str().unwrap();
    let bits = |search: usize| {
        let choice = &found["searches"][search]["choice"];
        let formats = found["formats"].as_array().unwrap();
        formats.iter().find(|format| format["name"] == *choice).unwrap()["bits"].as_f64().unwrap()
    };
    assert!((0.0..1.0).contains(&(bits(1) - bits(0))), "{choice}: {} {}", bits(0), bits(1));
    assert!(found["mixed"]["mean_bits"].as_f64().unwrap() > 2.0);
    let text = std::fs::read_to_string(&csv).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().contains(",underflowed,blocks,padding,fate,"));
    assert!(lines.next().unwrap().starts_with("int2-g64,2.25,") && text.lines().count() == 16);
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert!(drawn.contains("integers intN-gN, scales f16") && drawn.contains("numbers to a scale"));
    let measured: serde_json::Value = serde_json::from_str(&succeeds(&[
        "accuracy",
        &network,
        "--data",
        &data,
        "--samples",
        "100",
        "--run-as",
        choice,
        "--json",
    ]))
    .unwrap();
    assert_eq!(
        (measured["numbers"]["weights"].as_str(), measured["numbers"]["accumulator"].as_str()),
        (Some(choice), Some("float32"))
    );
    let sums = "the accumulator: expected a format of single numbers, since sums share no scales, found ";
    assert!(
        fails(&[&given[..], &["--accumulator-as", "searched"]].concat())
            .1
            .contains(&format!("{sums}int2-g16"))
    );
    let refused = fails(&["accuracy", &network, "--data", &data, "--accumulator-as", "mxfp4"]).1;
    assert!(refused.contains(&format!("{sums}mxfp4")), "{refused}");
}

#[test]
fn wrong_spaces_and_targets_of_a_search_are_named() {
    let sample = |name: &str| format!("{}/www/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    let (network, data) = (sample("lstm.onnx"), sample("digits-8.npz"));
    let search = |more: &[&str]| fails(&[&["precision", &network, "--data", &data], more].concat()).1;
    assert!(search(&["--family", "m30e4"]).contains("mantissa bits: expected 0 to 23, found 30"));
    assert!(search(&["--keep", "120%"]).contains("keep: expected a share such as 0.99 or 99%, found 120%"));
    assert!(search(&["--weights-as", "nothing"]).contains("weights-as: a number format: expected one of"));
    let few = search(&["--family", "int8", "--samples", "600", "--calibration", "600"]);
    assert!(few.contains("expected more than the 600 samples that tell ranges, found 600"), "{few}");
}

#[test]
fn a_sweep_that_is_written_to_a_file_says_how_far_its_curves_are_from_what_is_possible() {
    let (model, csv) = (path("cli_gaps.safetensors"), path("cli_gaps.csv"));
    let mut random = support::Random(21);
    let values: Vec<f32> = (0..20_000).map(|_| random.laplace(0.05)).collect();
    std::fs::write(&model, support::safetensors(&[("w", "F32", &[20_000], support::f32_bytes(&values))]))
        .unwrap();
    let said = succeeds(&["sweep", &model, "--methods", "uniform,lloyd", "-o", &csv]);
    assert!(said.contains("Uniform: ") && said.contains("bit above the Shannon bound at "), "{said}");
    assert!(said.contains("k-means (Lloyd): ") && said.contains("dB from the exact optimum"), "{said}");
    let header = std::fs::read_to_string(&csv).unwrap().lines().next().unwrap().to_owned();
    assert!(header.ends_with(",optimal,gap_to_optimum_db,gap_to_shannon_bits"), "{header}");
}

#[test]
fn sensitivity_lists_every_quantized_tensor_by_its_share_of_the_distortion() {
    let model = model("cli_sensitivity.safetensors");
    let (csv, svg) = (path("cli_sensitivity.csv"), path("cli_sensitivity.svg"));
    let arguments = ["sensitivity", &model, "--step", "0.5", "--include", "*", "-o", &csv, "--svg", &svg];
    let table = succeeds(&arguments);
    let json: serde_json::Value =
        serde_json::from_str(&succeeds(&[&arguments[..], &["--json"]].concat())).unwrap();
    let rows = json["tensors"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    let written = std::fs::read_to_string(&csv).unwrap();
    for (row, line) in rows.iter().zip(written.lines().skip(1)) {
        let name = row["name"].as_str().unwrap();
        assert!(table.contains(name) && line.starts_with(&format!("\"{name}\",")), "{table}");
    }
    assert!(table.contains("of the distortion with"), "{table}");
    assert!(std::fs::read_to_string(&svg).unwrap().contains("share of the distortion"));
    succeeds(&["sensitivity", &model, "--svg", &svg, "--chart", "slope"]);
    assert!(std::fs::read_to_string(&svg).unwrap().contains("deserves a finer step"));
    assert_eq!(fails(&["sensitivity", &model, "--step", "0"]).0, 2);
}

#[test]
fn cost_says_arithmetic_alone_and_the_whole_system_beside_three_baselines() {
    let network = format!("{}/www/samples/lenet.onnx", env!("CARGO_MANIFEST_DIR"));
    let (qsz, csv, svg) = (path("cli_cost.qsz"), path("cli_cost.csv"), path("cli_cost.svg"));
    let asked = ["cost", &network, "--format", "m7e6,int8", "--layers", "--csv", &csv, "--svg", &svg];
    let said = succeeds(&asked);
    for text in
        ["a model, no measurement", "fp16", "m7e6, padded", "Hill's law           m7e6", "made-up inputs"]
    {
        assert!(said.contains(text), "{text} is missing: {said}");
    }
    let rows = std::fs::read_to_string(&csv).unwrap();
    assert!(rows.lines().any(|row| row.starts_with("int8,,,")), "{rows}");
    assert!(std::fs::read_to_string(&svg).unwrap().contains("multiply"));
    let tornado = ["cost", &network, "--tornado", "time", "--constant", "dram_bandwidth=1", "--json"];
    let json: serde_json::Value = serde_json::from_str(&succeeds(&tornado)).unwrap();
    assert_eq!(json["tornado"]["swings"][0]["key"], "DramBandwidth");
    assert_eq!(json["constants"], "cost.dram_bandwidth=1");
    succeeds(&["compress", &network, "-o", &qsz, "--step", "0.5", "--no-check"]);
    let json: serde_json::Value =
        serde_json::from_str(&succeeds(&["cost", &network, "--qsz", &qsz, "--json"])).unwrap();
    let bills = json["bills"].as_array().unwrap();
    assert!(bills[3]["weight_bits"].as_f64().unwrap() < bills[0]["weight_bits"].as_f64().unwrap() / 4.0);
    assert!(bills[3]["energy"]["decode"].as_f64().unwrap() > 0.0);
    // A line of a recipe or the page's link says formats, batch, storage and constants at once.
    let link = "http://localhost/#method=uniform&cost.format=int4&cost.activations=fp16&cost.batch=8&cost.technology=45&cost.dram=640&hash=77";
    let asked = ["cost", &network, "--recipe", link, "--qsz", &qsz, "--json"];
    let json: serde_json::Value = serde_json::from_str(&succeeds(&asked)).unwrap();
    assert_eq!(json["constants"], "cost.technology=45&cost.dram=640");
    let names: Vec<&str> =
        json["designs"].as_array().unwrap().iter().map(|design| design["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["fp32", "fp16", "int8", "int4×fp16", "int4×fp16, cli_cost.qsz"]);
    assert_eq!(json["designs"][0]["batch"], 8);
    let (code, sentence) = fails(&["cost", &network, "--recipe", "cost.batch=0"]);
    assert!(
        code == 2 && sentence.ends_with("cost.batch: expected a whole number from 1 to 1048576, found 0"),
        "{sentence}"
    );
    let (code, sentence) = fails(&["cost", &network, "--constant", "dram=0"]);
    assert_eq!(code, 2);
    assert!(
        sentence.ends_with("cost.dram: expected a number from 0.000001 to 1000000000, found 0"),
        "{sentence}"
    );
    assert_eq!(fails(&["cost", &network, "--format", "fp7"]).0, 2);
    assert_eq!(fails(&["cost", &network, "--batch", "0"]).0, 2);
}

/// A pipe named as output stays a pipe and gets the bytes.
#[cfg(unix)]
#[test]
fn an_output_that_is_no_plain_file_is_written_to_and_stays() {
    use std::os::unix::fs::FileTypeExt as _;
    let model = model("cli_pipe.safetensors");
    let pipe = path("cli_pipe");
    let _ = std::fs::remove_file(&pipe);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = Command::new("cat").arg(&pipe).stdout(std::process::Stdio::piped()).spawn().unwrap();
    succeeds(&["sweep", &model, "--methods", "uniform", "--points", "3", "-o", &pipe]);
    let read = text(&reader.wait_with_output().unwrap().stdout);
    assert_eq!(read.lines().count(), 4, "{read}");
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

#[test]
fn wrong_settings_exit_with_2_and_name_the_field() {
    let model = model("cli_wrong.safetensors");
    let (code, sentence) =
        fails(&["compress", &model, "-o", &path("never.qsz"), "--method", "kmeans", "--k", "0"]);
    assert_eq!(
        (code, sentence.as_str()),
        (2, "quantscope: k: expected a whole number from 1 to 4096, found 0")
    );
    let (code, sentence) = fails(&["sweep", &model, "--methods", "magic"]);
    assert_eq!(code, 2);
    assert!(sentence.contains("magic"), "{sentence}");
    assert!(!PathBuf::from(path("never.qsz")).exists());
}

#[test]
fn files_that_cannot_be_read_exit_with_1_and_one_sentence() {
    let (code, sentence) = fails(&["inspect", "/nonexistent/file.safetensors"]);
    assert_eq!(code, 1);
    assert!(sentence.contains("/nonexistent/file.safetensors"), "{sentence}");
    let junk = path("cli_junk.bin");
    std::fs::write(&junk, b"GIF89a not weights at all").unwrap();
    assert_eq!(fails(&["inspect", &junk]).0, 1);
    assert_eq!(fails(&["decode", &junk, "-o", &path("never.npz")]).0, 1);
}

#[test]
fn a_damaged_file_is_refused_and_leaves_nothing_behind() {
    let model = model("cli_damage.safetensors");
    let (qsz, out) = (path("cli_damage.qsz"), path("cli_damage_out.safetensors"));
    succeeds(&["compress", &model, "-o", &qsz]);
    let mut bytes = std::fs::read(&qsz).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&qsz, &bytes).unwrap();
    assert_eq!(fails(&["verify", &qsz]).0, 1);
    assert_eq!(fails(&["decode", &qsz, "-o", &out]).0, 1);
    assert!(!PathBuf::from(&out).exists());
}

#[test]
fn verify_against_another_source_exits_with_3() {
    let model = model("cli_other.safetensors");
    let qsz = path("cli_other.qsz");
    succeeds(&["compress", &model, "-o", &qsz]);
    let mut bytes = support::small_model();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let changed = path("cli_changed.safetensors");
    std::fs::write(&changed, bytes).unwrap();
    let (code, sentence) = fails(&["verify", &qsz, "--source", &changed]);
    assert_eq!(code, 3, "{sentence}");
}
