"""A Rust program that asks a served model for a completion, for the model card."""

PROGRAM = r"""use std::io::{Read, Write};
use std::net::TcpStream;

fn main() -> std::io::Result<()> {
    let request = r#"{"prompt": "PROMPT", "max_tokens": 64}"#;
    let mut server = TcpStream::connect("127.0.0.1:8080")?;
    write!(server, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n")?;
    write!(server, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{request}", request.len())?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    println!("{answer}");
    Ok(())
}"""


def rust_usage(prompt: str) -> str:
    """
    Return a program, std only, that sends a prompt to `nanochat-ternary serve` and prints the answer with its headers.

    Args:
        prompt: Beginning of some code, escaped as in JSON.
    """
    return PROGRAM.replace("PROMPT", prompt)
