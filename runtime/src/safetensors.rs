//! A reader of safetensors files: one file, or the shards of a folder with an index.
//!
//! The format: the length of the header (8 bytes, little-endian), the header in JSON with dtype, shape and offsets of
//! every tensor, then the bytes of the tensors without holes. Opening checks all headers against the sizes of the
//! files; the bytes of a tensor are read when it is asked for, so that a loader needs the memory of one tensor only.

#![forbid(unsafe_code)]

use std::collections::btree_map::Entry;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::json::Json;

/// Name of a model's file if it is the only one.
pub const SINGLE_FILE: &str = "model.safetensors";
/// Name of the file that maps tensors to shards.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
/// Maximum size of a header in bytes.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;
/// Maximum number of dimensions of a tensor.
pub const MAX_DIMENSIONS: usize = 8;

/// Type of the elements of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names of the format.
pub enum Dtype {
    Bool,
    U8,
    I8,
    U16,
    I16,
    F16,
    Bf16,
    U32,
    I32,
    F32,
    U64,
    I64,
    F64,
}

impl Dtype {
    /// Names in files.
    const NAMES: [(&'static str, Dtype); 13] = [
        ("BOOL", Dtype::Bool),
        ("U8", Dtype::U8),
        ("I8", Dtype::I8),
        ("U16", Dtype::U16),
        ("I16", Dtype::I16),
        ("F16", Dtype::F16),
        ("BF16", Dtype::Bf16),
        ("U32", Dtype::U32),
        ("I32", Dtype::I32),
        ("F32", Dtype::F32),
        ("U64", Dtype::U64),
        ("I64", Dtype::I64),
        ("F64", Dtype::F64),
    ];

    fn from_name(name: &str) -> Option<Dtype> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, dtype)| *dtype)
    }

    /// Return the size of an element in bytes.
    pub fn size(self) -> usize {
        match self {
            Dtype::Bool | Dtype::U8 | Dtype::I8 => 1,
            Dtype::U16 | Dtype::I16 | Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 => 8,
        }
    }

    /// Whether [`Tensor::to_f32`] converts this type.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F16 | Dtype::Bf16 | Dtype::F32)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, dtype)| dtype == self).map_or("", |(name, _)| name);
        out.write_str(name)
    }
}

/// Type, shape and place of a tensor.
#[derive(Clone, Debug)]
struct Slot {
    dtype: Dtype,
    shape: Vec<usize>,
    file: usize,
    offset: u64,
    length: usize,
}

/// The tensors of a model folder.
#[derive(Debug)]
pub struct Weights {
    files: Vec<PathBuf>,
    slots: BTreeMap<String, Slot>,
}

/// A tensor that was read.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Name in the file.
    pub name: &'a str,
    /// Type of the elements.
    pub dtype: Dtype,
    /// Shape.
    pub shape: &'a [usize],
    /// Elements in row-major order, little-endian.
    pub bytes: Vec<u8>,
}

impl Weights {
    /// Open `model.safetensors` of a folder, or the shards that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read, [`Error::Invalid`] if a file is cut or breaks a rule of the format,
    /// [`Error::Unsupported`] for a dtype this crate does not know.
    pub fn open(folder: &Path) -> Result<Weights> {
        let single = folder.join(SINGLE_FILE);
        let index = folder.join(INDEX_FILE);
        // The order of transformers, if a folder has both.
        if single.exists() || !index.exists() {
            return Self::open_file(&single);
        }
        let weight_map = read_index(&index)?;
        let mut names: Vec<&str> = weight_map.iter().map(|(_, file)| file.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut weights = Weights { files: Vec::new(), slots: BTreeMap::new() };
        for name in &names {
            weights.add(folder.join(name))?;
        }
        for (tensor, file) in &weight_map {
            match weights.slots.get(tensor.as_str()) {
                Some(slot) if weights.files[slot.file].ends_with(file) => {}
                _ => {
                    let tensor = Json::String(tensor.clone());
                    return Err(Error::invalid(format!(
                        "{file} must have the tensor {tensor} that {INDEX_FILE} names"
                    ))
                    .in_file(folder));
                }
            }
        }
        Ok(weights)
    }

    /// Open one safetensors file.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn open_file(path: &Path) -> Result<Weights> {
        let mut weights = Weights { files: Vec::new(), slots: BTreeMap::new() };
        weights.add(path.to_path_buf())?;
        Ok(weights)
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.keys().map(String::as_str)
    }

    /// Return type and shape of a tensor, or `None` if there is none with this name. Nothing is read.
    pub fn describe(&self, name: &str) -> Option<(Dtype, &[usize])> {
        self.slots.get(name).map(|slot| (slot.dtype, slot.shape.as_slice()))
    }

    /// Read a tensor.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no tensor with this name, [`Error::Io`] if it cannot be read.
    pub fn get(&self, name: &str) -> Result<Tensor<'_>> {
        let Some((name, slot)) = self.slots.get_key_value(name) else {
            let found = self.slots.len();
            return Err(Error::invalid(format!("the weights must have a tensor {name:?}, got {found} others")));
        };
        let path = &self.files[slot.file];
        let mut bytes = vec![0; slot.length];
        let mut file = File::open(path).map_err(|error| Error::io(path, error))?;
        file.seek(SeekFrom::Start(slot.offset)).map_err(|error| Error::io(path, error))?;
        file.read_exact(&mut bytes).map_err(|error| Error::io(path, error))?;
        Ok(Tensor { name, dtype: slot.dtype, shape: &slot.shape, bytes })
    }

    fn add(&mut self, path: PathBuf) -> Result<()> {
        let file = self.files.len();
        for (name, slot) in read_header(&path, file)? {
            match self.slots.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(slot);
                }
                Entry::Occupied(entry) => {
                    let (name, other) = (Json::String(entry.key().clone()), self.files[entry.get().file].display());
                    return Err(Error::invalid(format!("a tensor must be in one file, got {name} in {other} too"))
                        .in_file(&path));
                }
            }
        }
        self.files.push(path);
        Ok(())
    }
}

impl Tensor<'_> {
    /// Check the shape.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is another one.
    pub fn expect_shape(&self, shape: &[usize]) -> Result<()> {
        if self.shape != shape {
            return Err(self.invalid(format!("must have shape {shape:?}, got {:?}", self.shape)));
        }
        Ok(())
    }

    /// Convert the elements to f32; F32, F16 and BF16 are converted exactly.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another type, or if an element is NaN or infinite.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let pairs = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
        let values: Vec<f32> = match self.dtype {
            Dtype::F32 => self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::Bf16 => self.bytes.chunks_exact(2).map(|b| f32::from_bits(u32::from(pairs(b)) << 16)).collect(),
            Dtype::F16 => self.bytes.chunks_exact(2).map(|b| f32_from_f16(pairs(b))).collect(),
            other => return Err(self.invalid(format!("must be F32, F16 or BF16, got {other}"))),
        };
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(self.invalid(format!("must be finite, got {} at element {index}", values[index]))),
        }
    }

    fn invalid(&self, text: String) -> Error {
        Error::Invalid(format!("{} {text}", self.name))
    }
}

/// Convert the bits of an IEEE 754 half to f32, exactly.
pub fn f32_from_f16(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let (exponent, fraction) = (u32::from(half >> 10) & 0x1f, u32::from(half) & 0x3ff);
    let magnitude = match exponent {
        // Subnormal: fraction times 2^-24.
        0 => (fraction as f32 / 16_777_216.0).to_bits(),
        0x1f => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// Read the map from tensors to files of an index.
fn read_index(path: &Path) -> Result<Vec<(String, String)>> {
    let index = Json::read(path)?;
    let invalid = |text: String| Error::invalid(text).in_file(path);
    let entries = index.get("weight_map").and_then(Json::as_object).filter(|entries| !entries.is_empty());
    let entries = entries.ok_or_else(|| invalid("weight_map must map tensors to files".to_string()))?;
    let mut weight_map = Vec::with_capacity(entries.len());
    for (tensor, file) in entries {
        // A path could leave the folder.
        let plain = |name: &&str| name.ends_with(".safetensors") && !name.contains(['/', '\\', ':', '\0']);
        let name = file.as_str().filter(plain).ok_or_else(|| {
            invalid(format!("weight_map must name *.safetensors files of its folder, without a path, got {file}"))
        })?;
        weight_map.push((tensor.clone(), name.to_string()));
    }
    Ok(weight_map)
}

/// Read and check the header of a safetensors file.
fn read_header(path: &Path, file_index: usize) -> Result<Vec<(String, Slot)>> {
    let invalid = |text: String| Error::invalid(text).in_file(path);
    let mut file = File::open(path).map_err(|error| Error::io(path, error))?;
    let size = file.metadata().map_err(|error| Error::io(path, error))?.len();
    if size < 8 {
        return Err(invalid(format!("a safetensors file must have at least 8 bytes, got {size}")));
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|error| Error::io(path, error))?;
    let length = u64::from_le_bytes(length);
    let limit = MAX_HEADER_BYTES.min(size - 8);
    if length > limit {
        return Err(invalid(format!(
            "the header must have at most {limit} bytes in this file of {size}, got {length}: the file is cut or not a \
             safetensors file"
        )));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(|error| Error::io(path, error))?;
    let header = Json::parse(&header).map_err(|error| invalid(format!("the header is not valid: {error}")))?;
    let Json::Object(entries) = header else {
        return Err(invalid(format!("the header must be a JSON object, got {header}")));
    };
    let start = 8 + length;
    let mut slots = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        if name != "__metadata__" {
            let slot = read_slot(&value, file_index, start).map_err(|error| {
                Error::Invalid(format!("tensor {}: {error}", Json::String(name.clone()))).in_file(path)
            })?;
            slots.push((name, slot));
        }
    }
    check_offsets(&mut slots, start, size).map_err(|error| error.in_file(path))?;
    Ok(slots)
}

/// Read the entry of a tensor. Its offsets count from the end of the header, `start`.
fn read_slot(value: &Json, file: usize, start: u64) -> Result<Slot> {
    let shown = |name: &str| value.get(name).map_or("nothing".to_string(), Json::to_string);
    let name = value.get("dtype").and_then(Json::as_str);
    let dtype = name.and_then(Dtype::from_name).ok_or_else(|| {
        let known: Vec<&str> = Dtype::NAMES.iter().map(|(name, _)| *name).collect();
        Error::Invalid(format!("dtype must be one of {}, got {}", known.join(", "), shown("dtype")))
    })?;
    let numbers = |name: &str| -> Option<Vec<usize>> {
        value.get(name).and_then(Json::as_array)?.iter().map(Json::as_usize).collect()
    };
    let shape = numbers("shape").filter(|shape| shape.len() <= MAX_DIMENSIONS).ok_or_else(|| {
        Error::Invalid(format!("shape must be at most {MAX_DIMENSIONS} integers >= 0, got {}", shown("shape")))
    })?;
    let length = shape.iter().try_fold(dtype.size(), |product, &length| product.checked_mul(length));
    let offsets = numbers("data_offsets").filter(|offsets| offsets.len() == 2 && offsets[0] <= offsets[1]);
    let (Some(length), Some(offsets)) = (length, offsets) else {
        let (shape, offsets) = (shown("shape"), shown("data_offsets"));
        return Err(Error::Invalid(format!(
            "data_offsets must be two integers, ascending, and shape must fit in memory, got {offsets} and {shape}"
        )));
    };
    if offsets[1] - offsets[0] != length {
        return Err(Error::Invalid(format!(
            "data_offsets must span the {length} bytes of {dtype} {shape:?}, got {}",
            shown("data_offsets")
        )));
    }
    let offset = start.checked_add(offsets[0] as u64);
    let offset =
        offset.ok_or_else(|| Error::Invalid(format!("data_offsets must be in the file, got {}", offsets[0])))?;
    Ok(Slot { dtype, shape, file, offset, length })
}

/// Check that the tensors fill a file of `size` bytes from `start`, without holes and overlaps. This sorts them.
fn check_offsets(slots: &mut [(String, Slot)], start: u64, size: u64) -> Result<()> {
    slots.sort_by_key(|(_, slot)| (slot.offset, slot.length));
    let mut end = start;
    for (name, slot) in slots.iter() {
        if slot.offset != end {
            let (name, kind) = (Json::String(name.clone()), if slot.offset < end { "overlap" } else { "hole" });
            let (wanted, got) = (end - start, slot.offset - start);
            return Err(Error::Invalid(format!(
                "tensor {name}: data_offsets must begin at {wanted}, where the tensor before ends, got {got} ({kind})"
            )));
        }
        end = match end.checked_add(slot.length as u64) {
            Some(end) if end <= size => end,
            _ => {
                return Err(Error::Invalid(format!(
                    "tensor {} must end within the {size} bytes of the file, got {} bytes at {}: the file is cut",
                    Json::String(name.clone()),
                    slot.length,
                    slot.offset
                )))
            }
        };
    }
    if end != size {
        return Err(Error::Invalid(format!("the file must have {end} bytes as its header says, got {size}")));
    }
    Ok(())
}
