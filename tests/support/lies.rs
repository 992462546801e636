//! Compressed files byte by byte, as docs/format.md has them: true ones, and ones whose manifest lies.
#![allow(dead_code)]

use super::support::varint;

const MAGIC: &[u8] = b"\x89QSZ\r\n\x1a\n\x02";
const U8: u8 = 13;
const F32: u8 = 1;
const F16: u8 = 2;

/// What a manifest says of the files that are given back, and what blocks there are.
#[derive(Clone)]
struct Told {
    files: Vec<(&'static str, u64)>,
    /// Each with its place.
    tensors: Vec<Vec<u8>>,
    /// Distance from the end of the one before, length, places from the end on.
    checksums: Vec<(u64, u64, Vec<i64>)>,
    blocks: Vec<Vec<u8>>,
}

fn folded(distance: i64) -> Vec<u8> {
    varint((distance << 1 ^ distance >> 63) as u64)
}

fn string(text: &str) -> Vec<u8> {
    [varint(text.len() as u64), text.as_bytes().to_vec()].concat()
}

/// A place so far from the end of the one before; flags as the format has them.
fn place(flags: u8, distance: i64, strides: &[i64]) -> Vec<u8> {
    [vec![1 | flags], folded(distance), strides.iter().flat_map(|stride| folded(*stride)).collect()].concat()
}

fn tensor(name: &str, dtype: u8, shape: &[u64], content: &[u8], place: &[u8]) -> Vec<u8> {
    let dims = shape.iter().flat_map(|dim| varint(*dim)).collect();
    [string(name), vec![dtype], varint(shape.len() as u64), dims, vec![0], content.to_vec(), place.to_vec()]
        .concat()
}

impl Told {
    fn written(&self) -> Vec<u8> {
        let files = self.files.iter().flat_map(|(name, len)| [string(name), varint(*len)].concat());
        let mut manifest =
            [vec![1], string("m.npy"), varint(24), vec![0; 16], string("exclude=*"), vec![0]].concat();
        manifest.extend(varint(self.files.len() as u64));
        manifest.extend(files);
        manifest.extend(varint(self.tensors.len() as u64));
        manifest.extend(self.tensors.concat());
        manifest.extend(varint(self.checksums.len() as u64));
        for (gap, len, places) in &self.checksums {
            manifest.extend([varint(*gap), varint(*len), varint(places.len() as u64)].concat());
            manifest.extend(places.iter().flat_map(|place| folded(*place)));
        }
        let mut directory = Vec::new();
        for (tag, section) in self.blocks.iter().map(|block| (0x80, block)).chain([(0xc0, &manifest)]) {
            directory.push(tag);
            directory.extend(varint(section.len() as u64));
            match section.len() {
                0..=4 => directory.extend(section),
                _ => directory.extend(crc32fast::hash(section).to_le_bytes()),
            }
        }
        let trailer = [directory.len() as u32, crc32fast::hash(&directory)].map(u32::to_le_bytes).concat();
        let blocks: Vec<u8> = self.blocks.iter().filter(|block| block.len() > 4).flatten().copied().collect();
        [MAGIC.to_vec(), blocks, manifest, directory, trailer, b"QSZ\x04".to_vec()].concat()
    }
}

/// A file of 24 bytes with a tensor of 2 × 2 floats from byte 4 on.
fn whole() -> Told {
    Told {
        files: vec![("m.npy", 24)],
        tensors: vec![tensor("w", F32, &[2, 2], &[0], &place(0, 4, &[]))],
        checksums: Vec::new(),
        blocks: vec![(0..16).collect(), (100..108).collect()],
    }
}

/// The same, changed.
fn told(change: impl FnOnce(&mut Told)) -> Vec<u8> {
    let mut whole = whole();
    change(&mut whole);
    whole.written()
}

fn with_place(place: &[u8]) -> Vec<u8> {
    told(|file| file.tensors = vec![tensor("w", F32, &[2, 2], &[0], place)])
}

/// With a second tensor, a view of the skeleton.
fn with_view(shape: &[u64], view: &[u8]) -> Vec<u8> {
    told(|file| file.tensors.push(tensor("v", U8, shape, &[&[4], view].concat(), &[0])))
}

/// With codes of so many declared bytes in place of the floats, two numbers of 16 bits.
fn with_codes(declared: u64, codes: &[u8], place: &[u8]) -> Vec<u8> {
    told(|file| {
        file.files[0].1 = 8 + declared;
        file.tensors = vec![tensor("w", F16, &[2], &[&[3, 0][..], &varint(declared)].concat(), place)];
        file.blocks[0] = codes.to_vec();
    })
}

fn with_file(name: &'static str) -> Vec<u8> {
    told(|file| file.files = vec![("m.npy", 20), (name, 4)])
}

fn with_checksums(checksums: Vec<(u64, u64, Vec<i64>)>) -> Vec<u8> {
    told(|file| {
        let places: usize = checksums.iter().map(|(_, _, places)| places.len()).sum();
        file.blocks[1].truncate(8 - 4 * places.min(2));
        file.blocks.retain(|block| !block.is_empty());
        // A checksum is of a tensor each.
        for name in ["v", "u"].iter().take(checksums.len().saturating_sub(1)) {
            file.tensors.push(tensor(name, F32, &[0], &[0], &[0]));
        }
        file.checksums = checksums;
    })
}

/// Files that are what they say, with what is to be seen in them.
pub fn truths() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a place", whole().written()),
        ("columns one behind the other", with_place(&place(16, 4, &[1, 2]))),
        (
            "one row, at any distance from none",
            told(|file| {
                file.tensors = vec![tensor("w", F32, &[1, 2, 2], &[0], &place(16, 4, &[1 << 60, 1, 2]))];
            }),
        ),
        ("a view", with_view(&[2, 2], &place(0, 20, &[]))),
        ("an expanded view", with_view(&[9, 2], &place(16, 2, &[0, 1]))),
        ("a view of no element", with_view(&[0, 2], &place(0, 23, &[]))),
        ("codes", with_codes(4, &[0x80, 0x78, 0x81, 0x01], &place(0, 4, &[]))),
        ("a checksum in front", with_checksums(vec![(4, 16, vec![-20])])),
        ("a checksum on both sides", with_checksums(vec![(4, 16, vec![-20, 0])])),
        ("another file", with_file("weights/b.bin")),
    ]
}

/// A file with so many tensors that are views of one block of the skeleton.
pub fn many_views(count: u64) -> Vec<u8> {
    told(|file| {
        file.files[0].1 = 1 << 20;
        file.blocks[1] = vec![5; (1 << 20) - 16];
        let view =
            |index| tensor(&format!("v{index}"), U8, &[1], &[&[4], &place(0, 20, &[])[..]].concat(), &[0]);
        file.tensors.extend((0..count).map(view));
    })
}

/// A file that calls itself and another one so.
pub fn called(first: &'static str, other: &'static str) -> Vec<u8> {
    told(|file| file.files = vec![(first, 20), (other, 4)])
}

/// Files that lie, with what about.
pub fn lies() -> Vec<(&'static str, Vec<u8>)> {
    let mut lies = vec![
        (
            "places that overlap",
            told(|file| {
                file.tensors.push(tensor("v", F32, &[2, 2], &[0], &place(0, -8, &[])));
                file.blocks.insert(0, vec![0; 16]);
            }),
        ),
        (
            "the same place twice",
            told(|file| {
                file.tensors.push(tensor("v", F32, &[2, 2], &[1, 0], &place(0, -16, &[])));
            }),
        ),
        ("a place that ends outside", with_place(&place(0, 12, &[]))),
        ("a place far outside", with_place(&place(0, 1 << 62, &[]))),
        ("a place before the file", with_place(&place(0, -4, &[]))),
        ("strides with gaps", with_place(&place(16, 4, &[4, 1]))),
        ("strides of nothing", with_place(&place(16, 4, &[0, 1]))),
        ("strides backwards", with_place(&place(16, 4, &[-2, 1]))),
        ("strides beyond all", with_place(&place(16, 4, &[i64::MAX, i64::MIN]))),
        ("an unknown kind of place", with_place(&place(32, 4, &[]))),
        ("codes with strides", with_codes(4, &[0x80, 0x78, 0x81, 0x01], &place(16, 4, &[1]))),
        ("codes that are turned around", with_codes(4, &[0x80, 0x78, 0x81, 0x01], &place(2, 4, &[]))),
        ("codes longer than any", with_codes(21, &[0; 21], &place(0, 4, &[]))),
        ("codes shorter than any", with_codes(1, &[0], &place(0, 4, &[]))),
        ("codes of fewer numbers", with_codes(4, &[0x80, 0x80, 0x80, 0x01], &place(0, 4, &[]))),
        ("codes of more numbers", with_codes(4, &[1, 2, 3, 4], &place(0, 4, &[]))),
        ("codes without an end", with_codes(4, &[0x80, 0x78, 0x81, 0x81], &place(0, 4, &[]))),
        ("codes of more bytes than there are", with_codes(12, &[1, 2, 3, 4], &place(0, 4, &[]))),
        ("a checksum of itself", with_checksums(vec![(0, 24, vec![-24])])),
        ("a checksum of another", with_checksums(vec![(0, 20, vec![0]), (0, 4, vec![-24])])),
        ("a checksum of part of a tensor", with_checksums(vec![(4, 8, vec![-12])])),
        ("a checksum in a tensor", with_checksums(vec![(0, 4, vec![4])])),
        ("a checksum outside", with_checksums(vec![(4, 16, vec![2])])),
        ("a checksum before the file", with_checksums(vec![(4, 16, vec![-22])])),
        ("a checksum of bytes outside", with_checksums(vec![(4, 40, vec![-44])])),
        ("a checksum of endless bytes", with_checksums(vec![(4, u64::MAX, vec![0])])),
        (
            "checksums of the same bytes",
            with_checksums(vec![(4, 16, vec![-20]), (u64::MAX - 15, 16, vec![0])]),
        ),
        ("a checksum in more places than there are", with_checksums(vec![(4, 16, vec![0; 17])])),
        (
            "more checksums than tensors",
            told(|file| {
                file.checksums = vec![(0, 0, vec![]); 3];
            }),
        ),
        ("files of endless length", told(|file| file.files[0].1 = 1 << 62)),
        ("files beyond all", told(|file| file.files = vec![("m.npy", 1 << 62), ("b", 1 << 62)])),
        (
            "a file that is all tensor",
            told(|file| {
                file.files[0].1 = 1 << 62;
                file.tensors = vec![tensor("w", U8, &[1 << 62], &[0], &place(0, 0, &[]))];
            }),
        ),
        ("a skeleton that is shorter", told(|file| file.blocks[1].truncate(4))),
        ("a skeleton that is longer", told(|file| file.blocks[1].push(4))),
        ("no skeleton", told(|file| file.blocks.truncate(1))),
        ("a view that ends outside", with_view(&[2, 2], &place(0, 21, &[]))),
        ("a view far outside", with_view(&[2, 2], &place(0, 1 << 62, &[]))),
        ("a view of a tensor's place", with_view(&[2, 2], &place(0, 2, &[]))),
        ("a view around a tensor's place", with_view(&[2], &place(16, 0, &[23]))),
        ("a view whose strides end outside", with_view(&[2], &place(16, 20, &[4]))),
        ("a view backwards", with_view(&[2], &place(16, 23, &[-1]))),
        (
            "a view whose strides go beyond all",
            with_view(&[1 << 20, 3], &place(16, 0, &[i64::MAX, i64::MAX])),
        ),
        ("a view that expands without end", with_view(&[1 << 40], &place(16, 0, &[0]))),
        (
            "a view with a place",
            told(|file| {
                file.tensors.push(tensor(
                    "v",
                    U8,
                    &[2],
                    &[&[4], &place(0, 20, &[])[..]].concat(),
                    &place(0, 2, &[]),
                ));
            }),
        ),
    ];
    for name in
        ["../b", "/b", "c:b", "a\\b", "", ".", "..", "a//b", "a/./b", "a/../../b", "a/", "a\0b", "m.npy"]
    {
        lies.push(("another file's name", with_file(name)));
    }
    lies.push(("two files of one name", told(|file| file.files = vec![("m.npy", 4), ("b", 10), ("b", 10)])));
    lies
}
