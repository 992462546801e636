//! The native program: inspect, sweep, compress, decode, verify, recipe.
//!
//! Results go to standard output, progress and errors to standard error. Exit codes: 0 done; 1 the job failed, with one
//! sentence why; 2 the command line or a setting is wrong; 3 a verification found a difference.

mod arguments;
mod commands;
mod network;
mod print;
mod progress;
mod table1;

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
            let is_setting = error
                .downcast_ref::<crate::engine::EngineError>()
                .is_some_and(|e| matches!(e, crate::engine::EngineError::Settings(_)));
            eprintln!("quantscope: {}", sentence(error.as_ref()));
            ExitCode::from(if is_setting { 2 } else { 1 })
        }
    }
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
