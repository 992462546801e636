//! The search for the smallest file whose network still answers as well as is asked for.

use super::Failure;
use super::arguments::{NetworkArguments, RecipeArguments};
use super::context::Context;
use super::goal_arguments::GoalArguments;
use super::network::{file_line, inputs, lines, open};
use super::writing::{refuse_harm, write_whole};
use crate::engine::native::file_name;
use crate::engine::targets::luck::Verdict;
use crate::engine::targets::{Target, Trial};
use crate::network::data::DataSet;
use crate::network::goal::{Attempt, Goal, Reached, check, is_sure};
use crate::network::measure::{Measures, paired_drop, percent};
use crate::quantize::{SettingsError, methods};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What competes, and where the answer goes.
pub(super) struct Wanted<'a> {
    /// The goal, and what to calibrate on.
    pub goal: &'a GoalArguments,
    /// Methods that compete; the recipe's own if there are none.
    pub methods: &'a [String],
    /// Points of each method's grid.
    pub points: u16,
    /// Where the compressed file goes.
    pub output: Option<&'a Path>,
}

/// Finds the smallest file, and writes it.
pub(super) fn find(
    context: &Context,
    network: &NetworkArguments,
    recipe: &RecipeArguments,
    (target, wanted): (Target, &Wanted),
) -> Result<(), Failure> {
    let usage = |error: SettingsError| Failure::Usage(error.to_string());
    let GoalArguments { calibration_data: calibration, calibration_samples, moments, .. } = wanted.goal;
    let mut read = inputs(network, recipe);
    read.extend(calibration.iter().map(PathBuf::as_path));
    refuse_harm(&wanted.output.into_iter().chain(moments.as_deref()).collect::<Vec<_>>(), &read)?;
    let base = recipe.recipe()?;
    let mut methods = methods::find_all(wanted.methods).map_err(usage)?;
    if methods.is_empty() {
        methods.push(base.check().map_err(usage)?.method);
    }
    let mut validation = open(context, network, recipe.importance_file.as_deref())?;
    let float = validation.float_measures();
    check(target, &float).map_err(usage)?;
    let data = if calibration.is_empty() { None } else { Some(DataSet::read(calibration)?) };
    let name = file_name(&network.network);
    let samples = |data: &DataSet| calibration_samples.map_or(data.samples, |n| data.samples.min(n as usize));
    let calibration = data.as_ref().map(|data| (data, samples(data), name.as_str()));
    let points = usize::from(wanted.points);
    let goal = Goal { target, base: &base, methods: &methods, points, calibration };
    let hear = |number: usize, trial: &Trial| {
        context.bars.say(&format!("trial {number}: {trial}, {}", target.found(&trial.measured)));
    };
    let reached = validation.reach(&goal, &context.count(), &hear)?;
    if let Some(path) = wanted.output {
        write_whole(path, &reached.quantized.file)?;
    }
    if let (Some(path), Some(bytes)) = (moments, &reached.moments) {
        write_whole(path, bytes)?;
    }
    let preprocess = validation.setup.preprocess.to_line();
    say(context, (&float, &preprocess), &goal, &reached)
}

/// Prints what was found.
fn say(
    context: &Context,
    (float, preprocess): (&Measures, &str),
    goal: &Goal,
    reached: &Reached,
) -> Result<(), Failure> {
    let Reached { sentence, best, quantized, measures, attempts, notes, .. } = reached;
    let target = goal.target;
    let outcome = &quantized.outcome;
    let mut text = vec![
        format!("target               {sentence}"),
        format!("recipe               {}", outcome.recipe),
        file_line(quantized),
    ];
    if let Some(top1) = &float.top1 {
        text.push(format!("float                {} %", percent(top1)));
    }
    text.extend(lines(measures));
    let against = measures.against.as_ref().filter(|_| measures.top1.is_some());
    if let Some(against) = against {
        let drop = paired_drop(against.lost, against.won, measures.answers);
        text.push(format!(
            "accuracy lost        {:.2} points, 95 % paired interval {:.2} to {:.2}",
            100.0 * (against.lost as f64 - against.won as f64) / measures.answers.max(1) as f64,
            100.0 * drop.0,
            100.0 * drop.1
        ));
    }
    if let Some((_, samples, _)) = goal.calibration {
        let repaired = if best.is_repaired { ", repaired on them" } else { "" };
        let used = if reached.moments.is_some() { "compensated by" } else { "not made with" };
        text.push(format!("calibration          {used} {samples} samples{repaired}"));
    }
    let is_sure = is_sure(target, float, measures);
    if !is_sure {
        text.push("note: the interval reaches past the target: other samples may miss it".to_owned());
    }
    text.extend(notes.iter().map(|note| format!("note: {note}")));
    let lucky = attempts.iter().filter(|attempt| attempt.verdict == Verdict::Luck);
    text.extend(lucky.map(|attempt| luck(target, attempt)));
    let json = json!({
        "float": float,
        "quantized": measures,
        "outcome": outcome,
        "target": {
            "kind": target.id(),
            "asked": target.to_string(),
            "trials": attempts.iter().map(|attempt| row(target, attempt)).collect::<Vec<_>>(),
        },
        "sure": is_sure,
        "repaired": best.is_repaired,
        "calibration_samples": goal.calibration.map(|(_, samples, _)| samples),
        "notes": notes,
        "preprocess": preprocess,
    });
    context.say(&text.join("\n"), &json)
}

/// What is said of a setting that has it by luck.
fn luck(target: Target, attempt: &Attempt) -> String {
    let short = -100.0 * attempt.fitted;
    let found = target.found(&attempt.trial.measured);
    format!(
        "note: taken for luck: {}, {found}: together with settings nearer to the float answers it is {short:.2} points short",
        attempt.trial
    )
}

/// An attempt as JSON.
fn row(target: Target, attempt: &Attempt) -> Value {
    let measured = &attempt.trial.measured;
    let answers = measured.answers;
    json!({
        "recipe": attempt.recipe.to_line(),
        "repaired": attempt.is_repaired,
        "file_bytes": measured.file_bytes,
        "bits": measured.bits,
        "sqnr_db": measured.sqnr_db,
        "accuracy": answers.and_then(|answers| answers.accuracy),
        "agreement": answers.map(|answers| answers.agreement),
        "divergence": answers.map(|answers| answers.divergence),
        "met": target.is_met(measured),
        "slack": finite(target.slack(measured)),
        "fitted_slack": finite(attempt.fitted),
        "verdict": attempt.verdict.name(),
    })
}

fn finite(x: f64) -> Option<f64> {
    Some(x).filter(|x| x.is_finite())
}
