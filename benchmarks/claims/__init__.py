"""Claims about looped ternary models, tested by training small ones."""
