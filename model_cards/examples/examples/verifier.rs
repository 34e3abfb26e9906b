//! The verdict of the verifier: rustc in the sandbox, by the command `nanochat-ternary verify`.

// Each program uses a part of it.
#![allow(dead_code)]

use super::json::Json;
use std::io::Write;
use std::process::{Command, Stdio};

pub struct Verdict {
    /// "valid", or the class of the failure, such as "semantic_error".
    pub status: String,
    pub diagnostics: Vec<Diagnostic>,
}

pub struct Diagnostic {
    /// Such as "E0382"; empty where rustc gives none.
    pub code: String,
    /// Such as "ownership".
    pub category: String,
    pub line: usize,
    pub message: String,
}

/// Compile a program in the sandbox; nothing of it is run. The command is `nanochat-ternary`, or what the environment
/// variable NANOCHAT_TERNARY names.
pub fn verify(program: &str) -> Result<Verdict, String> {
    let name = std::env::var("NANOCHAT_TERNARY").unwrap_or_else(|_| "nanochat-ternary".to_string());
    let mut child = Command::new(&name)
        .args(["verify", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!("{name} cannot be started ({error}): install it, or set NANOCHAT_TERNARY to its path")
        })?;
    let mut input = child.stdin.take().expect("stdin is piped");
    input
        .write_all(program.as_bytes())
        .map_err(|error| format!("{name} does not read: {error}"))?;
    drop(input);
    let output = child
        .wait_with_output()
        .map_err(|error| format!("{name} failed: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // 0 is a valid program, 1 another; anything else is no verdict, and its reason is on standard error.
    let line = text
        .lines()
        .next()
        .filter(|_| matches!(output.status.code(), Some(0 | 1)));
    let answer = Json::parse(line.ok_or_else(|| format!("{name} verify gave no verdict"))?)?;
    let word = |value: &Json, name: &str| value.get(name).and_then(Json::text).unwrap_or_default().to_string();
    Ok(Verdict {
        status: word(&answer, "status"),
        diagnostics: answer
            .get("diagnostics")
            .map(Json::list)
            .unwrap_or_default()
            .iter()
            .map(|each| Diagnostic {
                code: word(each, "code"),
                category: word(each, "category"),
                line: each.get("line").and_then(Json::number).unwrap_or_default() as usize,
                message: word(each, "message"),
            })
            .collect(),
    })
}

impl Verdict {
    pub fn is_valid(&self) -> bool {
        self.status == "valid"
    }

    /// Print a program with rustc's messages below their lines.
    pub fn print(&self, program: &str) {
        for (number, line) in program.lines().enumerate() {
            println!("{:>4} | {line}", number + 1);
            for each in self.diagnostics.iter().filter(|each| each.line == number + 1) {
                let code = [each.code.as_str(), each.category.as_str()].join(" ");
                println!("     ^ {}: {}", code.trim(), each.message);
            }
        }
        println!("{}", self.status);
    }
}
