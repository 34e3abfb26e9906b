//! Model folders that are cut, wrong or hostile give one clear error: no panic and no large allocation.

use std::fs;
use std::path::{Path, PathBuf};

use nanochat::json::Json;
use nanochat::safetensors::{Dtype, Weights, SINGLE_FILE};
use nanochat::tokenizer::DecodeStream;
use nanochat::{layout, Config, GenerationConfig, Result, Tokenizer};

const CONFIG: &str = r#"{
    "model_type": "nanochat_looplm", "vocab_size": 300, "hidden_size": 8, "intermediate_size": 16,
    "num_shared_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "ternary_group_size": 8,
    "max_position_embeddings": 16, "mhc_num_streams": 2, "weight_format": "packed",
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}
}"#;
const GENERATION: &str = r#"{"do_sample": true, "temperature": 0.8, "top_k": 0, "top_p": 0.9, "eos_token_id": [2, 3]}"#;
/// Tensors of the configuration above.
const TENSORS: [(&str, &str, &[usize]); 26] = [
    ("model.embed_tokens.weight", "BF16", &[300, 8]),
    ("model.exit_gate.bias", "F32", &[1]),
    ("model.exit_gate.weight", "F32", &[1, 8]),
    ("model.norm.weight", "F32", &[8]),
    ("model.layers.0.input_layernorm.weight", "F32", &[8]),
    ("model.layers.0.post_attention_layernorm.weight", "F32", &[8]),
    ("model.layers.0.attention_residual.bias", "F32", &[6]),
    ("model.layers.0.attention_residual.projection", "F32", &[2, 6, 8]),
    ("model.layers.0.attention_residual.scale", "F32", &[3]),
    ("model.layers.0.mlp_residual.bias", "F32", &[6]),
    ("model.layers.0.mlp_residual.projection", "F32", &[2, 6, 8]),
    ("model.layers.0.mlp_residual.scale", "F32", &[3]),
    ("model.layers.0.self_attn.q_proj.weight_codes", "U8", &[8, 2]),
    ("model.layers.0.self_attn.k_proj.weight_codes", "U8", &[4, 2]),
    ("model.layers.0.self_attn.v_proj.weight_codes", "U8", &[4, 2]),
    ("model.layers.0.self_attn.o_proj.weight_codes", "U8", &[8, 2]),
    ("model.layers.0.mlp.gate_proj.weight_codes", "U8", &[16, 2]),
    ("model.layers.0.mlp.up_proj.weight_codes", "U8", &[16, 2]),
    ("model.layers.0.mlp.down_proj.weight_codes", "U8", &[8, 4]),
    ("model.layers.0.self_attn.q_proj.weight_scales", "F16", &[8, 1]),
    ("model.layers.0.self_attn.k_proj.weight_scales", "F16", &[4, 1]),
    ("model.layers.0.self_attn.v_proj.weight_scales", "F16", &[4, 1]),
    ("model.layers.0.self_attn.o_proj.weight_scales", "F16", &[8, 1]),
    ("model.layers.0.mlp.gate_proj.weight_scales", "F16", &[16, 1]),
    ("model.layers.0.mlp.up_proj.weight_scales", "F16", &[16, 1]),
    ("model.layers.0.mlp.down_proj.weight_scales", "F16", &[8, 2]),
];

/// A temporary folder with a whole model.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("nanochat-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let folder = Folder(path);
        folder.write("config.json", CONFIG.as_bytes());
        folder.write("generation_config.json", GENERATION.as_bytes());
        folder.write("tokenizer.json", tokenizer_json().as_bytes());
        folder.write(SINGLE_FILE, &weights());
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join(name), bytes).unwrap();
    }

    fn error(&self) -> String {
        read_all(&self.0).expect_err("the folder must be refused").to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tokenizer_json() -> String {
    // The spelling of bytes: printable ones are themselves, the others follow from U+0100.
    let printable = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let others = (0..256_u32).filter(|byte| !printable(byte)).count() as u32;
    let alphabet = (0..256).filter(printable).chain(0x100..0x100 + others);
    let mut vocab: Vec<String> = vec!["<|pad|>".into(), "<|bos|>".into(), "<|eos|>".into()];
    vocab.extend(alphabet.map(|point| char::from_u32(point).unwrap().to_string()));
    vocab.extend(["fn".into(), "Ġ{".into()]);
    let vocab: Vec<String> = vocab
        .iter()
        .enumerate()
        .map(|(id, token)| format!("\"{}\": {id}", token.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    format!(
        r#"{{"added_tokens": [{{"id": 1, "content": "<|bos|>", "special": true}}], "normalizer": null,
        "pre_tokenizer": {{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}},
        "decoder": {{"type": "ByteLevel"}},
        "post_processor": {{"type": "TemplateProcessing",
            "single": [{{"SpecialToken": {{"id": "<|bos|>"}}}}, {{"Sequence": {{"id": "A"}}}}],
            "special_tokens": {{"<|bos|>": {{"id": "<|bos|>", "ids": [1]}}}}}},
        "model": {{"type": "BPE", "vocab": {{{}}}, "merges": [["f", "n"], "Ġ {{"]}}}}"#,
        vocab.join(", ")
    )
}

/// Return the entries of the header, as JSON, and the length of the tensors.
fn header_entries() -> (Vec<String>, usize) {
    let mut end = 0;
    let entries = TENSORS.iter().map(|(name, dtype, shape)| {
        let size = if *dtype == "F32" {
            4
        } else if *dtype == "U8" {
            1
        } else {
            2
        };
        let start = end;
        end += size * shape.iter().product::<usize>();
        format!("\"{name}\": {{\"dtype\": \"{dtype}\", \"shape\": {shape:?}, \"data_offsets\": [{start}, {end}]}}")
    });
    let entries: Vec<String> = entries.collect();
    (entries, end)
}

fn safetensors(header: &str, bytes: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; bytes]].concat()
}

fn weights() -> Vec<u8> {
    let (entries, length) = header_entries();
    safetensors(&format!("{{\"__metadata__\": {{\"format\": \"pt\"}}, {}}}", entries.join(", ")), length)
}

/// Read everything that a folder has, as a loader does.
fn read_all(folder: &Path) -> Result<()> {
    let config = Config::read(folder)?;
    let generation = GenerationConfig::read(folder, &config)?;
    assert!(generation.top_p > 0.0 && generation.temperature > 0.0);
    let tokenizer = Tokenizer::read(folder)?;
    let tokens = tokenizer.encode("fn main() {  it's 12 é\u{3000}\u{1F980} <|bos|>}", true);
    tokenizer.decode(&tokens, true);
    let weights = Weights::open(folder)?;
    layout::check(&config, &weights)?;
    let sum: usize = weights.names().map(|name| weights.get(name).map_or(0, |tensor| tensor.bytes.len())).sum();
    assert!(sum < 1 << 20);
    for name in weights.names() {
        let tensor = weights.get(name)?;
        if tensor.dtype != Dtype::U8 {
            tensor.to_f32()?;
        }
    }
    Ok(())
}

#[test]
fn a_whole_folder_is_read() {
    let folder = Folder::new("whole");
    read_all(&folder.0).unwrap();
    let tokenizer = Tokenizer::read(&folder.0).unwrap();
    let (fn_token, brace) = (tokenizer.token_to_id("fn").unwrap(), tokenizer.token_to_id("Ġ{").unwrap());
    assert_eq!(tokenizer.encode("fn {", true), [1, fn_token, brace]);
    assert_eq!(tokenizer.encode("<|bos|>fn", false), [1, fn_token]);
    assert_eq!(tokenizer.decode(&[1, fn_token, brace, 9999], true), "fn {");
}

#[test]
fn a_stream_gives_whole_characters_and_all_texts_together_are_the_decoded_text() {
    let folder = Folder::new("stream");
    let tokenizer = Tokenizer::read(&folder.0).unwrap();
    let tokens = tokenizer.encode("aé\u{1F980}b", false);
    let mut stream = DecodeStream::new(&tokenizer, true);
    let texts: Vec<String> = tokens.iter().map(|&token| stream.push(token)).collect();
    assert_eq!(texts, ["a", "", "é", "", "", "", "\u{1F980}", "b"]);
    let mut random = Random(7);
    for _ in 0..500 {
        let tokens: Vec<u32> = (0..random.below(12)).map(|_| random.below(tokenizer.vocab_size()) as u32).collect();
        let mut stream = DecodeStream::new(&tokenizer, false);
        let mut text: String = tokens.iter().map(|&token| stream.push(token)).collect();
        text += &stream.finish();
        assert_eq!(text, tokenizer.decode(&tokens, false), "{tokens:?}");
    }
}

#[test]
fn wrong_headers_name_their_fault() {
    let folder = Folder::new("headers");
    let (entries, length) = header_entries();
    let whole = format!("{{{}}}", entries.join(", "));
    let replaced = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        safetensors(&whole.replacen(from, to, 1), length)
    };
    let mut infinite = weights();
    let first = infinite.len() - length;
    infinite[first..first + 2].copy_from_slice(&[0x80, 0x7f]);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "must have at least 8 bytes, got 0"),
        (u64::MAX.to_le_bytes().to_vec(), "the header must have at most 0 bytes"),
        (weights()[..weights().len() - 1].to_vec(), "the file is cut"),
        ([weights(), vec![0]].concat(), "as its header says"),
        (safetensors("[]", 0), "must be a JSON object"),
        (safetensors(&"[".repeat(100_000), 0), "at most 64 deep"),
        (safetensors("{\"a\": 1}", 0), "tensor \"a\": dtype must be one of"),
        (replaced("BF16", "Q4_0"), "dtype must be one of"),
        (replaced("BF16", "F16"), "ok"),
        (replaced("BF16", "I16"), "must be F32 or F16 or BF16, got I16"),
        (replaced("[300, 8]", "[300, 9]"), "must span the 5400 bytes of BF16 [300, 9]"),
        (replaced("[300, 8]", "[8, 300]"), "must have shape [300, 8], got [8, 300]"),
        (replaced("[300, 8]", "[4294967296, 4294967296, 4294967296]"), "must fit in memory"),
        (replaced("[300, 8]", "[300, -8]"), "must be at most 8 integers >= 0"),
        (replaced("[0, 4800]", "[4800, 0]"), "two integers, ascending"),
        (replaced("[0, 4800]", "[4, 4804]"), "(hole)"),
        (replaced("[4800, 4804]", "[0, 4]"), "(overlap)"),
        (replaced("[4800, 4804]", "[9223372036854775000, 9223372036854775004]"), "(hole)"),
        (replaced("model.norm.weight", "model.exit_gate.bias"), "\"model.exit_gate.bias\" twice"),
        (replaced("model.norm.weight", "model.norm.bias"), "must have model.norm.weight"),
        (infinite, "must be finite, got inf at element 0"),
    ];
    for (bytes, expected) in cases {
        folder.write(SINGLE_FILE, &bytes);
        if expected == "ok" {
            read_all(&folder.0).unwrap();
            continue;
        }
        let error = folder.error();
        assert!(error.contains(expected), "{error}\nmust contain: {expected}");
    }
}

#[test]
fn shards_must_be_in_their_folder_and_hold_their_tensors() {
    let folder = Folder::new("shards");
    fs::rename(folder.0.join(SINGLE_FILE), folder.0.join("model-00001-of-00001.safetensors")).unwrap();
    let index = |name: &str, file: &str| {
        folder.write("model.safetensors.index.json", format!(r#"{{"weight_map": {{"{name}": "{file}"}}}}"#).as_bytes());
    };
    index("model.norm.weight", "model-00001-of-00001.safetensors");
    read_all(&folder.0).unwrap();
    index("model.norm.bias", "model-00001-of-00001.safetensors");
    assert!(folder.error().contains("must have the tensor \"model.norm.bias\""));
    for outside in ["../model.safetensors", "/etc/x.safetensors", "a\\\\b.safetensors", "passwd"] {
        index("model.norm.weight", outside);
        assert!(folder.error().contains("without a path"), "{outside}: {}", folder.error());
    }
}

#[test]
fn configurations_keep_the_rules_of_python() {
    let changed = |from: &str, to: &str| {
        assert!(CONFIG.contains(from), "{from}");
        Config::from_json(&Json::parse(CONFIG.replace(from, to).as_bytes()).unwrap())
    };
    for (from, to, expected) in [
        ("nanochat_looplm", "llama", "model_type must be nanochat_looplm or ouro, got llama"),
        ("\"hidden_size\": 8", "\"hidden_size\": 0", "hidden_size must be an integer from 1 to"),
        ("\"hidden_size\": 8", "\"hidden_size\": null", "hidden_size must be left out or a value"),
        ("\"hidden_size\": 8", "\"hidden_size\": 12", "hidden_size must be a multiple of ternary_group_size=8"),
        ("\"hidden_size\": 8", "\"hidden_act\": \"gelu\"", "hidden_act must be left out"),
        ("_heads\": 2", "_heads\": 3", "head_dim must be given when num_attention_heads does not divide"),
        ("value_heads\": 1", "value_heads\": 3", "must be a divisor of num_attention_heads=2"),
        ("group_size\": 8", "group_size\": 0", "an integer >= 1, or -1"),
        ("streams\": 2", "streams\": 3", "mhc_num_streams must be 1, 2 or 4, got 3"),
        ("packed\"", "packed\", \"ternary\": false", "weight_format must be \"latent\" when ternary is false"),
        ("\"packed\"", "\"gguf\"", "weight_format must be \"latent\" or \"packed\""),
        ("\"packed\"", "\"packed\", \"eos_token_id\": 300", "eos_token_id must be below vocab_size=300"),
        ("\"packed\"", "\"packed\", \"exit_at_loop\": 5", "exit_at_loop must be at most num_loops=4"),
        ("\"packed\"", "\"packed\", \"num_loops\": 70000", "num_loops must be at most 65536"),
        (
            "\"packed\"",
            "\"packed\", \"num_prelude_layers\": 1",
            "loop_update must be \"scaled\" with num_prelude_layers=1",
        ),
        ("\"packed\"", "\"packed\", \"num_coda_layers\": 2", "num_coda_layers=2, got \"norm\""),
        ("\"packed\"", "\"packed\", \"num_coda_layers\": -1", "num_coda_layers must be an integer from 0 to"),
        ("\"packed\"", "\"packed\", \"num_coda_layers\": null", "num_coda_layers must be left out or a value"),
        (
            "\"packed\"",
            "\"packed\", \"loop_update\": \"scaled\", \"num_prelude_layers\": 2147483648",
            "num_prelude_layers must be at most 65536",
        ),
        ("\"packed\"", "\"packed\", \"loop_update\": \"lerp\"", "loop_update must be \"norm\" or \"scaled\""),
        ("\"packed\"", "\"packed\", \"activation_bits\": 4", "activation_bits must be 8 or null"),
        ("\"default\"", "\"axial\"", "rope_parameters.rope_type must be default, linear"),
        ("\"default\"", "\"yarn\"", "rope_parameters.factor must be a finite number >= 1, got nothing"),
        ("10000.0", "-1", "rope_parameters.rope_theta must be a finite number > 0, got -1"),
    ] {
        let error = changed(from, to).expect_err(to).to_string();
        assert!(error.contains(expected), "{error}\nmust contain: {expected}");
    }
    let one_scale = changed("group_size\": 8", "group_size\": -1").unwrap();
    assert_eq!((one_scale.ternary_group_size, one_scale.group_size(16)), (None, 16));
    let float = changed("\"packed\"", "\"packed\", \"activation_bits\": null, \"eos_token_id\": null").unwrap();
    assert_eq!((float.activation_bits, float.eos_token_ids.len()), (None, 0));
}

#[test]
fn a_scaled_loop_and_layers_outside_of_it_need_their_tensors() {
    let folder = Folder::new("scaled");
    let with = |fields: &str| folder.write("config.json", CONFIG.replacen('{', &format!("{{{fields},"), 1).as_bytes());
    with(r#""loop_update": "scaled""#);
    assert!(folder.error().contains("must have model.loop_scale, which config.json asks for"), "{}", folder.error());
    // A tensor of the same size under its name: the layer of a coda is missing still.
    let (entries, length) = header_entries();
    let scale = format!(
        "\"model.loop_scale\": {{\"dtype\": \"F32\", \"shape\": [8], \"data_offsets\": [{length}, {}]}}",
        length + 32
    );
    folder.write(SINGLE_FILE, &safetensors(&format!("{{{}, {scale}}}", entries.join(", ")), length + 32));
    read_all(&folder.0).unwrap();
    with(r#""loop_update": "scaled", "num_coda_layers": 1"#);
    assert!(folder.error().contains("must have model.layers.1."), "{}", folder.error());
    folder.write("config.json", CONFIG.as_bytes());
    assert!(folder.error().contains("the 26 tensors that config.json asks for, got 27"), "{}", folder.error());
}

/// Deterministic numbers (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[test]
fn mutated_files_never_panic() {
    let folder = Folder::new("fuzz");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let tokens: [&[u8]; 14] = [
        b"0",
        b"-1",
        b"9223372036854775807",
        b"1e308",
        b"null",
        b"[",
        b"]",
        b"{",
        b"}",
        b"\"",
        b",",
        b"true",
        b"\xff",
        b"\\u",
    ];
    let (mut refused, mut total) = (0, 0);
    for name in ["config.json", "generation_config.json", "tokenizer.json", SINGLE_FILE] {
        let whole = fs::read(folder.0.join(name)).unwrap();
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random.below(3) {
                let header = bytes.len().min(2600);
                let limit = if random.below(4) == 0 { bytes.len() } else { header };
                let place = random.below(limit);
                match random.below(5) {
                    0 => bytes[place] = random.below(256) as u8,
                    1 => bytes[place] ^= 1 << random.below(8),
                    2 => bytes.truncate(place + 1),
                    3 => drop(bytes.splice(place..place, tokens[random.below(tokens.len())].iter().copied())),
                    _ => drop(bytes.drain(place..(place + 1 + random.below(20)).min(bytes.len()))),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            folder.write(name, &bytes);
            total += 1;
            if let Err(error) = read_all(&folder.0) {
                refused += 1;
                let text = error.to_string();
                assert!(text.contains(name) || text.contains("must "), "{text}");
                assert!(!text.contains('\n') && text.len() < 2000, "{text}");
            }
        }
        folder.write(name, &whole);
    }
    assert!(refused > total / 3, "{refused} of {total}");
    read_all(&folder.0).unwrap();
}
