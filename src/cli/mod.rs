//! The native program: inspect, sweep, compress, decode, verify, recipe.
//!
//! Results go to standard output, progress and errors to standard error. Exit codes: 0 done; 1 the job failed, with one
//! sentence why; 2 the command line or a setting is wrong; 3 a verification found a difference.

mod arguments;
mod calibration;
mod commands;
mod context;
mod cost;
mod decode;
mod goal;
mod goal_arguments;
mod network;
mod number_arguments;
mod numbers;
mod precision;
mod print;
mod progress;
mod running;
mod timings;
mod writing;

pub use print::table;

use clap::Parser as _;
use std::process::ExitCode;

/// Why a command ended without success.
#[derive(Debug)]
enum Failure {
    /// The job failed.
    Job(Box<dyn std::error::Error>),
    /// The command line or a setting is wrong.
    Usage(String),
    /// A verification found a difference.
    Different(String),
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Job(Box::new(error))
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    writing::clean_up_when_interrupted();
    quiet_runtime();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Different(sentence)) => {
            eprintln!("quantscope: {sentence}");
            ExitCode::from(3)
        }
        Err(Failure::Usage(sentence)) => {
            eprintln!("quantscope: {sentence}");
            ExitCode::from(2)
        }
        Err(Failure::Job(error)) => {
            let is_setting = is_setting(error.as_ref());
            eprintln!("quantscope: {}", sentence(error.as_ref()));
            ExitCode::from(if is_setting { 2 } else { 1 })
        }
    }
}

/// Leaves panics of the runtime to the sentence that is made of them; ours are told as ever.
fn quiet_runtime() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |location| location.file());
        if !file.contains("rten") {
            tell(panic);
        }
    }));
}

/// Whether a setting is to blame, wherever it was found out.
fn is_setting(error: &(dyn std::error::Error + 'static)) -> bool {
    use crate::engine::EngineError;
    use crate::quantize::{QuantizeError, SettingsError};
    let mut at = Some(error);
    while let Some(error) = at {
        let engine = error.downcast_ref::<EngineError>();
        let network = error.downcast_ref::<crate::network::NetworkError>();
        let found = error.is::<SettingsError>()
            || matches!(
                engine,
                Some(EngineError::Settings(_) | EngineError::Quantize(QuantizeError::Settings(_)))
            )
            || matches!(
                network,
                Some(crate::network::NetworkError::Engine(
                    EngineError::Settings(_) | EngineError::Quantize(QuantizeError::Settings(_))
                ))
            );
        if found {
            return true;
        }
        at = error.source();
    }
    false
}

/// An error with its causes, in one sentence.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
