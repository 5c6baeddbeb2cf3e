"""Protecting columns: what each action does to real values, and what stands for them in synthetic rows."""
