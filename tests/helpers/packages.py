"""The packages of the project, and the others that each may import."""

ALLOWED = {
    "modeling_nanochat": set(),
    "evaluation": {"modeling_nanochat"},
    "trainers": {"modeling_nanochat", "evaluation"},
    "model_cards": {"modeling_nanochat", "evaluation"},
    "recipes": {"modeling_nanochat", "evaluation", "trainers", "model_cards"},
    "nanochat_ternary": {"modeling_nanochat", "evaluation", "trainers", "model_cards", "recipes"},
}
