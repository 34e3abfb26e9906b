"""A benchmark of minimal pairs: two programs that differ in one place, of which the compiler accepts one."""
