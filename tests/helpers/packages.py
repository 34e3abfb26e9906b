"""The packages of the project, and the others that each may import."""

ALLOWED = {
    "modeling_nanochat": set(),
    "runtime": {"modeling_nanochat"},
    "evaluation": {"modeling_nanochat", "runtime"},
    "trainers": {"modeling_nanochat", "runtime", "evaluation"},
    "model_cards": {"modeling_nanochat", "runtime", "evaluation"},
    "recipes": {"modeling_nanochat", "runtime", "evaluation", "trainers", "model_cards"},
    "nanochat_ternary": {"modeling_nanochat", "runtime", "evaluation", "trainers", "model_cards", "recipes"},
}
