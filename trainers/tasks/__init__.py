"""Tasks for reinforcement learning: a prompt, a solution, and cases that only a right solution passes."""

from trainers.tasks.measure import Solved, measure_tasks
from trainers.tasks.prompts import task_prompts
from trainers.tasks.task import Task, load_tasks, split_tasks

__all__ = ["Solved", "Task", "load_tasks", "measure_tasks", "split_tasks", "task_prompts"]
