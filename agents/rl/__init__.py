"""What agents have in common: observations, policies, episodes, evaluation. Imports no agent."""
