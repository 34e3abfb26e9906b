"""The console command `nanochat-ternary`."""
