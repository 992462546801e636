//! Names of files that are given back together.

use crate::formats::below;
use crate::order::by_name;

/// Whether a file of this name is inside the folder that it is looked for in, on every system.
fn is_inside(name: &str) -> bool {
    // Written as it is, a path has no step that leads nowhere.
    below(name) == Some(name) && name.split('/').all(|step| step != ".")
}

/// The first name of files but the first that is not one inside its folder, or is the name of two; the first one's is chosen by
/// whoever writes them.
///
/// Cost: that of sorting the names.
pub fn misplaced(files: &[(String, u64)]) -> Option<&str> {
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let outside = names.iter().skip(1).find(|name| !is_inside(name)).copied();
    outside.or_else(|| {
        let order = by_name(&names);
        let sorted = || order.iter().filter_map(|at| names.get(*at).copied());
        sorted().zip(sorted().skip(1)).find(|(one, next)| one == next).map(|(name, _)| name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_lie_beside_the_first_or_below_it_once_each() {
        let misplaced = |names: &[&str]| {
            let files: Vec<(String, u64)> = names.iter().map(|name| ((*name).to_owned(), 1)).collect();
            misplaced(&files).map(str::to_owned)
        };
        assert_eq!(misplaced(&["../m.onnx", "b", "a/b.bin", "..b"]), None);
        for name in
            ["../b", "/b", "c:b", "a\\b", "", ".", "..", "a//b", "a/./b", "a/../../b", "a/", "a\0b", "m"]
        {
            assert_eq!(misplaced(&["m", "a", name]).as_deref(), Some(name));
        }
        assert_eq!(misplaced(&["m", "b", "a", "b"]).as_deref(), Some("b"));
    }
}
