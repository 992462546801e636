//! Which of several files is the model: of a folder, or of what is dropped together.
//!
//! Files are told apart by their names here, since a folder of a model has many that hold no weights. An index stands for its
//! shards, and the first file of a numbered set for the others.

use super::shards::Member;
use super::table::is_weight_name;
#[cfg(any(not(target_arch = "wasm32"), test))]
use super::{FormatError, error::several, table::readable};
use crate::model::FileFormat;

/// Those of `names` that may be a model each: the indices of sharded models, or else the weight files.
pub fn models(names: &[String]) -> Vec<&str> {
    let called = |is_called: &dyn Fn(&str) -> bool| {
        names.iter().map(String::as_str).filter(|name| is_called(name)).collect::<Vec<&str>>()
    };
    let indices = called(&|name| FileFormat::Shards.is_name_of(name));
    if !indices.is_empty() {
        return indices;
    }
    let mut found = called(&|name| is_weight_name(name) || FileFormat::Zip.is_name_of(name));
    let numbered: Vec<Member> = found.iter().filter_map(|name| Member::of(name)).collect();
    found.retain(|name| {
        let is_before = |own: &Member, other: &Member| other.number < own.number && other.is_beside(own);
        Member::of(name).is_none_or(|own| !numbered.iter().any(|other| is_before(&own, other)))
    });
    found
}

/// The one model of a folder that `found` holds; a sentence where there is none, or another.
#[cfg(any(not(target_arch = "wasm32"), test))]
pub(crate) fn only_model<'a>(found: &[&'a str]) -> Result<&'a str, FormatError> {
    match found {
        [] => Err(FormatError::foreign("a folder without a weight file", format!("expected {}", readable()))),
        [model] => Ok(model),
        _ => {
            let found = format!("a folder of {} models: {}", found.len(), several(found));
            Err(FormatError::foreign(found, "name the one that is meant"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], expected: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(models(&names), expected);
    }

    #[test]
    fn an_index_stands_for_a_folder_and_a_numbered_file_for_its_set() {
        let [one, two] = ["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"];
        check(
            &["config.json", one, two, "m.safetensors.index.json", "training_args.bin"],
            &["m.safetensors.index.json"],
        );
        check(&["README.md", two, one, "tokenizer.json"], &[one]);
        check(
            &[one, "n-00001-of-00002.safetensors", two, "w.npz"],
            &[one, "n-00001-of-00002.safetensors", "w.npz"],
        );
        check(&["config.json"], &[]);
    }

    #[test]
    fn a_folder_of_none_or_of_several_models_is_said_to_be_that() {
        assert_eq!(only_model(&["a.npz"]).unwrap(), "a.npz");
        assert_eq!(
            only_model(&["a.npz", "b.onnx"]).unwrap_err().to_string(),
            "this is a folder of 2 models: a.npz and b.onnx, not a weight file that can be read here: name the one that is meant"
        );
        let none = only_model(&[]).unwrap_err().to_string();
        assert!(none.starts_with("this is a folder without a weight file, not a weight file"), "{none}");
    }
}
