"""Optimisers: one configuration with its flags, one class with six update rules, schedules as functions of a clock."""
