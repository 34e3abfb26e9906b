"""A task with a solution and hidden cases."""

from trainers.data.tasks import Task

PROMPT = "/// Adds up what is above 3.\nfn total(values: &[i32]) -> i32 {\n"
SOLUTION = """    let mut sum = 0;
    for &value in values {
        if value > 3 {
            sum += value;
        }
    }
    sum
}
"""
CASES = "check!(total(&[]) == 0);\ncheck!(total(&[3, 4]) == 4);\ncheck!(total(&[5, 1, 9]) == 14);"
TASK = Task("a", PROMPT, SOLUTION, "fn total(values: &[i32]) -> i32;", CASES, 1, "made")
