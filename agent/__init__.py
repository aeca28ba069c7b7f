"""Dreamer: learning behaviours by latent imagination (the agent core; imports stay light, see agent.training)."""
