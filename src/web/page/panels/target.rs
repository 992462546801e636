//! A target: the setting of the recipe's method that just meets a size or a quality, found by compressing and measuring.

use crate::engine::targets::{Candidates, Measured, Target};
use crate::quantize::{Method, methods};
use crate::recipe::Recipe;
use crate::web::dom::{on, set_text, show};
use crate::web::jobs::{Answer, Job};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::state::{OpenFile, POINTS};
use crate::web::page::{flow, making, reading};
use crate::web::pool::{Failure, Outcome, unexpected};

/// The form of the target.
#[derive(Debug)]
pub struct TargetForm;

impl Panel for TargetForm {
    fn connect(&'static self, app: &'static App) {
        on(&app.elements.target_kind, "change", move |_| choose(app));
        on(&app.elements.target_form, "submit", move |event| {
            event.prevent_default();
            start(app);
        });
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        if app.asks(what) {
            forget(app);
        }
    }
}

/// Shows the fields once a kind of target is chosen.
fn choose(app: &App) {
    let e = &app.elements;
    show(&e.target_fields, !e.target_kind.value().is_empty());
    forget(app);
}

/// Says how the search ended; `wrong` where there is no answer.
fn say(app: &App, sentence: &str, wrong: bool) {
    let said = &app.elements.target_said;
    set_text(said, sentence);
    said.set_class_name(if wrong { "hint bad" } else { "hint" });
}

/// Takes the sentence away: the recipe, or the file, is another one than it speaks of.
fn forget(app: &App) {
    say(app, "", false);
}

/// The methods that compete: all that are drawn, or the recipe's own.
fn competing(app: &App, recipe: &Recipe) -> Vec<&'static Method> {
    let state = app.state.borrow();
    let all = app.elements.target_all.checked();
    let competes = |method: &&Method| {
        if all { state.view.methods.contains(&method.id) } else { method.id == recipe.method }
    };
    methods::METHODS.iter().filter(competes).collect()
}

fn start(app: &'static App) {
    let e = &app.elements;
    let target = Target::read(&e.target_kind.value(), &e.target_amount.value());
    let recipe = app.state.borrow().wish.recipe.clone();
    let candidates = match target.and_then(|target| Candidates::new(target, &recipe)) {
        Ok(candidates) => candidates,
        Err(error) => return say(app, &error.to_string(), true),
    };
    forget(app);
    let flow = flow::begin(app, "Finding a setting");
    wasm_bindgen_futures::spawn_local(async move {
        let result = search(app, flow, candidates).await;
        if flow::check(app, flow).is_ok() {
            reading::restore_context(app);
        }
        flow::conclude(app, flow, result);
    });
}

async fn search(app: &'static App, flow: u32, mut candidates: Candidates) -> Outcome<()> {
    let (file, recipe, _) = making::wish(app, flow).await?;
    let wish = app.state.borrow().wish.recipe.clone();
    flow::stage(app, "Finding a setting");
    find(app, flow, &file, recipe, &mut candidates).await?;
    flow::check(app, flow)?;
    conclude(app, &wish, &candidates);
    Ok(())
}

/// Compresses with one setting after the other until each competing method's search has ended.
async fn find(
    app: &App,
    flow: u32,
    file: &OpenFile,
    recipe: Recipe,
    candidates: &mut Candidates,
) -> Outcome<()> {
    for method in competing(app, &recipe) {
        let job = Job::Sweep { recipe: recipe.clone(), method: method.id.to_owned(), points: POINTS };
        let answer = app.solver.ask(job).await?;
        let Answer::Sweep(sweep) = answer else { return Err(unexpected()) };
        let points = sweep.curves.first().map(|curve| curve.points.as_slice()).unwrap_or_default();
        let mut search = candidates.search(method, points, file.opened.float32_bytes / 4);
        while let Some(setting) = search.next_setting() {
            flow::check(app, flow)?;
            let tasks = match making::plan(app, flow, file, setting.recipe(&recipe)).await {
                Ok((_, tasks)) => tasks,
                Err(Failure::Sentence(_)) => {
                    search.refused();
                    continue;
                }
                Err(Failure::Cancelled) => return Err(Failure::Cancelled),
            };
            let (_, report) = making::encode(app, flow, file, &tasks).await?;
            if let Some(trial) = search.measured(Measured::of(&report)) {
                candidates.enter(trial);
                flow::stage(app, &format!("Trial {}: {trial}", candidates.trials));
            }
        }
    }
    Ok(())
}

/// Makes the answer the recipe, or says what can be had; `wish` is the recipe as it was when the search began.
fn conclude(app: &'static App, wish: &Recipe, candidates: &Candidates) {
    let trial = match candidates.answer() {
        Ok(trial) => trial,
        Err(sentence) => return say(app, &sentence, true),
    };
    app.state.borrow_mut().choose(trial.setting.recipe(wish));
    app.changed(Change::Recipe);
    // Last, since a change of the recipe takes away what was said.
    say(app, &candidates.met().unwrap_or_default(), false);
}
