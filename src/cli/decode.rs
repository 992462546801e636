//! From a `.qsz` back to files: the one that was compressed, or its weights in a file of another format.

use super::Failure;
use super::context::{Context, open_source};
use super::writing::{Split, refuse_harm, replace};
use crate::container::Reader;
use crate::engine::native::{Files, open_files};
use crate::engine::{self, Digest, EngineError, Export, Restored};
use crate::formats::{self, Limits, Template, shown};
use crate::model::FileFormat;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Decodes a `.qsz` into the file that `output` names.
pub fn decode(context: &Context, file: &Path, output: &Path, template: Option<&Path>) -> Result<(), Failure> {
    let inputs: Vec<&Path> = std::iter::once(file).chain(template).collect();
    let source = open_source(file)?;
    let reader = engine::open_container(&source)?;
    let restored = Restored::new(&source, &reader);
    let manifest = reader.manifest();
    if let (Some(restored), None) = (&restored, template)
        && (output.is_dir() || manifest.source_format.is_name_of(&output.display().to_string()))
    {
        return give_back(context, &inputs, output, &reader, restored);
    }
    refuse_harm(&[output], &inputs)?;
    let format = format_of(output, template.is_some(), &reader)?;
    let template = template.map(open_files).transpose()?;
    let model = template.as_ref().map(|t| formats::open(t, &Limits::default())).transpose()?;
    let template = template.as_ref().zip(model.as_ref()).map(|(source, model)| Template { source, model });
    let parts = template.map_or_else(|| Ok(Vec::new()), |template| format.parts(&template));
    let (parts, export) = (parts.map_err(EngineError::from)?, Export { format, template });
    let total = engine::decoded_bytes(&reader);
    let mut tell = context.tell("decoding", total);
    let parts: Vec<(String, u64)> = parts.iter().map(|part| (part.name.clone(), part.span.len)).collect();
    write(output, &parts, &inputs, &mut |out| engine::decode_to(&source, &reader, export, out, &mut tell))?;
    context.bars.clear();
    let tensors = reader.manifest().tensors.len();
    let text = format!("{}: {tensors} tensors, {total} bytes of weights", output.display());
    context.say(&text, &json!({"tensors": tensors, "bytes": total}))
}

/// Writes the files that were compressed; into a folder under their own names.
fn give_back(
    context: &Context,
    inputs: &[&Path],
    output: &Path,
    reader: &Reader,
    restored: &Restored<'_>,
) -> Result<(), Failure> {
    let files = &reader.manifest().files;
    let own = files.first().map_or("", |(name, _)| name.as_str());
    let first = if output.is_dir() {
        // A name from a file that anyone may have made: its last part alone.
        let name = Path::new(own).file_name().filter(|_| !own.contains('\\'));
        output
            .join(name.ok_or_else(|| Failure::Usage(format!("output: expected a name for {}", shown(own))))?)
    } else {
        output.to_path_buf()
    };
    let total = reader.manifest().file_bytes();
    let (mut tell, mut digests) = (context.tell("decoding", total), Vec::new());
    write(&first, files, inputs, &mut |out| {
        digests = restored.write(out, &mut tell)?;
        Ok(())
    })?;
    context.bars.clear();
    let line = |(index, file): (usize, &Digest)| {
        let path = if index == 0 { first.clone() } else { first.with_file_name(&file.name) };
        format!("{}: {} bytes, SHA-256 {}", shown(&path.display().to_string()), file.bytes, file.sha256)
    };
    let text = digests.iter().enumerate().map(line).collect::<Vec<_>>().join("\n");
    context.say(&text, &json!({"tensors": reader.manifest().tensors.len(), "bytes": total, "files": digests}))
}

/// Writes one stream into a file, or into several one behind the other: the first is `output`, the others lie beside it.
fn write(
    output: &Path,
    parts: &[(String, u64)],
    inputs: &[&Path],
    write: &mut dyn FnMut(&mut dyn std::io::Write) -> Result<(), EngineError>,
) -> Result<(), Failure> {
    let [(_, len), beside @ ..] = parts else { return replace(output, |out| write(out), |_| Ok(())) };
    let beside = beside.iter().map(|(name, len)| (output.with_file_name(name), *len));
    let files: Vec<(PathBuf, u64)> = std::iter::once((output.to_path_buf(), *len)).chain(beside).collect();
    let paths: Vec<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
    refuse_harm(&paths, inputs)?;
    if files.len() == 1 {
        return replace(output, |out| write(out), |_| Ok(()));
    }
    let mut out = Split::create(&files)?;
    write(&mut out)?;
    out.finish()
}

/// The format that an output's name asks for, which may need a template.
fn format_of(output: &Path, has_template: bool, reader: &Reader) -> Result<FileFormat, Failure> {
    let found = output.display().to_string();
    let format = formats::written_as(&found).filter(|format| format.needs_template() == has_template);
    format.ok_or_else(|| {
        let (plain, into_template) =
            (formats::written_endings(Some(false)), formats::written_endings(Some(true)));
        let found = shown(&found);
        let manifest = reader.manifest();
        let (own, alone) = if manifest.files.is_empty() {
            (String::new(), "; this .qsz holds weights alone")
        } else {
            (format!(".{} as the file that was compressed, in ", manifest.source_format.extension()), "")
        };
        Failure::Usage(format!(
            "output: expected a name that ends in {own}{plain}, or in {into_template} with --template, found {found}{alone}"
        ))
    })
}

/// What the files are that a `.qsz` gives back; none where it holds weights alone.
pub fn digests(context: &Context, source: &Files, reader: &Reader) -> Result<Vec<Digest>, Failure> {
    let Some(restored) = Restored::new(source, reader) else { return Ok(Vec::new()) };
    let mut tell = context.tell("decoding", reader.manifest().file_bytes());
    let written = restored.write(&mut std::io::sink(), &mut tell);
    context.bars.clear();
    Ok(written?)
}
