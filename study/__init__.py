"""halfulp layer."""
