"""Two problems in the form of HumanEval-Rust."""

from evaluation.suites.humaneval_rust import HumanEvalProblem

CRATES = "fn main(){    }\n\nuse rand::Rng;\nuse regex::Regex;\nuse md5;\nuse std::ascii::AsciiExt;\n"
IMPORTS = CRATES + "use std::{cmp::max, collections::HashMap};\n"
# In the form of the published rows, crates included.
ROWS = [
    {
        "task_id": "Test/0",
        "prompt": IMPORTS + "/*\n Twice the number.\n*/\nfn double(x: i32) -> i32 {\n",
        "declaration": IMPORTS + "fn double(x: i32) -> i32 {\n",
        "canonical_solution": "    x.wrapping_mul(2)\n}\n",
        "buggy_solution": "    x\n}\n",
        "test": """
#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn test_double() {
        let mut rng = rand::thread_rng();
        for _ in 0..100 {
            let x: i32 = rng.gen();
            assert_eq!(double(x), x.wrapping_add(x));
            assert!((3..7).contains(&rng.gen_range(3, 7)));
        }
    }
}
""",
    },
    {
        "task_id": "Test/1",
        "prompt": IMPORTS + "/*\n The digest.\n*/\nfn digest(text: &str) -> String {\n",
        "declaration": IMPORTS + "fn digest(text: &str) -> String {\n",
        "canonical_solution": '    format!("{:x}", md5::compute(text.as_bytes()))\n}\n',
        "buggy_solution": '    String::from("d41d8cd98f00b204e9800998ecf8427e")\n}\n',
        "test": """
#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn test_digest() {
        assert_eq!(digest(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(digest("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(
            digest("12345678901234567890123456789012345678901234567890123456789012345678901234567890"),
            "57edf4a22be3c955ac49da2e2107b67a"
        );
    }
}
""",
    },
]
PROBLEMS = [HumanEvalProblem.of(row) for row in ROWS]
