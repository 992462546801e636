//! The table of methods: one row each, from which forms, flags and documentation are generated.

use super::{
    Parameter, Problem, QuantizeError, Settings, Solution, ecsq, ecsq_exact, grid, kmeans, lloyd, uniform,
};

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
    /// The parameter that trades rate for distortion.
    pub swept: &'static str,
    /// Where a sweep of that parameter starts and ends, from fine to coarse.
    pub sweep: (f64, f64),
    /// Solves for one choice of settings, checked against `parameters`.
    pub solve: fn(&Problem, &Settings) -> Result<Solution, QuantizeError>,
}

/// All methods, in the order they are shown.
pub const METHODS: &[Method] = &[
    Method {
        id: "kmeans",
        title: "k-means (exact)",
        summary: "the least squared error, by importance, that any k levels can have",
        source: "Choi, El-Khamy and Lee 2017, section 3.2; Aggarwal, Schieber and Tokuyama 1994",
        parameters: kmeans::PARAMETERS,
        swept: "k",
        sweep: (256.0, 2.0),
        solve: kmeans::solve,
    },
    Method {
        id: "lloyd",
        title: "k-means (Lloyd)",
        summary: "moves k levels to the means of their weights until nothing changes: a local optimum",
        source: "Lloyd 1982; Han, Mao and Dally 2016, section 3; Arthur and Vassilvitskii 2007",
        parameters: lloyd::PARAMETERS,
        swept: "k",
        sweep: (256.0, 2.0),
        solve: lloyd::solve,
    },
    Method {
        id: "uniform",
        title: "Uniform",
        summary: "evenly spaced thresholds around zero, the mean of each interval as level",
        source: "Gish and Pierce 1968; Choi, El-Khamy and Lee 2017, section 4.2",
        parameters: uniform::PARAMETERS,
        swept: "step",
        sweep: (0.03, 4.0),
        solve: uniform::solve,
    },
    Method {
        id: "ecsq",
        title: "ECSQ (iterative)",
        summary: "trades error against entropy; each weight takes the level with the least error plus λ times bits",
        source: "Chou, Lookabaugh and Gray 1989, section III; Choi, El-Khamy and Lee 2017, section 4.3",
        parameters: ecsq::PARAMETERS,
        swept: "lambda",
        sweep: (0.0002, 1.0),
        solve: ecsq::solve,
    },
    Method {
        id: "ecsq-exact",
        title: "ECSQ (exact on intervals)",
        summary: "the least error plus λ times entropy that intervals can have, by shortest path",
        source: "Muresan and Effros 2008",
        parameters: ecsq_exact::PARAMETERS,
        swept: "lambda",
        sweep: (0.0002, 1.0),
        solve: ecsq_exact::solve,
    },
    Method {
        id: "rdo",
        title: "Rate-distortion optimised grid",
        summary: "on a uniform grid, each weight takes the value with the least error plus λ times the bits that the context coder asks for it",
        source: "Chou, Lookabaugh and Gray 1989; Choi, El-Khamy and Lee 2017, section 4",
        parameters: grid::SCALAR_PARAMETERS,
        swept: "step",
        sweep: (0.05, 3.0),
        solve: grid::solve,
    },
    Method {
        id: "trellis",
        title: "Trellis-coded",
        summary: "the same on a grid twice as fine, half of which each weight may use, by a search over paths: the smallest files",
        source: "Marcellin and Fischer 1990; Fischer and Wang 1992; Ungerboeck 1982",
        parameters: grid::TRELLIS_PARAMETERS,
        swept: "step",
        sweep: (0.05, 3.0),
        solve: grid::solve,
    },
];

/// The method of this id.
pub fn find(id: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.id == id)
}

impl Method {
    /// Whether weights get their symbols on a uniform grid in the order of coding, by what the context coder asks for them
    /// ([`grid`]); a prediction from cells is a preview then.
    pub fn is_grid(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.id == "fine")
    }

    /// Solves for several settings, sharing work where the method can.
    pub fn solve_all(
        &self,
        problem: &Problem,
        settings: &[Settings],
    ) -> Vec<Result<Solution, QuantizeError>> {
        if self.id == "kmeans" {
            let ks: Vec<u32> = settings.iter().map(|settings| settings.integer("k") as u32).collect();
            match kmeans::curve(problem, &ks) {
                Ok(solutions) => solutions.into_iter().map(Ok).collect(),
                Err(error) => settings.iter().map(|_| Err(error.clone())).collect(),
            }
        } else {
            settings.iter().map(|settings| (self.solve)(problem, settings)).collect()
        }
    }
}

/// The table of methods with every parameter, as Markdown: what `docs/methods.md` holds.
pub fn markdown() -> String {
    use super::ParameterKind;
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
            assert!(method.parameters.iter().any(|parameter| parameter.id == method.swept));
        }
        assert!(find("none").is_none());
    }
}
