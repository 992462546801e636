//! The native program; see `quantscope --help`.

fn main() -> std::process::ExitCode {
    quantscope::cli::main()
}
