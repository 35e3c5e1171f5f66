"""Optimisers: one configuration with its flags, one class with five update rules, schedules as functions of a clock."""
