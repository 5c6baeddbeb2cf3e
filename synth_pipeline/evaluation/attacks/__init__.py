"""Attacks on what is released: what someone who has it could find out about the persons it was learned from."""
