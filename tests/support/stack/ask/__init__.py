"""Ask backends: each class returns plain data, and raises `Refused` when it is told no."""
