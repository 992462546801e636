//! The table of methods: one row each, from which forms, flags and documentation are generated.

use super::{
    Parameter, ParameterKind, Problem, QuantizeError, Scope, Settings, SettingsError, Solution, ecsq,
    ecsq_exact, grid, kmeans, lloyd, scaled, uniform,
};
use crate::code::Kind;
use crate::entropy::Coder;

/// What of the weights a method decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// How many lie where, and what they weigh: the cells of a histogram.
    Cells,
    /// Pairs of weight and importance, where importance differs between weights.
    Pairs,
    /// The weights themselves in the order of coding; what cells predict is a preview.
    Rows,
}

/// What the swept parameter is a number of, for one group of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Levels.
    Levels,
    /// Standard deviations of the weights.
    Deviations,
    /// Variances of the weights, per bit.
    Variances,
    /// Bits of a value.
    Bits,
}

impl Unit {
    /// What the parameter is called beside a number.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Levels => "k",
            Self::Deviations => "step",
            Self::Variances => "λ",
            Self::Bits => "bits",
        }
    }
}

/// The least error that a scalar quantizer can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optimum {
    /// With as many levels, by importance.
    OfLevels,
    /// With as much entropy, every weight alike.
    OfEntropy,
}

/// How a method's points stand to the [`Optimum`] that bounds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They are to be measured against the method that proves it.
    Bounded(Optimum),
    /// They are it, where they say that they are optimal.
    Proves(Optimum),
    /// No scalar quantizer bounds them.
    Unbounded,
}

/// Solves one problem for several settings.
pub type SolveSeveral = fn(&Problem, &[Settings]) -> Result<Vec<Solution>, QuantizeError>;

/// A way to choose levels and thresholds.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// Its name in recipes and flags.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Author, year and section.
    pub source: &'static str,
    /// What can be set.
    pub parameters: &'static [Parameter],
    /// What its symbols stand for.
    pub code: Kind,
    /// What it decides by.
    pub needs: Needs,
    /// The coders that its symbols can be coded with.
    pub coders: &'static [Coder],
    /// Which weights can share a codebook.
    pub scopes: &'static [Scope],
    /// Whether weights can be pruned before it: not where it decides itself what becomes zero.
    pub prunes: bool,
    /// What its errors cannot fall below.
    pub standing: Standing,
    /// The parameter that trades rate for distortion.
    pub swept: &'static str,
    /// What that parameter counts.
    pub unit: Unit,
    /// The choice whose every word can be asked for as a curve of its own.
    pub curves: Option<&'static str>,
    /// Bits per weight beside symbols and codebooks.
    pub overhead: fn(&Settings) -> f64,
    /// Where a sweep of that parameter starts and ends, from fine to coarse.
    pub sweep: (f64, f64),
    /// Solves for one choice of settings, checked against `parameters`.
    pub solve: fn(&Problem, &Settings) -> Result<Solution, QuantizeError>,
    /// Solves for several settings at once, where that shares work.
    pub solve_several: Option<SolveSeveral>,
}

/// The method of the default recipe.
pub const DEFAULT_METHOD: &str = "trellis";
/// The method by which the paper got the smallest files (Choi, El-Khamy and Lee 2017, table 1).
pub const PAPER_METHOD: &str = "uniform";

fn none(_: &Settings) -> f64 {
    0.0
}

/// All methods, in the order they are shown.
pub const METHODS: &[Method] = &[
    Method {
        id: "kmeans",
        title: "k-means (exact)",
        summary: "the least squared error, by importance, that any k levels can have",
        source: "Choi, El-Khamy and Lee 2017, section 3.2; Aggarwal, Schieber and Tokuyama 1994",
        parameters: kmeans::PARAMETERS,
        code: Kind::Levels,
        needs: Needs::Cells,
        coders: &Coder::ALL,
        scopes: &Scope::ALL,
        prunes: true,
        standing: Standing::Proves(Optimum::OfLevels),
        swept: "k",
        unit: Unit::Levels,
        curves: None,
        overhead: none,
        sweep: (256.0, 2.0),
        solve: kmeans::solve,
        solve_several: Some(kmeans::solve_several),
    },
    Method {
        id: "lloyd",
        title: "k-means (Lloyd)",
        summary: "moves k levels to the means of their weights until nothing changes: a local optimum",
        source: "Lloyd 1982; Han, Mao and Dally 2016, section 3; Arthur and Vassilvitskii 2007",
        parameters: lloyd::PARAMETERS,
        code: Kind::Levels,
        needs: Needs::Cells,
        coders: &Coder::ALL,
        scopes: &Scope::ALL,
        prunes: true,
        standing: Standing::Bounded(Optimum::OfLevels),
        swept: "k",
        unit: Unit::Levels,
        curves: None,
        overhead: none,
        sweep: (256.0, 2.0),
        solve: lloyd::solve,
        solve_several: None,
    },
    Method {
        id: "uniform",
        title: "Uniform",
        summary: "evenly spaced thresholds around zero, the mean of each interval as level",
        source: "Gish and Pierce 1968; Choi, El-Khamy and Lee 2017, section 4.2",
        parameters: uniform::PARAMETERS,
        code: Kind::Levels,
        needs: Needs::Cells,
        coders: &Coder::ALL,
        scopes: &Scope::ALL,
        prunes: true,
        standing: Standing::Bounded(Optimum::OfEntropy),
        swept: "step",
        unit: Unit::Deviations,
        curves: None,
        overhead: none,
        sweep: (0.03, 4.0),
        solve: uniform::solve,
        solve_several: None,
    },
    Method {
        id: "ecsq",
        title: "ECSQ (iterative)",
        summary: "trades error against entropy; each weight takes the level with the least error plus λ times bits",
        source: "Chou, Lookabaugh and Gray 1989, section III; Choi, El-Khamy and Lee 2017, section 4.3",
        parameters: ecsq::PARAMETERS,
        code: Kind::Levels,
        needs: Needs::Pairs,
        coders: &Coder::ALL,
        scopes: &Scope::ALL,
        prunes: true,
        standing: Standing::Bounded(Optimum::OfEntropy),
        swept: "lambda",
        unit: Unit::Variances,
        curves: None,
        overhead: none,
        sweep: (0.0002, 1.0),
        solve: ecsq::solve,
        solve_several: None,
    },
    Method {
        id: "ecsq-exact",
        title: "ECSQ (exact on intervals)",
        summary: "the least error plus λ times entropy that intervals can have, by shortest path",
        source: "Muresan and Effros 2008",
        parameters: ecsq_exact::PARAMETERS,
        code: Kind::Levels,
        needs: Needs::Cells,
        coders: &Coder::ALL,
        scopes: &Scope::ALL,
        prunes: true,
        standing: Standing::Proves(Optimum::OfEntropy),
        swept: "lambda",
        unit: Unit::Variances,
        curves: None,
        overhead: none,
        sweep: (0.0002, 1.0),
        solve: ecsq_exact::solve,
        solve_several: None,
    },
    Method {
        id: "rdo",
        title: "Rate-distortion optimised grid",
        summary: "on a uniform grid, each weight takes the value with the least error plus λ times the bits that the context coder asks for it",
        source: "Chou, Lookabaugh and Gray 1989; Choi, El-Khamy and Lee 2017, section 4",
        parameters: grid::SCALAR_PARAMETERS,
        code: Kind::Grid,
        needs: Needs::Rows,
        coders: &[Coder::Context],
        scopes: &[Scope::All, Scope::Tensor],
        prunes: false,
        standing: Standing::Bounded(Optimum::OfEntropy),
        swept: "step",
        unit: Unit::Deviations,
        curves: None,
        overhead: none,
        sweep: (0.05, 3.0),
        solve: grid::solve,
        solve_several: None,
    },
    Method {
        id: "trellis",
        title: "Trellis-coded",
        summary: "the same on a grid twice as fine, half of which each weight may use, by a search over paths: the smallest files",
        source: "Marcellin and Fischer 1990; Fischer and Wang 1992; Ungerboeck 1982",
        parameters: grid::TRELLIS_PARAMETERS,
        code: Kind::Grid,
        needs: Needs::Rows,
        coders: &[Coder::Context],
        scopes: &[Scope::All, Scope::Tensor],
        prunes: false,
        standing: Standing::Unbounded,
        swept: "step",
        unit: Unit::Deviations,
        curves: None,
        overhead: none,
        sweep: (0.05, 3.0),
        solve: grid::solve,
        solve_several: None,
    },
    Method {
        id: "scaled",
        title: "Block-scaled numbers",
        summary: "a few weights of a row share a scale, and each takes the value of a number format that is nearest to it: integers, floating point, posits, lists, the published layouts",
        source: "Dettmers and Zettlemoyer 2023, section 2; Open Compute Project 2023, Microscaling Formats 1.0",
        parameters: scaled::PARAMETERS,
        code: Kind::Scaled,
        needs: Needs::Rows,
        coders: &Coder::ALL,
        scopes: &[Scope::All, Scope::Tensor],
        prunes: false,
        standing: Standing::Unbounded,
        swept: "bits",
        unit: Unit::Bits,
        curves: Some("numbers"),
        overhead: scaled::overhead,
        sweep: (8.0, 2.0),
        solve: scaled::solve,
        solve_several: None,
    },
];

/// The method of this id.
pub fn find(id: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.id == id)
}

/// The methods of these ids.
pub fn find_all(ids: &[String]) -> Result<Vec<&'static Method>, SettingsError> {
    ids.iter().map(|id| find(id).ok_or_else(|| unknown(id))).collect()
}

/// The error of an id that no method has.
pub fn unknown(id: &str) -> SettingsError {
    let known: Vec<&str> = METHODS.iter().map(|method| method.id).collect();
    SettingsError {
        field: "methods".to_owned(),
        expected: format!("some of {}", known.join(", ")),
        found: id.to_owned(),
    }
}

impl Method {
    /// The method that proves an optimum.
    pub fn proving(optimum: Optimum) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.standing == Standing::Proves(optimum))
    }

    /// Whether weights get their symbols on a uniform grid in the order of coding, by what the context coder asks for them
    /// ([`grid`]).
    pub fn is_grid(&self) -> bool {
        self.code == Kind::Grid
    }

    /// The kind of the swept parameter.
    pub fn swept_kind(&self) -> Option<ParameterKind> {
        self.parameters.iter().find(|parameter| parameter.id == self.swept).map(|parameter| parameter.kind)
    }

    /// The choice, its word and the word's title of a curve that is asked for by a word.
    pub fn curve(&self, word: &str) -> Option<(&'static str, &'static str, &'static str)> {
        let parameter = self.parameters.iter().find(|parameter| Some(parameter.id) == self.curves)?;
        let ParameterKind::Choice(words) = parameter.kind else { return None };
        let (word, title) = words.iter().find(|(id, _)| *id == word)?;
        Some((parameter.id, word, title))
    }

    /// Solves for several settings, sharing work where the method can.
    pub fn solve_all(
        &self,
        problem: &Problem,
        settings: &[Settings],
    ) -> Vec<Result<Solution, QuantizeError>> {
        match self.solve_several.map(|solve| solve(problem, settings)) {
            Some(Ok(solutions)) => solutions.into_iter().map(Ok).collect(),
            Some(Err(error)) => settings.iter().map(|_| Err(error.clone())).collect(),
            None => settings.iter().map(|settings| (self.solve)(problem, settings)).collect(),
        }
    }
}

/// The table of methods with every parameter, as Markdown: what `docs/methods.md` holds.
pub fn markdown() -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for method in METHODS {
        let _ = write!(
            text,
            "## `{}`: {}\n\n{}.\n\nSource: {}. A sweep moves `{}` from {} to {}.\n\n\
             | parameter | values | default | what it does |\n|---|---|---|---|\n",
            method.id,
            method.title,
            capitalised(method.summary),
            method.source,
            method.swept,
            method.sweep.0,
            method.sweep.1
        );
        for p in method.parameters {
            let values = match p.kind {
                ParameterKind::Integer { min, max, .. } => format!("{min} to {max}"),
                ParameterKind::Number { min, max, .. } => format!("{min} to {max}"),
                ParameterKind::Format => "the [name](number-formats.md) of a format".to_owned(),
                ParameterKind::Choice(words) => {
                    words.iter().map(|(id, title)| format!("`{id}` ({title})")).collect::<Vec<_>>().join(", ")
                }
            };
            let _ = writeln!(text, "| `{}` | {values} | {} | {} |", p.id, p.default_value(), p.summary);
        }
        text.push('\n');
    }
    text.push_str(DEFAULT);
    text
}

/// The default recipe, and why it is what it is.
const DEFAULT: &str = include_str!("default.md");

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| {
        std::iter::once(first.to_ascii_uppercase()).chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_of_methods_is_this_one() {
        let documented = include_str!("../../docs/methods.md");
        assert!(
            documented.ends_with(markdown().trim_end()) || documented.contains(markdown().trim_end()),
            "run make figures"
        );
    }

    #[test]
    fn rows_are_found_by_their_own_id_and_sweep_a_parameter_they_have() {
        for method in METHODS {
            assert_eq!(find(method.id).map(|found| found.title), Some(method.title));
            assert!(method.swept_kind().is_some(), "{}", method.id);
            if let Some(id) = method.curves {
                let choice = method.parameters.iter().find(|parameter| parameter.id == id).unwrap();
                let first = choice.default_value().to_string();
                assert_eq!(method.curve(&first).map(|(id, word, _)| (id, word)), Some((id, first.as_str())));
            }
            assert!(method.curve("no word").is_none());
        }
        assert!(find("none").is_none());
        assert!(find(DEFAULT_METHOD).is_some() && find(PAPER_METHOD).is_some());
    }

    #[test]
    fn what_bounds_a_method_is_proved_by_one_row() {
        for optimum in [Optimum::OfLevels, Optimum::OfEntropy] {
            assert_eq!(
                METHODS.iter().filter(|method| method.standing == Standing::Proves(optimum)).count(),
                1
            );
        }
    }

    /// Lines of code in a file, without comments and without the tests at its end.
    fn code(text: &str) -> impl Iterator<Item = &str> {
        let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
        let lines = text.get(..end).unwrap_or_default().lines();
        lines.filter(|line| !line.trim_start().starts_with("//"))
    }

    /// All sources of the crate and the page, by path from the crate's root.
    #[cfg(not(target_arch = "wasm32"))]
    fn sources() -> Vec<(String, String)> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        let mut folders = vec![root.join("src"), root.join("www")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let is_text =
                    |ending: &std::ffi::OsStr| ["rs", "js", "mjs", "html"].iter().any(|e| ending == *e);
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(is_text) {
                    let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                    found.push((name, std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        found.push(("index.html".into(), std::fs::read_to_string(root.join("index.html")).unwrap()));
        found
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn no_method_is_known_by_its_id_outside_this_room() {
        let mut found = Vec::new();
        let sources = sources();
        assert!(sources.len() > 200, "{} files", sources.len());
        let may_name = |path: &str| path.starts_with("src/quantize") || path.ends_with("/tests.rs");
        for (path, text) in sources.iter().filter(|(path, _)| !may_name(path)) {
            for (line, method) in code(text).flat_map(|line| METHODS.iter().map(move |m| (line, m.id))) {
                if line.contains(&format!("\"{method}\"")) || line.contains(&format!("method={method}")) {
                    found.push(format!("{path}: {}", line.trim()));
                }
            }
        }
        assert_eq!(found, Vec::<String>::new());
    }
}
