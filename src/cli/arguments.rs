//! The command line. A method's flags come from the table of methods.

use super::Failure;
use super::cost::CostArguments;
use super::goal_arguments::{GoalArguments, read_target};
use super::number_arguments::NumbersArguments;
use crate::engine::targets::Target;
use crate::formats::written_endings;
use crate::importance::ImportanceChoice;
use crate::importance::sources::DEFAULT_SOURCE;
use crate::quantize::methods::METHODS;
use crate::recipe::fields::{FIELDS, Field};
use crate::recipe::{Carry, Recipe};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};
use std::path::{Path, PathBuf};

/// What each bit of a neural network's weights buys: quantize, code, measure and verify.
#[derive(Debug, Parser)]
#[command(name = "quantscope", version, max_term_width = 110)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Action,
    /// Threads to use; the result is the same with any number
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List a file's tensors with their statistics; for a .qsz its recipe and ledger
    Inspect {
        /// A weight file or a .qsz
        file: PathBuf,
    },
    /// Rate-distortion curves of several methods, as CSV or JSON
    Sweep {
        /// A weight file
        file: PathBuf,
        #[command(flatten)]
        recipe: RecipeArguments,
        /// Methods to sweep, by id; scaled:WORD takes numbers of that word; id:plain ignores importance when solving, not when
        /// measuring
        #[arg(long, value_delimiter = ',', value_name = "ID,…")]
        methods: Vec<String>,
        /// Points per curve
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=200))]
        points: u16,
        /// Where to write; standard output if absent
        #[arg(long, short)]
        output: Option<PathBuf>,
        /// Also draw the chart as SVG
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// The chart's rate
        #[arg(long, value_parser = ["entropy", "fixed", "huffman", "rans"], default_value = "entropy")]
        rate: String,
        /// Draw importance-weighted distortion
        #[arg(long)]
        weighted: bool,
        /// Instead time every method at its defaults with every coder it allows, on this machine: seconds, weights per second,
        /// memory
        #[arg(long, conflicts_with_all = ["svg", "points", "rate", "weighted"])]
        timings: bool,
    },
    /// Which layer hurts: every tensor's share of bits and distortion, and what the next bit is worth there
    Sensitivity {
        /// A weight file
        file: PathBuf,
        #[command(flatten)]
        recipe: RecipeArguments,
        /// Also write the table as CSV
        #[arg(long, short, value_name = "FILE.csv")]
        output: Option<PathBuf>,
        /// Also draw the chart as SVG
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// What the chart's bars are
        #[arg(long, value_parser = ["share", "slope"], default_value = "share")]
        chart: String,
    },
    /// Compress a weight file into a .qsz, then decode it and compare
    Compress {
        /// A weight file
        file: PathBuf,
        /// The .qsz to write
        #[arg(long, short)]
        output: PathBuf,
        #[command(flatten)]
        recipe: RecipeArguments,
        #[command(flatten)]
        target: TargetArguments,
        #[command(flatten)]
        competing: CompetingArguments,
        /// Do not decode and compare afterwards
        #[arg(long)]
        no_verify: bool,
        #[command(flatten)]
        check: CheckArguments,
    },
    #[command(about = decode_about())]
    Decode {
        /// A .qsz
        file: PathBuf,
        /// The file to write; a folder takes the file that was compressed under its own name
        #[arg(long, short)]
        output: PathBuf,
        #[arg(long, value_name = "FILE", help = template_help())]
        template: Option<PathBuf>,
    },
    /// Check a .qsz: every checksum, every block; with its source also that its recipe gives the same bytes again
    Verify {
        /// A .qsz
        file: PathBuf,
        /// The weight file it was made from
        #[arg(long, value_name = "FILE")]
        source: Option<PathBuf>,
        /// The importance file it was made with
        #[arg(long, value_name = "FILE")]
        importance_file: Option<PathBuf>,
    },
    /// Run a network: accuracy of its float weights, or of what recipes make of them
    Accuracy {
        #[command(flatten)]
        network: NetworkArguments,
        #[command(flatten)]
        recipe: RecipeArguments,
        #[command(flatten)]
        numbers: NumbersArguments,
        /// Measure a curve of each of these methods, in place of one recipe; with a goal let them compete
        #[arg(long, value_delimiter = ',', value_name = "ID,…")]
        methods: Vec<String>,
        #[command(flatten)]
        goal: GoalArguments,
        /// Write the .qsz that a goal found
        #[arg(long, short, value_name = "FILE.qsz", requires = "goal")]
        output: Option<PathBuf>,
        /// Points per curve
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=200))]
        points: u16,
        /// Measure the predicted and the real change of loss of each tensor on its own
        #[arg(long)]
        per_tensor: bool,
        /// Write the network's answers as .npz: `float`, and `quantized` where a recipe is given
        #[arg(long, value_name = "FILE.npz")]
        outputs: Option<PathBuf>,
    },
    /// Retrain a recipe's shared values on labelled data and write the .qsz
    Finetune {
        #[command(flatten)]
        network: NetworkArguments,
        #[command(flatten)]
        recipe: RecipeArguments,
        #[command(flatten)]
        tuning: TuningArguments,
        /// The .qsz to write
        #[arg(long, short)]
        output: PathBuf,
    },
    /// Compute importance from a network and data: curvature, squared activations, gradient
    Importance {
        #[command(flatten)]
        network: NetworkArguments,
        /// What to compute
        #[arg(long, default_value = "exact", value_parser = ["hessian", "gauss-newton", "exact", "sampled", "activations", "gradient"])]
        kind: String,
        /// The .safetensors to write
        #[arg(long, short)]
        output: PathBuf,
        /// Store bfloat16: half the size
        #[arg(long)]
        half: bool,
    },
    /// Measure what a network multiplies its weights by, from unlabelled data: what compensation needs
    Calibrate {
        #[command(flatten)]
        network: NetworkArguments,
        /// The .safetensors to write
        #[arg(long, short)]
        output: PathBuf,
    },
    /// Compress by a recipe and repair what that leaves, from unlabelled data: batch normalisation, biases
    Repair {
        #[command(flatten)]
        network: NetworkArguments,
        #[command(flatten)]
        recipe: RecipeArguments,
        #[command(flatten)]
        repair: RepairArguments,
        /// The .qsz to write
        #[arg(long, short)]
        output: PathBuf,
    },
    /// Search for the cheapest number format in which a network still answers rightly
    Precision {
        #[command(flatten)]
        network: NetworkArguments,
        #[command(flatten)]
        precision: PrecisionArguments,
        /// Write every format's figures as CSV
        #[arg(long, short, value_name = "FILE.csv")]
        output: Option<PathBuf>,
        /// Draw a map of the formats
        #[arg(long, value_name = "FILE.svg")]
        svg: Option<PathBuf>,
    },
    /// Energy and time of an inference in number formats, by a model: arithmetic alone and the whole system
    Cost(Box<CostArguments>),
    /// Print the table of methods as Markdown
    Methods,
    /// Print a recipe: of a .qsz, of a recipe file, or of what the flags say
    Recipe {
        /// A .qsz, or a recipe as .json
        file: Option<PathBuf>,
        #[command(flatten)]
        recipe: RecipeArguments,
    },
}

/// Which formats are searched, for what, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Search")]
pub struct PrecisionArguments {
    /// The formats: names with ranges in the place of numbers, such as m1..10e2..6, e2..5m1..8, l1..8r0..12, int2..8,
    /// posit6..16-1; `paper` is 340 formats of the paper's two families
    #[arg(long, value_name = "SPACE", default_value = "paper")]
    pub family: String,
    /// Every format on growing sets of samples; the paper's way, from ten samples and a linear model; or both
    #[arg(long, default_value = "both", value_parser = ["exhaustive", "efficient", "both"])]
    pub search: String,
    /// The share of the float network's accuracy that is to be kept
    #[arg(long, value_name = "SHARE", default_value = "99%")]
    pub keep: String,
    /// The probability with which the choice is that of the full search
    #[arg(long, value_name = "P", default_value = "95%")]
    pub confidence: String,
    /// Run every format on all samples
    #[arg(long)]
    pub full: bool,
    /// What formats are ranked by: their bits, or the energy of an inference by the hardware model
    #[arg(long, default_value = "bits", value_parser = ["bits", "energy"])]
    pub cost: String,
    /// Go on from the choice for all layers to a format for each of them
    #[arg(long)]
    pub mixed: bool,
    /// What weights are rounded to: the format that is searched, float32, or a format of their own
    #[arg(long, value_name = "F", default_value = "searched")]
    pub weights_as: String,
    /// What passes between operators is rounded to
    #[arg(long, value_name = "F", default_value = "searched")]
    pub activations_as: String,
    /// What products and sums are rounded to after every multiply-add; `searched` is the paper's emulation
    #[arg(long, value_name = "F", default_value = "float32")]
    pub accumulator_as: String,
    /// Which samples come first
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Samples behind those that are scored which tell ranges, where a format needs them
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub calibration: u32,
}

/// What the compressed file must keep to; the recipe's method is then set so that it just does.
#[derive(Debug, Clone, Args)]
#[group(id = "target", multiple = false)]
#[command(next_help_heading = "Target")]
pub struct TargetArguments {
    /// Find the best quality in a file of at most this size: bytes, or a number with kB, MB, GB, KiB, MiB, GiB
    #[arg(long, value_name = "N")]
    pub max_bytes: Option<String>,
    /// Find the best quality at this many bits per quantized weight at most
    #[arg(long, value_name = "B")]
    pub max_bits: Option<String>,
    /// Find the smallest file with at least this signal-to-quantization-noise ratio, in dB
    #[arg(long, value_name = "D")]
    pub min_sqnr: Option<String>,
    /// Find the smallest file with at least this importance-weighted ratio, in dB
    #[arg(long, value_name = "D")]
    pub min_weighted_sqnr: Option<String>,
}

/// The methods that compete for a target.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub struct CompetingArguments {
    /// Let these methods compete for the target, each with its own defaults; the recipe's own method if absent
    #[arg(long, value_delimiter = ',', value_name = "ID,…", requires = "target")]
    pub methods: Vec<String>,
}

impl TargetArguments {
    /// The target, if one was given.
    pub fn target(&self) -> Result<Option<Target>, Failure> {
        let given = [
            ("max-bytes", &self.max_bytes),
            ("max-bits", &self.max_bits),
            ("min-sqnr", &self.min_sqnr),
            ("min-weighted-sqnr", &self.min_weighted_sqnr),
        ];
        read_target(&given)
    }
}

/// A recipe, as a line or a file, then changed by single flags.
#[derive(Debug, Default)]
pub struct RecipeArguments {
    /// The importance file.
    pub importance_file: Option<PathBuf>,
    base: Option<String>,
    changes: Vec<(String, String)>,
}

/// The name of the papers' recipe, [`Recipe::paper`].
const PAPER: &str = "paper";

/// What is said of a parameter, and the methods of which it is said.
type Saying = (String, Vec<&'static str>);

fn decode_about() -> String {
    let endings = written_endings(Some(false));
    format!("Give back the file that a .qsz was made from, or its weights as {endings}, by the output's name")
}

fn template_help() -> String {
    let endings = written_endings(Some(true));
    format!(
        "For {endings}, where the .qsz holds weights alone: the model they came from, whose bytes the output has around them"
    )
}

/// The methods' parameters, each once, with its defaults and the methods that have them.
fn method_parameters() -> Vec<(&'static str, String)> {
    let all = METHODS.iter().flat_map(|method| method.parameters.iter().map(move |own| (method.id, own)));
    let mut found: Vec<(&'static str, Vec<Saying>)> = Vec::new();
    for (method, parameter) in all {
        let said = format!("{} [default: {}]", parameter.summary, parameter.default_value());
        let place = found.iter().position(|(id, _)| *id == parameter.id);
        let at = place.unwrap_or_else(|| {
            found.push((parameter.id, Vec::new()));
            found.len() - 1
        });
        let Some((_, sayings)) = found.get_mut(at) else { continue };
        match sayings.iter_mut().find(|(known, _)| *known == said) {
            Some((_, methods)) => methods.push(method),
            None => sayings.push((said, vec![method])),
        }
    }
    let help = |sayings: Vec<Saying>| {
        let said = sayings.into_iter().map(|(said, methods)| format!("{}: {said}", methods.join(", ")));
        said.collect::<Vec<_>>().join("; ")
    };
    found.into_iter().map(|(id, sayings)| (id, help(sayings))).collect()
}

/// The recipe's fields that have flags, with their help.
fn own_fields() -> impl Iterator<Item = (&'static Field, String)> {
    FIELDS.iter().filter(|field| field.is_chosen()).map(|field| {
        let default = field.default_text();
        let default = if default.is_empty() { default } else { format!(" [default: {default}]") };
        (field, format!("{}{default}", field.summary))
    })
}

impl Args for RecipeArguments {
    fn augment_args(command: Command) -> Command {
        let mut command = command
            .arg(Arg::new("recipe").long("recipe").value_name("LINE|FILE|paper").help_heading("Recipe").help(
                "Start from a recipe: one line of key=value pairs joined by &, a file with one as JSON, or paper: one codebook for all that training moves",
            ))
            .arg(
                Arg::new("importance-file")
                    .long("importance-file")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help_heading("Recipe")
                    .help("Where importance comes from; --importance says what the file holds"),
            );
        command = command.arg(
            Arg::new("weights-only")
                .long("weights-only")
                .action(clap::ArgAction::SetTrue)
                .conflicts_with("carry")
                .help_heading("Recipe")
                .help("The same as --carry weights: leave out what is no tensor, so that decoding gives weights and not the file"),
        );
        for (field, help) in own_fields() {
            let arg = Arg::new(field.key).long(field.key).value_name(field.form());
            command = command.arg(arg.help_heading("Recipe").help(help));
        }
        for (key, help) in method_parameters() {
            command = command.arg(
                Arg::new(key).long(key).value_name("VALUE").help_heading("Method's parameters").help(help),
            );
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RecipeArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let keys = own_fields()
            .map(|(field, _)| field.key)
            .chain(method_parameters().into_iter().map(|(key, _)| key));
        let mut changes: Vec<(String, String)> =
            keys.filter_map(|key| Some((key.to_owned(), matches.get_one::<String>(key)?.clone()))).collect();
        if matches.get_flag("weights-only") {
            changes.push(("carry".to_owned(), Carry::Weights.id().to_owned()));
        }
        Ok(Self {
            importance_file: matches.get_one("importance-file").cloned(),
            base: matches.get_one("recipe").cloned(),
            changes,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl RecipeArguments {
    /// Whether anything was said at all.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.changes.is_empty() && self.importance_file.is_none()
    }

    /// The files that the flags name.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let base = self.base.as_deref().filter(|text| !text.contains('=') && *text != PAPER).map(Path::new);
        self.importance_file.as_deref().into_iter().chain(base)
    }

    /// The recipe that the flags describe, checked.
    pub fn recipe(&self) -> Result<Recipe, Failure> {
        let usage = |error: crate::quantize::SettingsError| Failure::Usage(error.to_string());
        let mut recipe = match &self.base {
            None => Recipe::default(),
            Some(text) if text == PAPER => Recipe::paper(),
            Some(text) if text.contains('=') => {
                Recipe::from_line(text.trim_start_matches('#')).map_err(usage)?
            }
            Some(path) => read_recipe(&PathBuf::from(path))?,
        };
        let given = |key: &str| self.changes.iter().any(|(k, _)| k == key);
        if self.importance_file.is_some() && !given("importance") && self.base.is_none() {
            recipe.set("importance", DEFAULT_SOURCE.id).map_err(usage)?;
        }
        for (key, value) in &self.changes {
            recipe.set(key, value).map_err(usage)?;
        }
        recipe.check().map_err(usage)?;
        recipe.scenario().map_err(|error| Failure::Usage(error.to_string()))?;
        if recipe.importance.source.is_some() && self.importance_file.is_none() {
            return Err(Failure::Usage(
                "importance: expected --importance-file with it, found none".to_owned(),
            ));
        }
        Ok(recipe)
    }

    /// The recipe, where no importance file is needed to show it.
    pub fn recipe_alone(&self) -> Result<Recipe, Failure> {
        let with_file = Self {
            importance_file: Some(PathBuf::new()),
            base: self.base.clone(),
            changes: self.changes.clone(),
        };
        let mut recipe = with_file.recipe()?;
        if self.importance_file.is_none()
            && self.base.is_none()
            && !self.changes.iter().any(|(k, _)| k == "importance")
        {
            recipe.importance = ImportanceChoice::default();
        }
        Ok(recipe)
    }
}

/// Reads a recipe file: the recipe as JSON, alone or as the field `recipe` of the page's download.
pub fn read_recipe(path: &std::path::Path) -> Result<Recipe, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::Usage(format!("recipe {}: cannot be read: {e}", path.display())))?;
    let wrong = |e: String| Failure::Usage(format!("recipe {}: {e}", path.display()));
    Ok(Recipe::from_json(&text).map_err(wrong)?.0)
}

/// A network and data to run it on.
#[derive(Debug, Clone, Args)]
pub struct NetworkArguments {
    /// The network, as ONNX
    pub network: PathBuf,
    /// The data: MNIST idx (images and labels), CIFAR-10 binary batches, .npz or .npy; several files add up
    #[arg(long, required = true, num_args = 1.., value_name = "FILE…")]
    pub data: Vec<PathBuf>,
    /// Preprocessing, such as `scale=255&mean=0.5&std=0.25&layout=hwc`; guessed from the first labelled samples if absent
    #[arg(long, value_name = "LINE")]
    pub preprocess: Option<String>,
    /// Use the first N samples only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub samples: Option<u32>,
    /// Take the weights from this file, by name, in place of the network's own
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
}

/// Whether an ONNX network is run with its decoded weights.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Does it still run?")]
pub struct CheckArguments {
    /// Run the network on these data in place of inputs made up from its shapes
    #[arg(long, num_args = 1.., value_name = "FILE…")]
    pub data: Vec<PathBuf>,
    /// Run it however large it is; networks of more than 100 MB are not run unless asked for
    #[arg(long, conflicts_with = "no_check")]
    pub check: bool,
    /// Do not run it
    #[arg(long)]
    pub no_check: bool,
}

/// What a quantized network is repaired with.
#[derive(Debug, Clone, Args)]
pub struct RepairArguments {
    /// Data to repair with, labels unused; without it the first half of the data repairs and the second half examines
    #[arg(long, num_args = 1.., value_name = "FILE…")]
    pub calibration: Vec<PathBuf>,
    /// Use the first N samples of it only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub calibration_samples: Option<u32>,
    /// Quantize layers one after the other, each for what enters it from those before, and write the second moments that this
    /// took, which the recipe then names
    #[arg(long, value_name = "FILE.safetensors")]
    pub sequential: Option<PathBuf>,
}

/// How shared values are retrained.
#[derive(Debug, Clone, Args)]
pub struct TuningArguments {
    /// Data to learn from; without it the first half of the data teaches and the second half examines
    #[arg(long, num_args = 1.., value_name = "FILE…")]
    pub train: Vec<PathBuf>,
    /// Times every sample is seen
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub epochs: u32,
    /// Samples per step
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// Largest step, as a share of the mean distance between neighbouring values
    #[arg(long, default_value_t = 0.02)]
    pub rate: f64,
}
