//! A completion from a server with OpenAI's API, such as `nanochat-ternary serve` or llama.cpp.

use super::json::{quoted, Json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Ask the server at `address`, such as "127.0.0.1:8080", to continue a prompt.
///
/// White space at the end of the prompt is left to the model: in the text that it was trained on, a line break is
/// part of the token that follows it.
pub fn complete(
    address: &str,
    prompt: &str,
    max_tokens: usize,
    temperature: f64,
    seed: u64,
) -> Result<String, String> {
    let body = format!(
        "{{\"prompt\": {}, \"max_tokens\": {max_tokens}, \"temperature\": {temperature}, \"seed\": {seed}}}",
        quoted(prompt.trim_end())
    );
    let answer = request(address, &body).map_err(|error| format!("{address} does not answer: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no head")?;
    let status = head.split_whitespace().nth(1).unwrap_or("none");
    if status != "200" {
        return Err(format!("{address} refused the request with status {status}: {body}"));
    }
    let chunked = head
        .lines()
        .any(|line| line.to_ascii_lowercase().replace(' ', "") == "transfer-encoding:chunked");
    let answer = Json::parse(&if chunked {
        joined_chunks(body)?
    } else {
        body.to_string()
    })?;
    let choices = answer.get("choices").map(Json::list).unwrap_or_default();
    let text = choices
        .first()
        .and_then(|choice| choice.get("text"))
        .and_then(Json::text);
    text.map(str::to_string)
        .ok_or_else(|| "the answer has no text".to_string())
}

fn request(address: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(300)))?;
    write!(
        stream,
        "POST /v1/completions HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{}Connection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        key_header(),
        body.len()
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A server that other machines can reach needs the key that it was started with.
fn key_header() -> String {
    match std::env::var("LLAMA_API_KEY") {
        Ok(key) if !key.is_empty() => format!("Authorization: Bearer {key}\r\n"),
        _ => String::new(),
    }
}

/// Undo the chunked transfer encoding. Sizes count bytes.
fn joined_chunks(body: &str) -> Result<String, String> {
    let (mut rest, mut joined) = (body.as_bytes(), Vec::new());
    loop {
        let end = rest
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .ok_or("the answer ends within a chunk")?;
        let size = std::str::from_utf8(&rest[..end])
            .ok()
            .and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let size = size.ok_or("the answer has a chunk without a size")?;
        if size == 0 {
            return String::from_utf8(joined).map_err(|_| "the answer is not UTF-8".to_string());
        }
        joined.extend_from_slice(
            rest.get(end + 2..end + 2 + size)
                .ok_or("the answer ends within a chunk")?,
        );
        rest = rest.get(end + 4 + size..).ok_or("the answer ends within a chunk")?;
    }
}
