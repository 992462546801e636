//! A recipe: everything that decides the bytes of a compressed file, as data.
//!
//! Four orthogonal choices: which weights share a codebook, what a weight's error costs, how weights become symbols, and
//! how symbols become bits. A recipe is written as one line of `key=value` pairs (the page's address, the container, the
//! command line, recipe files), whose keys are the table of [`fields`]. What is left out takes its default; unknown keys are
//! refused. Keys that begin with `cost.` say what the [hardware model](crate::cost) is to reckon with, beside the file.

mod checked;
pub mod fields;
mod line;
mod patterns;

pub use checked::Checked;
pub use line::value_from;
pub use patterns::{matches, patterns_text, roles_text};

use crate::code::Kind;
use crate::entropy::{Coder, Positions};
use crate::importance::{Compensation, ImportanceChoice};
use crate::quantize::methods::{self, DEFAULT_METHOD, Method, PAPER_METHOD};
use crate::quantize::{Pruning, Scope, Settings, SettingsError, Value};
use crate::role::Role;
use std::collections::BTreeMap;

/// Everything that decides the bytes of a compressed file.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Which weights share a codebook.
    pub scope: Scope,
    /// Tensors of these roles are quantized.
    pub roles: Vec<Role>,
    /// In place of `roles`: tensors whose name matches one of these patterns (`*` any run, `?` one character) are quantized,
    /// whatever their role.
    pub include: Vec<String>,
    /// Tensors whose name matches one of these patterns are kept as they are.
    pub exclude: Vec<String>,
    /// What a weight's squared error is multiplied by.
    pub importance: ImportanceChoice,
    /// Which weights become exact zeros first.
    pub pruning: Pruning,
    /// The quantizer: an id of the table of methods.
    pub method: String,
    /// The method's parameters; what is not given takes the method's default.
    pub settings: BTreeMap<String, Value>,
    /// How symbols become bits.
    pub coder: Coder,
    /// How the zeros of pruned weights are stored.
    pub positions: Positions,
    /// For methods on grids: whose steps are finer than the others', or coarser.
    pub finer: Vec<Finer>,
    /// The part of a checkpoint that is taken for the weights; the one that the reader finds where it is empty.
    pub select: String,
    /// What a compressed file holds.
    pub carry: Carry,
    /// Hash of retrained codebooks that take the places of the method's own values; they are kept in a `.qsz`.
    pub codebook: Option<String>,
    /// Hash of repaired tensors that take the places of the file's own; they are kept in a `.qsz`.
    pub repaired: Option<String>,
    /// What the hardware model is to reckon with: a line of keys that begin with `cost.`, which [`Recipe::scenario`] reads. It
    /// travels in links and recipe files and decides nothing of a compressed file, which therefore does not hold it.
    pub cost: String,
}

/// The coder of a recipe that names none.
const DEFAULT_CODER: Coder = Coder::Context;

impl Default for Recipe {
    fn default() -> Self {
        Self {
            scope: Scope::Tensor,
            roles: vec![Role::Weight],
            include: Vec::new(),
            exclude: Vec::new(),
            importance: ImportanceChoice::default(),
            pruning: Pruning::None,
            method: DEFAULT_METHOD.to_owned(),
            settings: BTreeMap::new(),
            coder: DEFAULT_CODER,
            positions: Positions::Symbols,
            finer: Vec::new(),
            select: String::new(),
            carry: Carry::File,
            codebook: None,
            repaired: None,
            cost: String::new(),
        }
    }
}

/// What a compressed file holds beside quantized tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// The whole file: decoding gives back the same kind of file.
    File,
    /// Its tensors alone.
    Weights,
}

impl Carry {
    /// Each.
    pub const ALL: [Self; 2] = [Self::File, Self::Weights];

    /// Its name in recipes.
    pub const fn id(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Weights => "weights",
        }
    }

    /// The one of this name.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|carry| carry.id() == id)
    }
}

/// Steps of some tensors that are finer than the others'.
#[derive(Debug, Clone, PartialEq)]
pub struct Finer {
    /// Tensors whose name matches; the first pattern that does counts.
    pub pattern: String,
    /// By so many bits: the step is divided by 2 to this power.
    pub bits: f64,
}

/// So many bits finer or coarser a step may be.
const MOST_FINER: f64 = 8.0;

fn refused(field: &str, expected: impl Into<String>, found: impl Into<String>) -> SettingsError {
    let found = found.into();
    let found = if found.is_empty() { "nothing".to_owned() } else { found };
    SettingsError { field: field.to_owned(), expected: expected.into(), found }
}

impl Recipe {
    /// What the papers do: one codebook for all parameters that training moves (Choi, El-Khamy and Lee 2017, section 3.4).
    pub fn paper() -> Self {
        Self {
            scope: Scope::All,
            roles: Role::TRAINED.to_vec(),
            method: PAPER_METHOD.to_owned(),
            coder: Coder::Huffman,
            ..Self::default()
        }
    }

    /// Errors can be passed on where the importance has second moments, as they are, to weights that find their own values.
    fn check_compensation(&self, compensation: Compensation) -> Result<(), SettingsError> {
        let source = self.importance.source;
        if !source.is_some_and(|source| source.has_moments) {
            let found = format!("obs with importance={}", source.map_or("none", |source| source.id));
            return Err(refused("compensate", "none, or obs with importance=moments", found));
        }
        if self.importance.alpha != 1.0 {
            let found = format!("{} with compensate=obs", self.importance.alpha);
            return Err(refused("alpha", "1 where errors are compensated", found));
        }
        if !(0.0..=1.0).contains(&compensation.damping) {
            return Err(refused("damping", "a number from 0 to 1", compensation.damping.to_string()));
        }
        Ok(())
    }

    /// Leaves a parameter of the method at its default.
    pub fn unset(&mut self, id: &str) {
        // Not `remove`: taking single entries out of a tree is much code in the page, and nothing else there does.
        for (known, value) in std::mem::take(&mut self.settings) {
            if known != id {
                self.settings.insert(known, value);
            }
        }
    }

    /// Checks every field, alone and beside the others.
    pub fn check(&self) -> Result<Checked, SettingsError> {
        let method = methods::find(&self.method).ok_or_else(|| {
            let ids: Vec<&str> = methods::METHODS.iter().map(|m| m.id).collect();
            refused("method", format!("one of {}", ids.join(", ")), self.method.clone())
        })?;
        if self.coder == Coder::Context && self.positions == Positions::Gaps {
            return Err(SettingsError {
                field: "positions".to_owned(),
                expected: "symbols, which context-adaptive coding makes as cheap".to_owned(),
                found: "gaps".to_owned(),
            });
        }
        self.check_method(method)?;
        self.check_finer(method)?;
        let settings = Settings::new(method.parameters, &self.settings)?;
        let ImportanceChoice { alpha, floor, .. } = self.importance;
        if !(0.0..=4.0).contains(&alpha) {
            return Err(refused("alpha", "a number from 0 to 4", alpha.to_string()));
        }
        if let Some(compensation) = self.importance.compensation {
            self.check_compensation(compensation)?;
        }
        if !(0.0..=1.0).contains(&floor) {
            return Err(refused("floor", "a number from 0 to 1", floor.to_string()));
        }
        match self.pruning {
            Pruning::Fraction(x) if !(0.0..1.0).contains(&x) => {
                return Err(refused("prune", "a fraction from 0 to below 1", x.to_string()));
            }
            Pruning::Threshold(t) if !(t.is_finite() && t >= 0.0) => {
                return Err(refused("prune", "a finite threshold of at least 0", t.to_string()));
            }
            _ => {}
        }
        if self.positions == Positions::Gaps && self.pruning == Pruning::None {
            let expected = "pruning to be on, since gaps lie between weights that are not pruned (prune=threshold:0 keeps the file's own zeros)";
            return Err(refused("positions", expected, "gaps with prune=none"));
        }
        Ok(Checked { recipe: self.clone(), method, settings })
    }

    /// Checks that the other choices leave the method what it decides itself.
    fn check_method(&self, method: &Method) -> Result<(), SettingsError> {
        let needs = |field: &str, expected: &str, found: &str| {
            Err(refused(field, format!("{expected} for {}", method.id), found))
        };
        if !method.coders.contains(&self.coder) {
            let coders: Vec<&str> = method.coders.iter().map(|coder| coder.id()).collect();
            return needs("coder", &format!("{}, whose costs decide,", coders.join(" or ")), self.coder.id());
        }
        if !method.scopes.contains(&self.scope) {
            let scopes: Vec<&str> = method.scopes.iter().map(|scope| scope.id()).collect();
            return needs("scope", &scopes.join(" or "), self.scope.id());
        }
        if !method.prunes && self.pruning != Pruning::None {
            return needs("prune", "none, since lambda decides what becomes zero,", "pruning");
        }
        Ok(())
    }

    fn check_finer(&self, method: &Method) -> Result<(), SettingsError> {
        let refused = |expected: &str, found: &str| Err(refused("finer", expected, found));
        if !self.has_steps() && !self.finer.is_empty() {
            return refused(
                "a method whose steps lie on grids, tensor by tensor",
                &format!("{} of scope {}", method.id, self.scope.id()),
            );
        }
        match self.finer.iter().find(|finer| finer.bits.is_nan() || finer.bits.abs() > MOST_FINER) {
            Some(Finer { pattern, bits }) => {
                let expected = format!("PATTERN:BITS, commas between, of -{MOST_FINER} to {MOST_FINER} bits");
                let bits = if bits.is_finite() { format!(":{bits}") } else { String::new() };
                refused(&expected, &format!("{pattern}{bits}"))
            }
            None => Ok(()),
        }
    }

    /// By how many bits the step of a tensor of this name is finer than the others'.
    pub fn finer_by(&self, name: &str) -> f64 {
        self.finer.iter().find(|finer| matches(&finer.pattern, name)).map_or(0.0, |finer| finer.bits)
    }

    /// Whether the method lays a grid and decides by the costs of the context coder.
    pub fn is_grid(&self) -> bool {
        self.kind() == Kind::Grid
    }

    /// The kind of code that its method makes; of levels where there is no such method.
    pub fn kind(&self) -> Kind {
        methods::find(&self.method).map_or(Kind::Levels, |method| method.code)
    }

    /// Whether a tensor of this name and role is to be quantized.
    pub fn selects(&self, name: &str, role: Role) -> bool {
        let is_wanted =
            if self.include.is_empty() { self.roles.contains(&role) } else { self.includes(name) };
        is_wanted && !self.excludes(name)
    }

    /// Whether tensors of this name are quantized by an explicit wish.
    pub fn includes(&self, name: &str) -> bool {
        self.include.iter().any(|p| matches(p, name))
    }

    /// Whether tensors of this name are kept by an explicit wish.
    pub fn excludes(&self, name: &str) -> bool {
        self.exclude.iter().any(|p| matches(p, name))
    }

    /// Whether every tensor has a step of its own.
    pub fn has_steps(&self) -> bool {
        self.is_grid() && self.scope == Scope::Tensor
    }

    /// This recipe with another method, its defaults, and its coder where it has one alone; itself where the method is its own.
    #[must_use]
    pub fn with_method(&self, id: &str) -> Self {
        let mut recipe = self.clone();
        if recipe.method == id {
            return recipe;
        }
        recipe.settings.clear();
        recipe.finer.clear();
        (recipe.codebook, recipe.repaired) = (None, None);
        id.clone_into(&mut recipe.method);
        if let Some([coder]) = methods::find(id).map(|method| method.coders) {
            recipe.coder = *coder;
        }
        recipe
    }

    /// This recipe with what its method does not leave open as the method wants it.
    #[must_use]
    pub fn fitted(mut self) -> Self {
        let Some(method) = methods::find(&self.method) else { return self };
        if let [coder] = method.coders {
            self.coder = *coder;
        }
        if !method.scopes.contains(&self.scope) {
            self.scope = Scope::default();
        }
        if !method.prunes {
            (self.pruning, self.positions) = (Pruning::None, Positions::Symbols);
        }
        self
    }

    /// This recipe without what means nothing in it.
    #[must_use]
    pub fn without_absent(mut self) -> Self {
        if !self.has_steps() {
            self.finer.clear();
        }
        if self.importance.source.is_none() {
            self.importance = ImportanceChoice::default();
        }
        self
    }

    /// This recipe with `parameter` of its method set to `value`.
    pub fn with(&self, parameter: &str, value: Value) -> Self {
        let mut recipe = self.clone();
        recipe.settings.insert(parameter.to_owned(), value);
        recipe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importance::sources::SOURCES;

    #[test]
    fn hardware_travels_in_links_and_recipe_files_and_not_in_compressed_files() {
        let line = "method=rdo&step=2&cost.format=e4m3&cost.technology=45&cost.dram=640";
        let recipe = Recipe::from_line(line).unwrap();
        assert_eq!(recipe.to_line(), "method=rdo&step=2");
        assert_eq!(recipe.to_whole_line(), line);
        let (again, hash) = Recipe::from_link(&recipe.to_link("77")).unwrap();
        assert_eq!((again, hash.as_deref()), (recipe.clone(), Some("77")));
        let (again, _) = Recipe::from_json(&format!("{{\"recipe\": \"{line}\"}}")).unwrap();
        assert_eq!(again, recipe);
        assert_eq!(recipe.scenario().unwrap().to_line(), "cost.format=e4m3&cost.technology=45&cost.dram=640");
        let mut other = Recipe::default();
        other.set_scenario(&recipe.scenario().unwrap());
        assert_eq!(other.cost, recipe.cost);
        let sentence = |line: &str| Recipe::from_line(line).unwrap().scenario().unwrap_err().to_string();
        assert_eq!(
            sentence("method=rdo&cost.dram=0"),
            "cost.dram: expected a number from 0.000001 to 1000000000, found 0"
        );
        assert!(sentence("cost.watts=1").starts_with("cost: expected a constant of docs/hardware-model.md"));
        assert_eq!(
            Recipe::from_line("cost.format=m3e3:bias%3D5").unwrap().scenario().unwrap().text("format"),
            "m3e3:bias=5"
        );
        // Of files, whose keys can hold anything.
        assert!(Recipe::from_json(r#"{"recipe": {"cost.a&b": "1"}}"#).is_err());
        assert_eq!(Recipe::default().to_whole_line(), Recipe::default().to_line());
    }

    #[test]
    fn the_default_recipe_is_one_word() {
        assert_eq!(Recipe::default().to_line(), "method=trellis");
    }

    #[test]
    fn every_field_survives_the_one_line_form_and_json() {
        let line = "method=lloyd&k=8&seed=3&start=density&scope=all&roles=bias,norm&include=conv*,fc?.weight&exclude=a%26b\
                    &importance=adam&alpha=0.25&floor=0.001&ihash=abc&prune=fraction:0.9&coder=huffman&positions=gaps&codebook=0f";
        let recipe = Recipe::from_line(line).unwrap();
        assert_eq!(
            (recipe.exclude.as_slice(), recipe.roles.as_slice()),
            (["a&b".to_owned()].as_slice(), [Role::Bias, Role::Norm].as_slice())
        );
        assert_eq!(Recipe::from_line(&recipe.to_line()).unwrap(), recipe);
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(Recipe::from_json(&json).unwrap(), (recipe.clone(), None));
        let saved = format!("{{\"quantscope\": 1, \"recipe\": {json}, \"source_hash\": \"ab\"}}");
        assert_eq!(Recipe::from_json(&saved).unwrap(), (recipe.clone(), Some("ab".to_owned())));
        let line = format!("{{\"recipe\": \"{}\"}}", recipe.to_line());
        assert_eq!(Recipe::from_json(&line).unwrap(), (recipe.clone(), None));
        assert!(Recipe::from_json("{\"recipe\": \"method=kmeans&k=0\"}").unwrap_err().contains('k'));
        let pairs = r#"{"recipe": {"method": "lloyd", "k": 8, "exclude": "a,b*"}}"#;
        let (by_pairs, _) = Recipe::from_json(pairs).unwrap();
        assert_eq!(by_pairs.to_line(), "method=lloyd&k=8&exclude=a,b*");
        let sentence = |text: &str| Recipe::from_json(text).unwrap_err();
        assert_eq!(
            sentence("{\"weight_map\": {}}"),
            "weight_map: expected a text or a number, found neither"
        );
        assert!(sentence("{\"recipe\": [1]}").starts_with("recipe: expected a line"));
    }

    #[test]
    fn roles_are_words_and_lists_of_them() {
        let roles =
            |text: &str| Recipe::from_line(&format!("method=rdo&roles={text}")).map(|recipe| recipe.roles);
        assert_eq!(roles("trained").unwrap(), Role::TRAINED);
        assert_eq!(roles("all").unwrap(), Role::ALL);
        assert_eq!(roles("norm,weight").unwrap(), [Role::Weight, Role::Norm]);
        let sentence = roles("weights").unwrap_err().to_string();
        assert!(
            sentence.starts_with("roles: expected some of weight, bias")
                && sentence.ends_with("found weights")
        );
        let line = "method=rdo&roles=all";
        assert_eq!(Recipe::from_line(line).unwrap().to_line(), line);
    }

    #[test]
    fn patterns_choose_in_place_of_roles() {
        let recipe = Recipe::from_line("method=rdo&include=*.bias&exclude=b*").unwrap();
        assert!(recipe.selects("a.bias", Role::Bias));
        assert!(!recipe.selects("a.weight", Role::Weight) && !recipe.selects("b.bias", Role::Bias));
    }

    #[test]
    fn every_scope_and_source_of_importance_survives_the_line() {
        for scope in Scope::ALL {
            let recipe = Recipe { scope, method: "uniform".to_owned(), ..Recipe::default() };
            assert_eq!(Recipe::from_line(&recipe.to_line()).unwrap().scope, scope);
        }
        for source in SOURCES {
            let recipe = Recipe { importance: ImportanceChoice::of(source), ..Recipe::default() };
            assert_eq!(Recipe::from_line(&recipe.to_line()), Ok(recipe));
        }
    }

    #[test]
    fn a_comma_in_a_pattern_is_written_with_a_backslash() {
        let recipe = Recipe::from_line("method=rdo&exclude=comma%5C,name,b*").unwrap();
        assert_eq!(recipe.exclude, ["comma,name", "b*"]);
        assert_eq!(Recipe::from_line(&recipe.to_line()).unwrap(), recipe);
        assert_eq!(patterns::patterns_from("a,,b\\\\c"), ["a", "b\\c"]);
    }

    #[test]
    fn adam_takes_the_square_root_unless_told_otherwise() {
        assert_eq!(Recipe::from_line("method=uniform&importance=adam").unwrap().importance.alpha, 0.5);
        assert_eq!(Recipe::from_line("method=uniform&importance=file").unwrap().importance.alpha, 1.0);
    }

    #[test]
    fn a_wrong_field_is_named_with_its_range() {
        let sentence = |line: &str| Recipe::from_line(line).unwrap_err().to_string();
        assert_eq!(sentence("method=kmeans&k=0"), "k: expected a whole number from 1 to 4096, found 0");
        assert_eq!(sentence("scope=row"), "scope: expected one of tensor, all, channel, found row");
        assert!(sentence("method=magic").starts_with("method: expected one of kmeans"));
        assert!(sentence("method=uniform&k=3").starts_with("k: expected one of this method's parameters"));
        assert!(
            sentence("method=uniform&coder=rans&positions=gaps")
                .starts_with("positions: expected pruning to be on")
        );
        assert!(sentence("method=kmeans&prune=fraction:1").starts_with("prune: expected a fraction"));
        assert_eq!(sentence("importance=adam&alpha="), "alpha: expected a number, found nothing");
        assert_eq!(sentence("scope=all&scope=all"), "scope: expected to be given once, found it given twice");
    }

    #[test]
    fn steps_finer_by_tensor_are_those_of_grids() {
        let line = r"method=trellis&step=0.1&finer=a\,b*:1.5,c:d:-2";
        let recipe = Recipe::from_line(line).unwrap();
        assert_eq!((recipe.finer_by("a,bc"), recipe.finer_by("c:d"), recipe.finer_by("e")), (1.5, -2.0, 0.0));
        assert_eq!(Recipe::from_line(&recipe.to_line()).as_ref(), Ok(&recipe));
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(Recipe::from_json(&json).map(|(recipe, _)| recipe).as_ref(), Ok(&recipe));
        assert!(recipe.with_method("kmeans").finer.is_empty());
        for (line, found) in [
            ("method=trellis&finer=a", "finer: expected PATTERN:BITS, commas between, found a"),
            (
                "method=trellis&finer=a:9",
                "finer: expected PATTERN:BITS, commas between, of -8 to 8 bits, found a:9",
            ),
            (
                "method=kmeans&finer=a:1",
                "finer: expected a method whose steps lie on grids, tensor by tensor, found kmeans of scope tensor",
            ),
        ] {
            assert_eq!(Recipe::from_line(line).unwrap_err().to_string(), found);
        }
    }

    #[test]
    fn what_means_the_same_is_the_same_recipe() {
        let (by_file, _) = Recipe::from_json(r#"{"floor":0.8}"#).unwrap();
        assert_eq!(by_file, Recipe::default());
        assert_eq!(Recipe::from_line("floor=0.8&alpha=0.3"), Ok(Recipe::default()));
        assert_eq!(Recipe::from_line("method=rdo&step=04."), Recipe::from_line("method=rdo&step=4"));
        let (in_link, hash) = Recipe::from_link("method=uniform&hash=abc&scope=channel").unwrap();
        assert_eq!((in_link.scope, hash.as_deref()), (Scope::Channel, Some("abc")));
        assert_eq!(Recipe::from_link(&in_link.to_link("abc")), Ok((in_link, hash)));
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("conv*", "conv1.weight", true),
            ("conv", "conv1", false),
            ("*.bias", "fc.bias", true),
            ("fc?.weight", "fc1.weight", true),
            ("fc?.weight", "fc.weight", false),
            ("*a*b*", "xxaxxbxx", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
