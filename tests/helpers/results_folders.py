"""Folders of results with samples and verdicts, as an evaluation leaves them, without running one."""

import json

from evaluation.generate import Sample
from evaluation.results import Results, share_interval
from evaluation.rust.verdict import NOT_REACHED, Diagnostic, Verdict
from evaluation.suites.program_suite import write_verdicts

PROMPT = "fn answer(text: String) -> String {\n"
MOVED = Diagnostic(
    "E0382",
    "ownership",
    "use of moved value: `text`",
    3,
    5,
    "error[E0382]: use of moved value: `text`\n --> 3:5\n  |\n3 |     text\n  |     ^^^^ value used here after move\n",
)
MODEL = {
    "path": "models/tiny",
    "model_type": "nanochat_looplm",
    "parameters": 10,
    "num_loops": 4,
    "exit_at_loop": None,
}
SETTINGS = {
    "num_samples": 1,
    "temperature": 0.0,
    "top_p": 1.0,
    "max_new_tokens": 64,
    "seed": 0,
    "edition": "2021",
    "exit_at_loop": None,
    "exit_threshold": None,
}


def write_results(folder, problems=6, samples=1, text="    drop(text);\n    text\n}", loops=None, model=MODEL):
    """
    Write results of the compile rate. Every third sample is valid, every third moves a value, and the others do not
    parse. With `loops` that many are run, else tokens leave after loops 1 to 4 in turn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names, kinds = [f"problem_{index}" for index in range(problems)], ("valid", "semantic_error", "invalid_syntax")
    by_token = None if loops else [[2, 4], *([4, 1 + place % 4] for place in range((len(text) - 2) // 4))]
    drawn, verdicts, programs = [], [], []
    for number, name in enumerate(names):
        drawn += [Sample(name, index, text, True, 9, loops or 2.5, token_loops=by_token) for index in range(samples)]
        verdicts.append([_verdict(kinds[(number + index) % 3]) for index in range(samples)])
        programs.append([PROMPT + text] * samples)
    with (folder / "compilation_success_rate.samples.jsonl").open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in ({"model": "x"}, *map(vars, drawn)))
    write_verdicts(names, verdicts, folder / "compilation_success_rate.verdicts.jsonl", programs)
    rates = {name: sum(each.ok for each in row) / samples for name, row in zip(names, verdicts, strict=True)}
    counts = {status: sum(each.status == status for row in verdicts for each in row) for status in kinds}
    results = Results(
        "compilation_success_rate",
        model,
        {"compiles@1": share_interval(list(rates.values()))},
        {"compiles@1": rates},
        verdicts={status: count for status, count in counts.items() if count},
        details={"completions": len(drawn), "mean_loops": loops or 2.5},
        settings=SETTINGS | {"num_loops": loops},
        command=f"nanochat-ternary eval run --model models/tiny --output-dir {folder.name}",
    )
    results.write(folder)
    return folder


def _verdict(status):
    diagnostics = {"semantic_error": (MOVED,), "invalid_syntax": (Diagnostic(None, "syntax", "expected `;`", 2, 1),)}
    return Verdict(status, NOT_REACHED, diagnostics.get(status, ()))
